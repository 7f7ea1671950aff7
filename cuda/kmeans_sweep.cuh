// One tile for many models whose centers and sums fit in shared memory: every row is read once.
//
// Persistent blocks of kSweepThreads take strips of rows. A strip lies in shared memory (the next one is on its way, by
// cp.async); threads_per_row threads share a row. For each model: float32 scan, certificate (nearest::Certainty), the
// definition itself by one warp for each row that stays ambiguous, then sums of q = x / step by integer atomics in shared
// memory, which wrap nowhere: a cluster moves to the 64-bit sums of the device before its rows could overflow 32 bits.
// Nothing depends on the order of the atomics, because integers do not.
#pragma once

#include "cuda/instructions/copy_async.hpp"
#include "cuda/nearest_centers.cuh"
#include "cuda/packed_models.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr int kSweepThreads = 256;
inline constexpr int kSkip = -1;  // a row that counts for nothing: beyond the tile, or of weight zero

// Sums of w * q are cut into limbs of 16 bits with weights (48 bits), and are one limb without.
template <bool kWeighted>
struct Limbs {
  static constexpr int kCount = kWeighted ? 3 : 1;
  static constexpr int kRows = kWeighted ? 32767 : 255;  // that no 32-bit sum of limbs can overflow: |q| <= 2^23, a limb < 2^16
};

struct SweepShape {
  int n_columns, padded_columns;
  int stride;           // floats from row to row of a strip: an odd number of vectors, so that 8 rows meet no bank twice
  int rows;             // of a strip
  int threads_per_row;  // rows * threads_per_row = kSweepThreads
  int columns_at_once;  // threads that add one row, a power of two up to 32
  int copy_bytes;       // 16, 8 or 4: what divides a row
};

struct Sweep {
  SweepShape shape;
  const float* x;              // (n_rows, n_columns)
  const std::int32_t* weight;  // (n_rows), or nullptr
  int n_rows;
  const float* centers;       // packed, of all models
  const PackedModel* models;  // of all models
  int first_model, n_models;  // of this launch
  PackedModel group;          // where this launch's models begin, and in n_clusters and n_groups all of theirs
  std::int64_t group_cells;
  std::int64_t* sums;     // (3, n_cells) limbs of the sums of w * q
  std::int64_t* weights;  // (n_clusters) sums of w
  std::int64_t* rows;     // (n_clusters) rows of positive weight
  std::int64_t n_cells;   // of all models
  const float* scale;     // (2, n_columns) q = x * scale[0] * scale[1]
  float certain_ratio, certain_underflow;
};

// Offsets into dynamic shared memory, in 4-byte words, every one a multiple of 4.
struct SweepMemory {
  int strips, centers, sums, weights, pending, counts, labels, ambiguous, words;

  __host__ __device__ SweepMemory(const SweepShape& shape, int n_groups, int n_clusters, std::int64_t n_cells, int n_limbs) {
    int at = 0;
    const auto take = [&at](std::int64_t count) {
      const int begin = at;
      at += static_cast<int>((count + 3) / 4 * 4);
      return begin;
    };
    strips = take(2 * shape.rows * shape.stride);
    centers = take(std::int64_t{n_groups} * kGroup * shape.padded_columns);
    sums = take(n_cells * n_limbs);
    weights = take(n_limbs > 1 ? 2 * n_clusters : 0);
    pending = take(n_clusters);
    counts = take(n_clusters);
    labels = take(shape.rows);
    ambiguous = take(shape.rows + 1);
    words = at;
  }
};

// What the threads of a block share, as pointers.
template <bool kWeighted>
struct SweepBlock {
  const Sweep& sweep;
  float* strips;   // (2, rows, stride)
  float* centers;  // packed
  int* sums;       // (limbs, group_cells)
  int* weights;    // (2, group clusters) low 16 bits and the rest
  int* pending;    // (group clusters) rows in `sums`
  int* counts;     // (group clusters) rows of this strip
  int* labels;     // (rows)
  int* ambiguous;  // (rows) rows for the exact chain
  int* n_ambiguous;

  __device__ SweepBlock(const Sweep& s, int* memory) : sweep(s) {
    const SweepMemory at(s.shape, s.group.n_groups, s.group.n_clusters, s.group_cells, Limbs<kWeighted>::kCount);
    strips = reinterpret_cast<float*>(memory + at.strips);
    centers = reinterpret_cast<float*>(memory + at.centers);
    sums = memory + at.sums;
    weights = memory + at.weights;
    pending = memory + at.pending;
    counts = memory + at.counts;
    labels = memory + at.labels;
    n_ambiguous = memory + at.ambiguous;
    ambiguous = n_ambiguous + 1;
  }
};

template <class T>
__device__ void fill_shared(T* to, std::int64_t count, T value) {
  for (std::int64_t i = threadIdx.x; i < count; i += kSweepThreads) to[i] = value;
}

template <bool kWeighted>
__device__ void prepare_block(const SweepBlock<kWeighted>& block) {
  const Sweep& sweep = block.sweep;
  fill_shared(block.strips, 2 * sweep.shape.rows * sweep.shape.stride, 0.0f);  // the padding stays zero
  fill_shared(block.sums, sweep.group_cells * Limbs<kWeighted>::kCount, 0);
  if (kWeighted) fill_shared(block.weights, 2 * sweep.group.n_clusters, 0);
  fill_shared(block.pending, sweep.group.n_clusters, 0);
  fill_shared(block.counts, sweep.group.n_clusters, 0);
  if (threadIdx.x == 0) *block.n_ambiguous = 0;
  const int n_centers = sweep.group.n_groups * kGroup * sweep.shape.padded_columns;
  for (int i = static_cast<int>(threadIdx.x); i < n_centers; i += kSweepThreads) block.centers[i] = sweep.centers[sweep.group.centers + i];
}

// Starts the copy of a strip: whole words of kBytes, neighbouring threads neighbouring words.
template <int kBytes>
__device__ void copy_strip(const Sweep& sweep, float* strip, int first_row) {
  constexpr int kFloats = kBytes / 4;
  const int pieces = sweep.shape.n_columns / kFloats;  // per row
  const int rows = min(sweep.shape.rows, sweep.n_rows - first_row);
  int row = static_cast<int>(threadIdx.x) / pieces, piece = static_cast<int>(threadIdx.x) % pieces;
  const int row_step = kSweepThreads / pieces, piece_step = kSweepThreads % pieces;
  while (row < rows) {
    const float* from = sweep.x + static_cast<std::int64_t>(first_row + row) * sweep.shape.n_columns + piece * kFloats;
    copy_async<kBytes>(strip + row * sweep.shape.stride + piece * kFloats, from);
    row += row_step;
    piece += piece_step;
    if (piece >= pieces) {
      piece -= pieces;
      ++row;
    }
  }
}

__device__ inline void start_strip(const Sweep& sweep, float* strip, int first_row) {
  if (sweep.shape.copy_bytes == 16) {
    copy_strip<16>(sweep, strip, first_row);
  } else if (sweep.shape.copy_bytes == 8) {
    copy_strip<8>(sweep, strip, first_row);
  } else {
    copy_strip<4>(sweep, strip, first_row);
  }
  commit_copies();
}

// labels[row] where the certificate holds; the others go to the list. threads_per_row neighbours share a row.
template <bool kWeighted>
__device__ void label_strip(const SweepBlock<kWeighted>& block, const float* strip, int first_row, const PackedModel& model) {
  const Sweep& sweep = block.sweep;
  const int per_row = sweep.shape.threads_per_row;
  const int row = static_cast<int>(threadIdx.x) / per_row, part = static_cast<int>(threadIdx.x) % per_row;
  const float* centers = block.centers + (model.centers - sweep.group.centers);
  TopTwo<float> top = nearest_fast(strip + row * sweep.shape.stride, centers, sweep.shape.padded_columns, model.n_groups, part, per_row);
  for (int other = 1; other < per_row; other *= 2) {
    const float best = __shfl_xor_sync(kAllLanes, top.best, other), second = __shfl_xor_sync(kAllLanes, top.second, other);
    const int index = __shfl_xor_sync(kAllLanes, top.best_index, other);
    top.second = min(max(top.best, best), min(top.second, second));  // of equals either may win: the row is ambiguous then
    if (best < top.best) top.best_index = index;
    top.best = min(top.best, best);
  }
  if (part != 0) return;
  const int global_row = first_row + row;
  const bool counts = global_row < sweep.n_rows && (!kWeighted || sweep.weight[global_row] > 0);
  const bool certain = top.second > __fmaf_rn(top.best, sweep.certain_ratio, sweep.certain_underflow);
  block.labels[row] = counts && certain ? top.best_index : kSkip;
  if (counts && !certain) block.ambiguous[atomicAdd(block.n_ambiguous, 1)] = row;
}

// One warp per ambiguous row, one center per lane and turn.
template <bool kWeighted>
__device__ void label_ambiguous_rows(const SweepBlock<kWeighted>& block, const float* strip, const PackedModel& model) {
  const Sweep& sweep = block.sweep;
  const float* centers = block.centers + (model.centers - sweep.group.centers);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int i = warp; i < *block.n_ambiguous; i += kSweepThreads / 32) {
    const int row = block.ambiguous[i];
    double best = __builtin_huge_val();
    int label = model.n_clusters;
    for (int cluster = lane; cluster < model.n_clusters; cluster += 32) {
      const double s =
          squared_distance(strip + row * sweep.shape.stride, sweep.shape.n_columns, centers, sweep.shape.padded_columns, cluster);
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
    if (lane == 0) block.labels[row] = label;
  }
}

// Moves the sums of one cluster to the device's, by one warp. cluster: in the group.
template <bool kWeighted>
__device__ void flush_cluster(const SweepBlock<kWeighted>& block, const PackedModel& model, int cluster) {
  const Sweep& sweep = block.sweep;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t first = model.cells - sweep.group.cells + std::int64_t{cluster} * sweep.shape.n_columns;
  for (int limb = 0; limb < Limbs<kWeighted>::kCount; ++limb) {
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
  if (kWeighted) {
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
template <bool kWeighted>
__device__ void flush_full_clusters(const SweepBlock<kWeighted>& block, const PackedModel& model, bool all) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int first_cluster = model.clusters - block.sweep.group.clusters;
  for (int first = warp * 32; first < model.n_clusters; first += kSweepThreads) {
    const int cluster = first + lane;
    const bool exists = cluster < model.n_clusters;
    const int added = exists ? block.counts[first_cluster + cluster] : 0;
    const bool full = exists && (all || block.pending[first_cluster + cluster] + added > Limbs<kWeighted>::kRows);
    const unsigned flushed = __ballot_sync(kAllLanes, full);
    __syncwarp();  // every lane has read `pending` before one lane writes it
    for (unsigned rest = flushed; rest != 0; rest &= rest - 1) flush_cluster(block, model, first + __ffs(static_cast<int>(rest)) - 1);
    __syncwarp();
    if (!exists) continue;
    block.pending[first_cluster + cluster] += added;
    block.counts[first_cluster + cluster] = 0;
  }
}

__device__ inline void count_row(int* counts, int label) {
  if (label != kSkip) atomicAdd(&counts[label], 1);
}

// columns_at_once threads add one row.
template <bool kWeighted>
__device__ void add_strip(const SweepBlock<kWeighted>& block, const float* strip, int first_row, const PackedModel& model) {
  const Sweep& sweep = block.sweep;
  const int at_once = sweep.shape.columns_at_once, n_columns = sweep.shape.n_columns;
  int* const sums = block.sums + (model.cells - sweep.group.cells);
  int* const weights = block.weights + (model.clusters - sweep.group.clusters);
  const int lane = static_cast<int>(threadIdx.x) % at_once;
  for (int row = static_cast<int>(threadIdx.x) / at_once; row < sweep.shape.rows; row += kSweepThreads / at_once) {
    const int label = block.labels[row];
    if (label == kSkip) continue;
    const int w = kWeighted ? sweep.weight[first_row + row] : 1;
    if (kWeighted && lane == 0) {
      atomicAdd(&weights[label], w & 0xffff);
      atomicAdd(&weights[sweep.group.n_clusters + label], w >> 16);
    }
    for (int j = lane; j < n_columns; j += at_once) {
      const int q = __float2int_rn(strip[row * sweep.shape.stride + j] * sweep.scale[j] * sweep.scale[n_columns + j]);
      int* const sum = sums + std::int64_t{label} * n_columns + j;
      if (kWeighted) {
        const std::int64_t product = std::int64_t{w} * q;
        atomicAdd(sum, static_cast<int>(product & 0xffff));
        atomicAdd(sum + sweep.group_cells, static_cast<int>(product >> 16 & 0xffff));
        atomicAdd(sum + 2 * sweep.group_cells, static_cast<int>(product >> 32));
      } else {
        atomicAdd(sum, q);
      }
    }
  }
}

template <bool kWeighted>
__device__ void sweep_strip(const SweepBlock<kWeighted>& block, const float* strip, int first_row) {
  const Sweep& sweep = block.sweep;
  for (int m = 0; m < sweep.n_models; ++m) {
    const PackedModel model = sweep.models[sweep.first_model + m];
    label_strip(block, strip, first_row, model);
    __syncthreads();
    label_ambiguous_rows(block, strip, model);
    __syncthreads();
    if (threadIdx.x == 0) *block.n_ambiguous = 0;
    for (int row = static_cast<int>(threadIdx.x); row < sweep.shape.rows; row += kSweepThreads) {
      count_row(block.counts + (model.clusters - sweep.group.clusters), block.labels[row]);
    }
    __syncthreads();
    flush_full_clusters(block, model, false);
    __syncthreads();
    add_strip(block, strip, first_row, model);
    __syncthreads();
  }
}

template <bool kWeighted>
__global__ void __launch_bounds__(kSweepThreads, 3) sweep_models_kernel(Sweep sweep) {
  SHARED_BYTES(memory);
  const SweepBlock<kWeighted> block(sweep, reinterpret_cast<int*>(memory));
  prepare_block(block);
  __syncthreads();
  const int rows = sweep.shape.rows;
  const int n_strips = (sweep.n_rows + rows - 1) / rows;
  const auto step = static_cast<int>(gridDim.x);
  int current = 0;  // which of the two strips
  start_strip(sweep, block.strips, static_cast<int>(blockIdx.x) * rows);
  for (auto i = static_cast<int>(blockIdx.x); i < n_strips; i += step) {
    float* const strip = block.strips + current * rows * sweep.shape.stride;
    current = 1 - current;
    if (i + step < n_strips) {
      start_strip(sweep, block.strips + current * rows * sweep.shape.stride, (i + step) * rows);
      wait_copies<1>();
    } else {
      wait_copies<0>();
    }
    __syncthreads();
    sweep_strip(block, strip, i * rows);
  }
  for (int m = 0; m < sweep.n_models; ++m) flush_full_clusters(block, sweep.models[sweep.first_model + m], true);
}

}  // namespace coterie::COTERIE_GPU
