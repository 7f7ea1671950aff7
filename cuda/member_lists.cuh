// The rows of a block of rows that count for each component of a mixture with full covariances: strips leave them, and the sums of a
// component are made of them.
#pragma once

#include "cuda/gaussian_density.cuh"
#include "host/tile.hpp"

namespace coterie::COTERIE_GPU {

// Rows that count for each component, of a block of rows.
template <class T>
struct MemberLists {
  std::uint16_t* rows;  // (n_components, kBlockRows) within the block of rows, ascending
  T* weights;           // (n_components, kBlockRows)
  int* counts;          // (n_components) members so far, in shared memory

  // of_blocks, weights_of_blocks: (gridDim.x, n_components, kBlockRows)
  __device__ MemberLists(std::uint16_t* of_blocks, T* weights_of_blocks, int n_components, int* n_members) : counts(n_members) {
    const std::int64_t first = std::int64_t{blockIdx.x} * n_components * kBlockRows;
    rows = of_blocks + first;
    weights = weights_of_blocks + first;
  }
  __device__ void clear(int n_components) const {
    for (int k = static_cast<int>(threadIdx.x); k < n_components; k += kStripThreads) counts[k] = 0;
  }
};

// Adds the rows of a strip that count to the lists of the components, one warp per component, with weight_of(w r). densities: of the
// strip; first: of its rows, within the block of rows.
template <class T, class WeightOf>
__device__ void append_members(const MemberLists<T>& to, int n_components, const StripShape& shape, const T* densities, int first,
                               WeightOf&& weight_of) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int k = warp; k < n_components; k += kStripWarps) {
    const std::int64_t list = std::int64_t{k} * kBlockRows;
    int n = to.counts[k];
    for (int row = lane; row - lane < shape.rows; row += 32) {
      const T weight = row < shape.rows ? densities[row * shape.density_stride + k] : T{0};
      const unsigned ballot = __ballot_sync(kAllLanes, weight > 0);
      const std::int64_t at = list + n + __popc(ballot & ((1u << lane) - 1));
      n += __popc(ballot);
      if (!(weight > 0)) continue;
      to.rows[at] = static_cast<std::uint16_t>(first + row);
      to.weights[at] = weight_of(weight);
    }
    __syncwarp();
    if (lane == 0) to.counts[k] = n;
  }
}

}  // namespace coterie::COTERIE_GPU
