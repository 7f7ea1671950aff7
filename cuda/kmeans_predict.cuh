// Label, second segment and both squared distances of every row of a tile: a scan on tensor cores whose certificate must also tell the
// second from the third (tensor_scan.cuh), then the definition for those two centers; for rows that stay ambiguous, for all of them.
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
  int strips, fragments, norms, lowest, ambiguous, words;

  __host__ __device__ explicit PredictMemory(const SweepShape& shape) {
    strips = 0;
    fragments = strips + 2 * shape.rows * shape.stride;
    norms = fragments + shape.rows * shape.steps * kStepColumns / 2;
    lowest = norms + 2 * shape.rows;
    ambiguous = lowest + kScanWarps * kWarpRows * static_cast<int>(sizeof(LowestThree) / 4);
    words = ambiguous + shape.rows + 4;
  }
};

// The best of two threads that saw different centers, ties to the lower index.
__device__ inline void merge_across_lanes(TopTwo<double>& top, int bits) {
  const double s[2] = {__shfl_xor_sync(kAllLanes, top.best, bits), __shfl_xor_sync(kAllLanes, top.second, bits)};
  const int index[2] = {__shfl_xor_sync(kAllLanes, top.best_index, bits), __shfl_xor_sync(kAllLanes, top.second_index, bits)};
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

__device__ inline void write_result(const ExactOutput& output, std::int64_t row, const TopTwo<double>& top) {
  output.label[row] = top.best_index;
  output.second[row] = top.second_index;
  output.squared_distance[row] = top.best;
  output.second_squared_distance[row] = top.second;
}

// One thread per row: its two centers by the definition, or the list of ambiguous rows.
__device__ inline void finish_row(const Prediction& job, const TensorModel& model, const float* x, const RowNorms& norms,
                                  const LowestThree& top, std::int64_t row, int row_of_strip, int* ambiguous, int* n_ambiguous) {
  const CenterPair* const pairs = job.tensor.pairs + model.pairs;
  const float error = bound_error(model, norms);
  const bool certain = is_certain(job.tensor, norms, error, top.best, norm_of(pairs, top.index), top.second) &&
                       is_certain(job.tensor, norms, error, top.second, norm_of(pairs, top.second_index), top.third);
  if (!certain) {
    ambiguous[atomicAdd(n_ambiguous, 1)] = row_of_strip;
    return;
  }
  TopTwo<double> exact;
  exact.best_index = top.index;
  exact.second_index = top.second_index;
  exact.best = squared_distance<double>(x, job.shape.n_columns, job.centers, job.shape.padded_columns, top.index);
  exact.second = squared_distance<double>(x, job.shape.n_columns, job.centers, job.shape.padded_columns, top.second_index);
  write_result(job.output, row, exact);
}

// One warp per ambiguous row.
__device__ inline void finish_ambiguous_rows(const Prediction& job, const float* strip, int first_row, const int* ambiguous,
                                             int n_ambiguous) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int i = warp; i < n_ambiguous; i += kSweepThreads / 32) {
    const float* const x = strip + ambiguous[i] * job.shape.stride;
    TopTwo<double> top;
    for (int cluster = lane; cluster < job.n_clusters; cluster += 32)
      top.offer(squared_distance<double>(x, job.shape.n_columns, job.centers, job.shape.padded_columns, cluster), cluster);
    for (int other = 16; other > 0; other /= 2) merge_across_lanes(top, other);
    if (lane == 0) write_result(job.output, first_row + ambiguous[i], top);
  }
}

__global__ void __launch_bounds__(kSweepThreads, 2) predict_rows_kernel(Prediction job) {
  SHARED_BYTES(bytes);
  int* const memory = reinterpret_cast<int*>(bytes);
  const SweepShape& shape = job.shape;
  const PredictMemory at(shape);
  auto* const strips = reinterpret_cast<float*>(memory + at.strips);
  auto* const fragments = reinterpret_cast<Fragment*>(memory + at.fragments);
  auto* const norms = reinterpret_cast<RowNorms*>(memory + at.norms);
  auto* const lowest = reinterpret_cast<LowestThree*>(memory + at.lowest);
  int* const n_ambiguous = memory + at.ambiguous;
  int* const ambiguous = n_ambiguous + 1;
  fill_shared(strips, 2 * shape.rows * shape.stride, 0.0f);  // the padding stays zero
  if (threadIdx.x == 0) *n_ambiguous = 0;
  __syncthreads();
  const TensorModel model = *job.tensor.models;
  for_each_strip(shape, job.tile, strips, [&](const float* strip, int first_row) {
    const int shared_row = static_cast<int>(threadIdx.x) / shape.threads_per_row,
              part = static_cast<int>(threadIdx.x) % shape.threads_per_row;
    convert_row(job.tensor, shape.steps, strip + shared_row * shape.stride, shared_row, part, shape.threads_per_row, fragments, norms);
    __syncthreads();
    scan_strip(job.tensor, model, shape.steps, fragments, norms, shape.rows, lowest);
    __syncthreads();
    const int row = static_cast<int>(threadIdx.x);
    if (row < shape.rows && first_row + row < job.tile.n_rows) {
      finish_row(job, model, strip + row * shape.stride, norms[row], merge_parts(lowest, shape.rows, row), first_row + row, row, ambiguous,
                 n_ambiguous);
    }
    __syncthreads();
    finish_ambiguous_rows(job, strip, first_row, ambiguous, *n_ambiguous);
    __syncthreads();
    if (threadIdx.x == 0) *n_ambiguous = 0;
    __syncthreads();
  });
}

}  // namespace coterie::COTERIE_GPU
