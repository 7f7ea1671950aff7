// Which center is nearest to a row, and which is second: the device side of host/nearest_centers.hpp, for one thread.
//
// Centers are packed in groups of kGroup, (n_groups, padded columns, kGroup) floats: a thread runs kGroup chains at once
// and reads the group's next column as two vectors. Columns are padded with zeros to a multiple of 4, clusters with
// +infinity to a multiple of kGroup, so no loop has a tail.
#pragma once

#include <cstdint>

#include "cuda/kernel.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr int kGroup = 8;

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

// The definition of host/kmeans.hpp. x: (n_columns) one row; centers: packed, n_clusters of them.
__device__ inline TopTwo<double> nearest_exact(const float* x, int n_columns, const float* centers, int padded_columns, int n_clusters) {
  TopTwo<double> top;
  for (int first = 0; first < n_clusters; first += kGroup) {
    const float* group = centers + static_cast<std::int64_t>(first) * padded_columns;
    double s[kGroup] = {};
    for (int j = 0; j < n_columns; ++j) {
      const auto value = static_cast<double>(x[j]);
#pragma unroll
      for (int i = 0; i < kGroup; ++i) {
        const double t = value - static_cast<double>(group[j * kGroup + i]);
        s[i] = fma(t, t, s[i]);
      }
    }
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
      if (first + i < n_clusters) top.offer(s[i], first + i);
    }
  }
  return top;
}

// One center: in double the definition, in float32 with the error that nearest::Certainty knows.
template <class Real>
__device__ Real squared_distance(const float* x, int n_columns, const float* centers, int padded_columns, int cluster) {
  const float* group = centers + static_cast<std::int64_t>(cluster / kGroup) * kGroup * padded_columns + cluster % kGroup;
  Real s = 0;
#pragma unroll 2  // registers matter more than speed: it serves the few rows that the fast scan leaves open
  for (int j = 0; j < n_columns; ++j) {
    const Real t = static_cast<Real>(x[j]) - static_cast<Real>(group[j * kGroup]);
    s = fma(t, t, s);
  }
  return s;
}

// Some centers of a packed model: those listed, or the first n where `listed` is nullptr.
struct CenterList {
  const float* packed;
  const int* listed;
  int n;

  __device__ int at(int i) const { return listed != nullptr ? listed[i] : i; }
};

__device__ inline void add_column(float (&s)[kGroup], float value, const float4* column) {
  const float4 low = column[0], high = column[1];
  const float c[kGroup] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
  for (int i = 0; i < kGroup; ++i) {
    const float t = value - c[i];
    s[i] = __fmaf_rn(t, t, s[i]);
  }
}

// The same in float32 for the groups first_group, first_group + group_step, ...: results within the relative error that
// nearest::Certainty knows. x: (padded_columns) one row, aligned to 16 bytes.
__device__ inline TopTwo<float> nearest_fast(const float* x, const float* centers, int padded_columns, int n_groups, int first_group,
                                             int group_step) {
  TopTwo<float> top;
  for (int group = first_group; group < n_groups; group += group_step) {
    const auto* column = reinterpret_cast<const float4*>(centers + static_cast<std::int64_t>(group) * kGroup * padded_columns);
    float s[kGroup] = {};
    for (int j = 0; j < padded_columns; j += 4, column += 8) {
      const float4 value = *reinterpret_cast<const float4*>(x + j);
      add_column(s, value.x, column);
      add_column(s, value.y, column + 2);
      add_column(s, value.z, column + 4);
      add_column(s, value.w, column + 6);
    }
#pragma unroll
    for (int i = 0; i < kGroup; ++i) top.offer(s[i], group * kGroup + i);
  }
  return top;
}

}  // namespace coterie::COTERIE_GPU
