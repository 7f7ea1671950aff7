// Rows in shared memory: a few dozen consecutive rows of a tile, less a center, in the type that a pass computes with. For
// every pass that visits the cells of a row more than once.
#pragma once

#include "cuda/kernel.hpp"

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

// strip: (n_rows, stride) becomes x - center for the rows from first_row on, zero beyond the columns and beyond the tile.
// x: (n_tile_rows, n_columns); center: (n_columns). One warp per row, one column per lane and turn.
template <class T>
__device__ void load_strip(const float* x, int n_tile_rows, int n_columns, const T* center, int first_row, int n_rows, int stride,
                           T* strip) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int i = warp; i < n_rows; i += kStripWarps) {
    const bool exists = first_row + i < n_tile_rows;
    const float* const row = x + static_cast<std::int64_t>(first_row + i) * n_columns;
    for (int j = lane; j < stride; j += 32) {
      strip[i * stride + j] = exists && j < n_columns ? static_cast<T>(row[j]) - center[j] : T{0};
    }
  }
}

}  // namespace coterie::COTERIE_GPU
