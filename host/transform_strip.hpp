// The arithmetic of transform_cells.hpp on strips of one column, for whatever instruction set the processor has (Highway chooses): the
// same operations in the same order, so the same bits.
#pragma once

#include <cstdint>
#include <span>

#include "host/statistics.hpp"
#include "host/transform.hpp"

namespace coterie {

// strip: at most kStripRows raw cells, overwritten; out: their clustering values, `stride` apart. Missing cells stay missing where
// keep_missing says so. False where the column cannot take a cell: an infinite one, or a missing one without a fill value.
bool transform_strip(const ColumnTransform& column, bool keep_missing, std::span<double> strip, float* out, std::int64_t stride);

// The integer of a prepared value is round((value - origin) / unit), within 2^38 either way.
struct FixedPoint {
  static constexpr double kMostSteps = 0x1p38;
  double origin = 0;
  double unit = 1;  // a power of two
};

// Exact sums of the integers of a strip and of their squares. strip: at most kStripRows raw cells, overwritten
struct StepSums {
  std::int64_t steps = 0;
  int128 squares = 0;
};
StepSums sum_steps(const ColumnTransform& column, const FixedPoint& point, std::span<double> strip);

}  // namespace coterie
