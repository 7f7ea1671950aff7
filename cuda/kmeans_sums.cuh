// The sums of a strip, once its rows are labelled: q = x / step by integer atomics in shared memory, which wrap nowhere, because a
// cluster moves to the 64-bit sums of the device before its rows could overflow 32 bits; or straight into the device's, for models
// whose sums fit in no shared memory. Nothing depends on the order of the atomics, because integers do not.
#pragma once

#include "cuda/kmeans_block.cuh"
#include "cuda/rows_ahead.cuh"

namespace coterie::COTERIE_GPU {

// Moves the sums of one cluster to the device's, by one warp. cluster: in the group.
template <class Block>
__device__ void flush_cluster(const Block& block, const PackedModel& model, int cluster) {
  const Sweep& sweep = block.sweep;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t first = model.cells - sweep.group.cells + std::int64_t{cluster} * sweep.shape.n_columns;
  for (int limb = 0; limb < Limbs<Block::kWeighted>::kCount; ++limb) {
    for (int j = lane; j < sweep.shape.n_columns; j += 32) {
      int& sum = block.sums[limb * sweep.group_cells + first + j];
      if (sum != 0) atomic_add(&sweep.sums[limb * sweep.n_cells + sweep.group.cells + first + j], sum);
      sum = 0;
    }
  }
  if (lane != 0) return;
  const int in_group = model.clusters - sweep.group.clusters + cluster;
  const int rows = block.pending[in_group];
  block.pending[in_group] = 0;
  std::int64_t weight = rows;
  if (Block::kWeighted) {
    int& low = block.weights[in_group];
    int& high = block.weights[sweep.group.n_clusters + in_group];
    weight = low + std::int64_t{high} * 65536;
    low = high = 0;
  }
  if (rows == 0) return;
  atomic_add(&sweep.weights[model.clusters + cluster], weight);
  atomic_add(&sweep.rows[model.clusters + cluster], rows);
}

// Flushes the clusters whose pending rows, with those of this strip, could overflow (at the end: all), one warp each.
// One lane looks at one cluster.
template <class Block>
__device__ void flush_full_clusters(const Block& block, const PackedModel& model, bool all) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int first_cluster = model.clusters - block.sweep.group.clusters;
  for (int first = warp * 32; first < model.n_clusters; first += kSweepThreads) {
    const int cluster = first + lane;
    const bool exists = cluster < model.n_clusters;
    const int added = exists ? block.counts[first_cluster + cluster] : 0;
    const bool full = exists && (all || block.pending[first_cluster + cluster] + added > Limbs<Block::kWeighted>::kRows);
    const unsigned flushed = __ballot_sync(kAllLanes, full);
    __syncwarp();  // every lane has read `pending` before one lane writes it
    for (unsigned rest = flushed; rest != 0; rest &= rest - 1) flush_cluster(block, model, first + __ffs(static_cast<int>(rest)) - 1);
    __syncwarp();
    if (!exists) continue;
    block.pending[first_cluster + cluster] += added;
    block.counts[first_cluster + cluster] = 0;
  }
}

// counts: (n_clusters) of this strip
template <class Block>
__device__ void count_rows(const Block& block, const PackedModel& model) {
  int* const counts = block.counts + (model.clusters - block.sweep.group.clusters);
  for (int row = static_cast<int>(threadIdx.x); row < block.sweep.shape.rows; row += kSweepThreads) {
    if (block.labels[row] != kSkip) atomicAdd(&counts[block.labels[row]], 1);
  }
}

// Calls add(row, label, j, q) for the cells of a strip that this thread takes, q = x / step: columns_at_once threads add one row. Without
// weights every row of the tile counts; with weights label may be kSkip.
template <class Block, class Add>
__device__ void for_each_labelled_cell(const Block& block, const float* strip, int first_row, Add&& add) {
  struct Labelled {
    int label, q;
  };
  const SweepShape& shape = block.sweep.shape;
  const int n_rows = min(shape.rows, block.sweep.tile.n_rows - first_row), at_once = shape.columns_at_once;
  const int step = kSweepThreads / at_once, own_row = static_cast<int>(threadIdx.x) / at_once;
  for (int j = static_cast<int>(threadIdx.x) % at_once; j < shape.n_columns; j += at_once) {
    const float scale[2] = {block.sweep.scale[j], block.sweep.scale[shape.n_columns + j]};
    const float* cell = strip + own_row * shape.stride + j;  // walks along: a product for every row would cost registers
    for_rows_ahead(
        own_row, n_rows, step,
        [&](int row) {
          const Labelled labelled{block.labels[row], __float2int_rn(*cell * scale[0] * scale[1])};
          cell += step * shape.stride;
          return labelled;
        },
        [&](int row, const Labelled& labelled) { add(row, labelled.label, j, labelled.q); });
  }
}

template <class Block>
__device__ void add_strip(const Block& block, const float* strip, int first_row, const PackedModel& model) {
  const Sweep& sweep = block.sweep;
  int* const sums = block.sums + (model.cells - sweep.group.cells);
  int* const weights = block.weights + (model.clusters - sweep.group.clusters);
  for_each_labelled_cell(block, strip, first_row, [&](int row, int label, int j, int q) {
    int* const sum = sums + label * sweep.shape.n_columns + j;
    if constexpr (Block::kWeighted) {
      if (label == kSkip) return;
      const int w = sweep.weight[first_row + row];
      if (j == 0) {
        atomicAdd(&weights[label], w & 0xffff);
        atomicAdd(&weights[sweep.group.n_clusters + label], w >> 16);
      }
      const std::int64_t product = std::int64_t{w} * q;
      atomicAdd(sum, static_cast<int>(product & 0xffff));
      atomicAdd(sum + sweep.group_cells, static_cast<int>(product >> 16 & 0xffff));
      atomicAdd(sum + 2 * sweep.group_cells, static_cast<int>(product >> 32));
    } else {
      atomicAdd(sum, q);
    }
  });
}

// The same into the sums of the device. A product without weights fits in the first limb, where it may be negative.
template <class Block>
__device__ void add_strip_to_device(const Block& block, const float* strip, int first_row, const PackedModel& model) {
  const Sweep& sweep = block.sweep;
  for_each_labelled_cell(block, strip, first_row, [&](int row, int label, int j, int q) {
    if (Block::kWeighted && label == kSkip) return;
    const int w = Block::kWeighted ? sweep.weight[first_row + row] : 1;
    if (j == 0) {
      atomic_add(&sweep.weights[model.clusters + label], w);
      atomic_add(&sweep.rows[model.clusters + label], 1);
    }
    std::int64_t* const sum = sweep.sums + model.cells + std::int64_t{label} * sweep.shape.n_columns + j;
    if constexpr (Block::kWeighted) {
      const std::int64_t product = std::int64_t{w} * q;
      atomic_add(sum, product & 0xffffffff);
      atomic_add(sum + 2 * sweep.n_cells, product >> 32);
    } else {
      atomic_add(sum, q);
    }
  });
}

// All of it, for one model; ends with a barrier.
template <class Block>
__device__ void sum_strip(const Block& block, const float* strip, int first_row, const PackedModel& model) {
  if (!Block::kTensor || block.sweep.shared_sums) {
    count_rows(block, model);
    __syncthreads();
    flush_full_clusters(block, model, false);
    __syncthreads();
    add_strip(block, strip, first_row, model);
  } else {
    add_strip_to_device(block, strip, first_row, model);
  }
  __syncthreads();
}

}  // namespace coterie::COTERIE_GPU
