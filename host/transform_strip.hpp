// The arithmetic of transform_cells.hpp on strips of one column, for whatever instruction set the processor has (Highway chooses): the
// same operations in the same order, so the same bits.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "host/statistics.hpp"
#include "host/tile.hpp"
#include "host/transform.hpp"
#include "host/transform_cells.hpp"

namespace coterie {

// Neighbouring columns change between rows and strips together: their cells lie in the same lines of the cache, and are transposed in
// registers.
inline constexpr std::size_t kStripsAtOnce = 4;
template <class T>
using Strips = std::array<T, kStripsAtOnce * kStripRows>;  // (kStripsAtOnce, kStripRows)

// The first n_columns columns of rows that are `stride` cells apart. n_rows: at most kStripRows
void gather_strips(const float* cells, std::int64_t stride, std::int64_t n_rows, std::size_t n_columns, Strips<double>& strips);
void gather_strips(const double* cells, std::int64_t stride, std::int64_t n_rows, std::size_t n_columns, Strips<double>& strips);
void scatter_strips(const Strips<float>& strips, std::size_t n_columns, std::int64_t n_rows, std::int64_t stride, float* cells);

// Calls f(i, row, strips) for all raw columns listed in `columns` and all rows [first, last) of the tile, some at a time; row counts from
// the tile's first, strips holds the raw cells of columns[i], columns[i + 1], ... as doubles and may be overwritten.
template <class F>
void for_each_strips(const Tile& tile, std::int64_t first, std::int64_t last, std::span<const std::int32_t> columns, F&& f) {
  Strips<double> cells_of_strips;
  std::array<std::span<double>, kStripsAtOnce> strips;
  visit_cells(tile, [&](const auto* cells) {  // (n_rows, n_columns)
    for (std::int64_t row = first; row < last; row += kStripRows) {
      const std::int64_t n_rows = std::min(kStripRows, last - row);
      for (std::size_t k = 0; k < kStripsAtOnce; ++k)
        strips[k] = std::span(cells_of_strips).subspan(k * kStripRows, static_cast<std::size_t>(n_rows));
      std::size_t n = 0;
      for (std::size_t i = 0; i < columns.size(); i += n) {
        for (n = 1; n < kStripsAtOnce && i + n < columns.size() && columns[i + n] == columns[i] + static_cast<std::int32_t>(n);) ++n;
        gather_strips(cells + row * tile.n_columns + columns[i], tile.n_columns, n_rows, n, cells_of_strips);
        f(i, row, std::span<const std::span<double>>(strips).first(n));
      }
    }
  });
}

// strip: at most kStripRows raw cells, overwritten; out: their clustering values. Missing cells stay missing where keep_missing says so.
// False where the column cannot take a cell: an infinite one, or a missing one without a fill value.
bool transform_strip(const ColumnTransform& column, bool keep_missing, std::span<double> strip, float* out);

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
