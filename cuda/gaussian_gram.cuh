// Second moments of a component over its listed rows, on tensor cores: with the panel Z = sqrt(r) (x - pivot), one row per member,
// they are Z^T Z, and Z^T sqrt(r) are the first ones. One set of fragments serves both sides.
//
// The panel is the sum of three bf16 parts h + m + l, which have the range of float32 and all of its bits; products below 2^-24 are
// left out, and every 16 rows the others leave the tensor cores, as in gaussian_whitening.cuh. A batch of members is on its way
// into shared memory while the one before is worked on, and of the next but one the places of its members.
#pragma once

#include "cuda/gaussian_moments.cuh"
#include "cuda/instructions/copy_async.hpp"
#include "cuda/instructions/half.hpp"
#include "cuda/instructions/mma.hpp"
#include "cuda/packed_whitening.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr int kSquare = 16;         // columns of a panel along either side of what a warp adds up: two products
inline constexpr int kSquaresPerWarp = 2;  // in registers
inline constexpr int kMostGramRows = 64;   // of a batch

// Columns of a panel over kStepRows members: of each part and 8 members a word per lane, as mma_bf16 takes right-hand sides. Words,
// because a left-hand side has those of two tiles, and in another order.
struct PanelTile {
  std::uint32_t word[3][2][32];
};

struct GramShape {
  int n_tiles = 0;     // of kTileColumns columns, even
  int rows = 0;        // of a batch, a multiple of kStepRows
  int stride = 0;      // floats from row to row: of 8 columns in every other row no two share a bank
  int copy_bytes = 0;  // 16, 8 or 4: what divides a row
  int copy_bits = 0;   // of the number of a thread that choose its place in a row
  int roots = 0;       // offsets in bytes after the two batches of rows
  int places = 0, panel = 0, bytes = 0;

  GramShape() = default;
  GramShape(int n_columns, int n_rows) : n_tiles(2 * product_pairs(n_columns)), rows(n_rows) {
    stride = n_tiles * kTileColumns + 4;
    copy_bytes = n_columns % 4 == 0 ? 16 : n_columns % 2 == 0 ? 8 : 4;
    while (copy_bits < 5 && copy_bytes << copy_bits < 4 * n_columns) ++copy_bits;
    roots = 2 * rows * stride * 4;
    places = roots + 2 * rows * 4;
    panel = places + 2 * rows * 2;
    bytes = panel + rows / kStepRows * n_tiles * static_cast<int>(sizeof(PanelTile));
  }
};

// Where the panel of a component comes from, in device memory.
struct GramSource {
  const float* x;            // (.., n_columns) of the block of rows
  const float* center;       // (n_columns)
  const float* pivots;       // (n_components, padded_columns) less center
  const std::uint16_t* row;  // (n_components, kBlockRows) members
  const float* root;         // (n_components, kBlockRows) of their weights
  const int* counts;         // (n_components) of members, in shared memory
  int n_components, n_columns, padded_columns;
};

// A batch of members: from `first` on, for the squares of a round.
struct GramBatch {
  int component, round, first, count;  // count: of the component

  __device__ static int rounds(const GramShape& shape) {
    const int edge = shape.n_tiles / 2;
    return (edge * (edge + 1) / 2 + kStripWarps * kSquaresPerWarp - 1) / (kStripWarps * kSquaresPerWarp);
  }
  __device__ GramBatch(const GramShape& shape, const GramSource& from) : component(-1), round(rounds(shape)), first(0), count(0) {
    advance(shape, from);
  }
  __device__ void advance(const GramShape& shape, const GramSource& from) {
    first += shape.rows;
    if (first < count) return;
    first = 0;
    if (++round < rounds(shape)) return;
    round = 0;
    do ++component;
    while (component < from.n_components && from.counts[component] == 0);
    count = exists(from) ? from.counts[component] : 0;
  }
  __device__ bool exists(const GramSource& from) const { return component < from.n_components; }
  __device__ int members(const GramShape& shape) const { return min(shape.rows, count - first); }
  __device__ int steps(const GramShape& shape) const { return (members(shape) + kStepRows - 1) / kStepRows; }
};

// The next squares of the lower triangle, of a warp: square s has rows 16 row[s] and columns 16 column[s] of the result.
struct GramSquares {
  int row[kSquaresPerWarp], column[kSquaresPerWarp];  // row -1: none
  int slice, slices;                                  // every so many-th 16 members; several where there are few squares

  __device__ GramSquares(const GramShape& shape, int round) {
    const int edge = shape.n_tiles / 2, n = edge * (edge + 1) / 2, warp = static_cast<int>(threadIdx.x / 32);
    slices = n > 2 ? (n > 4 ? 1 : 2) : kStripWarps;
    const int apart = min(kStripWarps, n);
    slice = warp / apart;
#pragma unroll
    for (int s = 0; s < kSquaresPerWarp; ++s) {
      int left = round * kStripWarps * kSquaresPerWarp + s * kStripWarps + warp % apart;
      const bool exists = left < n && slice < slices && (s == 0 || n > kStripWarps);
      row[s] = exists ? 0 : -1;
      while (exists && left > row[s]) left -= ++row[s];
      column[s] = left;
    }
  }
};

// Three bf16 parts of two numbers.
struct BfloatParts {
  std::uint32_t part[3];
};
__device__ __forceinline__ BfloatParts split_bfloats(float first, float second) {
  BfloatParts parts;
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    parts.part[i] = pack_bfloats(first, second);
    const float2 rounded = unpack_bfloats(parts.part[i]);
    first -= rounded.x;
    second -= rounded.y;
  }
  return parts;
}

// What the threads of a block share.
struct GramBlock {
  float* rows;            // (2, shape.rows, stride) x of members
  float* roots;           // (2, shape.rows)
  std::uint16_t* places;  // (2, shape.rows) of members in the block of rows
  PanelTile* panel;       // (steps, n_tiles)

  __device__ GramBlock(const GramShape& shape, std::byte* memory)
      : rows(reinterpret_cast<float*>(memory)),
        roots(reinterpret_cast<float*>(memory + shape.roots)),
        places(reinterpret_cast<std::uint16_t*>(memory + shape.places)),
        panel(reinterpret_cast<PanelTile*>(memory + shape.panel)) {}
};

// Starts the copy of the places of a batch's members, if there is one. places: (shape.rows)
__device__ inline void start_places(const GramShape& shape, const GramSource& from, const GramBatch& batch, std::uint16_t* places) {
  const int i = 2 * static_cast<int>(threadIdx.x);
  if (batch.exists(from) && i < batch.members(shape))
    copy_async<4>(places + i, from.row + std::int64_t{batch.component} * kBlockRows + batch.first + i);
}

// Starts the copies of a batch's rows, zeros where there is no member.
template <int kBytes>
__device__ void start_rows(const GramShape& shape, const GramSource& from, const GramBatch& batch, const std::uint16_t* places,
                           float* rows) {
  constexpr int kFloats = kBytes / 4;
  const int lanes = 1 << shape.copy_bits, lane = static_cast<int>(threadIdx.x) & (lanes - 1);
  const int n_there = batch.members(shape), n_filled = batch.steps(shape) * kStepRows;
  for (int i = static_cast<int>(threadIdx.x >> shape.copy_bits); i < n_filled; i += kStripThreads >> shape.copy_bits) {
    const float* const x = from.x + (i < n_there ? std::int64_t{places[i]} * from.n_columns : 0);
    for (int j = lane * kFloats; j < from.n_columns; j += lanes * kFloats)
      copy_async<kBytes>(rows + i * shape.stride + j, x + j, i < n_there);
  }
}

// The same, and of their roots, if there is a batch. places: there already.
__device__ inline void start_batch(const GramShape& shape, const GramSource& from, const GramBatch& batch, const std::uint16_t* places,
                                   float* rows, float* roots) {
  if (!batch.exists(from)) return;
  if (shape.copy_bytes == 16) {
    start_rows<16>(shape, from, batch, places, rows);
  } else if (shape.copy_bytes == 8) {
    start_rows<8>(shape, from, batch, places, rows);
  } else {
    start_rows<4>(shape, from, batch, places, rows);
  }
  const float* const root = from.root + std::int64_t{batch.component} * kBlockRows + batch.first;
  const int i = static_cast<int>(threadIdx.x), n_there = batch.members(shape);
  if (i < batch.steps(shape) * kStepRows) copy_async<4>(roots + i, i < n_there ? root + i : root, i < n_there);
}

// The panel of a batch. A lane makes what it will hold of a tile as a right-hand side: one column of four members.
__device__ inline void fill_panel(const GramShape& shape, const GramSource& from, const GramBatch& batch, const float* rows,
                                  const float* roots, const GramBlock& block) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const float* const pivots = from.pivots + std::int64_t{batch.component} * from.padded_columns;
  const int n = batch.steps(shape) * shape.n_tiles;
  for (int i = static_cast<int>(threadIdx.x / 32); i < n; i += kStripWarps) {
    const int column = i % shape.n_tiles * kTileColumns + lane / 4, first = i / shape.n_tiles * kStepRows + 2 * (lane % 4);
    const bool exists = column < from.n_columns;
    const float center = exists ? from.center[column] : 0.0f, pivot = exists ? pivots[column] : 0.0f;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float z[2];
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const int row = first + 8 * h + r;
        z[r] = exists ? (rows[row * shape.stride + column] - center - pivot) * roots[row] : 0.0f;
      }
      const BfloatParts parts = split_bfloats(z[0], z[1]);
#pragma unroll
      for (int part = 0; part < 3; ++part) block.panel[i].word[part][h][lane] = parts.part[part];
    }
  }
}

// sum += A B without the products below 2^-24, the smallest first; several right-hand sides at once.
template <int kRights>
__device__ __forceinline__ void add_bfloat_products(const std::uint32_t (&a)[3][4], const std::uint32_t (&b)[3][kRights][2],
                                                    float (&sum)[kRights][4]) {
  float product[kRights][4] = {};
#pragma unroll
  for (int order = 2; order >= 0; --order) {
#pragma unroll
    for (int part = order; part >= 0; --part) {
#pragma unroll
      for (int r = 0; r < kRights; ++r) mma_bf16(product[r], a[part], b[order - part][r]);
    }
  }
#pragma unroll
  for (int i = 0; i < 4 * kRights; ++i) sum[i / 4][i % 4] += product[i / 4][i % 4];
}

// Sums of a warp over the members of a component, and of its first warp all of the weight.
struct GramSums {
  float second[kSquaresPerWarp][2][4], first[kSquaresPerWarp][1][4];
  float weight;

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < 8 * kSquaresPerWarp; ++i) second[i / 8][i / 4 % 2][i % 4] = 0;
#pragma unroll
    for (int i = 0; i < 4 * kSquaresPerWarp; ++i) first[i / 4][0][i % 4] = 0;
    weight = 0;
  }
};

// Adds 16 members to one square. panel, roots: of these members.
__device__ __forceinline__ void add_square(const PanelTile* panel, const float* roots, int row, int column, float (&second)[2][4],
                                           float (&first)[1][4]) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  std::uint32_t a[3][4], b[3][2][2];
#pragma unroll
  for (int i = 0; i < 12; ++i) {
    a[i / 4][i % 4] = panel[2 * row + i % 2].word[i / 4][i / 2 % 2][lane];
    b[i / 4][i % 2][i / 2 % 2] = panel[2 * column + i % 2].word[i / 4][i / 2 % 2][lane];
  }
  add_bfloat_products(a, b, second);
  if (row != column) return;
  std::uint32_t of_roots[3][1][2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const float* const two = roots + 8 * h + 2 * (lane % 4);
    const BfloatParts parts = split_bfloats(two[0], two[1]);
#pragma unroll
    for (int i = 0; i < 3; ++i) of_roots[i][0][h] = parts.part[i];
  }
  add_bfloat_products(a, of_roots, first);
}

// Adds a batch whose panel is there.
__device__ __forceinline__ void add_batch(const GramShape& shape, const GramBatch& batch, const GramBlock& block, const float* roots,
                                          const GramSquares& squares, GramSums& sums) {
  const int n_steps = batch.steps(shape);
  for (int step = (squares.slice - batch.first / kStepRows) & (squares.slices - 1); step < n_steps; step += squares.slices) {
#pragma unroll
    for (int s = 0; s < kSquaresPerWarp; ++s) {
      if (squares.row[s] < 0) continue;
      add_square(block.panel + step * shape.n_tiles, roots + step * kStepRows, squares.row[s], squares.column[s], sums.second[s],
                 sums.first[s]);
    }
  }
  if (threadIdx.x >= 32 || batch.round > 0) return;
  const int n = batch.members(shape);
  for (int i = static_cast<int>(threadIdx.x); i < n; i += 32) sums.weight = multiply_add(roots[i], roots[i], sums.weight);
}

// Moves the sums of a component to the statistics.
__device__ inline void close_gram(const MixtureSums& to, const GramSource& from, const GramBatch& batch, const GramSquares& squares,
                                  const GramSums& sums) {
  const int lane = static_cast<int>(threadIdx.x % 32), d = from.n_columns;
  FixedPoint* const triangle = to.second + std::int64_t{batch.component} * (std::int64_t{d} * (d + 1) / 2);
#pragma unroll
  for (int s = 0; s < kSquaresPerWarp; ++s) {
    if (squares.row[s] < 0) continue;
    const int row = squares.row[s] * kSquare + lane / 4, column = squares.column[s] * kSquare + 2 * (lane % 4);
#pragma unroll
    for (int t = 0; t < 2; ++t) {
      FixedPoint* cell[4];
      double quanta[4];
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        const int i = row + 8 * (q / 2), j = column + 8 * t + q % 2;
        const bool exists = i < d && j <= i;
        cell[q] = triangle + std::int64_t{i} * (i + 1) / 2 + j;
        quanta[q] = exists ? static_cast<double>(sums.second[s][t][q]) * to.per_bound[i] * to.per_bound[j] * to.per_weight : 0.0;
      }
      add_quanta(cell, quanta);
    }
    if (squares.row[s] != squares.column[s] || lane % 4 != 0) continue;
#pragma unroll
    for (int h = 0; h < 2; ++h)
      if (row + 8 * h < d) to.add_first(batch.component, d, row + 8 * h, static_cast<double>(sums.first[s][0][2 * h]));
  }
  if (threadIdx.x >= 32 || batch.round > 0) return;
  const double weight = add_lanes(static_cast<double>(sums.weight));
  if (lane == 0) to.add_weight(batch.component, weight);
}

// The sums of all components over the members of a block of rows. All threads; begins with a barrier and ends with one.
__device__ inline void close_grams(const MixtureSums& to, const GramShape& shape, const GramSource& from, std::byte* memory) {
  const GramBlock block(shape, memory);
  const auto rows_of = [&](bool second) { return block.rows + (second ? shape.rows * shape.stride : 0); };
  const auto roots_of = [&](bool second) { return block.roots + (second ? shape.rows : 0); };
  const auto places_of = [&](bool second) { return block.places + (second ? shape.rows : 0); };
  __syncthreads();
  GramBatch batch(shape, from), next = batch;
  next.advance(shape, from);
  start_places(shape, from, batch, places_of(false));
  commit_copies();
  wait_copies<0>();
  __syncthreads();
  start_batch(shape, from, batch, places_of(false), rows_of(false), roots_of(false));
  start_places(shape, from, next, places_of(true));
  commit_copies();
  GramSums sums;
  sums.clear();
  for (bool second = false; batch.exists(from); second = !second) {
    GramBatch after = next;
    after.advance(shape, from);
    wait_copies<0>();
    __syncthreads();
    start_batch(shape, from, next, places_of(!second), rows_of(!second), roots_of(!second));
    start_places(shape, from, after, places_of(second));
    commit_copies();
    fill_panel(shape, from, batch, rows_of(second), roots_of(second), block);
    __syncthreads();
    const GramSquares squares(shape, batch.round);
    add_batch(shape, batch, block, roots_of(second), squares, sums);
    if (next.component != batch.component || next.round != batch.round) {
      close_gram(to, from, batch, squares, sums);
      sums.clear();
    }
    batch = next;
    next = after;
  }
  __syncthreads();
}

}  // namespace coterie::COTERIE_GPU
