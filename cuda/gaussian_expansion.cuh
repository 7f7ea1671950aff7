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

struct ExpandedShape {
  int n_steps, n_tiles;         // of DeviceExpansion
  int strips;                   // 2: the next one is on its way while one is worked on; 1: other blocks work in the meantime
  int stride;                   // floats from row to row of a strip
  int responsibilities_stride;  // words from pair to pair of rows; of both, 8 neighbours in every other row meet no bank twice
  int copy_bytes;               // 16, 8 or 4: what divides a row
  int copy_lanes;               // that copy a row: a power of two up to 32
  int column_bits;              // of the number of a warp that choose 16 columns in ExpandedPiece
  int component_bits;           // that choose 32 components

  ExpandedShape() = default;
  ExpandedShape(int n_components, int n_columns, int n_strips)
      : n_steps((n_columns + 2 * kExpandedColumns - 1) / (2 * kExpandedColumns) * 2),
        n_tiles((n_components + kTileColumns - 1) / kTileColumns),
        strips(n_strips),
        stride(n_steps * kExpandedColumns + 4),
        responsibilities_stride((n_components + 15) / 16 * 16 + 4),
        copy_bytes(n_columns % 4 == 0   ? 16
                   : n_columns % 2 == 0 ? 8
                                        : 4),
        copy_lanes(1),
        column_bits(0),
        component_bits(n_components > 32 ? 1 : 0) {
    while (copy_lanes < 32 && copy_lanes * copy_bytes < 4 * n_columns) copy_lanes *= 2;
    while (16 << column_bits < n_columns) ++column_bits;
  }
};

// Offsets into dynamic shared memory, in bytes, every one a multiple of 16.
struct ExpandedMemory {
  int fragments, strips, high, low, likelihoods, bytes;

  __host__ __device__ explicit ExpandedMemory(const ExpandedShape& shape) {
    fragments = 0;
    strips = fragments + shape.n_steps * shape.n_tiles * 32 * static_cast<int>(sizeof(ProductFragment));
    high = strips + shape.strips * kExpandedRows * shape.stride * 4;
    low = high + kExpandedRows / 2 * shape.responsibilities_stride * 4;
    likelihoods = low + kExpandedRows / 2 * shape.responsibilities_stride * 4;
    bytes = likelihoods + kStripThreads * static_cast<int>(sizeof(LikelihoodSums));
  }
};

// Starts the copy of what a row and the following ones have of a strip, as a group. x: (n_rows, n_columns).
template <int kBytes>
__device__ void copy_strip(const float* x, unsigned row, int n_rows, int n_columns, const ExpandedShape& shape, float* strip) {
  constexpr int kFloats = kBytes / 4;
  const int lanes = shape.copy_lanes, thread = static_cast<int>(threadIdx.x), rows_at_once = kStripThreads / lanes;
  const int n_there = row < static_cast<unsigned>(n_rows) ? min(n_rows - static_cast<int>(row), kExpandedRows) : 0;
  for (int j = thread % lanes * kFloats; j < n_columns; j += lanes * kFloats) {
    const float* from = x + (std::int64_t{row} + thread / lanes) * n_columns + j;
    float* to = strip + thread / lanes * shape.stride + j;
    for (int i = thread / lanes; i < n_there; i += rows_at_once, from += rows_at_once * n_columns, to += rows_at_once * shape.stride)
      copy_async<kBytes>(to, from);
  }
}

// w r 2^shift of a strip: of rows i and i + 8 of every 16, i < 8, in the halves of a word. Both (kExpandedRows / 2, stride).
struct Responsibilities {
  std::uint32_t *high, *low;
  int stride;
};

// Two words that one lane writes.
struct alignas(8) TwoWords {
  std::uint32_t word[2];
};

// density[t][2 h + i] becomes log (w N) of row lane / 4 + 8 h and component 8 t + 2 (lane % 4) + i. fragments: of e, in
// shared memory; rows: (16, stride).
__device__ inline void expand_densities(const DeviceExpansion& e, const ProductFragment* fragments, const float* rows, int stride,
                                        float (&density)[kMostExpandedTiles][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32, member = lane % 4;
#pragma unroll
  for (int t = 0; t < kMostExpandedTiles; ++t) {
#pragma unroll
    for (int i = 0; i < 4; ++i) density[t][i] = t < e.n_tiles ? e.constants[t * kTileColumns + 2 * member + i % 2] : 0.0f;
  }
  rows += lane / 4 * stride + 4 * member;
  fragments += lane;
#pragma unroll 1
  for (int first = 0; first < e.n_steps * kExpandedColumns; first += 2 * kExpandedColumns) {
    const Four<float> scale = load_four(e.scales + first + 4 * member), shift = load_four(e.shifts + first + 4 * member);
    Four<float> z[2] = {load_four(rows + first), load_four(rows + first + 8 * stride)};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      z[0].value[i] = multiply_add(z[0].value[i], scale.value[i], shift.value[i]);
      z[1].value[i] = multiply_add(z[1].value[i], scale.value[i], shift.value[i]);
    }
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      std::uint32_t high[4], low[4];
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const float a = z[h].value[2 * step], b = z[h].value[2 * step + 1];
        const HalfPair pair = split_pair(a, b), square = split_pair(a * a, b * b);
        high[h] = pair.high;
        low[h] = pair.low;
        high[2 + h] = square.high;
        low[2 + h] = square.low;
      }
#pragma unroll
      for (int t = 0; t < kMostExpandedTiles; ++t) {
        if (t < e.n_tiles) add_product(high, low, fragments[32 * t], density[t]);
      }
      fragments += 32 * e.n_tiles;
    }
  }
}

// density becomes r, by log-sum-exp over the lanes of rows lane / 4 + 8 h, and factor[h] what makes w r 2^shift of it.
__device__ inline void normalise_expanded(int n_tiles, float (&density)[kMostExpandedTiles][4], RowLikelihood<float> (&likelihood)[2],
                                          float (&sum)[2]) {
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float best = -static_cast<float>(__builtin_huge_val());
#pragma unroll
    for (int t = 0; t < kMostExpandedTiles; ++t) {
      if (t < n_tiles) best = max(best, max(density[t][2 * h], density[t][2 * h + 1]));
    }
    best = max(best, __shfl_xor_sync(kAllLanes, best, 1));
    best = max(best, __shfl_xor_sync(kAllLanes, best, 2));
    sum[h] = 0;
#pragma unroll
    for (int t = 0; t < kMostExpandedTiles; ++t) {
      if (t >= n_tiles) continue;
#pragma unroll
      for (int i = 2 * h; i < 2 * h + 2; ++i) {
        const float below = density[t][i] - best;
        density[t][i] = below >= kLogLeastResponsibility<float> ? exp_of(below) : 0.0f;
        sum[h] += density[t][i];
      }
    }
    sum[h] = add_lanes(sum[h], 1, 2);
    const float log_sum = log_of(sum[h]);
    likelihood[h] = {best + log_sum, -log_sum};
  }
}

// to: of the 16 rows of this warp; density times factor[h].
__device__ inline void store_responsibilities(int n_tiles, const float (&density)[kMostExpandedTiles][4], const float (&factor)[2],
                                              const Responsibilities& to) {
  const int lane = static_cast<int>(threadIdx.x) % 32, at = lane / 4 * to.stride + 2 * (lane % 4);
#pragma unroll
  for (int t = 0; t < kMostExpandedTiles; ++t) {
    if (t >= n_tiles) continue;
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
    const int warp = static_cast<int>(threadIdx.x) / 32;
    column = (warp & ((1 << shape.column_bits) - 1)) * 16;
    component = (warp >> shape.column_bits & ((1 << shape.component_bits) - 1)) * 32;
    slice = warp >> (shape.column_bits + shape.component_bits);
    slices = kStripWarps >> (shape.column_bits + shape.component_bits);
  }
  __device__ bool exists(const ExpandedShape& shape) const { return column < shape.n_steps * kExpandedColumns; }
};

// Sums over a block of rows, scaled. With lane = 4 group + member: of component 16 c + group + 8 (i / 2) of the piece,
// sum[4 c + 2 p] is for column 8 p + 2 member + i % 2 and sum[4 c + 2 p + 1] for its square, weight[c][i / 2] for ones.
struct ExpandedSums {
  float sum[8][4];
  float weight[2][2];

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < 32; ++i) sum[i / 4][i % 4] = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) weight[i / 2][i % 2] = 0;
  }
  // The first tile makes room for the others, and the last one becomes zero.
  __device__ void drop_tile() {
#pragma unroll
    for (int i = 0; i < 32; ++i) sum[i / 4][i % 4] = i < 28 ? sum[min(i / 4 + 1, 7)][i % 4] : 0.0f;
  }
};

// The left-hand side for 16 components and 16 rows. words: of Responsibilities, from the component and the 8 pairs on.
__device__ __forceinline__ void load_responsibilities(const std::uint32_t* words, int stride, std::uint32_t (&a)[4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
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
  cells += static_cast<int>(threadIdx.x) % 4 * 2 * stride;
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

// Adds a strip to the sums of a piece. r, strip: of the first row.
__device__ inline void add_expanded(const DeviceExpansion& e, const ExpandedPiece& piece, int n_components, const Responsibilities& r,
                                    const float* strip, int stride, ExpandedSums& sums) {
  const int column = piece.column + static_cast<int>(threadIdx.x) % 32 / 4;
  const float scale[2] = {e.scales[column], e.scales[column + 8]}, shift[2] = {e.shifts[column], e.shifts[column + 8]};
  const bool both = piece.component + 16 < n_components;
#pragma unroll 1
  for (int step = piece.slice; step < kExpandedRows / 16; step += piece.slices) {
    const int at = 8 * step * r.stride + piece.component;
    std::uint32_t high[2][4], low[2][4];
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      if (c == 1 && !both) continue;
      load_responsibilities(r.high + at + 16 * c, r.stride, high[c]);
      load_responsibilities(r.low + at + 16 * c, r.stride, low[c]);
      if (piece.column == 0) add_ones(high[c], low[c], sums.weight[c]);
    }
#pragma unroll
    for (int p = 0; p < 2; ++p) {
      ProductFragment of_column, of_square;
      load_features(strip + 16 * step * stride + column + 8 * p, stride, scale[p], shift[p], of_column, of_square);
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        if (c == 1 && !both) continue;
        add_product(high[c], low[c], of_column, sums.sum[4 * c + 2 * p]);
        add_product(high[c], low[c], of_square, sums.sum[4 * c + 2 * p + 1]);
      }
    }
  }
}

// Moves the sums of a block of rows to the statistics and clears them; slices meet there. factor: 2^-shift.
template <CovarianceType kType>
__device__ void close_expanded(const MixtureSums& to, const DeviceMixture<float>& mixture, const DeviceExpansion& e,
                               const ExpandedPiece& piece, double factor, ExpandedSums& sums) {
  const int lane = static_cast<int>(threadIdx.x) % 32, member = lane % 4, d = mixture.n_columns;
  const int first_component = piece.component + lane / 4, first_column = piece.column + 2 * member;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int component = first_component + 8 * i;
    if (piece.column == 0 && member == 0 && component < mixture.n_components)
      to.add_weight(component, static_cast<double>(sums.weight[i / 2][i % 2]) * factor);
    sums.weight[i / 2][i % 2] = 0;
  }
#pragma unroll 1  // it is long
  for (int at = 0; at < 8; ++at) {
    FixedPoint* cell[4];
    double quanta[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int component = first_component + at / 4 * 16 + i / 2 * 8, column = first_column + at % 4 / 2 * 8 + i % 2;
      const bool exists = component < mixture.n_components && column < d, is_square = at % 2 == 1;
      const double unit = exists ? static_cast<double>(e.units[column]) : 0.0, bound = exists ? to.per_bound[column] : 0.0;
      const bool of_component = kType == CovarianceType::spherical && is_square;
      cell[i] = (is_square ? to.second : to.first) + (of_component ? component : static_cast<std::int64_t>(component) * d + column);
      quanta[i] = static_cast<double>(sums.sum[0][i]) * factor * unit * (is_square ? unit : 1.0);
      quanta[i] *= of_component ? to.per_square : bound * to.per_weight * (is_square ? bound : 1.0);
    }
    add_quanta(cell, quanta);
    sums.drop_tile();
  }
}

}  // namespace coterie::COTERIE_GPU
