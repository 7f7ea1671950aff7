// A tile as strips of rows in shared memory, for persistent blocks: while one strip is worked on, the next is on its way.
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

// Starts the copy of a strip: whole words of kBytes, neighbouring threads neighbouring words.
template <int kBytes>
__device__ void copy_strip(const SweepShape& shape, const TileRows& tile, float* strip, int first_row) {
  constexpr int kFloats = kBytes / 4;
  const int pieces = shape.n_columns / kFloats;  // per row
  const int rows = min(shape.rows, tile.n_rows - first_row);
  int row = static_cast<int>(threadIdx.x) / pieces, piece = static_cast<int>(threadIdx.x) % pieces;
  const int row_step = kSweepThreads / pieces, piece_step = kSweepThreads % pieces;
  while (row < rows) {
    const float* from = tile.x + static_cast<std::int64_t>(first_row + row) * shape.n_columns + piece * kFloats;
    copy_async<kBytes>(strip + row * shape.stride + piece * kFloats, from);
    row += row_step;
    piece += piece_step;
    if (piece >= pieces) {
      piece -= pieces;
      ++row;
    }
  }
}

__device__ inline void start_strip(const SweepShape& shape, const TileRows& tile, float* strip, int first_row) {
  if (shape.copy_bytes == 16) {
    copy_strip<16>(shape, tile, strip, first_row);
  } else if (shape.copy_bytes == 8) {
    copy_strip<8>(shape, tile, strip, first_row);
  } else {
    copy_strip<4>(shape, tile, strip, first_row);
  }
  commit_copies();
}

// Calls work(strip, first_row) for every strip that this block takes. strips: (2, rows, stride), filled with zeros before.
template <class Work>
__device__ void for_each_strip(const SweepShape& shape, const TileRows& tile, float* strips, Work&& work) {
  const int rows = shape.rows;
  const int n_strips = (tile.n_rows + rows - 1) / rows;
  const auto step = static_cast<int>(gridDim.x);
  int current = 0;  // which of the two strips
  start_strip(shape, tile, strips, static_cast<int>(blockIdx.x) * rows);
  for (auto i = static_cast<int>(blockIdx.x); i < n_strips; i += step) {
    float* const strip = strips + current * rows * shape.stride;
    current = 1 - current;
    if (i + step < n_strips) {
      start_strip(shape, tile, strips + current * rows * shape.stride, (i + step) * rows);
      wait_copies<1>();
    } else {
      wait_copies<0>();
    }
    __syncthreads();
    work(strip, i * rows);
  }
}

}  // namespace coterie::COTERIE_GPU
