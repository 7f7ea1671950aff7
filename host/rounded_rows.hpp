// Rows of a sweep rounded to 16 bits, for the scan of center_groups.hpp: about a pivot p and in units of 1 / scale,
//   y = scale (x - p)  is within `lost` of  (length / kReach) q,  q a vector of int16,  length ~ |y|.
// What rounding took away is measured row by row, not estimated; rows too far out to be rounded say so in `lost`.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "host/memory_ledger.hpp"
#include "host/row_array.hpp"
#include "host/tile.hpp"

namespace coterie::nearest {

// Common to all rows and centers of a pass. Any choice gives the same labels; a good one lies amid most rows, whatever a few do.
struct Units {
  std::vector<float> pivot;  // (n_columns)
  float scale = 1;           // a power of two: the largest cell of most rows is near 1
};
Units units_of(const float* x, std::int64_t n_rows, std::int32_t n_columns);  // from a sample of x (n_rows, n_columns)

inline constexpr float kReach = 32000;  // |q| before rounding, of fewer than kMostColumns columns
inline constexpr std::int32_t kMostColumns = 1 << 20;
inline constexpr float kTooFar = 0x1p50f;        // the largest length that is rounded
inline constexpr float kLostAll = 0x1p60f;       // `lost` of rows beyond it; its products with centers are finite
inline constexpr float kLeastLength = 0x1p-60f;  // keeps the row at the pivot divisible
inline constexpr float kUnit = 1 / kReach;       // of q, times the length; the same rounding wherever it is used

// Relative error of a length, which is summed in at least four lanes.
constexpr double length_error(std::int32_t n_columns) {
  const std::int32_t in_a_lane = n_columns / 4;
  return static_cast<double>(in_a_lane + 12) * 0x1p-24;
}

inline constexpr std::int64_t kLeastStripRows = 256;  // rows that are scanned together; a strip has once or several times as many

// Two columns in one word, padded with zeros to whole 16 bytes.
constexpr std::int32_t pairs_of(std::int32_t n_columns) { return (n_columns + 7) / 8 * 4; }

struct RoundedRows {
  std::int32_t* pairs;  // (n_rows, pairs_of(n_columns)) of int16
  float* length;        // (n_rows)
  float* lost;          // (n_rows)
  RoundedRows from(std::int64_t row, std::int32_t n_pairs) const { return {pairs + row * n_pairs, length + row, lost + row}; }
};
void round_rows(const float* x, std::int64_t n_rows, const Units& units, const RoundedRows& rounded);  // x: (n_rows, n_columns)

// Rounded rows kept from sweep to sweep where the ledger has room: half the bytes of the rows themselves.
class RoundedBlocks {
 public:
  // Makes room for the rows up to block n_blocks, of kBlockRows; false when the ledger has not twice as much left: caches go first.
  // n_expected: how many there may be in the end.
  bool grow(std::int64_t n_blocks, std::int64_t n_expected, std::int32_t n_columns, MemoryLedger& memory);
  RoundedRows rows(std::int64_t block) const { return blocks_[static_cast<std::size_t>(block)]; }
  // Of the strip that begins with a row of the block; strips must always begin with the same rows.
  bool& is_filled(std::int64_t block, std::int64_t row) {
    return filled_[static_cast<std::size_t>(block)][static_cast<std::size_t>(row / kLeastStripRows)];
  }

 private:
  std::vector<RoundedRows> blocks_;
  std::vector<std::array<bool, kBlockRows / kLeastStripRows>> filled_;
  RowPieces<std::int32_t> pairs_;  // (kBlockRows, pairs_of(n_columns)) each
  RowPieces<float> lengths_;       // (2, kBlockRows) length and lost
  std::vector<Reservation> memory_;
};

}  // namespace coterie::nearest
