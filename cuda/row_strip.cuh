// Rows in shared memory: a few dozen consecutive rows of a tile, less a center, in the type that a pass computes with. For
// every pass that visits the cells of a row more than once.
#pragma once

#include "cuda/rows_ahead.cuh"

namespace coterie::COTERIE_GPU {

inline constexpr int kStripThreads = 256;
inline constexpr int kStripWarps = kStripThreads / 32;

// Four neighbours in one or two vector loads; the address is a multiple of 16 bytes.
template <class T>
struct alignas(16) Four {
  T value[4];
};
template <class T>
__device__ Four<T> load_four(const T* from) {
  return *reinterpret_cast<const Four<T>*>(from);
}

__device__ inline float multiply_add(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ inline double multiply_add(double a, double b, double c) { return fma(a, b, c); }

// Columns rounded up to whole vectors; the cells between are zero.
__host__ __device__ constexpr int pad_columns(int n_columns) { return (n_columns + 3) / 4 * 4; }

// Cells from row to row: an odd number of vectors, so that the vectors of neighbouring rows lie in different banks. One
// column to spare, for passes that put a constant beside the cells.
__host__ __device__ constexpr int strip_stride(int n_columns) {
  const int padded = pad_columns(n_columns + 1);
  return padded % 8 == 0 ? padded + 4 : padded;
}

// A warp takes every kStripWarps-th of n_rows rows, a lane one column at a time: calls column(j) for 0 <= j < n_columns, and what that
// returns for every row, as store(row, cell); then blank(row, j) for the cells that do not exist, beyond the n_there rows and the
// columns of x. x: (n_there, n_columns); blank cells end at `stride`.
template <class Column, class Blank>
__device__ void for_each_strip_cell(const float* x, int n_there, int n_columns, int n_rows, int stride, Column&& column, Blank&& blank) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32, rows = min(n_there, n_rows);
  for (int j = lane; j < n_columns; j += 32)
    for_rows_ahead(
        warp, rows, kStripWarps, [&](int row) { return x[std::int64_t{row} * n_columns + j]; }, column(j));
  const int missing = stride - n_columns;
  for (int i = static_cast<int>(threadIdx.x); i < n_rows * missing; i += kStripThreads) blank(i / missing, n_columns + i % missing);
  for (int row = rows + warp; row < n_rows; row += kStripWarps)
    for (int j = lane; j < n_columns; j += 32) blank(row, j);
}

// strip: (n_rows, stride) becomes x - center for the rows from first_row on, zero beyond the columns and beyond the tile.
// x: (n_tile_rows, n_columns); center: (n_columns).
template <class T>
__device__ void load_strip(const float* x, int n_tile_rows, int n_columns, const T* center, int first_row, int n_rows, int stride,
                           T* strip) {
  for_each_strip_cell(
      x + static_cast<std::int64_t>(first_row) * n_columns, n_tile_rows - first_row, n_columns, n_rows, stride,
      [&](int j) { return [=, pivot = center[j]](int row, float cell) { strip[row * stride + j] = static_cast<T>(cell) - pivot; }; },
      [&](int row, int j) { strip[row * stride + j] = 0; });
}

}  // namespace coterie::COTERIE_GPU
