// A tile: consecutive rows of a matrix, row-major, with row-aligned side columns. A view: whoever made it owns the bytes.
#pragma once

#include <cstdint>

namespace coterie {

// Tiles, ranks and sources start at multiples of this many rows; block-wise sums use blocks of this many rows, so a
// block never straddles two tiles. 4096 rows keep float32 block sums below 1e-8 relative error (research: 7e-9).
inline constexpr std::int64_t kBlockRows = 4096;

inline constexpr std::int64_t kAllRows = INT64_MAX;  // of a tile, however many

enum class Memory { host, device };

// Exactly one of `x` and `wide` is set. Raw tiles hold what the file holds: float32, or float64 where the file has more
// precision; missing cells are NaN. Transformed tiles are float32 on the grid (transform.hpp), NaN only where it keeps missing cells.
struct Tile {
  const float* x = nullptr;              // (n_rows, n_columns)
  const double* wide = nullptr;          // (n_rows, n_columns)
  const std::int32_t* weight = nullptr;  // (n_rows) in units of the weight step (weights.hpp); nullptr: every row weighs 1 step
  const std::int32_t* label = nullptr;   // (n_rows) segment of each row, -1 for rows that belong to none; nullptr: none given
  const std::int8_t* target = nullptr;   // (n_rows, n_targets) outcomes: 1 yes, 0 no, -1 unknown; nullptr: none given
  const std::int8_t* fold = nullptr;     // (n_rows) -1: held out of every fit, else the fold of the row; nullptr: all of fold 0
  std::int64_t first_row = 0;            // global row index: seeds, labels and output hang on it
  std::int32_t n_rows = 0;
  std::int32_t n_columns = 0;
  std::int32_t n_targets = 0;
  Memory memory = Memory::host;
};

// Of a tile, the n_rows rows from global row first_row on.
inline Tile rows_of(const Tile& tile, std::int64_t first_row, std::int64_t n_rows) {
  const std::int64_t skipped = first_row - tile.first_row;
  const auto after = [](auto* p, std::int64_t n) { return p != nullptr ? p + n : p; };
  Tile rows = tile;
  rows.x = after(tile.x, skipped * tile.n_columns);
  rows.wide = after(tile.wide, skipped * tile.n_columns);
  rows.weight = after(tile.weight, skipped);
  rows.label = after(tile.label, skipped);
  rows.target = after(tile.target, skipped * tile.n_targets);
  rows.fold = after(tile.fold, skipped);
  rows.first_row = first_row;
  rows.n_rows = static_cast<std::int32_t>(n_rows);
  return rows;
}

// Calls f with the typed pointer of a tile, so that one template serves both precisions.
template <class F>
decltype(auto) visit_cells(const Tile& tile, F&& f) {
  return tile.x != nullptr ? f(tile.x) : f(tile.wide);
}

}  // namespace coterie
