// Sums of rounded numbers that blocks of rows add in any order: a double, cut towards zero to whole quanta, meets others in
// 128 bits of two's complement, where addition neither rounds nor depends on the order. For every pass whose statistics are
// WideSums of block results (mixtures; whatever sums gradients and Hessians).
#pragma once

#include "cuda/kernel.hpp"
#include "host/statistics.hpp"

namespace coterie::COTERIE_GPU {

// One sum: low and high 64 bits.
struct FixedPoint {
  std::uint64_t low, high;
};

inline int128 value_of(const FixedPoint& sum) { return (static_cast<int128>(static_cast<std::int64_t>(sum.high)) << 64) + sum.low; }

// |quanta| < 2^126.
__device__ inline FixedPoint fixed_point_of(double quanta) {
  const double size = quanta < 0 ? -quanta : quanta;
  if (size < 1) return {0, 0};
  const auto high = static_cast<std::uint64_t>(size * 0x1p-64);
  const auto low = static_cast<std::uint64_t>(size - static_cast<double>(high) * 0x1p64);  // exact
  return quanta < 0 ? FixedPoint{0 - low, ~high + (low == 0 ? 1 : 0)} : FixedPoint{low, high};
}

__device__ inline FixedPoint plus(const FixedPoint& a, const FixedPoint& b) {
  const std::uint64_t low = a.low + b.low;
  return {low, a.high + b.high + (low < a.low ? 1 : 0)};
}

// Several sums at once, whose atomics do not wait for each other; where nothing is added, a sum need not exist. The carry out
// of the low half is what atomics make of it: every one of them that wraps sees it.
template <int kCount>
__device__ void add_quanta(FixedPoint* const (&sum)[kCount], const double (&quanta)[kCount]) {
  FixedPoint value[kCount];
  std::uint64_t before[kCount];
#pragma unroll
  for (int i = 0; i < kCount; ++i) value[i] = fixed_point_of(quanta[i]);
#pragma unroll
  for (int i = 0; i < kCount; ++i) before[i] = value[i].low != 0 ? atomic_add(&sum[i]->low, value[i].low) : 0;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (value[i].low != 0 && before[i] + value[i].low < value[i].low) ++value[i].high;
    if (value[i].high != 0) atomic_add(&sum[i]->high, value[i].high);
  }
}
__device__ inline void add_quanta(FixedPoint* sum, double quanta) {
  FixedPoint* const sums[] = {sum};
  const double values[] = {quanta};
  add_quanta(sums, values);
}

// The lanes' values added in the order of a butterfly: the same bits in every lane.
template <class T>
__device__ T add_lanes(T value, int first_distance = 1, int last_distance = 16) {
  for (int other = first_distance; other <= last_distance; other *= 2) value += __shfl_xor_sync(kAllLanes, value, other);
  return value;
}

}  // namespace coterie::COTERIE_GPU
