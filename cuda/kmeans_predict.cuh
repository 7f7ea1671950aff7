// Label, second segment and both squared distances of every row of a tile: a scan (wide_tile.cuh) whose certificate must also tell the
// second from the third, then the definition for those two centers; for open rows, for all centers that may be one of the two.
#pragma once

#include "cuda/kmeans_exact.cuh"
#include "cuda/wide_tile.cuh"

namespace coterie::COTERIE_GPU {

using PredictTile = WideTile<LowestThree, 1>;
inline __host__ __device__ WideMemory predict_tile_memory(const SweepShape& shape) { return {shape, 1, sizeof(LowestThree)}; }

struct Prediction {
  SweepShape shape;
  TileRows tile;  // shape.rows rows at least
  CenterRows centers;
  TensorCenters tensor;  // of one model
  int n_clusters;
  ExactOutput output;  // all of it
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

// Two threads per row, one for each of its two centers: these by the definition, or the list of open rows. skipped: first rows that
// another block writes.
__device__ inline void finish_rows(const Prediction& job, const PredictTile& tile, const TensorModel& model, const float* x,
                                   std::int64_t first_row, int skipped) {
  const int row = static_cast<int>(threadIdx.x) & (job.shape.rows - 1), which = static_cast<int>(threadIdx.x) >> (8 - job.shape.parts_log);
  if (which > 1 || row < skipped) return;
  const LowestThree top = tile.lowest_of(row);
  const CenterPair* const pairs = job.tensor.pairs + model.pairs;
  const RowNorms norms = tile.norms[row];
  const float error = bound_error(model, norms);
  const float first = upper_bound(job.tensor, norms, error, top.best, norm_of(pairs, top.index));
  const float second = upper_bound(job.tensor, norms, error, top.second, norm_of(pairs, top.second_index));
  if (!(top.second > first && top.third > second)) {
    if (which == 0) tile.leave_open(row, first > second ? first : second);
    return;
  }
  const int cluster = which == 0 ? top.index : top.second_index;
  const double s = squared_distance<2>(x + row * job.shape.n_columns, job.shape.n_columns, job.centers[cluster]);
  (which == 0 ? job.output.label : job.output.second)[first_row + row] = cluster;
  (which == 0 ? job.output.squared_distance : job.output.second_squared_distance)[first_row + row] = s;
}

// By one warp; all lanes return the same.
__device__ inline TopTwo<double> two_nearest(const float* x, const CenterRows& centers, const OpenCenters& open) {
  TopTwo<double> top;
  for_each_exact(x, centers, open, [&](int cluster, double s) {
    TopTwo<double> one;
    one.best_index = cluster;
    one.best = s;
    merge(top, one);
  });
  for (int other = 16; other > 0; other /= 2) merge_across_lanes(top, other);
  return top;
}

__global__ void __launch_bounds__(kWideThreads, 2) predict_rows_kernel(Prediction job) {
  SHARED_BYTES(bytes);
  const SweepShape& shape = job.shape;
  const PredictTile tile(shape, job.tensor, predict_tile_memory(shape), reinterpret_cast<int*>(bytes));
  tile.prepare();
  __syncthreads();
  const TensorModel model = *job.tensor.models;
  const int n_tiles = (job.tile.n_rows - 1) / shape.rows + 1;
  for (int i = static_cast<int>(blockIdx.x); i < n_tiles; i += static_cast<int>(gridDim.x)) {
    const int first_row = min(i * shape.rows, job.tile.n_rows - shape.rows);
    const float* const x = job.tile.x + std::int64_t{first_row} * shape.n_columns;
    tile.load_rows(x);
    tile.scan(model);
    finish_rows(job, tile, model, x, first_row, i * shape.rows - first_row);
    tile.for_each_open_row(job.n_clusters, [&](int row, const OpenCenters& open) {
      const TopTwo<double> top = two_nearest(x + row * shape.n_columns, job.centers, open);
      if (threadIdx.x % 32 == 0) write_result(job.output, std::int64_t{first_row} + row, top);
    });
  }
}

}  // namespace coterie::COTERIE_GPU
