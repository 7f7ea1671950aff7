#include "host/transform_moments.hpp"

#include <cmath>

#include "host/passes.hpp"
#include "host/per_worker.hpp"
#include "host/row_blocks.hpp"
#include "host/transform_cells.hpp"
#include "host/transform_strip.hpp"

namespace coterie {
namespace {

// Integers stay within 2^38, so squares stay below 2^76 and fit WideSums for 2^34 rows. The rounding is below 1e-6 standard
// deviations per value even when one row in 2^34 makes up the whole range, and far below that in the sums.
FixedPoint fixed_point(const UnscaledColumn& described) {
  const double low = prepared(described.column, described.min), high = prepared(described.column, described.max);
  const double half_range = 0.5 * (high - low);
  if (!(half_range > 0)) return {.origin = low, .unit = 1};
  int exponent = 0;
  std::frexp(half_range, &exponent);  // half_range < 2^exponent
  // Below 2^-900 the unit's reciprocal would overflow, and no such difference survives in float32.
  return {.origin = low + half_range, .unit = std::ldexp(1.0, std::max(exponent, -900) - 38)};
}

struct MomentSums {
  std::int64_t n_rows = 0;
  WideSums sums;     // (n_columns) of units
  WideSums squares;  // (n_columns)
  void for_each_field(FieldVisitor& visitor) {
    visitor.integers({&n_rows, 1}, Merge::sum);
    visitor.wide(sums);
    visitor.wide(squares);
  }
};

class MomentsPass {
 public:
  MomentsPass(Context& context, const std::vector<UnscaledColumn>& columns) : context_(context) {
    for (const UnscaledColumn& described : columns) {
      columns_.push_back(described.column);
      sources_.push_back(described.column.source);
      points_.push_back(fixed_point(described));
    }
  }

  void begin(int) {
    sums_ = {context_, [this] { return std::vector<Sums>(columns_.size()); }};
    n_rows_ = 0;
  }

  void accumulate(const Tile& tile) {
    n_rows_ += tile.n_rows;
    for_each_block(context_, tile.n_rows, [&](std::int64_t first, std::int64_t last, std::size_t worker) {
      std::vector<Sums>& sums = sums_.of(worker);
      for_each_strips(tile, first, last, sources_, [&](std::size_t i, std::int64_t, std::span<const std::span<double>> strips) {
        for (std::size_t k = 0; k < strips.size(); ++k) {
          const StepSums of_strip = sum_steps(columns_[i + k], points_[i + k], strips[k]);
          sums[i + k].steps += of_strip.steps;
          sums[i + k].squares += of_strip.squares;
        }
      });
    });
  }

  MomentSums finish() {
    MomentSums merged{.n_rows = n_rows_, .sums = WideSums(columns_.size()), .squares = WideSums(columns_.size())};
    for (const std::vector<Sums>* sums : sums_.made())
      for (std::size_t i = 0; i < sums->size(); ++i) {
        merged.sums.add(i, (*sums)[i].steps);
        merged.squares.add(i, (*sums)[i].squares);
      }
    return merged;
  }

  PreparedMoments moments(const MomentSums& merged, std::size_t i) const {
    const int128 n = merged.n_rows, sum = merged.sums.value(i);
    // Squares about a whole number next to the mean are exact; what is left is below n.
    const int128 near_mean = sum / n, rest = sum - n * near_mean;
    const int128 about = merged.squares.value(i) - 2 * near_mean * sum + n * near_mean * near_mean;
    const double rest_mean = static_cast<double>(rest) / static_cast<double>(n);
    const double variance = (static_cast<double>(about) - static_cast<double>(rest) * rest_mean) /
                            static_cast<double>(std::max<std::int64_t>(merged.n_rows - 1, 1));
    return {.mean = points_[i].origin + (static_cast<double>(near_mean) + rest_mean) * points_[i].unit,
            .standard_deviation = std::sqrt(std::max(variance, 0.0)) * points_[i].unit};
  }

 private:
  struct Sums {
    int128 steps = 0, squares = 0;
  };

  Context& context_;
  std::vector<ColumnTransform> columns_;  // (n_columns)
  std::vector<std::int32_t> sources_;     // (n_columns)
  std::vector<FixedPoint> points_;        // (n_columns)
  PerWorker<std::vector<Sums>> sums_;     // (n_columns)
  std::int64_t n_rows_ = 0;
};

}  // namespace

std::vector<PreparedMoments> measure_prepared(Context& context, TileSource& raw, const std::vector<UnscaledColumn>& columns) {
  MomentsPass pass(context, columns);
  const MomentSums sums = reduce_tiles(context, raw, pass, 0, "transform");
  std::vector<PreparedMoments> moments;
  for (std::size_t i = 0; i < columns.size(); ++i) moments.push_back(pass.moments(sums, i));
  return moments;
}

}  // namespace coterie
