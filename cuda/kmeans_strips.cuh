// A tile as strips of rows in shared memory, for persistent blocks.
#pragma once

#include "cuda/instructions/copy_async.hpp"
#include "cuda/kernel.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr int kSweepThreads = 256;

struct SweepShape {
  int n_columns, padded_columns;
  int steps;            // of kStepColumns columns on tensor cores; 0: without them
  int stride;           // floats from row to row of a strip: an odd number of vectors, so that 8 rows meet no bank twice
  int rows;             // of a strip
  int strips;           // 2: the next one is on its way while one is worked on; 1: other blocks work in the meantime
  int threads_per_row;  // rows * threads_per_row = kSweepThreads
  int columns_at_once;  // threads that add one row, a power of two up to 32
  int copy_bytes;       // 16, 8 or 4: what divides a row
};

struct TileRows {
  const float* x;  // (n_rows, n_columns)
  int n_rows;
};

template <class T>
__device__ void fill_shared(T* to, std::int64_t count, T value) {
  for (std::int64_t i = threadIdx.x; i < count; i += kSweepThreads) to[i] = value;
}

// The words of a strip that one thread copies, neighbouring threads neighbouring words: where the first lies, and the way from one to the
// next, whose divisions need no repeating.
struct CopyWalk {
  int piece, at;         // in its row, in words; in the strip, in floats
  int piece_step, step;  // likewise, to the next word but for what a new row adds

  __device__ explicit CopyWalk(const SweepShape& shape) {
    const int floats = shape.copy_bytes / 4, pieces = shape.n_columns / floats, thread = static_cast<int>(threadIdx.x);
    const int skip = shape.stride - shape.n_columns;
    piece = thread % pieces;
    at = thread * floats + thread / pieces * skip;
    piece_step = kSweepThreads % pieces;
    step = kSweepThreads * floats + kSweepThreads / pieces * skip;
  }
};

// Starts the copy of a strip.
template <int kBytes>
__device__ void copy_strip(const SweepShape& shape, const TileRows& tile, const CopyWalk& walk, float* strip, int first_row) {
  constexpr int kFloats = kBytes / 4;
  const int pieces = shape.n_columns / kFloats, skip = shape.stride - shape.n_columns;
  const int n_pieces = min(shape.rows, tile.n_rows - first_row) * pieces;
  const auto thread = static_cast<int>(threadIdx.x);
  const float* from = tile.x + static_cast<std::int64_t>(first_row) * shape.n_columns + thread * kFloats;
  float* to = strip + walk.at;
  int piece = walk.piece;
  for (int i = thread; i < n_pieces; i += kSweepThreads, from += kSweepThreads * kFloats) {
    copy_async<kBytes>(to, from);
    to += walk.step;
    piece += walk.piece_step;
    if (piece >= pieces) {
      piece -= pieces;
      to += skip;
    }
  }
}

__device__ inline void start_strip(const SweepShape& shape, const TileRows& tile, const CopyWalk& walk, float* strip, int first_row) {
  if (shape.copy_bytes == 16) {
    copy_strip<16>(shape, tile, walk, strip, first_row);
  } else if (shape.copy_bytes == 8) {
    copy_strip<8>(shape, tile, walk, strip, first_row);
  } else {
    copy_strip<4>(shape, tile, walk, strip, first_row);
  }
  commit_copies();
}

// Calls work(strip, first_row) for every strip that this block takes; work ends with a barrier. strips: (shape.strips, rows, stride),
// filled with zeros before.
template <class Work>
__device__ void for_each_strip(const SweepShape& shape, const TileRows& tile, float* strips, Work&& work) {
  const CopyWalk walk(shape);
  const int rows = shape.rows;
  const int n_strips = (tile.n_rows + rows - 1) / rows;
  const auto step = static_cast<int>(gridDim.x);
  int current = 0;  // which of the two strips
  start_strip(shape, tile, walk, strips, static_cast<int>(blockIdx.x) * rows);
  for (auto i = static_cast<int>(blockIdx.x); i < n_strips; i += step) {
    float* const strip = strips + current * rows * shape.stride;
    const bool ahead = shape.strips == 2 && i + step < n_strips;
    if (ahead) {
      current = 1 - current;
      start_strip(shape, tile, walk, strips + current * rows * shape.stride, (i + step) * rows);
      wait_copies<1>();
    } else {
      wait_copies<0>();
    }
    __syncthreads();
    work(strip, i * rows);
    if (shape.strips == 1 && i + step < n_strips) start_strip(shape, tile, walk, strips, (i + step) * rows);
  }
}

}  // namespace coterie::COTERIE_GPU
