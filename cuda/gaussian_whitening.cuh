// Log-densities of full covariances on tensor cores: y = P^T (x - center) - P^T mean for 32 rows per warp, all warps of a block with
// the same component, whose P arrives in shared memory while the one before is worked on.
//
// Rows and P are sums of two fp16 numbers, x = xh + xl and P = Ph + Pl; y = (xh Pl + xl Ph) + xh Ph, and xl Pl is below
// 2^-24. Tensor cores cut what they add instead of rounding it, so after every step of 16 rows of P the products leave them
// and are added in float32, which rounds (Ootomo and Yokota 2022, Recovering single precision accuracy from tensor cores).
// product_error() of host/gaussian_density.hpp says when this is good enough.
#pragma once

#include "cuda/gaussian_density.cuh"
#include "cuda/gaussian_gram.cuh"
#include "cuda/instructions/copy_async.hpp"
#include "cuda/instructions/half.hpp"
#include "cuda/instructions/mma.hpp"
#include "cuda/packed_whitening.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr int kProductRows = 32;  // per warp: two left-hand sides of 16 rows
inline constexpr int kHeldPairs = 4;     // of tiles: up to as many steps of these rows fit into registers

// What a thread keeps of its own that is not worth a register.
struct WhitenedOwn {
  LikelihoodSums likelihood;
  unsigned row;  // of the strip, in the tile
};

// The number of this thread, of which nothing that follows is kept from strip to strip: registers are short.
__device__ __forceinline__ int thread_anew() {
  auto thread = static_cast<int>(threadIdx.x);
  asm volatile("" : "+r"(thread));
  return thread;
}

// Offsets into dynamic shared memory, in bytes, every one a multiple of 16.
struct WhitenedMemory {
  int own, densities, halves, chunks, gram, bytes;
};

// How many rows a strip has fixes bits, but only those of the likelihood.
struct WhitenedShape {
  StripShape strip{};   // rows is 0 where nothing fits
  int row_bits = 0;     // of the number of a thread, below those of its group of warps
  int n_pairs = 0;      // of tiles
  int n_units = 0;      // of a component
  int half_words = 0;   // from row to row of a strip in shared memory; 0: warps hold their rows in registers
  int chunk_units = 0;  // of a component that arrive at once: all of them for rows in registers
  GramShape gram{};
  WhitenedMemory at{};  // gram lies where the rest of a strip was

  WhitenedShape() = default;
  WhitenedShape(int n_components, int n_columns, int n_rows, bool held, int gram_rows)
      : strip{.rows = n_rows, .stride = 0, .density_stride = n_components | 1, .lanes_per_row = kStripThreads / n_rows},
        n_pairs(product_pairs(n_columns)),
        n_units(product_units(n_columns)),
        gram(n_columns, gram_rows) {
    constexpr int kChunks = 2, kChunkUnits = 8;  // of all components at work
    const int at_once = kStripThreads / n_rows;
    while (1 << row_bits < n_rows) ++row_bits;
    // An odd number of 4-word groups, so that 8 rows meet no bank twice.
    half_words = held ? 0 : n_pairs * (kStepRows / 2) + 4;
    chunk_units = held ? n_units : kChunkUnits / at_once;
    at.own = (n_components * 4 + 15) / 16 * 16;
    at.densities = at.own + kStripThreads * static_cast<int>(sizeof(WhitenedOwn));
    at.gram = at.densities;
    at.halves = at.densities + (n_rows * strip.density_stride * 4 + 15) / 16 * 16;
    at.chunks = at.halves + 2 * n_rows * half_words * 4;
    at.bytes = max(at.chunks + kChunks * at_once * chunk_units * static_cast<int>(sizeof(ProductUnit)), at.gram + gram.bytes);
  }
};

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

// A warp's rows as left-hand sides, in shared memory.
class SharedRows {
 public:
  static constexpr bool kHeld = false;
  __device__ SharedRows(const HalfStrip& strip, int first_row)
      : high_(strip.high + first_row * strip.words), low_(strip.low + first_row * strip.words), words_(strip.words) {}

  // Calls f(high, low) with those of a step.
  template <class F>
  __device__ __forceinline__ void visit(int step, F&& f) const {
    std::uint32_t high[2][4], low[2][4];
#pragma unroll
    for (int l = 0; l < 2; ++l) {
      load_left(high_ + 16 * l * words_ + 8 * step, words_, high[l]);
      load_left(low_ + 16 * l * words_ + 8 * step, words_, low[l]);
    }
    f(high, low);
  }

 private:
  const std::uint32_t *high_, *low_;
  int words_;
};

// The same in registers; steps are known to the compiler.
class HeldRows {
 public:
  static constexpr bool kHeld = true;
  __device__ __forceinline__ HeldRows(const float* x, int n_tile_rows, int n_columns, const float* center, const float* scales,
                                      int first_row) {
    const int lane = thread_anew() % 32, row = first_row + lane / 4;
    x += std::int64_t{row} * n_columns;
#pragma unroll
    for (int i = 0; i < 2 * kHeldPairs; ++i) {
      const int j = 8 * i + 2 * (lane % 4);
      const bool has[2] = {j < n_columns, j + 1 < n_columns};
      const float pivot[2] = {has[0] ? center[j] : 0.0f, has[1] ? center[j + 1] : 0.0f};
      const float scale[2] = {has[0] ? scales[j] : 0.0f, has[1] ? scales[j + 1] : 0.0f};
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        const float* const from = x + (8 * r * n_columns + j);
        const bool exists = row + 8 * r < n_tile_rows;
        const HalfPair pair = split_pair(exists && has[0] ? (from[0] - pivot[0]) * scale[0] : 0.0f,
                                         exists && has[1] ? (from[1] - pivot[1]) * scale[1] : 0.0f);
        high_[i / 2][r / 2][i % 2 * 2 + r % 2] = pair.high;
        low_[i / 2][r / 2][i % 2 * 2 + r % 2] = pair.low;
      }
    }
  }

  template <class F>
  __device__ __forceinline__ void visit(int step, F&& f) const {
    f(high_[step], low_[step]);
  }

 private:
  std::uint32_t high_[kHeldPairs][2][4], low_[kHeldPairs][2][4];
};

// The units of all components on their way through shared memory. Where a strip has fewer rows than a block has room for, several
// groups of warps take a component each, and every group copies its own. kHeld: a chunk is a component.
template <bool kHeld>
class UnitStream {
 public:
  // Starts the first chunk. Chunks are (2, groups, shape.chunk_units).
  __device__ UnitStream(const DeviceWhitening& whitening, const WhitenedShape& shape, int n_components, std::byte* memory)
      : whitening_(whitening), shape_(shape), n_components_(n_components), memory_(memory) {
    component_ = group();
    start();
  }
  __device__ int group() const { return static_cast<int>(threadIdx.x >> shape_.row_bits); }
  // Whose chunk comes with next(); a number beyond the components is that of none.
  __device__ int component() const { return unit_ > 0 ? component_ : component_ - groups(); }
  __device__ int groups() const { return kStripThreads >> shape_.row_bits; }

  // The next chunk of this group, and the one after it is on its way; the one before is no longer there. All threads.
  __device__ const ProductUnit* next() {
    wait_copies<0>();
    __syncthreads();
    const ProductUnit* const here = place();
    second_ = !second_;
    start();
    return here;
  }

 private:
  __device__ ProductUnit* place() const {
    return reinterpret_cast<ProductUnit*>(memory_ + shape_.at.chunks) + ((second_ ? groups() : 0) + group()) * shape_.chunk_units;
  }
  __device__ void start() {
    constexpr int kPieces = static_cast<int>(sizeof(ProductUnit)) / 16;
    const int n_units = shape_.n_units, rows = shape_.strip.rows;
    if (component_ < n_components_) {
      const auto* const from = reinterpret_cast<const Four<float>*>(whitening_.units + std::int64_t{component_} * n_units + unit_);
      auto* const to = reinterpret_cast<Four<float>*>(place());
      const int n = (kHeld ? n_units : min(shape_.chunk_units, n_units - unit_)) * kPieces;
      for (int i = static_cast<int>(threadIdx.x) & (rows - 1); i < n; i += rows) copy_async<16>(to + i, from + i);
    }
    commit_copies();
    if constexpr (!kHeld) {
      unit_ += shape_.chunk_units;
      if (unit_ < n_units) return;
      unit_ = 0;
    }
    component_ += groups();
  }

  const DeviceWhitening& whitening_;
  const WhitenedShape& shape_;
  int n_components_;
  std::byte* memory_;
  bool second_ = false;
  int component_, unit_ = 0;  // of the next chunk to start
};

// square[l][i] += the part of |y|^2 in a pair of tiles that this lane holds, of row 16 l + 8 i + lane / 4. unit: the first of the pair,
// becomes that of the next one; left: of its chunk.
template <class Rows>
__device__ __forceinline__ void add_whitened_squares(const Rows& rows, const WhitenedShape& shape, UnitStream<Rows::kHeld>& stream,
                                                     int pair, const ProductUnit*& unit, int& left, float (&square)[2][2]) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  float y[2][2][4];
#pragma unroll(Rows::kHeld ? kHeldPairs : 1)
  for (int step = 0; step <= pair; ++step, ++unit) {
    if (!Rows::kHeld && left-- == 0) {
      unit = stream.next();
      left = shape.chunk_units - 1;
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (step == 0) y[0][i / 4][i % 4] = y[1][i / 4][i % 4] = unit->shifts[i / 4 * kTileColumns + 2 * (lane % 4) + i % 2];
    }
    const ProductFragment p[2] = {unit->fragments[0][lane], unit->fragments[1][lane]};
    rows.visit(step, [&](const std::uint32_t(&high)[2][4], const std::uint32_t(&low)[2][4]) {
      add_products(high, low, p, [&](int l, int t) -> float(&)[4] { return y[l][t]; });
    });
  }
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    const float of_tile = y[i / 8][i / 4 % 2][i % 4];
    square[i / 8][i % 4 / 2] = multiply_add(of_tile, of_tile, square[i / 8][i % 4 / 2]);
  }
}

// The same for all pairs of the component whose chunks come next.
__device__ __forceinline__ void add_whitened_squares(const SharedRows& rows, const WhitenedShape& shape, UnitStream<false>& stream,
                                                     float (&square)[2][2]) {
  const ProductUnit* unit = stream.next();
  int left = shape.chunk_units;
  for (int pair = 0; pair < shape.n_pairs; ++pair) add_whitened_squares(rows, shape, stream, pair, unit, left, square);
}
__device__ __forceinline__ void add_whitened_squares(const HeldRows& rows, const WhitenedShape& shape, UnitStream<true>& stream,
                                                     float (&square)[2][2]) {
  static_assert(kHeldPairs == 4);
  const ProductUnit* unit = stream.next();
  int left = 0;
  // Not a loop: where the compiler leaves one, rows are not in registers.
  add_whitened_squares(rows, shape, stream, 0, unit, left, square);
  if (shape.n_pairs > 1) add_whitened_squares(rows, shape, stream, 1, unit, left, square);
  if (shape.n_pairs > 2) add_whitened_squares(rows, shape, stream, 2, unit, left, square);
  if (shape.n_pairs > 3) add_whitened_squares(rows, shape, stream, 3, unit, left, square);
}

// The first row of a warp, in a strip.
__device__ __forceinline__ int warp_row(const WhitenedShape& shape) {
  return static_cast<int>(threadIdx.x & static_cast<unsigned>(shape.strip.rows - kProductRows));
}

// densities: (rows, density_stride) becomes log (weight_k N_k). A warp keeps its 32 rows. All threads; what they have written before is
// there for everybody.
template <class Rows>
__device__ __forceinline__ void fill_by_products(const DeviceMixture<float>& mixture, const WhitenedShape& shape, const Rows& rows,
                                                 UnitStream<Rows::kHeld>& stream, float* densities) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  do {
    float square[2][2] = {};
    add_whitened_squares(rows, shape, stream, square);
    const int k = stream.component() - stream.groups();
    float* const of_row = densities + (warp_row(shape) + lane / 4) * shape.strip.density_stride + k;
    const bool exists = k < mixture.n_components;
    const float constant = exists ? mixture.constants[k] : 0.0f;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float sum = add_lanes(square[i / 2][i % 2], 1, 2);
      if (lane % 4 == 0 && exists) of_row[8 * i * shape.strip.density_stride] = multiply_add(-0.5f, sum, constant);
    }
  } while (stream.component() - stream.group() < mixture.n_components);
}

}  // namespace coterie::COTERIE_GPU
