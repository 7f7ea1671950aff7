// Mean and standard deviation of prepared values (transform_cells.hpp), the same for any threads, tiles and ranks: each
// value is rounded to an integer multiple of a unit 2^-38 of half its column's range, and integers add exactly.
#pragma once

#include <vector>

#include "host/context.hpp"
#include "host/tile_source.hpp"
#include "host/transform.hpp"

namespace coterie {

// A column whose center and scale are not known yet, with the extremes of its raw values.
struct UnscaledColumn {
  ColumnTransform column;
  double min = 0, max = 0;
};

struct PreparedMoments {
  double mean = 0;
  double standard_deviation = 0;  // n - 1; 0 for a constant column
};

// One sweep over `raw`, which has rows; by column. Cells must be finite, or missing where the column has a fill value.
std::vector<PreparedMoments> measure_prepared(Context& context, TileSource& raw, const std::vector<UnscaledColumn>& columns);

}  // namespace coterie
