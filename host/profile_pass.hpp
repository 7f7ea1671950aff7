// The sweeps behind a profile: what is counted and summed per group and column. Groups part the rows (segment_rows.hpp).
//
// Moments are taken about a pivot per group and column: t = (x - pivot) / 2^exponent, and sum w t, sum w t^2 are added in double, row
// after row, within a block of 4096 rows (tile.hpp); the block's sums are added as integer multiples of 2^-fraction_bits. So their
// bits depend on the rows only. The pivot is a median (quantiles.hpp), and |mean - median| <= standard deviation: the variance
// sum w t^2 / W - (sum w t / W)^2 never cancels.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "host/context.hpp"
#include "host/quantiles.hpp"
#include "host/segment_rows.hpp"
#include "host/statistics.hpp"
#include "host/tile_source.hpp"

namespace coterie::profile {

struct Counts {
  std::vector<std::int64_t> rows;            // (n_groups)
  std::vector<std::int64_t> weight;          // (n_groups) steps
  std::vector<std::int64_t> known_rows;      // (n_groups, n_columns)
  std::vector<std::int64_t> known_weight;    // (n_groups, n_columns) steps
  std::vector<std::int64_t> nonzero_weight;  // (n_groups, n_columns) steps of known cells other than 0
  std::vector<double> min, max;              // (n_groups, n_columns) of known cells; +inf, -inf where there is none
  void for_each_field(FieldVisitor& visitor);
};

class CountsPass {
 public:
  virtual ~CountsPass() = default;
  virtual void begin(const SegmentScope& scope) = 0;
  virtual void accumulate(const Tile& tile) = 0;
  virtual Counts finish() = 0;
};

// The units of the moments.
struct Frame {
  SegmentScope scope;
  std::vector<double> pivot;                // (n_groups, n_columns)
  std::vector<std::int32_t> exponent;       // (n_groups, n_columns) 2^exponent >= |x - pivot| of every cell
  std::vector<std::int32_t> fraction_bits;  // (n_groups, n_columns)
};

struct MomentSums {
  WideSums sums;     // (n_groups, n_columns) sum of w * t in units of 2^-fraction_bits
  WideSums squares;  // (n_groups, n_columns) sum of w * t^2 in the same units
  void for_each_field(FieldVisitor& visitor) {
    visitor.wide(sums);
    visitor.wide(squares);
  }
};

class MomentsPass {
 public:
  virtual ~MomentsPass() = default;
  virtual void begin(const Frame& frame) = 0;  // `frame` must not change until finish()
  virtual void accumulate(const Tile& tile) = 0;
  virtual MomentSums finish() = 0;
};

// What a backend brings for profiles.
struct Passes {
  std::int64_t device_bytes = std::numeric_limits<std::int64_t>::max();  // of the statistics, on a device of their own
  std::unique_ptr<CountsPass> counts;
  std::unique_ptr<MomentsPass> moments;
  std::unique_ptr<quantiles::Pass> quantiles;
};
Passes make_cpu_passes(Context& context);

// Bytes of one worker's statistics, per column, counts and moments together.
std::int64_t statistics_bytes(std::int32_t n_segments);

}  // namespace coterie::profile
