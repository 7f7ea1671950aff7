// The definition of host/kmeans.hpp for whole tiles, and sums straight into device memory: for models too large for
// shared memory, for output, and for the rare sweep that looks for the farthest rows.
#pragma once

#include "cuda/nearest_centers.cuh"
#include "cuda/packed_models.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr int kExactThreads = 128;

// Row-aligned results, each (n_rows) or nullptr.
struct ExactOutput {
  std::int32_t* label;
  std::int32_t* second;  // -1 when there is one center only
  double* squared_distance;
  double* second_squared_distance;  // infinity when there is one center only
};

// One thread per row. x: (n_rows, n_columns); centers: (n_clusters, padded_columns).
__global__ void __launch_bounds__(kExactThreads) assign_exact_kernel(const float* x, int n_rows, int n_columns, const float* centers,
                                                                     int padded_columns, int n_clusters, ExactOutput output) {
  const std::int64_t row = std::int64_t{blockIdx.x} * kExactThreads + threadIdx.x;
  if (row >= n_rows) return;
  const TopTwo<double> top = two_nearest(x + row * n_columns, n_columns, centers, padded_columns, n_clusters);
  output.label[row] = top.best_index;
  if (output.second != nullptr) output.second[row] = top.second_index;
  if (output.squared_distance != nullptr) output.squared_distance[row] = top.best;
  if (output.second_squared_distance != nullptr) output.second_squared_distance[row] = top.second;
}

// The statistics of one model in device memory.
struct ModelSums {
  std::int64_t* low;      // (n_clusters, n_columns) sums of the low 32 bits of w * q
  std::int64_t* high;     // (n_clusters, n_columns) sums of w * q >> 32
  std::int64_t* weights;  // (n_clusters)
  std::int64_t* rows;     // (n_clusters)
};

// One thread per cell; the first thread of a row adds its weight. label, weight: (n_rows), weight may be nullptr; scale:
// (2, n_columns) as in Sweep.
__global__ void __launch_bounds__(kExactThreads) add_rows_kernel(const float* x, const std::int32_t* weight, int n_rows, int n_columns,
                                                                 const std::int32_t* label, const float* scale, ModelSums to) {
  const std::int64_t n_cells = std::int64_t{n_rows} * n_columns;
  const std::int64_t step = std::int64_t{gridDim.x} * kExactThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kExactThreads + threadIdx.x; i < n_cells; i += step) {
    const std::int64_t row = i / n_columns;
    const auto j = static_cast<int>(i % n_columns);
    const std::int64_t w = weight != nullptr ? weight[row] : 1;
    if (w == 0) continue;
    const std::int64_t product = w * __float2int_rn(x[i] * scale[j] * scale[n_columns + j]);
    const std::int64_t cell = std::int64_t{label[row]} * n_columns + j;
    atomic_add(&to.low[cell], product & 0xffffffff);
    atomic_add(&to.high[cell], product >> 32);
    if (j != 0) continue;
    atomic_add(&to.weights[label[row]], w);
    atomic_add(&to.rows[label[row]], 1);
  }
}

}  // namespace coterie::COTERIE_GPU
