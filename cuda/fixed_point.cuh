// Sums of rounded numbers that blocks of rows add in any order: a double, cut towards zero to whole quanta, meets others in
// 128 bits of two's complement, where addition neither rounds nor depends on the order. For every pass whose statistics are
// WideSums of block results (mixtures; whatever sums gradients and Hessians).
#pragma once

#include "cuda/kernel.hpp"

namespace coterie::COTERIE_GPU {

// One sum: low and high 64 bits.
struct FixedPoint {
  std::uint64_t low, high;
};

// |quanta| < 2^126. The carry out of the low half is what atomics make of it: every one of them that wraps sees it.
__device__ inline void add_quanta(FixedPoint* sum, double quanta) {
  const double size = quanta < 0 ? -quanta : quanta;
  if (size < 1) return;
  const auto size_high = static_cast<std::uint64_t>(size * 0x1p-64);
  const auto size_low = static_cast<std::uint64_t>(size - static_cast<double>(size_high) * 0x1p64);  // exact
  const std::uint64_t low = quanta < 0 ? 0 - size_low : size_low;
  std::uint64_t high = quanta < 0 ? ~size_high + (size_low == 0 ? 1 : 0) : size_high;
  if (low != 0 && atomic_add(&sum->low, low) + low < low) ++high;
  if (high != 0) atomic_add(&sum->high, high);
}

// The lanes' values added in the order of a butterfly: the same bits in every lane.
template <class T>
__device__ T add_lanes(T value, int first_distance = 1, int last_distance = 16) {
  for (int other = first_distance; other <= last_distance; other *= 2) value += __shfl_xor_sync(kAllLanes, value, other);
  return value;
}

}  // namespace coterie::COTERIE_GPU
