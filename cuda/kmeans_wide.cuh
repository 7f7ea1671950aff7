// The sweep of rows of any width for any number of centers, block by block (wide_tile.cuh): all warps scan, a thread looks at a row, a
// warp decides about an open row, and the rows are added to sums in shared memory where these fit, else on the device.
#pragma once

#include "cuda/wide_tile.cuh"

namespace coterie::COTERIE_GPU {

using SweepTile = WideTile<LowestTwo, 2>;  // of two lists, half the centers are open where a list has two low bounds
inline __host__ __device__ WideMemory sweep_tile_memory(const SweepShape& shape) { return {shape, 2, sizeof(LowestTwo)}; }

// One thread per row: its label, or the list of open rows. skipped: first rows that another tile has counted.
__device__ inline void label_rows(const Sweep& sweep, const SweepTile& tile, const TensorModel& model, const std::int32_t* weight,
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

// Lists the rows that change their center, and moves them in the sums: some of them per warp. All threads; begins after a barrier, ends
// with one. first_row: of the tile; n_listed: 0.
template <bool kWeighted, class Sums>
__device__ void move_tile(const Sweep& sweep, const SweepTile& tile, const PackedModel& model, int first_row, int skipped, const Sums& sums,
                          const Moves& moves, int* n_listed) {
  const std::int32_t* const weight = kWeighted ? sweep.weight + first_row : nullptr;
  for (int row = static_cast<int>(threadIdx.x); row < sweep.shape.rows; row += kWideThreads) {
    const int w = kWeighted ? weight[row] : 1, label = tile.labels[row];
    if (row < skipped || w == 0) continue;
    const int before = label_before(sweep, model, first_row + row);
    if (label == before) continue;
    keep_label(sweep, model, first_row + row, label);
    const int place = atomicAdd(n_listed, 1);
    moves.row[place] = row;
    moves.to[place] = sums.count_row(model, label, w, 1);
    moves.from[place] = sums.count_row(model, before, w, -1);
  }
  __syncthreads();
  if (*n_listed == 0) return;
  const int n = moves.round_up(sweep.shape, *n_listed, static_cast<int>(threadIdx.x), sums.nowhere());
  __syncthreads();
  if (threadIdx.x == 0) *n_listed = 0;
  const int turn = 4 * (32 >> sweep.shape.lanes_log);
  const float* const x = sweep.tile.x + std::int64_t{first_row} * sweep.shape.n_columns;
  move_rows(sums, model, moves, x, weight, static_cast<int>(threadIdx.x) / 32 * turn, n, kWideWarps * turn);
  __syncthreads();
}

// The tile has shape.rows rows at least: the last block's rows begin earlier than the others' would, so that all of them exist.
template <bool kWeighted>
__global__ void __launch_bounds__(kWideThreads, 2) sweep_wide_kernel(Sweep sweep) {
  SHARED_BYTES(bytes);
  int* const memory = reinterpret_cast<int*>(bytes);
  const SweepShape& shape = sweep.shape;
  const WideMemory at = sweep_tile_memory(shape);
  const SweepTile tile(shape, sweep.tensor, at, memory);
  const SumsMemory sums_at(at.words, shape.rows, sweep.shared_sums ? sweep.group.n_clusters : 0, sweep.shared_sums ? sweep.group_cells : 0,
                           shape.n_columns, kSumWords<kWeighted>);
  int* const list = memory + sums_at.moves;
  const Moves moves{list, list + shape.rows, list + 2 * shape.rows};
  int* const n_listed = memory + at.n_listed;
  const BlockSums<kWeighted> sums(sweep, sums_at, memory);
  const DeviceSums<kWeighted> device_sums{sweep};
  tile.prepare();
  if (threadIdx.x == 0) *n_listed = 0;
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
        const int label =
            decide<4>(x + row * shape.n_columns, sweep.centers_of(m), open, sweep.certain_ratio, sweep.certain_underflow, tally);
        if (threadIdx.x % 32 == 0) tile.labels[row] = label;
      });
      if (sweep.shared_sums) {
        move_tile<kWeighted>(sweep, tile, model, first_row, skipped, sums, moves, n_listed);
      } else {
        move_tile<kWeighted>(sweep, tile, model, first_row, skipped, device_sums, moves, n_listed);
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
