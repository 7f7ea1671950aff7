// The sweep of rows of up to 128 columns, where segmentation lives: every warp on its own. It takes a tile of rows into registers in
// half precision, scans all centers of all models on tensor cores, decides about the rows that this leaves open, and adds the rows to
// the sums of the block. No warp waits for another between the first row and the last.
#pragma once

#include "cuda/kmeans_sums.cuh"
#include "cuda/row_tile.cuh"

namespace coterie::COTERIE_GPU {

inline constexpr int kNarrowThreads = 512, kNarrowWarps = kNarrowThreads / 32;
inline constexpr int kMostNarrowColumns = 128;
inline constexpr int kLeastNarrowRows = 32;  // of a tile of the sweep: those of a warp, whichever the kernel

// Rows that a warp takes, by the steps of a row: what leaves a thread its 128 registers.
template <int kSteps>
inline constexpr int kHalves = kSteps <= 4 ? 2 : 1;
template <int kSteps>
inline constexpr int kNarrowRows = 16 * kHalves<kSteps>;
template <int kSteps>
inline constexpr int kLaneRows = 2 * kHalves<kSteps>;

// Offsets into dynamic shared memory, in 4-byte words, every one a multiple of 4.
struct NarrowMemory {
  int fragments, pairs, shift;
  SumsMemory sums;

  // Of all models of a launch.
  __host__ __device__ NarrowMemory(const SweepShape& shape, int n_pairs, int n_clusters, std::int64_t n_cells, int sum_words)
      : fragments(0),
        pairs(fragments + n_pairs * shape.steps * 32 * 4),
        shift(pairs + n_pairs * 2 * 4 * 4),
        sums(shift + shape.steps * kStepColumns, kNarrowWarps * kLeastNarrowRows, n_clusters, n_cells, shape.n_columns, sum_words) {}
};

template <int kOfSteps, bool kWithWeights>
struct NarrowBlock {
  static constexpr int kSteps = kOfSteps;
  static constexpr bool kWeighted = kWithWeights;
  const Sweep& sweep;
  Fragment* fragments;  // of the launch's models
  CenterPair* pairs;
  float* shift;  // (steps * kStepColumns) -pivot * scale
  Moves moves;   // of this warp
  BlockSums<kWeighted> sums;

  __device__ NarrowBlock(const Sweep& s, const NarrowMemory& at, int* memory)
      : sweep(s),
        fragments(reinterpret_cast<Fragment*>(memory + at.fragments)),
        pairs(reinterpret_cast<CenterPair*>(memory + at.pairs)),
        shift(reinterpret_cast<float*>(memory + at.shift)),
        sums(s, at.sums, memory) {
    int* const own = memory + at.sums.moves + threadIdx.x / 32 * 3 * kLeastNarrowRows;
    moves = {own, own + kLeastNarrowRows, own + 2 * kLeastNarrowRows};
  }
};

// A warp's rows in registers.
template <int kSteps>
struct RowTile {
  std::uint32_t cell[kHalves<kSteps>][kSteps][4];
  RowNorms norms[kLaneRows<kSteps>];
};

template <class Block>
__device__ void prepare_narrow_block(const Block& block) {
  const Sweep& sweep = block.sweep;
  const TensorModel& first = sweep.tensor.models[sweep.first_model];
  const auto thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < sweep.n_pairs * Block::kSteps * 32; i += kNarrowThreads)
    block.fragments[i] = sweep.tensor.fragments[first.fragments + i];
  for (int i = thread; i < sweep.n_pairs * 2 * 4; i += kNarrowThreads) block.pairs[i] = sweep.tensor.pairs[first.pairs + i];
  if (thread < Block::kSteps * kStepColumns) block.shift[thread] = -sweep.tensor.pivot[thread] * sweep.tensor.scale;
  block.sums.clear();
}

// rows: (kNarrowRows, n_columns); shift: (kSteps * kStepColumns). Half the rows at a time where all of them would take too many registers.
template <int kSteps>
__device__ __forceinline__ void load_tile(const float* rows, int n_columns, const float* shift, float scale, RowTile<kSteps>& tile) {
  constexpr int kRows = kSteps <= 2 ? kLaneRows<kSteps> : 2;
#pragma unroll
  for (int first = 0; first < kLaneRows<kSteps>; first += kRows) {
    TileCells<kRows, kSteps> cells;
    load_cells(rows + 8 * first * n_columns, n_columns, 0, cells);
    RowSquares squares[kRows];
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const float4 shift_of_step = shift_of(shift, step);
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        std::uint32_t(&words)[4] = tile.cell[(first + i) / 2][step];
        convert_cells(cells.cell[i][step], shift_of_step, scale, words[i % 2], words[i % 2 + 2], squares[i]);
      }
    }
#pragma unroll
    for (int i = 0; i < kRows; ++i) tile.norms[first + i] = squares[i].norms(kSteps);
  }
}

// Member by member: a choice between objects is one between addresses, which registers do not have.
__device__ __forceinline__ LowestTwo choose(bool first, const LowestTwo& a, const LowestTwo& b) {
  LowestTwo chosen;
  chosen.best = first ? a.best : b.best;
  chosen.second = first ? a.second : b.second;
  chosen.index = first ? a.index : b.index;
  return chosen;
}
__device__ __forceinline__ RowNorms choose(bool first, const RowNorms& a, const RowNorms& b) {
  return {first ? a.lost : b.lost, first ? a.row : b.row};
}
__device__ __forceinline__ float choose(bool first, float a, float b) { return first ? a : b; }

// values[i]
template <int n>
__device__ __forceinline__ LowestTwo pick(const LowestTwo (&values)[n][1], int i) {
  if constexpr (n == 2) {
    return choose(i == 0, values[0][0], values[1][0]);
  } else {
    return choose(i < 2, choose(i == 0, values[0][0], values[1][0]), choose(i == 2, values[2][0], values[3][0]));
  }
}
template <class T, int n>
__device__ __forceinline__ T pick(const T (&values)[n], int i) {
  if constexpr (n == 2) {
    return choose(i == 0, values[0], values[1]);
  } else {
    return choose(i < 2, choose(i == 0, values[0], values[1]), choose(i == 2, values[2], values[3]));
  }
}

// Of the rows that a lane has cells of, the one that it decides about. Of two rows to four lanes, neighbours have the same.
template <int kSteps>
__device__ __forceinline__ int own_row_of_lane() {
  const int member = static_cast<int>(threadIdx.x) % 4;
  return kHalves<kSteps> == 2 ? member : member / 2;
}

// The lowest of all centers for the lane's own row, from what four lanes have found of their rows.
template <int kSteps>
__device__ __forceinline__ LowestTwo lowest_of_own_row(const LowestTwo (&found)[kLaneRows<kSteps>][1]) {
  constexpr int kKept = kHalves<kSteps>;
  const bool upper = threadIdx.x % 4 / 2 != 0, odd = threadIdx.x % 2 != 0;
  LowestTwo kept[kKept];
#pragma unroll
  for (int i = 0; i < kKept; ++i) {
    kept[i] = choose(upper, found[i + kKept][0], found[i][0]);
    kept[i].merge(choose(upper, found[i][0], found[i + kKept][0]).of_lane(2));
  }
  LowestTwo own = choose(odd, kept[kKept - 1], kept[0]);
  own.merge(choose(odd, kept[0], kept[kKept - 1]).of_lane(1));
  return own;
}

// kTiles tiles of centers from first_tile on.
template <int kTiles, int kSteps>
__device__ __forceinline__ void scan_tiles(const RowTile<kSteps>& tile, const Fragment* fragments, const CenterPair* pairs, int first_tile,
                                           const float (&error)[kLaneRows<kSteps>], LowestTwo (&found)[kLaneRows<kSteps>][1]) {
  constexpr int kPairs = (kTiles + 1) / 2;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  TileSums<kHalves<kSteps>, kTiles> sums;
  sums.begin(pairs + first_tile * 4 + lane % 4, kTiles, error);
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    std::uint32_t a[kHalves<kSteps>][4];
    Fragment centers[kPairs];
#pragma unroll
    for (int i = 0; i < 4 * kHalves<kSteps>; ++i) a[i / 4][i % 4] = tile.cell[i / 4][step][i % 4];
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair) centers[pair] = fragments[((first_tile / 2 + pair) * kSteps + step) * 32 + lane];
    sums.add(a, centers);
  }
  sums.offer(first_tile, kTiles, found);
}

// The two lowest bounds among the centers of this lane, for its rows.
template <int kSteps>
__device__ __forceinline__ void scan_model(const RowTile<kSteps>& tile, const Fragment* fragments, const CenterPair* pairs, int n_clusters,
                                           const float (&error)[kLaneRows<kSteps>], LowestTwo (&found)[kLaneRows<kSteps>][1]) {
  constexpr int kAtOnce = kHalves<kSteps> * kSteps < 6 ? 4 : 2;  // sums of more would take too many registers
  const int n_tiles = (n_clusters + 7) / 8;
  int at = 0;
  for (; at + kAtOnce <= n_tiles; at += kAtOnce) scan_tiles<kAtOnce>(tile, fragments, pairs, at, error, found);
  if (kAtOnce == 4 && n_tiles - at >= 2) {
    scan_tiles<2>(tile, fragments, pairs, at, error, found);
    at += 2;
  }
  if (at < n_tiles) scan_tiles<1>(tile, fragments, pairs, at, error, found);
}

// The label of the lane's own row under model m. rows: of the tile; counts: whether that row does.
template <class Block>
__device__ __forceinline__ int label_own_row(const Block& block, const RowTile<Block::kSteps>& tile, const float* rows, bool counts, int m,
                                             OpenTally& tally) {
  constexpr int kSteps = Block::kSteps;
  const Sweep& sweep = block.sweep;
  const TensorModel model = sweep.tensor.models[m];
  const TensorModel& first = sweep.tensor.models[sweep.first_model];
  const CenterPair* const pairs = block.pairs + (model.pairs - first.pairs);
  const int n_clusters = sweep.models[m].n_clusters, lane = static_cast<int>(threadIdx.x) % 32;
  float error[kLaneRows<kSteps>];
  LowestTwo found[kLaneRows<kSteps>][1];
  clear(found);
#pragma unroll
  for (int i = 0; i < kLaneRows<kSteps>; ++i) error[i] = bound_error(model, tile.norms[i]);
  scan_model(tile, block.fragments + (model.fragments - first.fragments), pairs, n_clusters, error, found);
  const LowestTwo top = lowest_of_own_row<kSteps>(found);
  const int own = own_row_of_lane<kSteps>();
  const float limit = upper_bound(sweep.tensor, pick(tile.norms, own), pick(error, own), top.best, norm_of(pairs, top.index));
  int label = top.index;
  for (unsigned rest = __ballot_sync(kAllLanes, counts && !(top.second > limit)); rest != 0; rest &= rest - 1) {
    const int owner = __ffs(static_cast<int>(rest)) - 1, i = __shfl_sync(kAllLanes, own, owner);
    const float limit_of_row = __shfl_sync(kAllLanes, limit, owner);
    const OpenCenters open(OpenCode::of(pick(found, i), limit_of_row), owner / 4 * 4, 1, 1, n_clusters);
    const float* const x = rows + (owner / 4 + 8 * i) * sweep.shape.n_columns;
    const int decided = decide<2>(x, sweep.centers_of(m), open, sweep.certain_ratio, sweep.certain_underflow, tally);
    if (lane == owner) label = decided;
  }
  return label;
}

// All models for one tile, whose first `skipped` rows another tile has counted.
template <class Block>
__device__ __forceinline__ void sweep_tile(const Block& block, const RowTile<Block::kSteps>& tile, int first_row, int skipped,
                                           OpenTally& tally) {
  constexpr int kSteps = Block::kSteps;
  const Sweep& sweep = block.sweep;
  const int lane = static_cast<int>(threadIdx.x) % 32, own_row = lane / 4 + 8 * own_row_of_lane<kSteps>();
  const bool owner = kHalves<kSteps> == 2 || lane % 2 == 0;  // of two lanes with the same row
  const float* const rows = sweep.tile.x + std::int64_t{first_row} * sweep.shape.n_columns;
  const std::int32_t* const weight = Block::kWeighted ? sweep.weight + first_row : nullptr;
  const int own_weight = Block::kWeighted ? weight[own_row] : 1;
  const bool counts = owner && own_row >= skipped && own_weight > 0;
  for (int m = sweep.first_model; m < sweep.first_model + sweep.n_models; ++m) {
    const PackedModel& model = sweep.models[m];
    const int before = counts ? label_before(sweep, model, first_row + own_row) : kNoLabel;
    const int label = label_own_row(block, tile, rows, counts, m, tally);
    const bool moves = counts && label != before;
    const unsigned all = __ballot_sync(kAllLanes, moves);
    if (all == 0) continue;
    if (moves) {
      keep_label(sweep, model, first_row + own_row, label);
      const int place = __popc(all & ((1u << lane) - 1));
      block.moves.row[place] = own_row;
      block.moves.to[place] = block.sums.count_row(model, label, own_weight, 1);
      block.moves.from[place] = block.sums.count_row(model, before, own_weight, -1);
    }
    const int n_moves = block.moves.round_up(sweep.shape, __popc(all), lane, block.sums.nowhere());
    __syncwarp();
    move_rows(block.sums, model, block.moves, rows, weight, 0, n_moves, 4 * (32 >> sweep.shape.lanes_log));
    __syncwarp();
  }
}

// One block per multiprocessor, with what it has of shared memory and 128 registers a thread. The tile has kLeastNarrowRows rows at
// least: the last warp's rows begin earlier than the others' would, so that all of them exist.
template <int kSteps, bool kWeighted>
__global__ void __launch_bounds__(kNarrowThreads, 1) sweep_narrow_kernel(Sweep sweep) {
  SHARED_BYTES(memory);
  const NarrowMemory at(sweep.shape, sweep.n_pairs, sweep.group.n_clusters, sweep.group_cells, kSumWords<kWeighted>);
  const NarrowBlock<kSteps, kWeighted> block(sweep, at, reinterpret_cast<int*>(memory));
  prepare_narrow_block(block);
  __syncthreads();
  constexpr int kRows = kNarrowRows<kSteps>;
  const int n_tiles = (sweep.tile.n_rows - 1) / kRows + 1, step = static_cast<int>(gridDim.x) * kNarrowWarps;
  OpenTally tally;
  for (int i = static_cast<int>(blockIdx.x) * kNarrowWarps + static_cast<int>(threadIdx.x) / 32; i < n_tiles; i += step) {
    const int first_row = min(i * kRows, sweep.tile.n_rows - kRows);
    RowTile<kSteps> tile;
    const float* const rows = sweep.tile.x + std::int64_t{first_row} * sweep.shape.n_columns;
    load_tile<kSteps>(rows, sweep.shape.n_columns, block.shift, sweep.tensor.scale, tile);
    sweep_tile(block, tile, first_row, i * kRows - first_row, tally);
  }
  if (threadIdx.x % 32 == 0) {
    atomic_add(&sweep.rechecked[0], tally.rechecked);
    atomic_add(&sweep.rechecked[1], tally.exact);
  }
  __syncthreads();
  block.sums.close();
}

}  // namespace coterie::COTERIE_GPU
