// The arithmetic of transform_cells.hpp on strips of one column, for whatever instruction set the processor has (Highway chooses): the
// same operations in the same order, so the same bits.
#pragma once

#include <cstdint>
#include <span>

#include "host/transform.hpp"

namespace coterie {

// strip: raw cells; becomes what is centred and scaled.
void prepare_strip(const ColumnTransform& column, std::span<double> strip);

// strip: at most kStripRows raw cells, overwritten; out: their clustering values, `stride` apart. Missing cells stay missing where
// keep_missing says so. False where the column cannot take a cell: an infinite one, or a missing one without a fill value.
bool transform_strip(const ColumnTransform& column, bool keep_missing, std::span<double> strip, float* out, std::int64_t stride);

}  // namespace coterie
