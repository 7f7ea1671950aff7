// Rows on the grid of host/transform.hpp: every column rounded to multiples of 2^(e-23) with 2^e >= max|x|.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "host/kmeans.hpp"

namespace coterie::testing {

struct GridRows {
  std::int64_t n_rows = 0;
  std::int32_t n_columns = 0;
  std::vector<float> x;  // (n_rows, n_columns)
  kmeans::Grid grid;
};

inline GridRows on_grid(const std::vector<double>& values, std::int32_t n_columns) {
  const std::size_t d = static_cast<std::size_t>(n_columns);
  GridRows rows{
      .n_rows = static_cast<std::int64_t>(values.size() / d), .n_columns = n_columns, .x = std::vector<float>(values.size()), .grid = {}};
  for (std::size_t j = 0; j < d; ++j) {
    double largest = 0;
    for (std::size_t i = j; i < values.size(); i += d) largest = std::max(largest, std::abs(values[i]));
    const double step = largest > 0 ? std::max(std::exp2(std::ceil(std::log2(largest)) - 23), 0x1p-149) : 1;
    rows.grid.steps.push_back(step);
    for (std::size_t i = j; i < values.size(); i += d) rows.x[i] = static_cast<float>(std::nearbyint(values[i] / step) * step);
  }
  return rows;
}

// Blobs of unit spread around centers drawn from N(0, separation).
inline std::vector<double> blobs(std::int64_t n_rows, std::int32_t n_columns, std::int32_t n_blobs, double separation, std::uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  std::vector<double> centers(static_cast<std::size_t>(n_blobs) * static_cast<std::size_t>(n_columns));
  for (double& value : centers) value = separation * normal(generator);
  std::vector<double> values;
  for (std::int64_t i = 0; i < n_rows; ++i) {
    const std::size_t blob = generator() % static_cast<std::uint32_t>(n_blobs);
    for (std::size_t j = 0; j < static_cast<std::size_t>(n_columns); ++j)
      values.push_back(centers[blob * static_cast<std::size_t>(n_columns) + j] + normal(generator));
  }
  return values;
}

// Log-normal cells whose logarithms spread by `spread`.
inline std::vector<double> heavy_tails(std::int64_t n_rows, std::int32_t n_columns, double spread) {
  std::mt19937 generator(5);
  std::normal_distribution<double> normal;
  std::vector<double> values;
  for (std::int64_t i = 0; i < n_rows * n_columns; ++i) values.push_back(std::exp(spread * normal(generator)));
  return values;
}

}  // namespace coterie::testing
