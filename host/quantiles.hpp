// Exact weighted order statistics of every segment and column by radix selection: the float's order-preserving integer key is found
// 8 bits per sweep, from a histogram of the next 8 bits among the cells whose higher bits match. Histograms are integers, so
// they merge in any order: 4 sweeps for float32 sources, 8 for float64, however many quantiles are asked for.
//
// The quantile p of a set of cells is the smallest value whose cumulative weight reaches p times the weight of all known cells
// ("inverted CDF", Hyndman & Fan type 1): always one of the cells.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "host/context.hpp"
#include "host/segment_rows.hpp"
#include "host/statistics.hpp"
#include "host/tile_source.hpp"

namespace coterie::quantiles {

// 8 bits: the histograms of a usual profile (8 segments, 32 columns, 3 quantiles: 1.8 MB) stay close to a core's caches; 11 bits would
// save one sweep of four and cost eight times the memory.
inline constexpr int kDigitBits = 8;
inline constexpr std::size_t kDigits = std::size_t{1} << kDigitBits;
// One bin more, which stays 0: histograms a power of two apart would crowd the same digits of all columns into a few sets of a cache.
inline constexpr std::size_t kBins = kDigits + 1;

// What is asked, and what the sweeps so far have found. Entry (row, column, quantile): rows are the segments, then the population.
struct Search {
  SegmentScope scope;
  std::vector<std::int32_t> per_mille;  // (n_quantiles) p * 1000, in [0, 1000]
  bool wide = false;                    // 64-bit keys
  std::int32_t known_digits = 0;
  std::vector<std::uint64_t> prefixes;  // (n_segments + 1, n_columns, n_quantiles) keys; unknown digits are 0
  std::vector<std::int64_t> ranks;      // same shape: weight steps to count from the first cell of the prefix; 0: no known cell

  std::int32_t n_digits() const { return wide ? 8 : 4; }
  bool done() const { return known_digits == n_digits(); }
  int shift() const { return (n_digits() - 1 - known_digits) * kDigitBits; }  // of the digit that the next sweep finds
  std::size_t entry(std::int32_t row, std::int32_t column, std::size_t quantile) const;
};

// Weight steps of cells by their next digit.
struct Statistics {
  // First sweep: (n_groups, n_columns, kBins), for all quantiles. Then (n_segments + 1, n_columns, n_quantiles, kBins).
  std::vector<std::int64_t> histogram;
  void for_each_field(FieldVisitor& visitor) { visitor.integers(histogram, Merge::sum); }
};

// One sweep over raw tiles zipped with labels and weights. CPU implementation: host/quantiles_pass.cpp.
class Pass {
 public:
  virtual ~Pass() = default;
  virtual void begin(const Search& search) = 0;  // `search` must not change until finish()
  virtual void accumulate(const Tile& tile) = 0;
  virtual Statistics finish() = 0;
};
std::unique_ptr<Pass> make_cpu_pass(Context& context);

// Bytes of one worker's statistics, and of what tells where a cell is counted, per column.
std::int64_t statistics_bytes(std::int32_t n_segments, std::size_t n_quantiles);

// How many columns one search may cover, whatever the memory: the CPU numbers the bins of float cells in 32 bits.
std::int64_t most_columns(std::int32_t n_segments, std::size_t n_quantiles);

Search start(const SegmentScope& scope, std::vector<std::int32_t> per_mille, bool wide);

// Takes the digit that the sweep has found (pure, integers only). InternalError when the source gave other rows than before.
void update(Search& search, const Statistics& statistics);

// The quantile once done() (0.0 stands for -0.0 too); before, the smallest value that begins with the known digits. NaN where the
// segment has no known cell in the column.
double value(const Search& search, std::int32_t row, std::int32_t column, std::size_t quantile);

}  // namespace coterie::quantiles
