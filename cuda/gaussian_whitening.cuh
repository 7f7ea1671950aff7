// Log-densities of full covariances on tensor cores: y = P^T (x - center) - P^T mean for 32 rows and one component per warp.
//
// Rows and P are sums of two fp16 numbers, x = xh + xl and P = Ph + Pl; y = (xh Pl + xl Ph) + xh Ph, and xl Pl is below
// 2^-24. Tensor cores cut what they add instead of rounding it, so after every step of 16 rows of P the products leave them
// and are added in float32, which rounds (Ootomo and Yokota 2022, Recovering single precision accuracy from tensor cores).
// product_error() of host/gaussian_density.hpp says when this is good enough.
#pragma once

#include "cuda/gaussian_density.cuh"
#include "cuda/instructions/half.hpp"
#include "cuda/instructions/mma.hpp"
#include "cuda/packed_whitening.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr int kProductRows = 32;  // per warp and turn: two left-hand sides of 16 rows
inline constexpr int kTilesAtOnce = 4;   // of kTileColumns columns: 8 accumulators of 4 registers

// A row of a strip: pairs of columns as fp16, an odd number of 4-word groups, so that 8 rows meet no bank twice.
__host__ __device__ constexpr int half_words(int n_columns) { return (n_columns + kStepRows - 1) / kStepRows * (kStepRows / 2) + 4; }

// Fragments of all tiles before `tile`: tile t has t / 2 + 1 steps.
__device__ constexpr int first_fragment(int tile) { return (tile / 2 + 1) * (tile / 2 + tile % 2); }

// Two numbers as sums of two of fp16, the first in the lower halves.
struct HalfPair {
  std::uint32_t high, low;
};
__device__ __forceinline__ HalfPair split_pair(float first, float second) {
  const std::uint32_t high = pack_halves(first, second);
  const float2 rounded = unpack_halves(high);
  return {high, pack_halves(first - rounded.x, second - rounded.y)};
}

// sum(l, r) += A_l B_r of one step, but for the products of the low parts. Several at once, because each of the three products
// waits for the one before.
template <int kLefts, int kRights, class Sum>
__device__ __forceinline__ void add_products(const std::uint32_t (&high)[kLefts][4], const std::uint32_t (&low)[kLefts][4],
                                             const ProductFragment (&b)[kRights], Sum&& sum) {
  float product[kLefts][kRights][4] = {};
#pragma unroll
  for (int part = 0; part < 3; ++part) {
#pragma unroll
    for (int l = 0; l < kLefts; ++l) {
#pragma unroll
      for (int r = 0; r < kRights; ++r) mma_fp16(product[l][r], part == 1 ? low[l] : high[l], part == 0 ? b[r].low : b[r].high);
    }
  }
#pragma unroll
  for (int l = 0; l < kLefts; ++l) {
#pragma unroll
    for (int r = 0; r < kRights; ++r) {
      float(&to)[4] = sum(l, r);
#pragma unroll
      for (int i = 0; i < 4; ++i) to[i] += product[l][r][i];
    }
  }
}

// A strip in shared memory, both (rows, words).
struct HalfStrip {
  std::uint32_t *high, *low;
  int words;
};

// The strip becomes (x - center) scale for the rows from first_row on, zero beyond the columns and beyond the tile. One warp
// per row, two columns per lane and turn.
__device__ inline void load_halves(const float* x, int n_tile_rows, int n_columns, const float* center, const float* scales, int first_row,
                                   int n_rows, const HalfStrip& strip) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const float* const rows = x + static_cast<std::int64_t>(first_row) * n_columns;
  for (int word = lane; word < strip.words; word += 32) {
    const int j = 2 * word;
    const bool has[2] = {j < n_columns, j + 1 < n_columns};
    const float pivot[2] = {has[0] ? center[j] : 0.0f, has[1] ? center[j + 1] : 0.0f};
    const float scale[2] = {has[0] ? scales[j] : 0.0f, has[1] ? scales[j + 1] : 0.0f};
    for_rows_ahead(
        warp, n_rows, kStripWarps,
        [&](int row) {
          const float* const from = rows + std::int64_t{row} * n_columns + j;
          const bool exists = first_row + row < n_tile_rows;
          return float2{exists && has[0] ? (from[0] - pivot[0]) * scale[0] : 0.0f,
                        exists && has[1] ? (from[1] - pivot[1]) * scale[1] : 0.0f};
        },
        [&](int row, const float2& cell) {
          const HalfPair pair = split_pair(cell.x, cell.y);
          strip.high[row * strip.words + word] = pair.high;
          strip.low[row * strip.words + word] = pair.low;
        });
  }
}

// The left-hand side of mma_fp16 for 16 rows and one step. rows: (16, words) from the step on.
__device__ inline void load_left(const std::uint32_t* rows, int words, std::uint32_t (&a)[4]) {
  const unsigned lane = threadIdx.x % 32;
  const std::uint32_t* const from = rows + lane / 4 * static_cast<unsigned>(words) + lane % 4;
  a[0] = from[0];
  a[1] = from[8 * words];
  a[2] = from[4];
  a[3] = from[8 * words + 4];
}

// square[h][i] += the part of |y|^2 in kTilesAtOnce tiles from first_tile on that this lane holds, of row 16 h + 8 i + lane / 4.
// strip: the 32 rows; fragments, shifts: of the component.
__device__ inline void add_whitened_squares(const DeviceWhitening& whitening, const HalfStrip& strip, const ProductFragment* fragments,
                                            const float* shifts, int first_tile, float (&square)[2][2]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float y[2][kTilesAtOnce][4];
#pragma unroll
  for (int t = 0; t < kTilesAtOnce; ++t) {
    const bool exists = first_tile + t < whitening.n_tiles;
#pragma unroll
    for (int i = 0; i < 4; ++i) y[0][t][i] = y[1][t][i] = exists ? -shifts[(first_tile + t) * kTileColumns + 2 * (lane % 4) + i % 2] : 0.0f;
  }
  const int n_steps = min(whitening.n_steps, (first_tile + kTilesAtOnce) / 2);
  for (int step = 0; step < n_steps; ++step) {
    std::uint32_t high[2][4], low[2][4];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      load_left(strip.high + 16 * h * strip.words + 8 * step, strip.words, high[h]);
      load_left(strip.low + 16 * h * strip.words + 8 * step, strip.words, low[h]);
    }
    // Two tiles side by side have the same steps: below the diagonal P is zero.
#pragma unroll
    for (int pair = 0; pair < kTilesAtOnce; pair += 2) {
      const int tile = first_tile + pair;
      if (tile >= whitening.n_tiles || step > tile / 2) continue;
      ProductFragment p[2];
#pragma unroll
      for (int t = 0; t < 2; ++t)
        p[t] = fragments[static_cast<std::int64_t>(first_fragment(min(tile + t, whitening.n_tiles - 1)) + step) * 32 + lane];
      add_products(high, low, p, [&](int h, int t) -> float(&)[4] { return y[h][pair + t]; });
    }
  }
#pragma unroll
  for (int h = 0; h < 2; ++h) {
#pragma unroll
    for (int t = 0; t < kTilesAtOnce; ++t) {
      if (first_tile + t >= whitening.n_tiles) continue;
#pragma unroll
      for (int i = 0; i < 4; ++i) square[h][i / 2] = multiply_add(y[h][t][i], y[h][t][i], square[h][i / 2]);
    }
  }
}

// densities: (rows, density_stride) becomes log (weight_k N_k). A warp keeps its 32 rows and takes every so many-th component.
__device__ inline void fill_by_products(const DeviceMixture<float>& mixture, const DeviceWhitening& whitening, const StripShape& shape,
                                        const HalfStrip& strip, float* densities) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int n_row_groups = shape.rows / kProductRows, first_row = warp % n_row_groups * kProductRows;
  const HalfStrip rows{strip.high + first_row * strip.words, strip.low + first_row * strip.words, strip.words};
  for (int k = warp / n_row_groups; k < mixture.n_components; k += kStripWarps / n_row_groups) {
    const ProductFragment* const fragments = whitening.fragments + k * whitening.n_fragments * 32;
    const float* const shifts = whitening.shifts + static_cast<std::int64_t>(k) * whitening.n_tiles * kTileColumns;
    float square[2][2] = {};
    for (int tile = 0; tile < whitening.n_tiles; tile += kTilesAtOnce)
      add_whitened_squares(whitening, rows, fragments, shifts, tile, square);
    const float constant = mixture.constants[k];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float sum = add_lanes(square[i / 2][i % 2], 1, 2);
      const int row = first_row + 16 * (i / 2) + 8 * (i % 2) + lane / 4;
      if (lane % 4 == 0) densities[row * shape.density_stride + k] = multiply_add(-0.5f, sum, constant);
    }
  }
}

}  // namespace coterie::COTERIE_GPU
