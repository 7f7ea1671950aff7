// Sums of doubles that do not depend on the order of blocks: the result of every block becomes a whole number of a quantum
// 2^-100 below the largest sum that can occur, far below double rounding and within the 110 bits of WideSums.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "host/kmeans.hpp"
#include "host/statistics.hpp"

namespace coterie {

inline double power_of_two_above(double x) { return std::ldexp(1.0, std::ilogb(x) + 1); }

// |quanta| < 2^100, so both halves fit 64 bits; the rounding to whole quanta is below that of the block's sums.
inline void add_quanta(WideSums& sums, std::size_t i, double quanta) {
  const double high = std::trunc(quanta * 0x1p-48);
  sums.add(i, (static_cast<int128>(static_cast<std::int64_t>(high)) << 48) + static_cast<std::int64_t>(quanta - high * 0x1p48));
}

// What a summed weight counts in: quanta of weighted sums are this times a power of two above the terms.
inline double weight_quantum(const kmeans::GridMoments& moments) {
  return std::ldexp(power_of_two_above(static_cast<double>(moments.weight)), -100);
}

// The mean row, rounded to the grid, (n_columns). x less it is a float32 without rounding: both are whole numbers of steps
// of at most 2^23.
std::vector<float> center_of(const kmeans::Grid& grid, const kmeans::GridMoments& moments);

// Cells of a lower triangle, row by row.
constexpr std::size_t triangle_cells(std::size_t n) { return n * (n + 1) / 2; }

}  // namespace coterie
