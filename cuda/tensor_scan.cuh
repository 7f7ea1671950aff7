// The scan of nearest_centers.cuh on tensor cores: lower bounds of s_k = |e_k|^2 / 2 - y . e_k, half of what the squared distances of
// a row differ by, for all centers of a model (center_fragments.hpp has the units and the error of a product sum).
//
// With rho = what the row lost + of_norm * |row| + constant, the computed sum is within rho * |e_k| of s_k. A center wins for certain
// when its upper bound, its lower bound + 2 rho |e_k|, lies below the lower bound of every other center; then the definition of
// host/kmeans.hpp, whose own rounding `margin` covers, names the same one. Where it does not, only the centers whose lower bounds are
// not above that upper bound can win: a second scan, of such rows only, lists these candidates.
#pragma once

#include "cuda/center_fragments.hpp"
#include "cuda/instructions/half.hpp"
#include "cuda/instructions/mma.hpp"
#include "cuda/kernel.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr int kScanWarps = 8;    // of a block
inline constexpr int kWarpRows = 32;    // that a warp scans at once: two tiles of 16
inline constexpr int kLaneRows = 4;     // of those whose sums a lane receives
inline constexpr int kPairsAtOnce = 2;  // of tiles of 8 centers: 32 accumulators of a thread

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

// The three lowest, for predictors, which name the second center too.
struct LowestThree {
  float best = __builtin_huge_valf(), second = __builtin_huge_valf(), third = __builtin_huge_valf();
  int index = 0, second_index = 0;

  __device__ void offer(float bound, int center) {
    third = min(third, max(second, bound));
    if (bound < best) {
      second = best;
      second_index = index;
      best = bound;
      index = center;
    } else if (bound < second) {
      second = bound;
      second_index = center;
    }
  }
  __device__ void merge(const LowestThree& other) {
    offer(other.best, other.index);
    offer(other.second, other.second_index);
    third = min(third, other.third);
  }
  __device__ LowestThree of_lane(int bits) const {
    LowestThree other;
    other.best = __shfl_xor_sync(kAllLanes, best, bits);
    other.second = __shfl_xor_sync(kAllLanes, second, bits);
    other.third = __shfl_xor_sync(kAllLanes, third, bits);
    other.index = __shfl_xor_sync(kAllLanes, index, bits);
    other.second_index = __shfl_xor_sync(kAllLanes, second_index, bits);
    return other;
  }
};

// Where lane 4 * group + member finds its fragment, in units of fragments: the exchange keeps the writers, neighbouring rows of one
// column, and the readers on different banks.
__device__ inline int fragment_of_lane(int group, int member) { return 4 * group + (member ^ group / 2); }

// Two neighbouring columns of a row as halves; adds the squares of what they are and of what rounding took away.
__device__ __forceinline__ std::uint32_t round_pair(float first, float second, float& square, float& lost_square) {
  const std::uint32_t pair = pack_halves(first, second);
  const float2 rounded = unpack_halves(pair);
  const float lost[2] = {first - rounded.x, second - rounded.y};  // exact
  square = __fmaf_rn(rounded.x, rounded.x, __fmaf_rn(rounded.y, rounded.y, square));
  lost_square = __fmaf_rn(lost[0], lost[0], __fmaf_rn(lost[1], lost[1], lost_square));
  return pair;
}

// One row, shared by threads_per_row neighbours, which take whole steps, to fragments and norms. x: (steps * kStepColumns) one row,
// zeros beyond its columns, aligned to 16 bytes; fragments: (rows / 16, steps, 32).
__device__ inline void convert_row(const TensorCenters& centers, int steps, const float* x, int row, int part, int threads_per_row,
                                   Fragment* fragments, RowNorms* norms) {
  auto* const words = reinterpret_cast<std::uint32_t*>(fragments + row / 16 * steps * 32) + row / 8 % 2;
  const float scale = centers.scale;
  float square = 0, lost_square = 0;
  for (int step = part; step < steps; step += threads_per_row) {
    const auto* const cells = reinterpret_cast<const float4*>(x + step * kStepColumns);
    const auto* const pivots = reinterpret_cast<const float4*>(centers.pivot + step * kStepColumns);
    std::uint32_t* const of_step = words + step * 32 * 4;
#pragma unroll
    for (int i = 0; i < kStepColumns / 4; ++i) {
      const float4 value = cells[i], pivot = pivots[i];
      std::uint32_t* const of_half = of_step + i / 2 * 2;  // columns 8 further are in words 2 further
      const int member = i % 2 * 2;
      of_half[4 * fragment_of_lane(row % 8, member)] =
          round_pair((value.x - pivot.x) * scale, (value.y - pivot.y) * scale, square, lost_square);
      of_half[4 * fragment_of_lane(row % 8, member + 1)] =
          round_pair((value.z - pivot.z) * scale, (value.w - pivot.w) * scale, square, lost_square);
    }
  }
  for (int other = 1; other < threads_per_row; other *= 2) {
    square += __shfl_xor_sync(kAllLanes, square, other);
    lost_square += __shfl_xor_sync(kAllLanes, lost_square, other);
  }
  // (columns + 8) roundings of 2^-24 each, and what squares and steps below 2^-126 may lose.
  const float slack = 1.0f + static_cast<float>(steps * kStepColumns + 8) * 0x1p-22f, underflow = 0x1p-50f;
  if (part == 0) norms[row] = {sqrtf(lost_square) * slack * (1 + 0x1p-10f) + underflow, sqrtf(square) * slack + underflow};
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

// Calls offer(i, bound, center) for the kLaneRows rows of a lane and the lower bounds of its centers in kPairs pairs of tiles from
// first_pair on. left(half, step, a): the fragment of 16 of the kWarpRows rows of the warp; error: of the lane's rows.
template <int kPairs, class Left, class Offer>
__device__ __forceinline__ void scan_pairs(Left&& left, int steps, const Fragment* fragments, const CenterPair* pairs, int first_pair,
                                           const float (&error)[kLaneRows], Offer&& offer) {
  const int lane = static_cast<int>(threadIdx.x) % 32, member = lane % 4;
  const CenterPair* const own = pairs + first_pair * 8 + member;
  const Fragment* const own_fragments = fragments + std::int64_t{first_pair} * steps * 32 + lane;
  float sum[2][2 * kPairs][4];
#pragma unroll
  for (int tile = 0; tile < 2 * kPairs; ++tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i) sum[0][tile][i] = sum[1][tile][i] = own[tile * 4].half_square[i % 2];
  }
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    std::uint32_t a[2][4];
#pragma unroll
    for (int half = 0; half < 2; ++half) left(half, step, a[half]);
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair) {
      const Fragment of_centers = own_fragments[(pair * steps + step) * 32];
      const std::uint32_t b[2][2] = {{of_centers.x, of_centers.y}, {of_centers.z, of_centers.w}};
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        mma_fp16(sum[half][2 * pair], a[half], b[0]);
        mma_fp16(sum[half][2 * pair + 1], a[half], b[1]);
      }
    }
  }
#pragma unroll
  for (int tile = 0; tile < 2 * kPairs; ++tile) {
    const int center = (first_pair * 2 + tile) * 8 + 2 * member;
#pragma unroll
    for (int i = 0; i < kLaneRows; ++i) {
#pragma unroll
      for (int column = 0; column < 2; ++column)
        offer(i, __fmaf_rn(-error[i], own[tile * 4].norm[column], sum[i / 2][tile][i % 2 * 2 + column]), center + column);
    }
  }
}

// The lowest bounds of every row of a strip over every center of a model, in parts: the warps that share rows share out the
// centers. norms: (n_rows); lowest: (kScanWarps * kWarpRows / n_rows, n_rows); n_rows: a power of two from kWarpRows on.
template <class Lowest>
__device__ void scan_strip(const TensorCenters& centers, const TensorModel& model, int steps, const Fragment* rows, const RowNorms* norms,
                           int n_rows, Lowest* lowest) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int parts = kScanWarps * kWarpRows / n_rows, first_row = warp / parts * kWarpRows, part = warp % parts;
  const Fragment* const own_rows = rows + first_row / 16 * steps * 32 + fragment_of_lane(lane / 4, lane % 4);
  const auto left = [&](int half, int step, std::uint32_t(&a)[4]) {
    const Fragment of_rows = own_rows[(half * steps + step) * 32];
    a[0] = of_rows.x, a[1] = of_rows.y, a[2] = of_rows.z, a[3] = of_rows.w;
  };
  const Fragment* const fragments = centers.fragments + model.fragments;
  const CenterPair* const pairs = centers.pairs + model.pairs;
  float error[kLaneRows];
  for (int i = 0; i < kLaneRows; ++i) error[i] = bound_error(model, norms[first_row + lane / 4 + 8 * i]);
  Lowest found[kLaneRows];
  const auto offer = [&](int i, float bound, int center) { found[i].offer(bound, center); };
  int pair = model.n_pairs * part / parts;
  const int last = model.n_pairs * (part + 1) / parts;
  for (; pair + kPairsAtOnce <= last; pair += kPairsAtOnce) scan_pairs<kPairsAtOnce>(left, steps, fragments, pairs, pair, error, offer);
  if (pair < last) scan_pairs<1>(left, steps, fragments, pairs, pair, error, offer);
  for (int i = 0; i < kLaneRows; ++i) {
    found[i].merge(found[i].of_lane(1));
    found[i].merge(found[i].of_lane(2));
    if (lane % 4 == 0) lowest[part * n_rows + first_row + lane / 4 + 8 * i] = found[i];
  }
}

// One row of what scan_strip() left. lowest: (parts, n_rows)
template <class Lowest>
__device__ Lowest merge_parts(const Lowest* lowest, int n_rows, int row) {
  Lowest top = lowest[row];
  for (int part = 1; part < kScanWarps * kWarpRows / n_rows; ++part) top.merge(lowest[part * n_rows + row]);
  return top;
}

inline constexpr int kMostCandidates = 16;  // of a row; one that has more is measured against all centers

// Rows whose certificate failed, up to kWarpRows at a time: row i is chosen[i] of the strip, and may be nearest to center[i][0 ..
// count[i] - 1], in any order.
struct Candidates {
  int chosen[kWarpRows], count[kWarpRows], center[kWarpRows][kMostCandidates];
};

// What lane holds of 16 rows anywhere in a strip in one step, as Fragment of the scan. row: of its group, and 8 places further.
__device__ inline void gather_left(const Fragment* rows, int steps, int step, const int (&row)[2], std::uint32_t (&a)[4]) {
  const int member = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const auto* const words =
        reinterpret_cast<const std::uint32_t*>(rows + (row[i] / 16 * steps + step) * 32 + fragment_of_lane(row[i] % 8, member)) +
        row[i] / 8 % 2;
    a[i] = words[0];
    a[i + 2] = words[2];
  }
}

// Lists the centers of a model whose lower bounds are not above limits[row]. count: zeros before; limits: by row of the strip. All
// warps, each some of the centers. A bound that is not a number excludes nothing.
__device__ inline void find_candidates(const TensorCenters& centers, const TensorModel& model, int n_clusters, int steps,
                                       const Fragment* rows, const RowNorms* norms, const float* limits, int n_chosen,
                                       Candidates& candidates) {
  const int warp = static_cast<int>(threadIdx.x) / 32, group = static_cast<int>(threadIdx.x) % 32 / 4;
  int row[2][2];
  float error[kLaneRows], limit[kLaneRows];
  for (int i = 0; i < kLaneRows; ++i) {
    row[i / 2][i % 2] = candidates.chosen[min(group + 8 * i, n_chosen - 1)];
    error[i] = bound_error(model, norms[row[i / 2][i % 2]]);
    limit[i] = limits[row[i / 2][i % 2]];
  }
  const auto left = [&](int half, int step, std::uint32_t(&a)[4]) { gather_left(rows, steps, step, row[half], a); };
  const auto offer = [&](int i, float bound, int center) {
    const int place = group + 8 * i;
    if (bound > limit[i] || center >= n_clusters || place >= n_chosen) return;
    const int at = atomicAdd(&candidates.count[place], 1);
    if (at < kMostCandidates) candidates.center[place][at] = center;
  };
  for (int pair = warp; pair < model.n_pairs; pair += kScanWarps)
    scan_pairs<1>(left, steps, centers.fragments + model.fragments, centers.pairs + model.pairs, pair, error, offer);
}

// What tensor cores have left open of a strip.
struct OpenRows {
  const int* rows;      // (n) of the strip
  int n;                // the same in all threads
  const float* limits;  // by row of the strip
};

// Calls decide(row, listed, n_listed) for every open row, by one warp: the centers that may be nearest, or nullptr and all n_clusters
// where these are too many. All threads; ends with a barrier where there is a row.
template <class Decide>
__device__ void for_each_open_row(const TensorCenters& centers, const TensorModel& model, int n_clusters, int steps,
                                  const Fragment* fragments, const RowNorms* norms, const OpenRows& open, Candidates& candidates,
                                  Decide&& decide) {
  const auto thread = static_cast<int>(threadIdx.x);
  for (int first = 0; first < open.n; first += kWarpRows) {
    const int n = min(kWarpRows, open.n - first);
    if (thread < n) candidates.chosen[thread] = open.rows[first + thread];
    __syncthreads();
    find_candidates(centers, model, n_clusters, steps, fragments, norms, open.limits, n, candidates);
    __syncthreads();
    for (int i = thread / 32; i < n; i += kScanWarps) {
      const int count = candidates.count[i];
      const bool few = count > 1 && count <= kMostCandidates;  // an open row has two at least
      decide(candidates.chosen[i], few ? candidates.center[i] : nullptr, few ? count : n_clusters);
      __syncwarp();  // all lanes have read the count
      if (thread % 32 == 0) candidates.count[i] = 0;
    }
    __syncthreads();
  }
}

}  // namespace coterie::COTERIE_GPU
