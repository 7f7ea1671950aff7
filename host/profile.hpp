// What each segment is like, in raw units: moments, exact order statistics, shares, effect sizes and markers per segment
// and raw column; level shares of categories; outcome rates and value sums. (research: index 100 = population.)
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "host/backend.hpp"
#include "host/context.hpp"
#include "host/profile_pass.hpp"
#include "host/statistics.hpp"
#include "host/tile_source.hpp"
#include "host/weights.hpp"

namespace coterie::profile {

// One value per segment and raw column, then one row for the population: (n_segments + 1, n_columns).
struct Table {
  std::int32_t n_segments = 0;
  std::int32_t n_columns = 0;
  std::vector<double> values;
  double& at(std::int32_t segment, std::int32_t column) {
    return values[static_cast<std::size_t>(segment) * static_cast<std::size_t>(n_columns) + static_cast<std::size_t>(column)];
  }
  double at(std::int32_t segment, std::int32_t column) const {
    return values[static_cast<std::size_t>(segment) * static_cast<std::size_t>(n_columns) + static_cast<std::size_t>(column)];
  }
};

struct Profile {
  std::int32_t n_segments = 0;
  std::int32_t n_columns = 0;
  std::vector<std::int64_t> n_rows;  // (n_segments + 1) the last is the population
  std::vector<double> weight;        // (n_segments + 1) summed row weight
  std::vector<double> share;         // (n_segments + 1) of the weight

  // Known cells only; NaN where a segment has none. Weighted where rows have weights.
  Table missing_share, mean, std, min, max;  // std with n - 1, n = known rows
  Table p10, median, p90;                    // exact order statistics: the smallest value with cumulative weight >= p
  Table share_nonzero;
  Table index;                               // 100 * mean / population mean; NaN where the column has a negative value or mean 0
  Table z;                                   // (mean - population mean) / population std
  Table cohen_d, cohen_d_low, cohen_d_high;  // segment against the rest of the customers, 95 % interval
};

// Reads `raw`, zipped with labels and weights, four times (eight when it is wide): radix selection needs one sweep per digit, counts
// and extremes join the first sweep, and moments the last, because by then every median is known well enough to be their pivot.
// Labels outside [0, n_segments) belong to the population only when they are >= 0; -1 rows are left out everywhere, as are rows
// of weight 0. Without labels every row belongs to the population only. When the histograms of all columns do not fit the memory
// ledger, columns are taken in rounds of as many sweeps each; the bits are the same.
// ResourceError: not even one column fits. ContentsError: an infinite cell.
Profile measure(Context& context, TileSource& raw, std::int32_t n_segments, double weight_step, Passes& passes);
// The same with the passes of a backend, from where it wants the tiles.
Profile measure(Context& context, Backend& backend, TileSource& raw, std::int32_t n_segments, double weight_step);

// The columns that mark a segment, strongest |Cohen's d| first: |d| >= 0.2 and an interval that excludes 0.
struct Marker {
  std::int32_t column;
  double cohen_d;
};
std::vector<Marker> markers(const Profile& profile, std::int32_t segment, std::size_t most);

struct LevelProfile {  // of one categorical column; tables are (n_segments + 1, n_levels)
  std::string name;
  std::vector<std::string> levels;
  std::vector<double> share;          // of the known weight of the segment
  std::vector<double> index;          // 100 * share / population share
  std::vector<double> missing_share;  // (n_segments + 1)
};
LevelProfile measure_levels(Context& context, std::string name, std::vector<std::string> levels, std::span<const std::int32_t> codes,
                            std::span<const std::int32_t> labels, const Weights& weights, std::int32_t n_segments);

struct OutcomeProfile {  // of one two-valued column; (n_segments + 1) each
  std::string name;
  std::vector<double> rate;                   // weighted share of positives among known rows
  std::vector<double> rate_low, rate_high;    // Wilson 95 % interval, of effective rows where weights differ
  std::vector<std::int64_t> known, positive;  // rows
};
OutcomeProfile measure_outcome(Context& context, std::string name, std::span<const double> outcome, std::span<const std::int32_t> labels,
                               const Weights& weights, std::int32_t n_segments);

struct ValueProfile {  // of the value column; (n_segments + 1) each
  std::string name;
  std::vector<double> sum;    // weighted, exact before the last rounding
  std::vector<double> share;  // of the population's sum; NaN when that is 0, or a loss that hides gains
  std::vector<double> mean;   // per known row weight
};
ValueProfile measure_value(Context& context, std::string name, std::span<const double> value, std::span<const std::int32_t> labels,
                           const Weights& weights, std::int32_t n_segments);

}  // namespace coterie::profile
