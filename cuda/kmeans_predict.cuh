// Label, second segment and both squared distances of every row of a tile: a scan on tensor cores whose certificate must also tell the
// second from the third (tensor_scan.cuh), then the definition for those two centers; for rows that stay ambiguous, for the candidates.
#pragma once

#include "cuda/kmeans_exact.cuh"
#include "cuda/kmeans_strips.cuh"
#include "cuda/tensor_scan.cuh"

namespace coterie::COTERIE_GPU {

struct Prediction {
  SweepShape shape;
  TileRows tile;
  const float* centers;  // packed
  TensorCenters tensor;  // of one model
  int n_clusters;
  ExactOutput output;  // all of it
};

// Offsets into dynamic shared memory, in 4-byte words, every one a multiple of 4.
struct PredictMemory {
  int strips, fragments, norms, lowest, limits, candidates, ambiguous, words;

  __host__ __device__ explicit PredictMemory(const SweepShape& shape) {
    strips = 0;
    fragments = strips + shape.strips * shape.rows * shape.stride;
    norms = fragments + shape.rows * shape.steps * kStepColumns / 2;
    lowest = norms + 2 * shape.rows;
    limits = lowest + kScanWarps * kWarpRows * static_cast<int>(sizeof(LowestThree) / 4);
    candidates = limits + shape.rows;
    ambiguous = candidates + static_cast<int>(sizeof(Candidates) / 4);
    words = ambiguous + shape.rows + 4;
  }
};

// The best of two that saw different centers, ties to the lower index.
__device__ inline void merge(TopTwo<double>& top, const TopTwo<double>& other) {
  const double s[2] = {other.best, other.second};
  const int index[2] = {other.best_index, other.second_index};
  for (int i = 0; i < 2; ++i) {
    if (index[i] < 0) continue;
    const bool beats_best = s[i] < top.best || (s[i] == top.best && index[i] < top.best_index);
    if (beats_best) {
      top.second = top.best;
      top.second_index = top.best_index;
      top.best = s[i];
      top.best_index = index[i];
    } else if (s[i] < top.second || (s[i] == top.second && index[i] < top.second_index)) {
      top.second = s[i];
      top.second_index = index[i];
    }
  }
}

__device__ inline void merge_across_lanes(TopTwo<double>& top, int bits) {
  TopTwo<double> other;
  other.best = __shfl_xor_sync(kAllLanes, top.best, bits);
  other.second = __shfl_xor_sync(kAllLanes, top.second, bits);
  other.best_index = __shfl_xor_sync(kAllLanes, top.best_index, bits);
  other.second_index = __shfl_xor_sync(kAllLanes, top.second_index, bits);
  merge(top, other);
}

__device__ inline void write_result(const ExactOutput& output, std::int64_t row, const TopTwo<double>& top) {
  output.label[row] = top.best_index;
  output.second[row] = top.second_index;
  output.squared_distance[row] = top.best;
  output.second_squared_distance[row] = top.second;
}

// What the threads of a block share beside the strip.
struct PredictBlock {
  Fragment* fragments;
  RowNorms* norms;
  LowestThree* lowest;
  float* limits;
  Candidates* candidates;
  int *n_ambiguous, *ambiguous;

  __device__ PredictBlock(const PredictMemory& at, int* memory)
      : fragments(reinterpret_cast<Fragment*>(memory + at.fragments)),
        norms(reinterpret_cast<RowNorms*>(memory + at.norms)),
        lowest(reinterpret_cast<LowestThree*>(memory + at.lowest)),
        limits(reinterpret_cast<float*>(memory + at.limits)),
        candidates(reinterpret_cast<Candidates*>(memory + at.candidates)),
        n_ambiguous(memory + at.ambiguous),
        ambiguous(n_ambiguous + 1) {}
};

// One thread per row: its two centers by the definition, or the list of ambiguous rows.
__device__ inline void finish_row(const Prediction& job, const TensorModel& model, const PredictBlock& block, const float* x,
                                  std::int64_t row, int row_of_strip) {
  const LowestThree top = merge_parts(block.lowest, job.shape.rows, row_of_strip);
  const CenterPair* const pairs = job.tensor.pairs + model.pairs;
  const RowNorms norms = block.norms[row_of_strip];
  const float error = bound_error(model, norms);
  const float first = upper_bound(job.tensor, norms, error, top.best, norm_of(pairs, top.index));
  const float second = upper_bound(job.tensor, norms, error, top.second, norm_of(pairs, top.second_index));
  if (!(top.second > first && top.third > second)) {
    block.limits[row_of_strip] = first > second ? first : second;
    block.ambiguous[atomicAdd(block.n_ambiguous, 1)] = row_of_strip;
    return;
  }
  TopTwo<double> exact;
  exact.best_index = top.index;
  exact.second_index = top.second_index;
  exact.best = squared_distance<double>(x, job.shape.n_columns, job.centers, job.shape.padded_columns, top.index);
  exact.second = squared_distance<double>(x, job.shape.n_columns, job.centers, job.shape.padded_columns, top.second_index);
  write_result(job.output, row, exact);
}

// By one warp, one center per lane and turn.
__device__ inline TopTwo<double> two_nearest_by_warp(const SweepShape& shape, const float* x, const CenterList& centers) {
  TopTwo<double> top;
  for (int i = static_cast<int>(threadIdx.x) % 32; i < centers.n; i += 32) {
    TopTwo<double> one;
    one.best_index = centers.at(i);
    one.best = squared_distance<double>(x, shape.n_columns, centers.packed, shape.padded_columns, one.best_index);
    merge(top, one);
  }
  for (int other = 16; other > 0; other /= 2) merge_across_lanes(top, other);
  return top;
}

// One warp per ambiguous row. All threads; the list is empty again for the next strip.
__device__ inline void finish_ambiguous_rows(const Prediction& job, const TensorModel& model, const PredictBlock& block, const float* strip,
                                             int first_row) {
  const int n_ambiguous = *block.n_ambiguous;
  for_each_open_row(job.tensor, model, job.n_clusters, job.shape.steps, block.fragments, block.norms,
                    {block.ambiguous, n_ambiguous, block.limits}, *block.candidates, [&](int row, const int* listed, int n) {
                      const TopTwo<double> top = two_nearest_by_warp(job.shape, strip + row * job.shape.stride, {job.centers, listed, n});
                      if (threadIdx.x % 32 == 0) write_result(job.output, first_row + row, top);
                    });
  if (n_ambiguous > 0 && threadIdx.x == 0) *block.n_ambiguous = 0;  // where it is 0, no barrier has told that all have read it
}

__global__ void __launch_bounds__(kSweepThreads, 2) predict_rows_kernel(Prediction job) {
  SHARED_BYTES(bytes);
  int* const memory = reinterpret_cast<int*>(bytes);
  const SweepShape& shape = job.shape;
  const PredictMemory at(shape);
  const PredictBlock block(at, memory);
  auto* const strips = reinterpret_cast<float*>(memory + at.strips);
  fill_shared(strips, shape.strips * shape.rows * shape.stride, 0.0f);  // the padding stays zero
  fill_shared(block.candidates->count, kWarpRows, 0);
  if (threadIdx.x == 0) *block.n_ambiguous = 0;
  __syncthreads();
  const TensorModel model = *job.tensor.models;
  for_each_strip(shape, job.tile, strips, [&](const float* strip, int first_row) {
    const int shared_row = static_cast<int>(threadIdx.x) / shape.threads_per_row,
              part = static_cast<int>(threadIdx.x) % shape.threads_per_row;
    convert_row(job.tensor, shape.steps, strip + shared_row * shape.stride, shared_row, part, shape.threads_per_row, block.fragments,
                block.norms);
    __syncthreads();
    scan_strip(job.tensor, model, shape.steps, block.fragments, block.norms, shape.rows, block.lowest);
    __syncthreads();
    const int row = static_cast<int>(threadIdx.x);
    if (row < shape.rows && first_row + row < job.tile.n_rows)
      finish_row(job, model, block, strip + row * shape.stride, first_row + row, row);
    __syncthreads();
    finish_ambiguous_rows(job, model, block, strip, first_row);
    __syncthreads();
  });
}

}  // namespace coterie::COTERIE_GPU
