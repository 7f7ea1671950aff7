// Descriptions of weighted cells the slow way: two loops in 113-bit floats, and a sort. (80 bits are too few: means near 1e8 are
// subtracted and compared to 1e-12 of a spread of 1.)
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace coterie::reference {

__extension__ typedef __float128 Quad;  // -Wpedantic objects to the bare keyword

inline double root(Quad x) { return std::sqrt(static_cast<double>(x)); }

struct Cell {
  double value;  // NaN: missing
  std::int64_t weight;
};

struct Summary {
  std::int64_t rows = 0, weight = 0, known_rows = 0, known_weight = 0, nonzero_weight = 0;
  Quad mean = 0, squares = 0;  // of known cells; squares: sum of weight * (value - mean)^2
  double min = std::numeric_limits<double>::infinity(), max = -std::numeric_limits<double>::infinity();
  std::vector<Cell> sorted;  // known cells of positive weight

  Quad variance() const { return squares / known_weight * known_rows / (known_rows - 1); }
};

inline Summary summarise(const std::vector<Cell>& cells) {
  Summary summary;
  for (const Cell& cell : cells) {
    if (cell.weight == 0) continue;
    ++summary.rows;
    summary.weight += cell.weight;
    if (std::isnan(cell.value)) continue;
    ++summary.known_rows;
    summary.known_weight += cell.weight;
    if (cell.value != 0) summary.nonzero_weight += cell.weight;
    summary.mean += static_cast<Quad>(cell.value) * cell.weight;
    summary.min = std::min(summary.min, cell.value);
    summary.max = std::max(summary.max, cell.value);
    summary.sorted.push_back(cell);
  }
  summary.mean /= summary.known_weight;
  for (const Cell& cell : summary.sorted) {
    const Quad t = cell.value - summary.mean;
    summary.squares += t * t * cell.weight;
  }
  std::sort(summary.sorted.begin(), summary.sorted.end(), [](const Cell& a, const Cell& b) { return a.value < b.value; });
  return summary;
}

// The smallest value whose cumulative weight reaches per_mille / 1000 of the weight.
inline double quantile(const Summary& summary, std::int32_t per_mille) {
  std::int64_t below = 0;
  for (const Cell& cell : summary.sorted) {
    below += cell.weight;
    if (below * 1000 >= summary.known_weight * per_mille) return cell.value;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

inline double cohen_d(const Summary& a, const Summary& b) {
  const Quad pooled = a.squares / a.known_weight * a.known_rows + b.squares / b.known_weight * b.known_rows;
  return static_cast<double>(a.mean - b.mean) / root(pooled / (a.known_rows + b.known_rows - 2));
}

}  // namespace coterie::reference
