// The scan of all centers on tensor cores: lower bounds of s_k = |e_k|^2 / 2 - y . e_k, half of what the squared distances of
// a row differ by, for all centers of a model (center_fragments.hpp has the units and the error of a product sum).
//
// With rho = what the row lost + of_norm * |row| + constant, the computed sum is within rho * |e_k| of s_k; it begins at |e_k|^2 / 2 -
// rho |e_k| and so ends as a lower bound. A center wins for certain when its upper bound, its lower bound + 2 rho |e_k|, lies below the
// lower bound of every other center; then the definition of host/kmeans.hpp, whose own rounding `margin` covers, names the same one.
// Where it does not, only the centers whose lower bounds are not above that upper bound can win (open_centers.cuh).
#pragma once

#include "cuda/center_fragments.hpp"
#include "cuda/instructions/half.hpp"
#include "cuda/instructions/mma.hpp"
#include "cuda/instructions/square_root.hpp"
#include "cuda/kernel.hpp"

namespace coterie::COTERIE_GPU {

// Lengths of a row in half precision and of what the rounding took away, both rounded up.
struct RowNorms {
  float lost, row;
};

// The two lowest bounds. Of equals either may be `best`: then they are equal and nothing is certain.
struct LowestTwo {
  float best = __builtin_huge_valf(), second = __builtin_huge_valf();
  int index = 0;

  __device__ void offer(float bound, int center) {
    second = min(second, max(best, bound));
    if (bound < best) {
      best = bound;
      index = center;
    }
  }
  __device__ void merge(const LowestTwo& other) {
    offer(other.best, other.index);
    second = min(second, other.second);
  }
  __device__ LowestTwo of_lane(int bits) const {
    LowestTwo other;
    other.best = __shfl_xor_sync(kAllLanes, best, bits);
    other.second = __shfl_xor_sync(kAllLanes, second, bits);
    other.index = __shfl_xor_sync(kAllLanes, index, bits);
    return other;
  }
};

// The three lowest, where the second center is named too.
template <class Real>
struct LowestThreeOf {
  Real best = __builtin_huge_val(), second = __builtin_huge_val(), third = __builtin_huge_val();
  int index = 0, second_index = 0;

  __device__ void offer(Real bound, int center) {
    const bool lowest = bound < best, lower = bound < second;
    const Real higher = max(best, bound);
    third = min(third, max(second, higher));
    second_index = lowest ? index : lower ? center : second_index;
    index = lowest ? center : index;
    second = min(second, higher);
    best = min(best, bound);
  }
  __device__ void merge(const LowestThreeOf& other) {
    offer(other.best, other.index);
    offer(other.second, other.second_index);
    third = min(third, other.third);
  }
  __device__ LowestThreeOf of_lane(int bits) const {
    LowestThreeOf other;
    other.best = __shfl_xor_sync(kAllLanes, best, bits);
    other.second = __shfl_xor_sync(kAllLanes, second, bits);
    other.third = __shfl_xor_sync(kAllLanes, third, bits);
    other.index = __shfl_xor_sync(kAllLanes, index, bits);
    other.second_index = __shfl_xor_sync(kAllLanes, second_index, bits);
    return other;
  }
};
using LowestThree = LowestThreeOf<float>;

// Two neighbouring columns of a row as halves; adds the squares of what they are and of what rounding took away.
__device__ __forceinline__ std::uint32_t round_pair(float first, float second, float& square, float& lost_square) {
  const std::uint32_t pair = pack_halves(first, second);
  const float2 rounded = unpack_halves(pair);
  const float lost[2] = {first - rounded.x, second - rounded.y};  // exact
  square = __fmaf_rn(rounded.x, rounded.x, __fmaf_rn(rounded.y, rounded.y, square));
  lost_square = __fmaf_rn(lost[0], lost[0], __fmaf_rn(lost[1], lost[1], lost_square));
  return pair;
}

// From the sums of squares of steps * kStepColumns columns: (columns + 8) roundings of 2^-24 each, the square root's own error, and what
// squares and steps below 2^-126 may lose.
__device__ __forceinline__ RowNorms norms_of(float square, float lost_square, int steps) {
  const float slack = 1.0f + static_cast<float>(steps * kStepColumns + 8) * 0x1p-22f, underflow = 0x1p-50f;
  return {approximate_square_root(lost_square) * slack * (1 + 0x1p-10f) + underflow, approximate_square_root(square) * slack + underflow};
}

__device__ inline float bound_error(const TensorModel& model, const RowNorms& norms) {
  return __fmaf_rn(norms.row, model.of_norm, norms.lost + model.constant);
}

__device__ inline float norm_of(const CenterPair* pairs, int center) { return pairs[center / 8 * 4 + center % 8 / 2].norm[center % 2]; }

// The upper bound of a center whose lower bound is `bound`: centers whose lower bounds lie above it are farther for certain.
__device__ inline float upper_bound(const TensorCenters& centers, const RowNorms& norms, float error, float bound, float norm) {
  const float square = __fmaf_rn(norms.row, norms.row, norms.lost * norms.lost);
  return __fmaf_rn(2 * error, norm, __fmaf_rn(square, centers.margin, bound));
}

// What a lane keeps of its rows, before the first center. nvcc 13.0 makes arrays of arrays zeros, whatever their members begin with.
template <class Lowest, int kRows, int kLists>
__device__ __forceinline__ void clear(Lowest (&found)[kRows][kLists]) {
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
#pragma unroll
    for (int list = 0; list < kLists; ++list) found[i][list] = Lowest();
  }
}

// The sums of kHalves times 16 rows of a warp with kTiles tiles of 8 centers. A lane has those of the rows group + 8 i, i < 2 kHalves,
// with the centers 2 * member and 2 * member + 1 of every tile.
template <int kHalves, int kTiles>
struct TileSums {
  float sum[kHalves][kTiles][4];

  // own: the lane's CenterPair of the first tile; n_tiles: how many of kTiles exist; error: of the lane's rows.
  __device__ __forceinline__ void begin(const CenterPair* own, int n_tiles, const float (&error)[2 * kHalves]) {
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      CenterPair start{};
      if (tile < n_tiles) start = own[tile * 4];
#pragma unroll
      for (int i = 0; i < 2 * kHalves; ++i) {
#pragma unroll
        for (int column = 0; column < 2; ++column)
          sum[i / 2][tile][i % 2 * 2 + column] = __fmaf_rn(-error[i], start.norm[column], start.half_square[column]);
      }
    }
  }

  // One step. rows: a[half]; centers: of two tiles each.
  __device__ __forceinline__ void add(const std::uint32_t (&a)[kHalves][4], const Fragment (&centers)[(kTiles + 1) / 2]) {
#pragma unroll
    for (int tile = 0; tile < kTiles; tile += 2) {
      const Fragment& of_pair = centers[tile / 2];
      const std::uint32_t b[2][2] = {{of_pair.x, of_pair.y}, {of_pair.z, of_pair.w}};
#pragma unroll
      for (int half = 0; half < kHalves; ++half) {
        mma_fp16(sum[half][tile], a[half], b[0]);
        if constexpr (kTiles > 1) mma_fp16(sum[half][tile + 1], a[half], b[1]);
      }
    }
  }

  // found[i][tile % kLists].offer(bound, center) for the lane's rows. first_tile: of the model.
  template <class Lowest, int kLists>
  __device__ __forceinline__ void offer(int first_tile, int n_tiles, Lowest (&found)[2 * kHalves][kLists]) const {
    offer_from(first_tile * 8 + static_cast<int>(threadIdx.x) % 4 * 2, n_tiles, found);
  }
  // The same, the number of the lane's first center given.
  template <class Lowest, int kLists>
  __device__ __forceinline__ void offer_from(int first_center, int n_tiles, Lowest (&found)[2 * kHalves][kLists]) const {
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      if (tile >= n_tiles) continue;
#pragma unroll
      for (int i = 0; i < 2 * kHalves; ++i) {
#pragma unroll
        for (int column = 0; column < 2; ++column)
          found[i][tile % kLists].offer(sum[i / 2][tile][i % 2 * 2 + column], first_center + 8 * tile + column);
      }
    }
  }
};

}  // namespace coterie::COTERIE_GPU
