// Loads that are under way before the first of them is needed.
#pragma once

#include "cuda/kernel.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr int kRowsAhead = 4;  // that a thread has asked for; more cost registers that spill

// Calls take(row, load(row)) for first, first + step, ... below n_rows; load goes ahead, row after row.
template <class Load, class Take>
__device__ __forceinline__ void for_rows_ahead(int first, int n_rows, int step, Load&& load, Take&& take) {
  int row = first;
  for (; row + (kRowsAhead - 1) * step < n_rows; row += kRowsAhead * step) {
    decltype(load(row)) value[kRowsAhead];
#pragma unroll
    for (int i = 0; i < kRowsAhead; ++i) value[i] = load(row + i * step);
#pragma unroll
    for (int i = 0; i < kRowsAhead; ++i) take(row + i * step, value[i]);
  }
  for (; row < n_rows; row += step) take(row, load(row));
}

}  // namespace coterie::COTERIE_GPU
