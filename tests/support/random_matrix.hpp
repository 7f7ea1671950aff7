// Small random matrices of the shapes that customer features have, from the project's own generator: the same on every
// machine.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "host/random.hpp"

namespace coterie::testing {

enum class Shape { normal, log_normal, exponential, counts, flag, cauchy, constant };

struct RandomColumn {
  Shape shape = Shape::normal;
  double missing_share = 0;
  double offset = 0;
  double scale = 1;
};

inline double draw(Shape shape, std::uint64_t seed, std::uint64_t index) {
  const double u = random_uniform(seed, Purpose::synth_value, index, 1) + 0x1p-54;  // in (0, 1)
  const double v = random_uniform(seed, Purpose::synth_value, index, 2);
  const double normal = std::sqrt(-2 * std::log(u)) * std::cos(2 * 3.141592653589793 * v);
  switch (shape) {
    case Shape::normal: return normal;
    case Shape::log_normal: return std::exp(2 * normal);
    case Shape::exponential: return -std::log(u);
    case Shape::counts: return std::floor(-std::log(u) * (v < 0.4 ? 0.0 : 3.0));  // over half are zero
    case Shape::flag: return u < 0.3 ? 1 : 0;
    case Shape::cauchy: return std::tan(3.141592653589793 * (u - 0.5));
    case Shape::constant: return 1;
  }
  return 0;
}

// (n_rows, columns.size()) row-major. Every value is a float32, so that a float32 and a float64 matrix can be equal.
inline std::vector<double> random_matrix(std::int64_t n_rows, const std::vector<RandomColumn>& columns, std::uint64_t seed = 1) {
  std::vector<double> cells;
  cells.reserve(static_cast<std::size_t>(n_rows) * columns.size());
  for (std::int64_t row = 0; row < n_rows; ++row)
    for (std::size_t j = 0; j < columns.size(); ++j) {
      const std::uint64_t index = static_cast<std::uint64_t>(row) * 1024 + j;
      const bool missing = random_uniform(seed, Purpose::synth_value, index, 3) < columns[j].missing_share;
      const double value = columns[j].offset + columns[j].scale * draw(columns[j].shape, seed, index);
      cells.push_back(missing ? std::numeric_limits<double>::quiet_NaN() : static_cast<double>(static_cast<float>(value)));
    }
  return cells;
}

inline std::vector<float> narrowed(const std::vector<double>& cells) { return {cells.begin(), cells.end()}; }

}  // namespace coterie::testing
