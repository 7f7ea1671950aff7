// Weighted Gram matrices of regressions: a block of threads takes a panel of columns by another one, at or before it, and walks through
// some hundreds or thousands of rows (gram_rows) with its cells of the triangle in registers, before they meet device memory. Cells are
// those of newton_sums.cuh, scaled, and a last column of ones; weights are the terms that it has left.
//
// Where the model allows, on tensor cores: cells t z and z are sums of two bf16 numbers, whose range no column leaves, and
// (th + tl) (zh + zl) = th zl + tl zh + th zh but for some 2^-17. Tensor cores cut what they add instead of rounding it, so products of
// 16 rows leave them and are added in float32, which rounds (Ootomo and Yokota 2022, Recovering single precision accuracy from
// tensor cores). Else in double (of wide rows in wide_gram.cuh, where there is cuBLAS). One cell belongs to one thread or warp, so nothing
// depends on which blocks run where.
#pragma once

#include "cuda/instructions/half.hpp"
#include "cuda/instructions/mma.hpp"
#include "cuda/newton_sums.cuh"

namespace coterie::COTERIE_GPU {

// One matrix.
struct GramTask {
  const double* term;      // (term_rows) weight of every row of the blocks that the terms are kept of
  std::int64_t every;      // blocks that count are multiples of it
  std::int64_t first_sum;  // of the triangle
};

// Those of one launch: blockIdx.z says which.
struct GramTasks {
  static constexpr int kMost = 16;
  GramTask task[kMost];
};

// The first columns of the two panels of a block of threads: pairs in the order of a triangle.
struct PanelPair {
  int left, right;
  __device__ explicit PanelPair(int panel) {
    const int pair = static_cast<int>(blockIdx.x);
    int a = 0;
    while ((a + 1) * (a + 2) / 2 <= pair) ++a;
    left = a * panel;
    right = (pair - a * (a + 1) / 2) * panel;
  }
};

// Rows that a block of threads takes: fewer where a triangle of their sums costs little, so that a sample of a few blocks keeps a device
// busy. Depends on the columns only, because every part of a block of rows is cut to whole quanta.
__host__ __device__ inline int gram_rows(int n_cells) {
  const int parts = n_cells <= 32 ? 8 : n_cells <= 128 ? 2 : 1;
  return static_cast<int>(kBlockRows) / parts;
}

// Those of blockIdx.y; n_rows <= 0: there are none.
struct GramBlock {
  std::int64_t first;
  int n_rows;
  const double* term;  // (n_rows)
  __device__ GramBlock(const NewtonRows& rows, const GramTask& task) {
    const int n = gram_rows(rows.n_cells), parts = static_cast<int>(kBlockRows) / n;
    const std::int64_t block = rows.first_of(task.every) + blockIdx.y / parts * task.every, at = blockIdx.y % parts * n;
    first = block * kBlockRows + at;
    n_rows = static_cast<int>(min(std::int64_t{n}, rows.n_rows - first));
    term = task.term + rows.term_at(block) + at;
  }
};

// Calls load(row, weights of kRows rows), then add(), for the rows of a block, kRows at a time; barriers lie between. The weights of the
// next rows are on their way meanwhile. All threads.
template <int kRows, class T, class Load, class Add>
__device__ __forceinline__ void for_each_panels(const GramBlock& block, T (&weights)[2][kRows], Load&& load, Add&& add) {
  const int own = static_cast<int>(threadIdx.x);
  const auto load_weights = [&](int row) {
    if (own < kRows) weights[row / kRows % 2][own] = row + own < block.n_rows ? static_cast<T>(block.term[row + own]) : T{0};
  };
  load_weights(0);
  for (int row = 0; row < block.n_rows; row += kRows) {
    __syncthreads();
    load(row, weights[row / kRows % 2]);
    load_weights(row + kRows);
    __syncthreads();
    add();
  }
}

// Cells of one column.
struct GramColumn {
  const float* x;  // of the first row
  int n_columns;
  bool is_cell, is_one;
  float center, scale;
  __device__ GramColumn(const NewtonRows& rows, std::int64_t first_row, int j) : n_columns(rows.n_cells - 1) {
    is_cell = j < n_columns;
    is_one = j == n_columns;
    x = rows.x + first_row * n_columns + (is_cell ? j : 0);
    center = is_cell ? rows.center[j] : 0.0f;
    scale = is_cell ? rows.scale[j] : 0.0f;
  }
  __device__ bool exists() const { return is_cell || is_one; }
  // Of a row that exists: what memory has, whatever the column, so that loads are under way together; and the cell that it makes.
  __device__ float load(int row) const { return x[row * n_columns]; }
  __device__ float cell(float loaded) const { return is_cell ? (loaded - center) * scale : is_one ? 1.0f : 0.0f; }
};

__device__ inline void add_cell(const NewtonRows& rows, const GramTask& task, int row, int column, double value) {
  if (row >= rows.n_cells || column > row) return;
  const std::int64_t sum = task.first_sum + NewtonModel::triangle(row) + column;
  add_quanta(rows.sums + sum, value * rows.per_quantum[sum]);
}

inline constexpr int kRoughPanel = 128;              // columns: 16 per warp on the left
inline constexpr int kRoughRows = 32;                // in shared memory at a time
inline constexpr int kRoughWords = kRoughPanel + 8;  // of a pair of rows, so that 4 pairs by 8 columns meet no bank twice
inline constexpr int kRoughTiles = kRoughPanel / 8;  // on the right

// Pairs of rows as bf16, the lower row in the lower half.
struct RoughPanel {
  static constexpr int kWords = kRoughRows * kRoughWords;
  std::uint32_t high[kRoughRows / 2][kRoughWords], low[kRoughRows / 2][kRoughWords];
};

__device__ inline void store_rough_pair(RoughPanel& panel, int pair, int at, float first, float second) {
  const std::uint32_t high = pack_bfloats(first, second);
  const float2 rounded = unpack_bfloats(high);
  panel.high[pair][at] = high;
  panel.low[pair][at] = pack_bfloats(first - rounded.x, second - rounded.y);
}

// panels: weight z and z of n_rows rows, zero beyond; columns that do not exist stay as they are. A thread has a column of every other
// pair. weight: (kRoughRows)
__device__ inline void load_rough_panels(const NewtonRows& rows, std::int64_t first_row, int n_rows, const PanelPair& first_columns,
                                         const float* weight, RoughPanel* panels) {
  const int at = static_cast<int>(threadIdx.x) % kRoughPanel;
  const GramColumn left(rows, first_row, first_columns.left + at), right(rows, first_row, first_columns.right + at);
  const bool is_diagonal = first_columns.left == first_columns.right;
  if (!left.exists() && !right.exists()) return;
  constexpr int kEvery = kStripThreads / kRoughPanel, kAtOnce = 2;  // pairs of a thread: more cost registers that spill
  for (int first = static_cast<int>(threadIdx.x) / kRoughPanel; first < kRoughRows / 2; first += kAtOnce * kEvery) {
    float a[2 * kAtOnce], b[2 * kAtOnce];
    const auto row_of = [&](int i) { return 2 * (first + i / 2 * kEvery) + i % 2; };
#pragma unroll
    for (int i = 0; i < 2 * kAtOnce; ++i) a[i] = left.load(min(row_of(i), n_rows - 1));
    if (!is_diagonal) {
#pragma unroll
      for (int i = 0; i < 2 * kAtOnce; ++i) b[i] = right.load(min(row_of(i), n_rows - 1));
    }
#pragma unroll
    for (int i = 0; i < 2 * kAtOnce; ++i) {
      const bool there = row_of(i) < n_rows;
      a[i] = there ? left.cell(a[i]) : 0.0f;
      b[i] = is_diagonal ? a[i] : there ? right.cell(b[i]) : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < 2 * kAtOnce; i += 2) {
      const int row = row_of(i);
      store_rough_pair(panels[0], row / 2, at, weight[row] * a[i], weight[row + 1] * a[i + 1]);
      store_rough_pair(panels[1], row / 2, at, b[i], b[i + 1]);
    }
  }
}

// words: (pairs of rows, kRoughWords) from 8 pairs and the first of 16 columns on.
__device__ inline void load_rough_left(const std::uint32_t (*words)[kRoughWords], int column, std::uint32_t (&a)[4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32, group = lane / 4, member = lane % 4;
#pragma unroll
  for (int i = 0; i < 4; ++i) a[i] = words[member + i / 2 * 4][column + group + i % 2 * 8];
}
__device__ inline void load_rough_right(const std::uint32_t (*words)[kRoughWords], int column, std::uint32_t (&b)[2]) {
  const int lane = static_cast<int>(threadIdx.x) % 32, group = lane / 4, member = lane % 4;
#pragma unroll
  for (int i = 0; i < 2; ++i) b[i] = words[member + i * 4][column + group];
}

// Adds 16 rows of the matrix, the warp's, by n_tiles of 8 columns. Two tiles take turns, because a product waits for the one before it.
__device__ inline void add_rough_products(const RoughPanel& left, const RoughPanel& right, int n_tiles, float (&sum)[kRoughTiles][4]) {
  const int column = static_cast<int>(threadIdx.x) / 32 * 16;
#pragma unroll 1
  for (int pair = 0; pair < kRoughRows / 2; pair += 8) {
    std::uint32_t high[4], low[4];
    load_rough_left(left.high + pair, column, high);
    load_rough_left(left.low + pair, column, low);
#pragma unroll
    for (int tile = 0; tile < kRoughTiles; tile += 2) {
      if (tile >= n_tiles) continue;
      std::uint32_t b_high[2][2], b_low[2][2];
#pragma unroll
      for (int t = 0; t < 2; ++t) {
        load_rough_right(right.high + pair, 8 * (tile + t), b_high[t]);
        load_rough_right(right.low + pair, 8 * (tile + t), b_low[t]);
      }
      float product[2][4] = {};
#pragma unroll
      for (int t = 0; t < 2; ++t) mma_bf16(product[t], high, b_low[t]);
#pragma unroll
      for (int t = 0; t < 2; ++t) mma_bf16(product[t], low, b_high[t]);
#pragma unroll
      for (int t = 0; t < 2; ++t) mma_bf16(product[t], high, b_high[t]);
#pragma unroll
      for (int t = 0; t < 2; ++t) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sum[tile + t][i] += product[t][i];
      }
    }
  }
}

// Half of a warp's sums on their way to neighbouring lanes, where the panels were. staged: (16, kStagedStride)
inline constexpr int kStagedColumns = kRoughPanel / 2, kStagedStride = kStagedColumns + 4;
static_assert(sizeof(RoughPanel[2]) >= sizeof(float) * kStripWarps * 16 * kStagedStride);
template <int kTiles>
__device__ void stage_rough_sums(const float (*sum)[4], float* staged) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i) staged[(lane / 4 + i / 2 * 8) * kStagedStride + 8 * tile + lane % 4 * 2 + i % 2] = sum[tile][i];
  }
}

// Grid: pairs of panels, which meet the same rows in the cache, by blocks of rows that count, by tasks.
__global__ void __launch_bounds__(kStripThreads, 2) add_rough_gram_kernel(NewtonRows rows, GramTasks tasks) {
  SHARED(panels, RoughPanel[2]);          // left and right
  SHARED(weights, float[2][kRoughRows]);  // of these rows and of the next
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const PanelPair at(kRoughPanel);
  const int own_row = at.left + 16 * warp;
  // Tiles that have cells at or below the diagonal.
  const int n_tiles = own_row >= rows.n_cells ? 0 : min(kRoughTiles, (min(own_row + 16, rows.n_cells) - at.right + 7) / 8);
  float sum[kRoughTiles][4] = {};
  const GramTask& task = tasks.task[blockIdx.z];
  const GramBlock block(rows, task);
  if (block.n_rows <= 0) return;
  for (int i = thread; i < 2 * RoughPanel::kWords; i += kStripThreads) reinterpret_cast<std::uint32_t*>(panels)[i] = 0;
  for_each_panels(
      block, weights,
      [&](int row, const float* weight) { load_rough_panels(rows, block.first + row, block.n_rows - row, at, weight, panels); },
      [&] { add_rough_products(panels[0], panels[1], n_tiles, sum); });
  __syncthreads();
  auto* const staged = reinterpret_cast<float*>(panels) + warp * 16 * kStagedStride;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (half * kStagedColumns / 8 >= n_tiles) continue;
    stage_rough_sums<kRoughTiles / 2>(&sum[half * kRoughTiles / 2], staged);
    __syncwarp();
    for (int i = lane; i < 16 * kStagedColumns; i += 32) {
      const int row = i / kStagedColumns, column = i % kStagedColumns;
      add_cell(rows, task, own_row + row, at.right + half * kStagedColumns + column,
               static_cast<double>(staged[row * kStagedStride + column]));
    }
    __syncwarp();
  }
}

inline constexpr int kGramSide = 4;      // cells of a tile, one thread's, in either direction
inline constexpr int kPreciseSide = 22;  // tiles of a panel: a triangle of them has one for each of 253 threads, a square two
inline constexpr int kPrecisePanel = kGramSide * kPreciseSide;
inline constexpr int kPreciseRows = 32;  // in shared memory at a time

struct alignas(16) Two {
  double value[2];
};
// The first two columns of all tiles, then the last two, so that neighbours of a tile lie in different banks.
struct PrecisePanel {
  Two cells[kPreciseRows][2][kPreciseSide];
};

// As load_rough_panels, but that all columns are stored. A thread has a column of every other row. weight: (kPreciseRows)
__device__ inline void load_precise_panels(const NewtonRows& rows, std::int64_t first_row, int n_rows, const PanelPair& first_columns,
                                           const double* weight, PrecisePanel* panels) {
  constexpr int kThreads = kStripThreads / 2;
  const int at = static_cast<int>(threadIdx.x) % kThreads;
  if (at >= kPrecisePanel) return;
  const GramColumn left(rows, first_row, first_columns.left + at), right(rows, first_row, first_columns.right + at);
  const bool is_diagonal = first_columns.left == first_columns.right;
  constexpr int kCells = 4;  // of either panel at a time: more cost registers that spill
  const auto load = [&](const GramColumn& column, int first, float(&cells)[kCells]) {
#pragma unroll
    for (int i = 0; i < kCells; ++i) cells[i] = column.load(min(first + 2 * i, n_rows - 1));
  };
  const auto place = [&](int panel, int row) -> double& { return panels[panel].cells[row][at % 4 / 2][at / 4].value[at % 2]; };
#pragma unroll 1
  for (int first = static_cast<int>(threadIdx.x) / kThreads; first < kPreciseRows; first += 2 * kCells) {
    float of_left[kCells], of_right[kCells] = {};
    load(left, first, of_left);
    if (!is_diagonal) load(right, first, of_right);
#pragma unroll
    for (int i = 0; i < kCells; ++i) {
      const int row = first + 2 * i;
      const double z = row < n_rows ? static_cast<double>(left.cell(of_left[i])) : 0.0;
      place(0, row) = weight[row] * z;
      place(1, row) = is_diagonal ? z : row < n_rows ? static_cast<double>(right.cell(of_right[i])) : 0.0;
    }
  }
}

// A tile of a pair of panels: rows of the matrix on the left.
struct GramTile {
  int left, right;  // in tiles
  bool exists;
  __device__ GramTile(const NewtonRows& rows, const PanelPair& at, int tile) {
    if (at.left == at.right) {
      left = 0;
      while ((left + 1) * (left + 2) / 2 <= tile) ++left;
      right = tile - left * (left + 1) / 2;
    } else {
      left = tile / kPreciseSide;
      right = tile % kPreciseSide;
    }
    exists = left < kPreciseSide && at.left + kGramSide * left < rows.n_cells;
  }
};

__device__ inline void add_precise_products(const PrecisePanel& left, const PrecisePanel& right, const GramTile& tile,
                                            double (&sum)[kGramSide][kGramSide]) {
#pragma unroll 2
  for (int row = 0; row < kPreciseRows; ++row) {
    const Two a[2] = {left.cells[row][0][tile.left], left.cells[row][1][tile.left]},
              b[2] = {right.cells[row][0][tile.right], right.cells[row][1][tile.right]};
#pragma unroll
    for (int i = 0; i < kGramSide; ++i) {
#pragma unroll
      for (int j = 0; j < kGramSide; ++j) sum[i][j] = fma(a[i / 2].value[i % 2], b[j / 2].value[j % 2], sum[i][j]);
    }
  }
}

// Grid as above.
__global__ void __launch_bounds__(kStripThreads, 2) add_precise_gram_kernel(NewtonRows rows, GramTasks tasks) {
  constexpr int kTiles = 2;  // of a thread
  SHARED(panels, PrecisePanel[2]);
  SHARED(weights, double[2][kPreciseRows]);  // those of the next rows are on their way
  // Few tiles leave warps idle: not the same ones of all blocks, because every fourth warp shares its double units.
  const int thread = static_cast<int>((threadIdx.x + 32 * (blockIdx.y % kStripWarps)) % kStripThreads);
  const PanelPair at(kPrecisePanel);
  const GramTile tiles[kTiles] = {{rows, at, thread}, {rows, at, thread + kStripThreads}};
  double sum[kTiles][kGramSide][kGramSide] = {};
  const GramTask& task = tasks.task[blockIdx.z];
  const GramBlock block(rows, task);
  if (block.n_rows <= 0) return;
  for_each_panels(
      block, weights,
      [&](int row, const double* weight) { load_precise_panels(rows, block.first + row, block.n_rows - row, at, weight, panels); },
      [&] {
#pragma unroll
        for (int t = 0; t < kTiles; ++t)
          if (tiles[t].exists) add_precise_products(panels[0], panels[1], tiles[t], sum[t]);
      });
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
    if (!tiles[t].exists) continue;
#pragma unroll
    for (int i = 0; i < kGramSide; ++i) {
#pragma unroll
      for (int j = 0; j < kGramSide; ++j)
        add_cell(rows, task, at.left + kGramSide * tiles[t].left + i, at.right + kGramSide * tiles[t].right + j, sum[t][i][j]);
    }
  }
}

}  // namespace coterie::COTERIE_GPU
