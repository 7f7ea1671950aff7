// Rows as profiles meet them: heavy tails, point masses, missing cells, constants, offsets and both zeros, with labels and weights.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "tests/reference/profile.hpp"

namespace coterie::testing {

template <class T>
struct LabelledRows {
  std::int64_t n_rows = 0;
  std::int32_t n_columns = 0;
  std::int32_t n_segments = 0;
  std::vector<T> x;                  // (n_rows, n_columns)
  std::vector<std::int32_t> label;   // (n_rows)
  std::vector<std::int32_t> weight;  // (n_rows), or empty

  // The cells of a column whose rows satisfy belongs(label).
  template <class F>
  std::vector<reference::Cell> cells(std::int32_t column, F&& belongs) const {
    std::vector<reference::Cell> cells;
    for (std::int64_t row = 0; row < n_rows; ++row) {
      const auto i = static_cast<std::size_t>(row);
      if (belongs(label[i]))
        cells.push_back({static_cast<double>(x[i * static_cast<std::size_t>(n_columns) + static_cast<std::size_t>(column)]),
                         weight.empty() ? 1 : weight[i]});
    }
    return cells;
  }
};

enum class RowWeights { none, steps };

// Columns of awkward_rows(), by place.
enum AwkwardColumn : std::int32_t {
  normal,
  heavy_tail,
  counts,
  constant,
  all_missing,
  offset,
  signed_zeros,
  mostly_missing,
  tiny,
  huge,
  kAwkwardColumns
};

// Six segments: 0 to 3 share the rows with label -1 (absent) and labels 6 and 7 (population only), 4 has one row, 5 none. Means
// differ by segment.
template <class T>
LabelledRows<T> awkward_rows(std::int64_t n_rows, RowWeights weights) {
  LabelledRows<T> rows{.n_rows = n_rows, .n_columns = kAwkwardColumns, .n_segments = 6, .x = {}, .label = {}, .weight = {}};
  std::mt19937_64 bits(7);
  std::normal_distribution<double> gauss;
  constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
  constexpr std::array<std::int32_t, 8> kLabels = {0, 1, 2, 3, 3, -1, 6, 7};
  for (std::int64_t row = 0; row < n_rows; ++row) {
    const std::int32_t label = row == n_rows / 2 ? 4 : kLabels[bits() % kLabels.size()];
    const double g = gauss(bits) + 0.3 * label;
    std::array<double, kAwkwardColumns> cells{};
    cells[normal] = g;
    cells[heavy_tail] = std::exp(2.5 * g);
    cells[counts] = std::max(0.0, std::floor(2 * g));
    cells[constant] = 3.25;
    cells[all_missing] = kMissing;
    cells[offset] = 1e8 + g;
    cells[signed_zeros] = bits() % 3 == 0 ? -0.0 : bits() % 2 == 0 ? 0.0 : -std::abs(g);
    cells[mostly_missing] = bits() % 10 < 7 ? kMissing : g;
    cells[tiny] = 1e-30 * g;
    cells[huge] = 1e30 * g;
    for (const double cell : cells) rows.x.push_back(static_cast<T>(cell));
    rows.label.push_back(label);
    if (weights == RowWeights::steps)
      rows.weight.push_back(static_cast<std::int32_t>(label == 4 ? 3 : bits() % 5 == 0 ? 0 : bits() % 1'000'000));
  }
  return rows;
}

}  // namespace coterie::testing
