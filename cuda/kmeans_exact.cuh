// The definition of host/kmeans.hpp for whole tiles: for rows too wide for shared memory, tiles of less than a warp's rows, grids whose
// inverse step is no float, and the rare sweep that looks for the farthest rows. And sums of labelled rows straight into device memory.
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

// Moves the rows that change their center, and keeps their labels; a warp looks at 32 rows, and its lanes share the columns of one of
// them. label, weight: (n_rows), weight may be nullptr; scale: (2, n_columns), x * scale[0] * scale[1] is a whole number; kept: of this
// model's slot, or of none.
__global__ void __launch_bounds__(kExactThreads)
    move_rows_kernel(const float* x, const std::int32_t* weight, int n_rows, int n_columns, const std::int32_t* label, const float* scale,
                     KeptLabels kept, SweepMemory::Place place, ModelSums to) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t step = std::int64_t{gridDim.x} * kExactThreads;
  for (std::int64_t first = std::int64_t{blockIdx.x} * kExactThreads + threadIdx.x - lane; first < n_rows; first += step) {
    const bool is_row = first + lane < n_rows;  // a lane beyond the last row must not look at the label that the lane of that row writes
    const std::int64_t own = is_row ? first + lane : std::int64_t{n_rows} - 1;
    std::uint16_t* const known = place_of_label(kept, place.slot, static_cast<int>(own));
    const int w = weight != nullptr ? weight[own] : 1, after = label[own];
    const int before = is_row && known != nullptr && !place.fresh ? *known : -1;
    const bool moves = is_row && w != 0 && after != before;
    if (moves) {
      if (known != nullptr) *known = static_cast<std::uint16_t>(after);
      const auto count = [&](int cluster, int sign) {
        atomic_add(&to.weights[cluster], sign * w);
        atomic_add(&to.rows[cluster], sign);
      };
      count(after, 1);
      if (before >= 0) count(before, -1);
    }
    for (unsigned rest = __ballot_sync(kAllLanes, moves); rest != 0; rest &= rest - 1) {
      const int mover = __ffs(static_cast<int>(rest)) - 1;
      const std::int64_t row_weight = __shfl_sync(kAllLanes, w, mover), row = first + mover;
      const std::int64_t gains = __shfl_sync(kAllLanes, after, mover), loses = __shfl_sync(kAllLanes, before, mover);
      for (int j = lane; j < n_columns; j += 32) {
        const std::int64_t product = row_weight * __float2int_rn(x[row * n_columns + j] * scale[j] * scale[n_columns + j]);
        const auto add = [&](std::int64_t cell, std::int64_t part) {
          if (weight == nullptr) {  // fits in the low limb, which may be negative
            atomic_add(&to.low[cell], part);
          } else {
            atomic_add(&to.low[cell], part & 0xffffffff);
            atomic_add(&to.high[cell], part >> 32);
          }
        };
        add(gains * n_columns + j, product);
        if (loses >= 0) add(loses * n_columns + j, -product);
      }
    }
  }
}

}  // namespace coterie::COTERIE_GPU
