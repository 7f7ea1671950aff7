// What a block of the k-means sweep works with: the parameters of the launch, and where everything lies in shared memory. With tensor
// cores the centers stay in device memory, where the first-level cache has them, and the rows are in shared memory twice: as they
// are, and as fragments.
#pragma once

#include "cuda/kmeans_strips.cuh"
#include "cuda/nearest_centers.cuh"
#include "cuda/packed_models.hpp"
#include "cuda/tensor_scan.cuh"

namespace coterie::COTERIE_GPU {

inline constexpr int kSkip = -1;  // a row that counts for nothing: beyond the tile, or of weight zero

// Sums of w * q are cut into limbs of 16 bits with weights (48 bits), and are one limb without.
template <bool kWeighted>
struct Limbs {
  static constexpr int kCount = kWeighted ? 3 : 1;
  static constexpr int kRows = kWeighted ? 32767 : 255;  // that no 32-bit sum of limbs can overflow: |q| <= 2^23, a limb < 2^16
};

struct Sweep {
  SweepShape shape;
  TileRows tile;
  const std::int32_t* weight;  // (n_rows), or nullptr
  const float* centers;        // packed, of all models
  TensorCenters tensor;        // of all models
  const PackedModel* models;   // of all models
  int first_model, n_models;   // of this launch
  PackedModel group;           // where this launch's models begin, and in n_clusters and n_groups all of theirs
  std::int64_t group_cells;
  bool shared_sums;       // whether the sums of the group are in shared memory
  std::int64_t* sums;     // (3, n_cells) limbs of the sums of w * q
  std::int64_t* weights;  // (n_clusters) sums of w
  std::int64_t* rows;     // (n_clusters) rows of positive weight
  std::int64_t n_cells;   // of all models
  const float* scale;     // (2, n_columns) q = x * scale[0] * scale[1]
  float certain_ratio, certain_underflow;
  std::int64_t* rechecked;  // (2) as SweepTally
};

// Offsets into dynamic shared memory, in 4-byte words, every one a multiple of 4.
struct SweepMemory {
  int strips, centers, fragments, norms, lowest, limits, candidates, sums, weights, pending, counts, labels, ambiguous, words;

  // n_clusters and n_cells: whose sums are in shared memory
  __host__ __device__ SweepMemory(const SweepShape& shape, int n_groups, int n_clusters, std::int64_t n_cells, int n_limbs) {
    int at = 0;
    const auto take = [&at](std::int64_t count) {
      const int begin = at;
      at += static_cast<int>((count + 3) / 4 * 4);
      return begin;
    };
    strips = take(shape.strips * shape.rows * shape.stride);
    const bool tensor = shape.steps > 0;
    centers = take(tensor ? 0 : std::int64_t{n_groups} * kGroup * shape.padded_columns);
    fragments = take(shape.rows * shape.steps * kStepColumns / 2);
    norms = take(tensor ? 2 * shape.rows : 0);
    lowest = take(tensor ? kScanWarps * kWarpRows * static_cast<int>(sizeof(LowestTwo) / 4) : 0);
    limits = take(tensor ? shape.rows : 0);
    candidates = take(tensor ? static_cast<int>(sizeof(Candidates) / 4) : 0);
    sums = take(n_cells * n_limbs);
    weights = take(n_limbs > 1 ? 2 * n_clusters : 0);
    pending = take(n_clusters);
    counts = take(n_clusters);
    labels = take(shape.rows);
    ambiguous = take(shape.rows + 4);
    words = at;
  }
};

// What the threads of a block share, as pointers.
template <bool kWithWeights, bool kOnTensorCores>
struct SweepBlock {
  static constexpr bool kWeighted = kWithWeights, kTensor = kOnTensorCores;
  const Sweep& sweep;
  float* strips;         // (shape.strips, rows, stride)
  float* own_centers;    // packed, of the group, but with tensor cores
  const float* centers;  // where to read them
  Fragment* fragments;   // (rows / 16, steps, 32)
  RowNorms* norms;       // (rows)
  LowestTwo* lowest;     // (kScanWarps * kWarpRows / rows, rows)
  float* limits;         // (rows) upper bounds of the nearest centers of ambiguous rows
  Candidates* candidates;
  int* sums;       // (limbs, group_cells)
  int* weights;    // (2, group clusters) low 16 bits and the rest
  int* pending;    // (group clusters) rows in `sums`
  int* counts;     // (group clusters) rows of this strip
  int* labels;     // (rows)
  int* ambiguous;  // (rows) rows whose certificate failed
  int* n_ambiguous;
  // Of this block so far, as SweepTally.
  std::int64_t* n_rechecked;
  int* n_exact;

  __device__ SweepBlock(const Sweep& s, int* memory) : sweep(s) {
    const bool in_shared = !kTensor || s.shared_sums;
    const SweepMemory at(s.shape, s.group.n_groups, in_shared ? s.group.n_clusters : 0, in_shared ? s.group_cells : 0,
                         Limbs<kWeighted>::kCount);
    strips = reinterpret_cast<float*>(memory + at.strips);
    own_centers = reinterpret_cast<float*>(memory + at.centers);
    centers = kTensor ? s.centers + s.group.centers : own_centers;
    fragments = reinterpret_cast<Fragment*>(memory + at.fragments);
    norms = reinterpret_cast<RowNorms*>(memory + at.norms);
    lowest = reinterpret_cast<LowestTwo*>(memory + at.lowest);
    limits = reinterpret_cast<float*>(memory + at.limits);
    candidates = reinterpret_cast<Candidates*>(memory + at.candidates);
    sums = memory + at.sums;
    weights = memory + at.weights;
    pending = memory + at.pending;
    counts = memory + at.counts;
    labels = memory + at.labels;
    n_rechecked = reinterpret_cast<std::int64_t*>(memory + at.ambiguous);
    n_exact = memory + at.ambiguous + 2;
    n_ambiguous = n_exact + 1;
    ambiguous = n_ambiguous + 1;
  }
};

template <class Block>
__device__ void prepare_block(const Block& block) {
  const Sweep& sweep = block.sweep;
  fill_shared(block.strips, sweep.shape.strips * sweep.shape.rows * sweep.shape.stride, 0.0f);  // the padding stays zero
  if (!Block::kTensor || sweep.shared_sums) {
    fill_shared(block.sums, sweep.group_cells * Limbs<Block::kWeighted>::kCount, 0);
    if (Block::kWeighted) fill_shared(block.weights, 2 * sweep.group.n_clusters, 0);
    fill_shared(block.pending, sweep.group.n_clusters, 0);
    fill_shared(block.counts, sweep.group.n_clusters, 0);
  }
  if (threadIdx.x == 0) *block.n_rechecked = *block.n_exact = *block.n_ambiguous = 0;
  if constexpr (Block::kTensor) {
    fill_shared(block.candidates->count, kWarpRows, 0);
    return;
  }
  const int n_centers = sweep.group.n_groups * kGroup * sweep.shape.padded_columns;
  for (int i = static_cast<int>(threadIdx.x); i < n_centers; i += kSweepThreads)
    block.own_centers[i] = sweep.centers[sweep.group.centers + i];
}

}  // namespace coterie::COTERIE_GPU
