// Expectation and maximisation of diagonal and spherical components on tensor cores, as two products of matrices. With the
// features F = (x, x^2) of the rows, both less the center:
//
//   log-densities   L = constants + F C          expanded squares, C of packed_expansion.hpp
//   sums            S = R^T F, R^T 1             R the weighted responsibilities
//
// All factors are sums of two fp16 numbers, and every product is that of 22 bits of gaussian_whitening.cuh. A step of L holds
// a column beside its square, so that what it adds is a squared distance again but for a constant: what cancels, cancels
// within the step. product_error() of host/gaussian_density.hpp says when the expanded form is good enough.
#pragma once

#include "cuda/gaussian_moments.cuh"
#include "cuda/gaussian_whitening.cuh"
#include "cuda/instructions/copy_async.hpp"
#include "cuda/packed_expansion.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr int kExpandedRows = 16 * kStripWarps;  // of a strip: a warp has the left-hand side of one product

// Responsibilities in fp16: as large as its range allows, because below 2^-14 bits are lost. Weights have up to 24 bits.
inline constexpr int kShiftOfOnes = 15, kShiftOfWeights = -9;

// Sums of one thread that are not worth a register.
struct OwnSums {
  LikelihoodSums likelihood;
  Four<float> weights;  // value[2 c + i] of component 16 c + lane / 4 + 8 i of its piece
};

// Offsets into dynamic shared memory, in bytes, every one a multiple of 16.
struct ExpandedMemory {
  int fragments, columns, strips, high, low, own, bytes;
};

struct ExpandedShape {
  int n_steps = 0, n_tiles = 0;     // as DeviceExpansion
  int strips = 0;                   // 2: the next one is on its way while one is worked on; 1: other blocks work in the meantime
  int stride = 0;                   // floats from row to row of a strip
  int responsibilities_stride = 0;  // words from pair to pair of rows; of both, 8 neighbours in every other row meet no bank twice
  int copy_bytes = 0;               // 16, 8 or 4: what divides a row
  int copy_bits = 0;                // of the number of a thread that choose its place in a row
  int column_bits = 0;              // of the number of a warp that choose 16 columns in ExpandedPiece
  int component_bits = 0;           // that choose 32 components
  ExpandedMemory at{};

  ExpandedShape() = default;
  ExpandedShape(int n_components, int n_columns, int n_strips)
      : n_steps(expanded_steps(n_columns)), n_tiles(expanded_tiles(n_components)), strips(n_strips) {
    stride = n_steps * kExpandedColumns + 4;
    responsibilities_stride = max(16, n_tiles * kTileColumns) + 4;
    copy_bytes = n_columns % 4 == 0 ? 16 : n_columns % 2 == 0 ? 8 : 4;
    while (copy_bits < 5 && copy_bytes << copy_bits < 4 * n_columns) ++copy_bits;
    while (16 << column_bits < n_columns) ++column_bits;
    component_bits = n_tiles * kTileColumns > 32 ? 1 : 0;
    const int of_responsibilities = kExpandedRows / 2 * responsibilities_stride * 4;
    at.columns = n_steps * n_tiles * 32 * static_cast<int>(sizeof(ProductFragment));
    at.strips = at.columns + 2 * n_steps * kExpandedColumns * 4;
    at.high = at.strips + strips * kExpandedRows * stride * 4;
    at.low = at.high + of_responsibilities;
    at.own = at.low + of_responsibilities;
    at.bytes = at.own + kStripThreads * static_cast<int>(sizeof(OwnSums));
  }
};

// Starts the copy of what a row and the following ones have of a strip, as a group. x: (n_rows, n_columns).
template <int kBytes>
__device__ void copy_strip(const float* x, unsigned row, int n_rows, int n_columns, const ExpandedShape& shape, float* strip) {
  constexpr int kFloats = kBytes / 4;
  const auto first = static_cast<int>(threadIdx.x >> shape.copy_bits);
  const int lanes = 1 << shape.copy_bits, place = static_cast<int>(threadIdx.x) & (lanes - 1), step = kStripThreads >> shape.copy_bits;
  const int n_there = row < static_cast<unsigned>(n_rows) ? min(n_rows - static_cast<int>(row), kExpandedRows) : 0;
  for (int j = place * kFloats; j < n_columns; j += lanes * kFloats) {
    const float* from = x + (std::int64_t{row} + first) * n_columns + j;
    float* to = strip + first * shape.stride + j;
    for (int i = first; i < n_there; i += step, from += step * n_columns, to += step * shape.stride) copy_async<kBytes>(to, from);
  }
}

// w r 2^shift of a strip: of rows i and i + 8 of every 16, i < 8, in the halves of a word. Both (kExpandedRows / 2, stride).
struct Responsibilities {
  std::uint32_t *high, *low;
  int stride;
};

// What the threads of a block share.
struct ExpandedBlock {
  ProductFragment* fragments;  // of DeviceExpansion
  Four<float>* columns;        // (n_steps * kExpandedColumns / 4, 2) its scales and shifts
  float* strips;               // (strips, kExpandedRows, stride)
  Responsibilities r;
  OwnSums* own;

  __device__ ExpandedBlock(const ExpandedShape& shape, std::byte* memory) {
    const ExpandedMemory& at = shape.at;
    fragments = reinterpret_cast<ProductFragment*>(memory + at.fragments);
    columns = reinterpret_cast<Four<float>*>(memory + at.columns);
    strips = reinterpret_cast<float*>(memory + at.strips);
    r = {reinterpret_cast<std::uint32_t*>(memory + at.high), reinterpret_cast<std::uint32_t*>(memory + at.low),
         shape.responsibilities_stride};
    own = reinterpret_cast<OwnSums*>(memory + at.own) + threadIdx.x;
  }

  // All threads; ends with a barrier.
  __device__ void fill(const ExpandedShape& shape, const DeviceExpansion& e) const {
    const int thread = static_cast<int>(threadIdx.x), n_columns = shape.n_steps * kExpandedColumns;
    for (int i = thread; i < shape.n_steps * shape.n_tiles * 32; i += kStripThreads) fragments[i] = e.fragments[i];
    for (int i = thread; i < n_columns; i += kStripThreads) {
      columns[i / 4 * 2].value[i % 4] = e.scales[i];
      columns[i / 4 * 2 + 1].value[i % 4] = e.shifts[i];
    }
    for (int i = thread; i < shape.strips * kExpandedRows * shape.stride; i += kStripThreads) strips[i] = 0;
    for (int i = thread; i < kExpandedRows / 2 * r.stride; i += kStripThreads) r.high[i] = r.low[i] = 0;
    *own = {};
    __syncthreads();
  }
};

// Two words that one lane writes.
struct alignas(8) TwoWords {
  std::uint32_t word[2];
};
// And two that it reads.
struct alignas(8) TwoFloats {
  float value[2];
};
__device__ inline TwoFloats load_two(const float* from) { return *reinterpret_cast<const TwoFloats*>(from); }

// density[t][2 h + i] becomes log (w N) of row lane / 4 + 8 h and component 8 t + 2 (lane % 4) + i. rows: (16, stride).
template <int kTiles>
__device__ void expand_densities(const DeviceExpansion& e, const ExpandedBlock& block, const float* rows, int stride,
                                 float (&density)[kTiles][4]) {
  const int lane = static_cast<int>(threadIdx.x % 32), member = lane % 4;
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
#pragma unroll
    for (int i = 0; i < 4; ++i) density[t][i] = e.constants[t * kTileColumns + 2 * member + i % 2];
  }
  rows += lane / 4 * stride + 2 * member;
  const ProductFragment* fragments = block.fragments + lane;
  const float* columns = block.columns->value + member / 2 * 8 + member % 2 * 2;
#pragma unroll 1  // registers are short
  for (int step = e.n_steps; step > 0; --step, rows += kExpandedColumns, columns += 2 * kExpandedColumns, fragments += 32 * kTiles) {
    std::uint32_t high[1][4], low[1][4];
    const TwoFloats scale = load_two(columns), shift = load_two(columns + 4);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const TwoFloats x = load_two(rows + 8 * h * stride);
      const float a = multiply_add(x.value[0], scale.value[0], shift.value[0]);
      const float b = multiply_add(x.value[1], scale.value[1], shift.value[1]);
      const HalfPair pair = split_pair(a, b), square = split_pair(a * a, b * b);
      high[0][h] = pair.high;
      low[0][h] = pair.low;
      high[0][2 + h] = square.high;
      low[0][2 + h] = square.low;
    }
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      const ProductFragment b[1] = {fragments[32 * t]};
      add_products(high, low, b, [&](int, int) -> float(&)[4] { return density[t]; });
    }
  }
}

// Through powers of two, which the device has: of a ratio r that errs by 2^-24 r log r more, below what log-densities err by.
template <int kTiles>
__device__ void normalise_expanded(float (&density)[kTiles][4], RowLikelihood<float> (&likelihood)[2], float (&sum)[2]) {
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    constexpr float kLogTwoE = 1.44269504f;
    float best = -static_cast<float>(__builtin_huge_val());
#pragma unroll
    for (int t = 0; t < kTiles; ++t) best = max(best, max(density[t][2 * h], density[t][2 * h + 1]));
    best = max(best, __shfl_xor_sync(kAllLanes, best, 1));
    best = max(best, __shfl_xor_sync(kAllLanes, best, 2));
    sum[h] = 0;
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
#pragma unroll
      for (int i = 2 * h; i < 2 * h + 2; ++i) {
        const float below = density[t][i] - best, ratio = ::exp2f(below * kLogTwoE);
        density[t][i] = below >= kLogLeastResponsibility<float> ? ratio : 0.0f;
        sum[h] += density[t][i];
      }
    }
    sum[h] = add_lanes(sum[h], 1, 2);
    const float log_sum = log_of(sum[h]);
    likelihood[h] = {best + log_sum, -log_sum};
  }
}

// to: of the 16 rows of this warp; density times factor[h].
template <int kTiles>
__device__ void store_responsibilities(const float (&density)[kTiles][4], const float (&factor)[2], const Responsibilities& to) {
  const int lane = static_cast<int>(threadIdx.x % 32), at = lane / 4 * to.stride + 2 * (lane % 4);
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
    TwoWords high, low;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const HalfPair pair = split_pair(density[t][i] * factor[0], density[t][2 + i] * factor[1]);
      high.word[i] = pair.high;
      low.word[i] = pair.low;
    }
    *reinterpret_cast<TwoWords*>(to.high + at + t * kTileColumns) = high;
    *reinterpret_cast<TwoWords*>(to.low + at + t * kTileColumns) = low;
  }
}

// A warp's share of the sums: 32 components, 16 columns, and every so many-th 16 rows of a strip. Bits of the warp's number say
// which, from the lowest on columns, components, rows; so it costs no registers.
struct ExpandedPiece {
  int component, column, slice;  // the first ones
  int slices;                    // 16 rows of a strip until the next ones

  __device__ explicit ExpandedPiece(const ExpandedShape& shape) {
    const int warp = static_cast<int>(threadIdx.x / 32);
    column = (warp & ((1 << shape.column_bits) - 1)) * 16;
    component = (warp >> shape.column_bits & ((1 << shape.component_bits) - 1)) * 32;
    slice = warp >> (shape.column_bits + shape.component_bits);
    slices = kStripWarps >> (shape.column_bits + shape.component_bits);
  }
  __device__ bool exists(const ExpandedShape& shape) const { return column < shape.n_steps * kExpandedColumns; }
};

// Sums over a block of rows, scaled. With lane = 4 group + member: of component 16 c + group + 8 (i / 2) of the piece,
// sum[4 c + 2 p] is for column 8 p + 2 member + i % 2 and sum[4 c + 2 p + 1] for its square.
struct ExpandedSums {
  float sum[8][4];

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < 32; ++i) sum[i / 4][i % 4] = 0;
  }
  // The first tile makes room for the others, and the last one becomes zero.
  __device__ void drop_tile() {
#pragma unroll
    for (int i = 0; i < 32; ++i) sum[i / 4][i % 4] = i < 28 ? sum[min(i / 4 + 1, 7)][i % 4] : 0.0f;
  }
};

// The left-hand side for 16 components and 16 rows. words: of Responsibilities, from the component and the 8 pairs on.
__device__ __forceinline__ void load_responsibilities(const std::uint32_t* words, int stride, std::uint32_t (&a)[4]) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const std::uint32_t* const from = words + lane % 4 * 2 * stride + lane / 4;
  a[0] = from[0];
  a[1] = from[8];
  a[2] = from[stride];
  a[3] = from[stride + 8];
}

// The right-hand sides for 16 rows, in the order of Responsibilities, and 8 columns: these and their squares. cells: of the
// first row and this lane's column.
__device__ __forceinline__ void load_features(const float* cells, int stride, float scale, float shift, ProductFragment& column,
                                              ProductFragment& square) {
  cells += static_cast<int>(threadIdx.x % 4) * 2 * stride;
#pragma unroll
  for (int i = 0; i < 2; ++i, cells += stride) {
    const float a = multiply_add(cells[0], scale, shift), b = multiply_add(cells[8 * stride], scale, shift);
    const HalfPair pair = split_pair(a, b), squares = split_pair(a * a, b * b);
    column.high[i] = pair.high;
    column.low[i] = pair.low;
    square.high[i] = squares.high;
    square.low[i] = squares.low;
  }
}

// weight += the sums of responsibilities, of which every column of the product is one.
__device__ __forceinline__ void add_ones(const std::uint32_t (&high)[4], const std::uint32_t (&low)[4], float (&weight)[2]) {
  constexpr std::uint32_t kOnes = 0x3c003c00;
  const std::uint32_t ones[2] = {kOnes, kOnes};
  float product[4] = {};
  mma_fp16(product, low, ones);
  mma_fp16(product, high, ones);
  weight[0] += product[0];
  weight[1] += product[2];
}

// Adds a strip to the sums of a piece, and its responsibilities to the weights where the columns are the first ones.
template <int kTiles>
__device__ void add_expanded(const ExpandedShape& shape, const ExpandedBlock& block, const float* strip, ExpandedSums& sums) {
  const ExpandedPiece piece(shape);
  if (!piece.exists(shape)) return;
  const int column = piece.column + static_cast<int>(threadIdx.x % 32) / 4;
  const Four<float>* const of_column = block.columns + column / 4 * 2;
  const float scale[2] = {of_column[0].value[column % 4], of_column[4].value[column % 4]};
  const float shift[2] = {of_column[1].value[column % 4], of_column[5].value[column % 4]};
  float weight[2][2] = {};
  constexpr int kHalves = kTiles > 2 ? 2 : 1;  // of the components of a piece
#pragma unroll 1
  for (int step = piece.slice; step < kExpandedRows / 16; step += piece.slices) {
    const int at = 8 * step * block.r.stride + piece.component;
    std::uint32_t high[kHalves][4], low[kHalves][4];
#pragma unroll
    for (int c = 0; c < kHalves; ++c) {
      load_responsibilities(block.r.high + at + 16 * c, block.r.stride, high[c]);
      load_responsibilities(block.r.low + at + 16 * c, block.r.stride, low[c]);
      if (piece.column == 0) add_ones(high[c], low[c], weight[c]);
    }
#pragma unroll
    for (int p = 0; p < 2; ++p) {
      ProductFragment b[2];
      load_features(strip + 16 * step * shape.stride + column + 8 * p, shape.stride, scale[p], shift[p], b[0], b[1]);
#pragma unroll
      for (int square = 0; square < 2; ++square) {
        const ProductFragment of_tile[1] = {b[square]};
        add_products(high, low, of_tile, [&](int c, int) -> float(&)[4] { return sums.sum[4 * c + 2 * p + square]; });
      }
    }
  }
  if (piece.column != 0) return;
#pragma unroll
  for (int i = 0; i < 4; ++i) block.own->weights.value[i] += weight[i / 2][i % 2];
}

// Moves the sums of a block of rows to the statistics and clears them; slices meet there. factor: 2^-shift.
__device__ inline void close_expanded(const MixtureSums& to, const DeviceExpansion& e, const ExpandedShape& shape, double factor,
                                      Four<float>& weights, ExpandedSums& sums) {
  const ExpandedPiece piece(shape);
  if (!piece.exists(shape)) return;
  const int lane = static_cast<int>(threadIdx.x % 32), member = lane % 4, d = e.n_columns;
  const int first_component = piece.component + lane / 4, first_column = piece.column + 2 * member;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int component = first_component + 8 * i;
    if (piece.column == 0 && member == 0 && component < e.n_components)
      to.add_weight(component, static_cast<double>(weights.value[i]) * factor);
    weights.value[i] = 0;
  }
#pragma unroll 1  // it is long
  for (int at = 0; at < 8; ++at) {
    FixedPoint* cell[4];
    double quanta[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int component = first_component + at / 4 * 16 + i / 2 * 8, column = first_column + at % 4 / 2 * 8 + i % 2;
      const bool exists = component < e.n_components && column < d, is_square = at % 2 == 1;
      const double unit = exists ? static_cast<double>(e.units[column]) : 0.0, bound = exists ? to.per_bound[column] : 0.0;
      const bool of_component = e.spherical && is_square;
      cell[i] = (is_square ? to.second : to.first) + (of_component ? component : static_cast<std::int64_t>(component) * d + column);
      quanta[i] = static_cast<double>(sums.sum[0][i]) * factor * unit * (is_square ? unit : 1.0);
      quanta[i] *= of_component ? to.per_square : bound * to.per_weight * (is_square ? bound : 1.0);
    }
    add_quanta(cell, quanta);
    sums.drop_tile();
  }
}

}  // namespace coterie::COTERIE_GPU
