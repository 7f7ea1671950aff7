// The definition of host/kmeans.hpp for whole tiles, and sums straight into device memory: for rows too wide for shared memory, tiles of
// less than a warp's rows, grids whose inverse step is no float, and the rare sweep that looks for the farthest rows.
#pragma once

#include "cuda/kept_label.cuh"
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

// One thread per cell; the first thread of a row moves its weight. label, weight: (n_rows), weight may be nullptr; scale: (2, n_columns), x
// * scale[0] * scale[1] is a whole number; kept: of this model's slot, or of none.
__global__ void __launch_bounds__(kExactThreads)
    move_rows_kernel(const float* x, const std::int32_t* weight, int n_rows, int n_columns, const std::int32_t* label, const float* scale,
                     KeptLabels kept, SweepMemory::Place place, ModelSums to) {
  const std::int64_t n_cells = std::int64_t{n_rows} * n_columns;
  const std::int64_t step = std::int64_t{gridDim.x} * kExactThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kExactThreads + threadIdx.x; i < n_cells; i += step) {
    const std::int64_t row = i / n_columns;
    const auto j = static_cast<int>(i % n_columns);
    const std::int64_t w = weight != nullptr ? weight[row] : 1;
    const std::uint16_t* const known = place.fresh ? nullptr : place_of_label(kept, place.slot, static_cast<int>(row));
    const int before = known != nullptr ? *known : -1;
    if (w == 0 || label[row] == before) continue;
    const std::int64_t product = w * __float2int_rn(x[i] * scale[j] * scale[n_columns + j]);
    const auto add = [&](std::int64_t cluster, int sign) {
      atomic_add(&to.low[cluster * n_columns + j], sign * product & 0xffffffff);
      atomic_add(&to.high[cluster * n_columns + j], sign * product >> 32);
      if (j != 0) return;
      atomic_add(&to.weights[cluster], sign * w);
      atomic_add(&to.rows[cluster], sign);
    };
    add(label[row], 1);
    if (before >= 0) add(before, -1);
  }
}

// After it, for the next sweep. One thread per row.
__global__ void __launch_bounds__(kExactThreads) keep_labels_kernel(const std::int32_t* label, int n_rows, KeptLabels kept, int slot) {
  const std::int64_t row = std::int64_t{blockIdx.x} * kExactThreads + threadIdx.x;
  if (row < n_rows) *place_of_label(kept, slot, static_cast<int>(row)) = static_cast<std::uint16_t>(label[row]);
}

}  // namespace coterie::COTERIE_GPU
