// Which center is nearest to a row, and which is second, by the definition of host/kmeans.hpp. Centers lie row by row, padded with zeros
// to a multiple of 4 columns (packed_models.hpp), which add nothing to a distance: no loop over columns has a tail.
#pragma once

#include <cstdint>

#include "cuda/kernel.hpp"

namespace coterie::COTERIE_GPU {

// The two smallest results; of equals the one offered first, so centers are offered in ascending order.
template <class Real>
struct TopTwo {
  Real best = __builtin_huge_val(), second = __builtin_huge_val();
  int best_index = -1, second_index = -1;

  __device__ void offer(Real s, int index) {
    if (s < best) {
      second = best;
      second_index = best_index;
      best = s;
      best_index = index;
    } else if (s < second) {
      second = s;
      second_index = index;
    }
  }
};

// The next four cells of a row, of which `left` are still there; zeros beyond. kVector: the number of columns is a multiple of 4, so rows
// begin at whole vectors.
template <bool kVector>
__device__ __forceinline__ float4 four_cells(const float* from, int left) {
  if constexpr (kVector) return left > 0 ? *reinterpret_cast<const float4*>(from) : float4{0, 0, 0, 0};
  return {left > 0 ? from[0] : 0.0f, left > 1 ? from[1] : 0.0f, left > 2 ? from[2] : 0.0f, left > 3 ? from[3] : 0.0f};
}
__device__ __forceinline__ float4 four_cells(const float* row, int column, int n_columns) {
  const int left = n_columns - column;
  return n_columns % 4 == 0 ? four_cells<true>(row + column, left) : four_cells<false>(row + column, left);
}

// The next four terms of the chain of the definition.
__device__ __forceinline__ void add_squares(double& s, const float4& x, const float4& center) {
  const float cells[4] = {x.x, x.y, x.z, x.w}, means[4] = {center.x, center.y, center.z, center.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const double t = static_cast<double>(cells[i]) - static_cast<double>(means[i]);
    s = fma(t, t, s);
  }
}

// One center. kAhead: how many fours of columns are asked for at a time, for their registers.
template <int kAhead>
__device__ inline double squared_distance(const float* x, int n_columns, const float* center) {
  double s = 0;
#pragma unroll kAhead
  for (int j = 0; j < n_columns; j += 4) add_squares(s, four_cells(x, j, n_columns), *reinterpret_cast<const float4*>(center + j));
  return s;
}

// All of n_clusters centers, some chains at a time.
__device__ inline TopTwo<double> two_nearest(const float* x, int n_columns, const float* centers, int padded_columns, int n_clusters) {
  constexpr int kChains = 8;
  TopTwo<double> top;
  for (int first = 0; first < n_clusters; first += kChains) {
    double s[kChains] = {};
    for (int j = 0; j < n_columns; j += 4) {
      const float4 cells = four_cells(x, j, n_columns);
#pragma unroll
      for (int i = 0; i < kChains; ++i) {
        const std::int64_t cluster = min(first + i, n_clusters - 1);
        add_squares(s[i], cells, *reinterpret_cast<const float4*>(centers + cluster * padded_columns + j));
      }
    }
#pragma unroll
    for (int i = 0; i < kChains; ++i) {
      if (first + i < n_clusters) top.offer(s[i], first + i);
    }
  }
  return top;
}

}  // namespace coterie::COTERIE_GPU
