// One tile for many models: every row is read once.
//
// Persistent blocks of kSweepThreads take strips of rows. For each model: a fast scan with a certificate, in float32
// (nearest::Certainty; threads_per_row threads share a row) or on tensor cores (tensor_scan.cuh); for rows that stay ambiguous the
// definition itself, one warp each, after another try in float32 where the first was in half precision; then the sums.
#pragma once

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
    const bool certain = is_certain(sweep.tensor, norms, bound_error(model, norms), top.best, norm, top.second);
    set_label(block, first_row, row, certain, top.index);
  }
}

// By one warp, one center per lane and turn. centers: packed, of the model; all lanes return the same.
__device__ inline TopTwo<float> nearest_fast_by_warp(const SweepShape& shape, const float* x, const float* centers, int n_clusters) {
  TopTwo<float> top;
  for (int cluster = static_cast<int>(threadIdx.x) % 32; cluster < n_clusters; cluster += 32)
    top.offer(squared_distance<float>(x, shape.n_columns, centers, shape.padded_columns, cluster), cluster);
  for (int other = 16; other > 0; other /= 2) merge_across_lanes(top, other);
  return top;
}
__device__ inline int nearest_exact_by_warp(const SweepShape& shape, const float* x, const float* centers, int n_clusters) {
  double best = __builtin_huge_val();
  int label = n_clusters;
  for (int cluster = static_cast<int>(threadIdx.x) % 32; cluster < n_clusters; cluster += 32) {
    const auto s = squared_distance<double>(x, shape.n_columns, centers, shape.padded_columns, cluster);
    if (s < best) {
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

// One warp per ambiguous row.
template <class Block>
__device__ void label_ambiguous_rows(const Block& block, const float* strip, const PackedModel& model) {
  const Sweep& sweep = block.sweep;
  const float* centers = block.centers + (model.centers - sweep.group.centers);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int i = warp; i < *block.n_ambiguous; i += kSweepThreads / 32) {
    const int row = block.ambiguous[i];
    const float* const x = strip + row * sweep.shape.stride;
    if constexpr (Block::kTensor) {
      const TopTwo<float> top = nearest_fast_by_warp(sweep.shape, x, centers, model.n_clusters);
      if (is_certain(sweep, top)) {
        if (lane == 0) block.labels[row] = top.best_index;
        continue;
      }
    }
    const int label = nearest_exact_by_warp(sweep.shape, x, centers, model.n_clusters);
    if (lane != 0) continue;
    block.labels[row] = label;
    atomicAdd(block.n_exact, 1);
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
    const PackedModel model = sweep.models[m];
    __syncthreads();
    label_ambiguous_rows(block, strip, model);
    __syncthreads();
    if (threadIdx.x == 0) {
      *block.n_rechecked += *block.n_ambiguous;
      *block.n_ambiguous = 0;
    }
    sum_strip(block, strip, first_row, model);
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
