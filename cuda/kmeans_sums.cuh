// What a launch of the k-means sweep works with, and how labelled rows become sums: q = x / step by integer atomics, in words of shared
// memory that wrap into others (wide_words.cuh), or straight into the sums of the device, for models too large for that. Nothing
// depends on the order of the atomics, because integers do not.
#pragma once

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
  int first_model, n_models;   // of this launch
  int n_pairs;                 // of tiles of their centers
  PackedModel group;           // where this launch's models begin, and in n_clusters all of theirs
  std::int64_t group_cells;
  bool shared_sums;       // whether the sums of the group are in shared memory
  std::int64_t* sums;     // (3, n_cells) limbs of 2^0, 2^16 and 2^32 of the sums of w * q
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

// Where the sums of a block lie in shared memory, as offsets in 4-byte words from `first`, every one a multiple of 4.
struct SumsMemory {
  int sums, weights, rows, words;

  // n_columns more than the cells of the group: where rows go that do not count.
  __host__ __device__ SumsMemory(int first, int n_clusters, std::int64_t group_cells, int n_columns, int sum_words) {
    const auto up = [](std::int64_t n) { return static_cast<int>((n + 3) / 4 * 4); };
    sums = first;
    weights = sums + up(sum_words * (group_cells + n_columns));
    rows = weights + up(sum_words > 2 ? std::int64_t{3} * n_clusters : 0);
    words = rows + up(n_clusters);
  }
};

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

  // Counts a row of weight w, or none, and returns where its cells go.
  __device__ int count_row(const PackedModel& model, int label, bool counts, int w) const {
    if (!counts) return static_cast<int>(sweep.group_cells);
    const int cluster = model.clusters - sweep.group.clusters + label;
    atomicAdd(&rows[cluster], 1);
    if constexpr (kWeighted) add_wide(&weights[cluster], sweep.group.n_clusters, w);
    return static_cast<int>(model.cells - sweep.group.cells) + label * sweep.shape.n_columns;
  }

  // By one warp; every group of lanes with 1 / groups of the rows, kAtOnce at a time. x: (n_rows, n_columns); cells_of_rows, weight:
  // (n_rows), the former at a multiple of 16 bytes; n_rows: a multiple of kAtOnce * groups.
  template <int kAtOnce>
  __device__ __forceinline__ void add_rows(const float* x, const int* cells_of_rows, const std::int32_t* weight, int n_rows) const {
    const int d = sweep.shape.n_columns, lanes_log = sweep.shape.lanes_log, lane = static_cast<int>(threadIdx.x) % 32;
    const int own_rows = n_rows >> (5 - lanes_log), first = (lane >> lanes_log) * own_rows;
    for (int j = lane & ((1 << lanes_log) - 1); j < d; j += 1 << lanes_log) {
      const float scale = sweep.scale[j];
      int* const of_column = sums + j;
      const float* cell = x + first * d + j;
      for (int row = first; row < first + own_rows; row += kAtOnce) {
        int* sum[kAtOnce];
        int q[kAtOnce];
#pragma unroll
        for (int i = 0; i < kAtOnce; i += 4) {
          const int4 cells = *reinterpret_cast<const int4*>(cells_of_rows + row + i);
          sum[i] = of_column + cells.x, sum[i + 1] = of_column + cells.y, sum[i + 2] = of_column + cells.z,
          sum[i + 3] = of_column + cells.w;
        }
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i, cell += d) q[i] = __float2int_rn(*cell * scale);
        if constexpr (kWeighted) {
#pragma unroll
          for (int i = 0; i < kAtOnce; ++i) add_wide(sum[i], n_sums, std::int64_t{weight[row + i]} * q[i]);
        } else {
          add_words(sum, q);
        }
      }
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
      if (high != 0) atomic_add(sum + 2 * sweep.n_cells, high);
    }
    for (int i = static_cast<int>(threadIdx.x); i < sweep.group.n_clusters; i += static_cast<int>(blockDim.x)) {
      if (rows[i] == 0) continue;
      atomic_add(&sweep.rows[sweep.group.clusters + i], rows[i]);
      const std::int64_t high = kWeighted ? at_32(weights + i, sweep.group.n_clusters) : 0;
      atomic_add(&sweep.weights[sweep.group.clusters + i], kWeighted ? weights[i] + high * (std::int64_t{1} << 32) : rows[i]);
    }
  }

 private:
  // The atomics first, then what the few that wrapped carry.
  template <int n>
  __device__ __forceinline__ void add_words(int* const (&sum)[n], const int (&q)[n]) const {
    int wrap[n], any = 0;
#pragma unroll
    for (int i = 0; i < n; ++i) {
      wrap[i] = wraps(atomicAdd(sum[i], q[i]), q[i]);
      any |= wrap[i];
    }
    if (any >= 0) return;
#pragma unroll
    for (int i = 0; i < n; ++i)
      if (wrap[i] < 0) atomicAdd(sum[i] + n_sums, q[i] < 0 ? -1 : 1);
  }
};

// The same straight into the sums of the device.
template <bool kWeighted>
struct DeviceSums {
  static constexpr int kSkip = -1;
  const Sweep& sweep;

  // Returns the first cell of the cluster, or kSkip.
  __device__ int count_row(const PackedModel& model, int label, bool counts, int w) const {
    if (!counts) return kSkip;
    atomic_add(&sweep.weights[model.clusters + label], w);
    atomic_add(&sweep.rows[model.clusters + label], 1);
    return static_cast<int>(model.cells) + label * sweep.shape.n_columns;
  }

  __device__ __forceinline__ void add_rows(const float* x, const int* cells_of_rows, const std::int32_t* weight, int n_rows) const {
    const int d = sweep.shape.n_columns, lanes_log = sweep.shape.lanes_log, lane = static_cast<int>(threadIdx.x) % 32;
    for (int j = lane & ((1 << lanes_log) - 1); j < d; j += 1 << lanes_log) {
      const float scale = sweep.scale[j];
#pragma unroll 4
      for (int row = lane >> lanes_log; row < n_rows; row += 32 >> lanes_log) {
        const int cell = cells_of_rows[row], q = __float2int_rn(x[row * d + j] * scale);
        if (cell == kSkip) continue;
        std::int64_t* const sum = sweep.sums + cell + j;
        if constexpr (kWeighted) {  // without weights a product fits in the first limb, where it may be negative
          const std::int64_t product = std::int64_t{weight[row]} * q;
          atomic_add(sum, product & 0xffffffff);
          atomic_add(sum + 2 * sweep.n_cells, product >> 32);
        } else {
          atomic_add(sum, q);
        }
      }
    }
  }
};

}  // namespace coterie::COTERIE_GPU
