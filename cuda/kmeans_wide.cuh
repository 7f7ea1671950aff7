// The sweep of rows of any width for any number of centers, block by block (wide_tile.cuh): all warps scan, a thread looks at a row, a
// warp decides about an open row, and the rows are added to sums in shared memory where these fit, else on the device.
#pragma once

#include "cuda/wide_tile.cuh"

namespace coterie::COTERIE_GPU {

// One thread per row: its label, or the list of open rows. skipped: first rows that another tile has counted.
__device__ inline void label_rows(const Sweep& sweep, const WideTile<LowestTwo>& tile, const TensorModel& model, const std::int32_t* weight,
                                  int skipped) {
  for (int row = static_cast<int>(threadIdx.x); row < sweep.shape.rows; row += kWideThreads) {
    const LowestTwo top = tile.lowest_of(row);
    const RowNorms norms = tile.norms[row];
    const float norm = norm_of(sweep.tensor.pairs + model.pairs, top.index);
    const float limit = upper_bound(sweep.tensor, norms, bound_error(model, norms), top.best, norm);
    tile.labels[row] = top.index;
    if (row >= skipped && (weight == nullptr || weight[row] > 0) && !(top.second > limit)) tile.leave_open(row, limit);
  }
}

// Counts the labelled rows, and adds them: a share of them per warp. All threads; ends with a barrier.
template <bool kWeighted, class Sums, class AddRows>
__device__ void sum_rows(const Sweep& sweep, const WideTile<LowestTwo>& tile, const PackedModel& model, const std::int32_t* weight,
                         int skipped, const Sums& sums, AddRows&& add_rows) {
  for (int row = static_cast<int>(threadIdx.x); row < sweep.shape.rows; row += kWideThreads) {
    const int w = kWeighted ? weight[row] : 1;
    tile.labels[row] = sums.count_row(model, tile.labels[row], row >= skipped && w > 0, w);
  }
  __syncthreads();
  const int n_rows = sweep.shape.rows / kWideWarps;
  add_rows(static_cast<int>(threadIdx.x) / 32 * n_rows, n_rows);
  __syncthreads();
}

// The tile has shape.rows rows at least: the last block's rows begin earlier than the others' would, so that all of them exist.
template <bool kWeighted>
__global__ void __launch_bounds__(kWideThreads, 2) sweep_wide_kernel(Sweep sweep) {
  SHARED_BYTES(bytes);
  int* const memory = reinterpret_cast<int*>(bytes);
  const SweepShape& shape = sweep.shape;
  const WideMemory at(shape, sizeof(LowestTwo) / 4);
  const WideTile<LowestTwo> tile(shape, sweep.tensor, at, memory);
  const BlockSums<kWeighted> sums(
      sweep, SumsMemory(at.words, sweep.group.n_clusters, sweep.group_cells, shape.n_columns, kSumWords<kWeighted>), memory);
  const DeviceSums<kWeighted> device_sums{sweep};
  tile.prepare();
  if (sweep.shared_sums) sums.clear();
  __syncthreads();
  OpenTally tally;
  const int n_tiles = (sweep.tile.n_rows - 1) / shape.rows + 1;
  for (int i = static_cast<int>(blockIdx.x); i < n_tiles; i += static_cast<int>(gridDim.x)) {
    const int first_row = min(i * shape.rows, sweep.tile.n_rows - shape.rows), skipped = i * shape.rows - first_row;
    const float* const x = sweep.tile.x + std::int64_t{first_row} * shape.n_columns;
    const std::int32_t* const weight = kWeighted ? sweep.weight + first_row : nullptr;
    tile.load_rows(x);
    for (int m = sweep.first_model; m < sweep.first_model + sweep.n_models; ++m) {
      const PackedModel& model = sweep.models[m];
      tile.scan(sweep.tensor.models[m]);
      label_rows(sweep, tile, sweep.tensor.models[m], weight, skipped);
      tile.for_each_open_row(model.n_clusters, [&](int row, const OpenCenters& open) {
        const int label = decide(x + row * shape.n_columns, sweep.centers_of(m), open, sweep.certain_ratio, sweep.certain_underflow, tally);
        if (threadIdx.x % 32 == 0) tile.labels[row] = label;
      });
      const auto add_to = [&](const auto& to, auto&& add) {
        sum_rows<kWeighted>(sweep, tile, model, weight, skipped, to, [&](int first, int n_rows) {
          add(x + first * shape.n_columns, tile.labels + first, kWeighted ? weight + first : nullptr, n_rows);
        });
      };
      if (sweep.shared_sums) {
        add_to(sums, [&](auto... arguments) { sums.template add_rows<4>(arguments...); });
      } else {
        add_to(device_sums, [&](auto... arguments) { device_sums.add_rows(arguments...); });
      }
    }
  }
  if (threadIdx.x % 32 == 0) {
    atomic_add(&sweep.rechecked[0], tally.rechecked);
    atomic_add(&sweep.rechecked[1], tally.exact);
  }
  if (sweep.shared_sums) sums.close();
}

}  // namespace coterie::COTERIE_GPU
