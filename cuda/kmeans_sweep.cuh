// One tile for many models: every row is read once.
//
// Persistent blocks of kSweepThreads take strips of rows. For each model: a fast scan with a certificate, in float32
// (nearest::Certainty; threads_per_row threads share a row) or on tensor cores (tensor_scan.cuh); for rows that stay ambiguous the
// definition itself, one warp each, after another try in float32 where the first was in half precision, for the few centers that it
// has left; then the sums.
#pragma once

#include "cuda/fixed_point.cuh"
#include "cuda/kmeans_sums.cuh"

namespace coterie::COTERIE_GPU {

// labels[row], or the list of ambiguous rows.
template <class Block>
__device__ void set_label(const Block& block, int first_row, int row, bool certain, int label) {
  const int global_row = first_row + row;
  const bool counts = global_row < block.sweep.tile.n_rows && (!Block::kWeighted || block.sweep.weight[global_row] > 0);
  block.labels[row] = counts && certain ? label : kSkip;
  if (counts && !certain) block.ambiguous[atomicAdd(block.n_ambiguous, 1)] = row;
}

// Of two that saw different centers. Of equals either may win: the row is ambiguous then.
__device__ inline void merge_across_lanes(TopTwo<float>& top, int bits) {
  const float best = __shfl_xor_sync(kAllLanes, top.best, bits), second = __shfl_xor_sync(kAllLanes, top.second, bits);
  const int index = __shfl_xor_sync(kAllLanes, top.best_index, bits);
  top.second = min(max(top.best, best), min(top.second, second));
  if (best < top.best) top.best_index = index;
  top.best = min(top.best, best);
}

__device__ inline bool is_certain(const Sweep& sweep, const TopTwo<float>& top) {
  return top.second > __fmaf_rn(top.best, sweep.certain_ratio, sweep.certain_underflow);
}

// threads_per_row neighbours share a row.
template <class Block>
__device__ void label_strip(const Block& block, const float* strip, int first_row, const PackedModel& model) {
  const Sweep& sweep = block.sweep;
  const int per_row = sweep.shape.threads_per_row;
  const int row = static_cast<int>(threadIdx.x) / per_row, part = static_cast<int>(threadIdx.x) % per_row;
  const float* centers = block.centers + (model.centers - sweep.group.centers);
  TopTwo<float> top = nearest_fast(strip + row * sweep.shape.stride, centers, sweep.shape.padded_columns, model.n_groups, part, per_row);
  for (int other = 1; other < per_row; other *= 2) merge_across_lanes(top, other);
  if (part == 0) set_label(block, first_row, row, is_certain(sweep, top), top.best_index);
}

// threads_per_row neighbours convert a row.
template <class Block>
__device__ void convert_strip(const Block& block, const float* strip) {
  const SweepShape& shape = block.sweep.shape;
  const int row = static_cast<int>(threadIdx.x) / shape.threads_per_row, part = static_cast<int>(threadIdx.x) % shape.threads_per_row;
  convert_row(block.sweep.tensor, shape.steps, strip + row * shape.stride, row, part, shape.threads_per_row, block.fragments, block.norms);
}

// The same label on tensor cores, from converted rows: all warps scan, then one thread looks at a row.
template <class Block>
__device__ void label_strip_by_products(const Block& block, int first_row, const TensorModel& model) {
  const Sweep& sweep = block.sweep;
  const int rows = sweep.shape.rows;
  scan_strip(sweep.tensor, model, sweep.shape.steps, block.fragments, block.norms, rows, block.lowest);
  __syncthreads();
  for (int row = static_cast<int>(threadIdx.x); row < rows; row += kSweepThreads) {
    const LowestTwo top = merge_parts(block.lowest, rows, row);
    const RowNorms norms = block.norms[row];
    const float norm = norm_of(sweep.tensor.pairs + model.pairs, top.index);
    block.limits[row] = upper_bound(sweep.tensor, norms, bound_error(model, norms), top.best, norm);
    set_label(block, first_row, row, top.second > block.limits[row], top.index);
  }
}

// By one warp, four lanes per center and turn; all lanes return the same.
__device__ inline TopTwo<float> nearest_fast_by_warp(const SweepShape& shape, const float* x, const CenterList& centers) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  TopTwo<float> top;
  for (int first = 0; first < centers.n; first += 8) {
    const int i = first + lane / 4, cluster = centers.at(min(i, centers.n - 1));
    const float* const center =
        centers.packed + static_cast<std::int64_t>(cluster / kGroup) * kGroup * shape.padded_columns + cluster % kGroup;
    float s = 0;
#pragma unroll 2
    for (int j = lane % 4; j < shape.n_columns; j += 4) {
      const float t = x[j] - center[j * kGroup];
      s = __fmaf_rn(t, t, s);
    }
    s = add_lanes(s, 1, 2);
    if (i < centers.n) top.offer(s, cluster);
  }
  for (int other = 4; other < 32; other *= 2) merge_across_lanes(top, other);
  return top;
}
// The definition, one lane per center and turn.
__device__ inline int nearest_exact_by_warp(const SweepShape& shape, const float* x, const CenterList& centers) {
  double best = __builtin_huge_val();
  int label = 0x7fffffff;  // of no center
  for (int i = static_cast<int>(threadIdx.x) % 32; i < centers.n; i += 32) {
    const int cluster = centers.at(i);
    const auto s = squared_distance<double>(x, shape.n_columns, centers.packed, shape.padded_columns, cluster);
    if (s < best || (s == best && cluster < label)) {
      best = s;
      label = cluster;
    }
  }
  for (int other = 16; other > 0; other /= 2) {
    const double s = __shfl_xor_sync(kAllLanes, best, other);
    const int cluster = __shfl_xor_sync(kAllLanes, label, other);
    if (s < best || (s == best && cluster < label)) {
      best = s;
      label = cluster;
    }
  }
  return label;
}

// Of one row, by one warp.
template <class Block>
__device__ void label_ambiguous_row(const Block& block, const float* x, int row, const CenterList& centers) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (Block::kTensor) {
    const TopTwo<float> top = nearest_fast_by_warp(block.sweep.shape, x, centers);
    if (is_certain(block.sweep, top)) {
      if (lane == 0) block.labels[row] = top.best_index;
      return;
    }
  }
  const int label = nearest_exact_by_warp(block.sweep.shape, x, centers);
  if (lane != 0) return;
  block.labels[row] = label;
  atomicAdd(block.n_exact, 1);
}

// One warp per ambiguous row; after tensor cores, only the centers that may be nearest. Ends with a barrier where there is such a row.
template <class Block>
__device__ void label_ambiguous_rows(const Block& block, const float* strip, int m, int n_ambiguous) {
  const Sweep& sweep = block.sweep;
  const PackedModel& model = sweep.models[m];
  const int stride = sweep.shape.stride;
  const CenterList all{block.centers + (model.centers - sweep.group.centers), nullptr, model.n_clusters};
  if constexpr (Block::kTensor) {
    for_each_open_row(sweep.tensor, sweep.tensor.models[m], model.n_clusters, sweep.shape.steps, block.fragments, block.norms,
                      {block.ambiguous, n_ambiguous, block.limits}, *block.candidates, [&](int row, const int* listed, int n) {
                        label_ambiguous_row(block, strip + row * stride, row, {all.packed, listed, n});
                      });
  } else {
    for (int i = static_cast<int>(threadIdx.x) / 32; i < n_ambiguous; i += kSweepThreads / 32) {
      const int row = block.ambiguous[i];
      label_ambiguous_row(block, strip + row * stride, row, all);
    }
    if (n_ambiguous > 0) __syncthreads();
  }
}

template <class Block>
__device__ void sweep_strip(const Block& block, const float* strip, int first_row) {
  const Sweep& sweep = block.sweep;
  if constexpr (Block::kTensor) {
    convert_strip(block, strip);
    __syncthreads();
  }
  for (int m = sweep.first_model; m < sweep.first_model + sweep.n_models; ++m) {
    if constexpr (Block::kTensor) {
      label_strip_by_products(block, first_row, sweep.tensor.models[m]);
    } else {
      label_strip(block, strip, first_row, sweep.models[m]);
    }
    __syncthreads();
    const int n_ambiguous = *block.n_ambiguous;
    label_ambiguous_rows(block, strip, m, n_ambiguous);
    if (n_ambiguous > 0 && threadIdx.x == 0) {  // where it is 0, no barrier has told that all have read it
      *block.n_rechecked += n_ambiguous;
      *block.n_ambiguous = 0;
    }
    sum_strip(block, strip, first_row, sweep.models[m]);
  }
}

// kTensor: steps > 0 of the shape. Two blocks to a multiprocessor then, for 32 accumulators a thread; else three.
template <bool kWeighted, bool kTensor>
__global__ void __launch_bounds__(kSweepThreads, kTensor ? 2 : 3) sweep_models_kernel(Sweep sweep) {
  SHARED_BYTES(memory);
  const SweepBlock<kWeighted, kTensor> block(sweep, reinterpret_cast<int*>(memory));
  prepare_block(block);
  __syncthreads();
  for_each_strip(sweep.shape, sweep.tile, block.strips, [&](const float* strip, int first_row) { sweep_strip(block, strip, first_row); });
  if (!kTensor || sweep.shared_sums) {
    for (int m = 0; m < sweep.n_models; ++m) flush_full_clusters(block, sweep.models[sweep.first_model + m], true);
  }
  if (threadIdx.x != 0) return;
  atomic_add(&sweep.rechecked[0], *block.n_rechecked);
  atomic_add(&sweep.rechecked[1], *block.n_exact);
}

}  // namespace coterie::COTERIE_GPU
