// What a launch of the k-means sweep works with, and how labelled rows become sums: q = x / step, added to the center that a row has moved
// to and taken from the one it had before (sweep_memory.hpp), by integer atomics, in words of shared memory that wrap into others
// (wide_words.cuh), or straight in the sums of the device, for models too large for that. Nothing depends on the order of the atomics,
// because integers do not.
#pragma once

#include "cuda/kept_label.cuh"
#include "cuda/open_centers.cuh"
#include "cuda/packed_models.hpp"
#include "cuda/wide_words.cuh"

namespace coterie::COTERIE_GPU {

struct SweepShape {
  int n_columns, padded_columns;
  int steps;      // of kStepColumns columns
  int lanes_log;  // 2^lanes_log lanes add one row: 8 at least, up to 32
  int rows;       // of a block at a time, where its warps share them (wide_tile.cuh): a power of two
  int parts_log;  // 2^parts_log warps share a row then
};

struct TileRows {
  const float* x;  // (n_rows, n_columns)
  int n_rows;
};

struct Sweep {
  SweepShape shape;
  TileRows tile;
  const std::int32_t* weight;  // (n_rows), or nullptr
  const float* centers;        // of all models
  TensorCenters tensor;        // of all models
  const PackedModel* models;   // of all models
  KeptLabels labels;           // from the first row of the tile on
  int first_model, n_models;   // of this launch
  int n_pairs;                 // of tiles of their centers
  PackedModel group;           // where this launch's models begin, and in n_clusters all of theirs
  std::int64_t group_cells;
  bool shared_sums;       // whether the sums of the group are in shared memory
  std::int64_t* sums;     // (2, n_cells) limbs of 2^0 and 2^32 of the sums of w * q
  std::int64_t* weights;  // (n_clusters) sums of w
  std::int64_t* rows;     // (n_clusters) rows of positive weight
  std::int64_t n_cells;   // of all models
  const float* scale;     // (n_columns) q = x * scale
  float certain_ratio, certain_underflow;
  std::int64_t* rechecked;  // (2) as SweepTally

  __device__ CenterRows centers_of(int m) const { return {centers + models[m].centers, shape.n_columns, shape.padded_columns}; }
};

// Words of a sum of w * q with weights, and of q without.
template <bool kWeighted>
inline constexpr int kSumWords = kWeighted ? 3 : 2;

// Rows of a tile that change their center under one model, in shared memory: at multiples of 16 bytes.
struct Moves {
  int* row;        // of the tile
  int *to, *from;  // first cells of the centers

  // Fills up the `n` there are to whole turns of all lanes, with moves from nowhere to nowhere; by the first 16 threads of whoever calls.
  // Returns how many there are then.
  __device__ int round_up(const SweepShape& shape, int n, int thread, int nowhere) const {
    const int turn = 4 * (32 >> shape.lanes_log), all = (n + turn - 1) & -turn;
    if (thread < all - n) {
      row[n + thread] = 0;
      to[n + thread] = from[n + thread] = nowhere;
    }
    return all;
  }
};

inline constexpr int kNoLabel = -1;

// Of a row before this sweep.
__device__ inline int label_before(const Sweep& sweep, const PackedModel& model, int row) {
  const std::uint16_t* const place = model.labels.fresh ? nullptr : place_of_label(sweep.labels, model.labels.slot, row);
  return place != nullptr ? *place : kNoLabel;
}

__device__ inline void keep_label(const Sweep& sweep, const PackedModel& model, int row, int label) {
  std::uint16_t* const place = place_of_label(sweep.labels, model.labels.slot, row);
  if (place != nullptr) *place = static_cast<std::uint16_t>(label);
}

// Where the sums of a block lie in shared memory, as offsets in 4-byte words from `first`, every one a multiple of 4.
struct SumsMemory {
  int moves, sums, weights, rows, words;

  // n_moves: of all who list them. Where the group has cells: n_columns more of them, where nothing goes.
  __host__ __device__ SumsMemory(int first, int n_moves, int n_clusters, std::int64_t group_cells, int n_columns, int sum_words) {
    const auto up = [](std::int64_t n) { return static_cast<int>((n + 3) / 4 * 4); };
    moves = first;
    sums = moves + 3 * n_moves;
    weights = sums + up(group_cells > 0 ? sum_words * (group_cells + n_columns) : 0);
    rows = weights + up(sum_words > 2 ? std::int64_t{3} * n_clusters : 0);
    words = rows + up(n_clusters);
  }
};

// q = x / step of one column of four rows.
__device__ __forceinline__ void load_steps(const Sweep& sweep, const float* x, const int4& row, int j, int (&q)[4]) {
  const float scale = sweep.scale[j];
  const int rows[4] = {row.x, row.y, row.z, row.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) q[i] = __float2int_rn(x[rows[i] * sweep.shape.n_columns + j] * scale);
}

template <bool kWeighted>
struct BlockSums {
  const Sweep& sweep;
  int* sums;     // (kSumWords, n_sums)
  int n_sums;    // group_cells + n_columns
  int* weights;  // (3, group clusters), with weights
  int* rows;     // (group clusters)

  __device__ BlockSums(const Sweep& s, const SumsMemory& at, int* memory)
      : sweep(s),
        sums(memory + at.sums),
        n_sums(static_cast<int>(s.group_cells) + s.shape.n_columns),
        weights(memory + at.weights),
        rows(memory + at.rows) {}

  __device__ void clear() const {
    const auto fill = [](int* to, int n) {
      for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) to[i] = 0;
    };
    fill(sums, kSumWords<kWeighted> * n_sums);
    if (kWeighted) fill(weights, 3 * sweep.group.n_clusters);
    fill(rows, sweep.group.n_clusters);
  }

  __device__ int nowhere() const { return static_cast<int>(sweep.group_cells); }

  // Counts a row of weight w in (sign 1) or out (-1) of a cluster, and returns where its cells are.
  __device__ int count_row(const PackedModel& model, int label, int w, int sign) const {
    if (label == kNoLabel) return nowhere();
    const int cluster = model.clusters - sweep.group.clusters + label;
    atomicAdd(&rows[cluster], sign);
    if constexpr (kWeighted) add_wide(&weights[cluster], sweep.group.n_clusters, std::int64_t{sign} * w);
    return static_cast<int>(model.cells - sweep.group.cells) + label * sweep.shape.n_columns;
  }

  // Four rows times sign in one column, at the cells that count_row() gave. Without weights the atomics first, then what the few that
  // wrapped carry.
  __device__ __forceinline__ void add(const int4& row, const int4& cells, const std::int32_t* weight, int j, const int (&q)[4],
                                      int sign) const {
    int* const of_column = sums + j;
    int* const sum[4] = {of_column + cells.x, of_column + cells.y, of_column + cells.z, of_column + cells.w};
    if constexpr (kWeighted) {
      const int rows_of[4] = {row.x, row.y, row.z, row.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) add_wide(sum[i], n_sums, std::int64_t{sign} * weight[rows_of[i]] * q[i]);
    } else {
      int wrap[4], any = 0;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        wrap[i] = wraps(atomicAdd(sum[i], sign * q[i]), sign * q[i]);
        any |= wrap[i];
      }
      if (any >= 0) return;
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (wrap[i] < 0) atomicAdd(sum[i] + n_sums, sign * q[i] < 0 ? -1 : 1);
    }
  }

  // Adds all of it to the sums of the device; all threads.
  __device__ void close() const {
    const auto at_32 = [](const int* words, std::int64_t n_words) {
      return words[n_words] + (kWeighted ? std::int64_t{words[2 * n_words]} * (std::int64_t{1} << 32) : 0);
    };
    for (int i = static_cast<int>(threadIdx.x); i < static_cast<int>(sweep.group_cells); i += static_cast<int>(blockDim.x)) {
      std::int64_t* const sum = sweep.sums + sweep.group.cells + i;
      if (sums[i] != 0) atomic_add(sum, sums[i]);
      const std::int64_t high = at_32(sums + i, n_sums);
      if (high != 0) atomic_add(sum + sweep.n_cells, high);
    }
    for (int i = static_cast<int>(threadIdx.x); i < sweep.group.n_clusters; i += static_cast<int>(blockDim.x)) {
      const std::int64_t high = kWeighted ? at_32(weights + i, sweep.group.n_clusters) : 0;
      const std::int64_t weight = kWeighted ? weights[i] + high * (std::int64_t{1} << 32) : rows[i];
      if (rows[i] != 0) atomic_add(&sweep.rows[sweep.group.clusters + i], rows[i]);
      if (weight != 0) atomic_add(&sweep.weights[sweep.group.clusters + i], weight);
    }
  }
};

// The same straight into the sums of the device.
template <bool kWeighted>
struct DeviceSums {
  const Sweep& sweep;

  __device__ int nowhere() const { return -1; }

  __device__ int count_row(const PackedModel& model, int label, int w, int sign) const {
    if (label == kNoLabel) return nowhere();
    atomic_add(&sweep.weights[model.clusters + label], sign * w);
    atomic_add(&sweep.rows[model.clusters + label], sign);
    return static_cast<int>(model.cells) + label * sweep.shape.n_columns;
  }

  __device__ __forceinline__ void add(const int4& row, const int4& cells, const std::int32_t* weight, int j, const int (&q)[4],
                                      int sign) const {
    const int rows_of[4] = {row.x, row.y, row.z, row.w}, cell[4] = {cells.x, cells.y, cells.z, cells.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (cell[i] < 0) continue;
      std::int64_t* const sum = sweep.sums + cell[i] + j;
      if constexpr (kWeighted) {  // without weights a product fits in the first limb, where it may be negative
        const std::int64_t product = std::int64_t{sign} * weight[rows_of[i]] * q[i];
        atomic_add(sum, product & 0xffffffff);
        atomic_add(sum + sweep.n_cells, product >> 32);
      } else {
        atomic_add(sum, sign * q[i]);
      }
    }
  }
};

// Moves listed rows in BlockSums or DeviceSums, by one warp: four at a time, the turns of this warp from `first` on, every `step`. x:
// (n_rows, n_columns); weight: (n_rows).
template <class Sums>
__device__ __forceinline__ void move_rows(const Sums& sums, const PackedModel& model, const Moves& moves, const float* x,
                                          const std::int32_t* weight, int first, int n_moves, int step) {
  const SweepShape& shape = sums.sweep.shape;
  const auto four = [](const int* of, int i) { return *reinterpret_cast<const int4*>(of + i); };
  const int lane = static_cast<int>(threadIdx.x) % 32, own = first + 4 * (lane >> shape.lanes_log);
  for (int j = lane & ((1 << shape.lanes_log) - 1); j < shape.n_columns; j += 1 << shape.lanes_log) {
    for (int i = own; i < n_moves; i += step) {
      const int4 row = four(moves.row, i);
      int q[4];
      load_steps(sums.sweep, x, row, j, q);
      sums.add(row, four(moves.to, i), weight, j, q, 1);
      if (!model.labels.fresh) sums.add(row, four(moves.from, i), weight, j, q, -1);
    }
  }
}

}  // namespace coterie::COTERIE_GPU
