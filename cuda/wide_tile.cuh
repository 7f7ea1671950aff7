// Rows that a block scans together, for rows or centers too many for the registers and the shared memory of kmeans_narrow.cuh: the rows
// lie in shared memory in half precision, the centers pass through it in stages, each on its way while others are worked on. Warps
// share out rows and centers: 32 rows a warp, and the `parts` warps with the same rows take turns of 32 centers.
#pragma once

#include "cuda/instructions/copy_async.hpp"
#include "cuda/kmeans_sums.cuh"
#include "cuda/row_tile.cuh"

namespace coterie::COTERIE_GPU {

inline constexpr int kWideThreads = 256, kWideWarps = kWideThreads / 32;
inline constexpr int kWarpRows = 32;
inline constexpr int kMostWideRows = 128;        // of a block; so two warps at least share rows
inline constexpr int kStages = 3;                // of centers in shared memory
inline constexpr int kStageFragments = 32 * 32;  // of 32 steps of pairs of tiles: a turn of all parts in 16 / parts steps

// How the warps of a block share out its rows.
struct WideParts {
  int parts, first_row, part;  // warps with the same rows; those of this warp, and its turn

  __device__ explicit WideParts(const SweepShape& shape) : parts(1 << shape.parts_log) {
    const int warp = static_cast<int>(threadIdx.x) / 32;
    first_row = (warp >> shape.parts_log) * kWarpRows;
    part = warp & (parts - 1);
  }
};

// Lists of the lowest bounds that a lane keeps for a row: as many as `most`, unless the parts fill a warp with one list each.
__host__ __device__ constexpr int count_lists(const SweepShape& shape, int most) { return shape.parts_log < 3 ? most : 1; }
// All of a row's.
__host__ __device__ constexpr int count_classes(const SweepShape& shape, int most) {
  return count_lists(shape, most) * 4 << shape.parts_log;
}

// Offsets into dynamic shared memory, in 4-byte words, those of arrays multiples of 4. Kernels that ask for all there is can have no
// other.
struct WideMemory {
  int fragments, stages, shift, norms, lowest, limits, labels, open, n_listed, words;

  // most_lists, lowest_bytes: of WideTile
  __host__ __device__ WideMemory(const SweepShape& shape, int most_lists, std::size_t lowest_bytes)
      : fragments(0),
        stages(fragments + shape.rows * shape.steps * kStepColumns / 2),
        shift(stages + kStages * kStageFragments * 4),
        norms(shift + shape.steps * kStepColumns),
        lowest(norms + 2 * shape.rows),
        limits(lowest + count_classes(shape, most_lists) * shape.rows * static_cast<int>(lowest_bytes / 4)),
        labels(limits + shape.rows),
        open(labels + shape.rows),
        n_listed(open + shape.rows + 1),
        words(open + shape.rows + 4) {}
};

template <class Lowest, int kMostLists>
struct WideTile {
  const SweepShape& shape;
  const TensorCenters& tensor;
  Fragment* fragments;  // (steps, rows / 16, 32)
  Fragment* stages;     // (kStages, kStageFragments)
  float* shift;         // (steps * kStepColumns) -pivot * scale
  RowNorms* norms;      // (rows)
  Lowest* lowest;       // (classes, rows) of the centers of each member of each part
  float* limits;        // (rows) upper bounds of what open rows look for
  int* labels;          // (rows)
  int *n_open, *open;   // (rows) whose certificate failed

  __device__ WideTile(const SweepShape& of_shape, const TensorCenters& centers, const WideMemory& at, int* memory)
      : shape(of_shape),
        tensor(centers),
        fragments(reinterpret_cast<Fragment*>(memory + at.fragments)),
        stages(reinterpret_cast<Fragment*>(memory + at.stages)),
        shift(reinterpret_cast<float*>(memory + at.shift)),
        norms(reinterpret_cast<RowNorms*>(memory + at.norms)),
        lowest(reinterpret_cast<Lowest*>(memory + at.lowest)),
        limits(reinterpret_cast<float*>(memory + at.limits)),
        labels(memory + at.labels),
        n_open(memory + at.open),
        open(memory + at.open + 1) {}

  __device__ void prepare() const {
    for (int i = static_cast<int>(threadIdx.x); i < shape.steps * kStepColumns; i += kWideThreads)
      shift[i] = -tensor.pivot[i] * tensor.scale;
    if (threadIdx.x == 0) *n_open = 0;
  }

  // 16 rows a warp and turn. x: (rows, n_columns)
  __device__ void load_rows(const float* x) const {
    constexpr int kAhead = 4;  // steps that are asked for at a time
    const int lane = static_cast<int>(threadIdx.x) % 32;
    for (int first = static_cast<int>(threadIdx.x) / 32 * 16; first < shape.rows; first += kWideWarps * 16) {
      RowSquares squares[2];
      Fragment* const to = fragments + first / 16 * 32 + lane;
      for (int step = 0; step < shape.steps; step += kAhead) {
        TileCells<2, kAhead> cells;
        load_cells(x + first * shape.n_columns, shape.n_columns, step, cells);
#pragma unroll
        for (int i = 0; i < kAhead; ++i) {
          if (step + i >= shape.steps) break;
          const float4 shift_of_step = shift_of(shift, step + i);
          Fragment fragment;
          convert_cells(cells.cell[0][i], shift_of_step, tensor.scale, fragment.x, fragment.z, squares[0]);
          convert_cells(cells.cell[1][i], shift_of_step, tensor.scale, fragment.y, fragment.w, squares[1]);
          to[(step + i) * shape.rows / 16 * 32] = fragment;
        }
      }
      const RowNorms of_lane[2] = {squares[0].norms(shape.steps), squares[1].norms(shape.steps)};
      if (lane % 4 == 0) {
        norms[first + lane / 4] = of_lane[0];
        norms[first + lane / 4 + 8] = of_lane[1];
      }
    }
  }

  // Fills `lowest`. Begins and ends with barriers; the rows are in place.
  __device__ void scan(const TensorModel& model) const {
    constexpr int kHalves = 2, kPairs = 2, kTiles = 2 * kPairs;
    const WideParts own(shape);
    const int lane = static_cast<int>(threadIdx.x) % 32, steps = shape.steps;
    const int steps_log = 4 - shape.parts_log, stage_steps = 1 << steps_log, n_stages = (steps + stage_steps - 1) >> steps_log;
    const int turn_pairs = kPairs << shape.parts_log, n_turns = (model.n_pairs + turn_pairs - 1) >> (1 + shape.parts_log);
    int turn_ahead = 0, stage_ahead = 0, place_ahead = 0;
    const auto start_stage = [&] {
      if (turn_ahead < n_turns) start_copy(model, turn_ahead * turn_pairs, stage_ahead << steps_log, place_ahead);
      commit_copies();
      place_ahead = place_ahead + 1 == kStages ? 0 : place_ahead + 1;
      if (++stage_ahead < n_stages) return;
      stage_ahead = 0;
      ++turn_ahead;
    };
    for (int i = 0; i < kStages - 1; ++i) start_stage();
    __syncthreads();
    const int row_step = shape.rows / 16 * 32, center_step = turn_pairs * 32;  // fragments from step to step
    const Fragment* const own_rows = fragments + own.first_row / 16 * 32 + lane;
    float error[2 * kHalves];
    Lowest found[2 * kHalves][kMostLists];
    clear(found);
    for (int i = 0; i < 2 * kHalves; ++i) error[i] = bound_error(model, norms[own.first_row + lane / 4 + 8 * i]);
    int place = 0;
    for (int turn = 0; turn < n_turns; ++turn) {
      const int first_tile = 2 * (turn * turn_pairs + own.part * kPairs), n_tiles = 2 * model.n_pairs - first_tile;
      TileSums<kHalves, kTiles> sums;
      sums.begin(tensor.pairs + model.pairs + first_tile * 4 + lane % 4, n_tiles, error);
      for (int stage = 0; stage < n_stages; ++stage) {
        wait_copies<kStages - 2>();
        __syncthreads();
        start_stage();
        const Fragment* of_centers = stages + place * kStageFragments + own.part * kPairs * 32 + lane;
        place = place + 1 == kStages ? 0 : place + 1;
        const int first_step = stage << steps_log;
        const Fragment* of_rows = own_rows + first_step * row_step;
        const Fragment* const last = own_rows + min(first_step + stage_steps, steps) * row_step;
#pragma unroll 1
        for (; of_rows != last; of_rows += row_step, of_centers += center_step) {
          std::uint32_t a[kHalves][4];
          Fragment centers[kPairs];
#pragma unroll
          for (int half = 0; half < kHalves; ++half) {
            const Fragment f = of_rows[half * 32];
            a[half][0] = f.x, a[half][1] = f.y, a[half][2] = f.z, a[half][3] = f.w;
          }
#pragma unroll
          for (int pair = 0; pair < kPairs; ++pair) centers[pair] = of_centers[pair * 32];
          sums.add(a, centers);
        }
      }
      sums.offer(first_tile, n_tiles, found);
    }
    const int n_lists = count_lists(shape, kMostLists);
    Lowest* const of_class = lowest + (4 * own.part + lane % 4) * shape.rows + own.first_row + lane / 4;
    for (int i = 0; i < 2 * kHalves; ++i) {
#pragma unroll
      for (int list = 0; list < kMostLists; ++list) {
        if (list < n_lists)
          of_class[list * own.parts * 4 * shape.rows + 8 * i] = found[i][list];
        else
          of_class[8 * i].merge(found[i][list]);
      }
    }
    __syncthreads();
  }

  __device__ Lowest lowest_of(int row) const {
    Lowest top = lowest[row];
    for (int i = 1; i < count_classes(shape, kMostLists); ++i) top.merge(lowest[i * shape.rows + row]);
    return top;
  }

  __device__ void leave_open(int row, float limit) const {
    limits[row] = limit;
    open[atomicAdd(n_open, 1)] = row;
  }

  // Calls decide(row, open centers) for every open row, by one warp. All threads; begins and ends with a barrier.
  template <class Decide>
  __device__ void for_each_open_row(int n_clusters, Decide&& decide) const {
    __syncthreads();
    const int n = *n_open, lane = static_cast<int>(threadIdx.x) % 32, n_classes = count_classes(shape, kMostLists);
    for (int i = static_cast<int>(threadIdx.x) / 32; i < n; i += kWideWarps) {
      const int row = open[i];
      const OpenCode code = OpenCode::of(lowest[(lane & (n_classes - 1)) * shape.rows + row], limits[row]);
      decide(row, OpenCenters(code, 0, 1 << shape.parts_log, count_lists(shape, kMostLists), n_clusters));
    }
    __syncthreads();
    if (threadIdx.x == 0) *n_open = 0;
  }

 private:
  // The stage of the pairs and steps from first_pair and first_step on, (stage steps, pairs of a turn, 32); of those that do not exist
  // nothing is copied. A warp copies four pairs of one step.
  __device__ void start_copy(const TensorModel& model, int first_pair, int first_step, int place) const {
    constexpr int kPairs = kStageFragments / kWideThreads;
    static_assert(kPairs == 4);
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32, quarters_log = shape.parts_log - 1;
    const int pair = first_pair + (warp & ((1 << quarters_log) - 1)) * kPairs, step = first_step + (warp >> quarters_log);
    if (step >= shape.steps) return;
    const Fragment* from = tensor.fragments + model.fragments + (std::int64_t{pair} * shape.steps + step) * 32 + lane;
    Fragment* const to = stages + place * kStageFragments + warp * kPairs * 32 + lane;
#pragma unroll
    for (int i = 0; i < kPairs; ++i, from += shape.steps * 32) {
      if (pair + i < model.n_pairs) copy_async<16>(to + i * 32, from);
    }
  }
};

}  // namespace coterie::COTERIE_GPU
