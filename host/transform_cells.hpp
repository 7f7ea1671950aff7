// The formula of a transform, cell by cell, for the three sweeps that need it. Work goes in strips: the cells of one
// column in a few consecutive rows, gathered into contiguous doubles so that the arithmetic vectorises.
//
//   raw cell --prepare--> log1p?(clamp(known ? x : fill)) --place_on_grid--> round((t - center) / scale / step) * step
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "host/elementary.hpp"
#include "host/tile.hpp"
#include "host/transform.hpp"

namespace coterie {

// A strip of doubles fills 2 KiB; while every column takes its turn, the cache lines of the strip's rows stay near.
inline constexpr std::int64_t kStripRows = 256;

// Whatever is larger is infinite as a float32.
inline constexpr double kLargestCell = std::numeric_limits<float>::max();

constexpr bool is_known(double x) { return x == x; }

// Which cells a column cannot take: infinite ones, and missing ones where nothing finite stands in for them.
constexpr double stand_in(const ColumnTransform& column) { return column.answered ? 0.0 : column.fill; }
constexpr bool is_unusable(double x, double of_missing) { return !(magnitude(is_known(x) ? x : of_missing) <= kLargestCell); }

// A column is logarithmised where no row of the fit is negative; in other rows a value below 0, whose logarithm may not exist, is a 0.
constexpr double bounded(const ColumnTransform& column, double x) {
  const double known = is_known(x) ? x : column.fill, lower = column.log1p && column.lower < 0 ? 0.0 : column.lower;
  const double above = known < lower ? lower : known;
  return above > column.upper ? column.upper : above;
}

// What is centred and scaled: finite for a finite cell, and for a missing one where there is a fill value.
constexpr double prepared(const ColumnTransform& column, double x) {
  if (column.answered) return is_known(x) ? 1.0 : 0.0;
  return column.log1p ? log1p(bounded(column, x)) : bounded(column, x);
}

// In clustering units, before the grid.
constexpr double clustering_value(const ColumnTransform& column, double prepared_value) {
  return (prepared_value - column.center) / column.scale;
}

// Whole steps within float32 and round_to_even. The rows that a step was chosen for have at most 2^23; other rows may go beyond.
constexpr double most_steps(double step) { return static_cast<double>(static_cast<std::int64_t>(std::min(0x1p51, kLargestCell / step))); }

constexpr float on_grid(double value, double step, double steps_per_unit, double most) {
  const double steps = round_to_even(std::clamp(value * steps_per_unit, -most, most));
  return static_cast<float>(steps * step);
}

}  // namespace coterie
