// Rows on their way into half precision, as the tensor cores take them (center_fragments.hpp has the units). Lane 4 * group + member of
// a warp has four neighbouring columns of every step, of the rows group, group + 8, ...
#pragma once

#include "cuda/fixed_point.cuh"
#include "cuda/nearest_centers.cuh"
#include "cuda/tensor_scan.cuh"

namespace coterie::COTERIE_GPU {

// Cells of 8 kRows rows in kSteps steps, as loaded.
template <int kRows, int kSteps>
struct TileCells {
  float4 cell[kRows][kSteps];
};

// row_of(i): where the lane's i-th row begins, from its columns of the first step on; zeros beyond the columns.
template <bool kVector, int kRows, int kSteps, class RowOf>
__device__ __forceinline__ void load_cells_of(RowOf&& row_of, int n_columns, int column, TileCells<kRows, kSteps>& cells) {
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const float* const row = row_of(i);
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const int at = step * kStepColumns;
      cells.cell[i][step] = four_cells<kVector>(row + at, n_columns - column - at);
    }
  }
}
template <int kRows, int kSteps, class RowOf>
__device__ __forceinline__ void load_cells_of(RowOf&& row_of, int n_columns, int column, TileCells<kRows, kSteps>& cells) {
  if (n_columns % 4 == 0) {  // around all loads, so that they are under way together
    load_cells_of<true>(row_of, n_columns, column, cells);
  } else {
    load_cells_of<false>(row_of, n_columns, column, cells);
  }
}
// Of a lane, in the columns from a step on.
__device__ __forceinline__ int first_column(int step) { return step * kStepColumns + static_cast<int>(threadIdx.x) % 4 * 4; }

// row: where the lane's begin.
template <int kRows, int kSteps>
__device__ __forceinline__ void load_cells(const float* const (&row)[kRows], int n_columns, int first_step,
                                           TileCells<kRows, kSteps>& cells) {
  const int column = first_column(first_step);
  load_cells_of([&](int i) { return row[i] + column; }, n_columns, column, cells);
}
// rows: (8 kRows, n_columns)
template <int kRows, int kSteps>
__device__ __forceinline__ void load_cells(const float* rows, int n_columns, int first_step, TileCells<kRows, kSteps>& cells) {
  const int column = first_column(first_step);
  const float* const own = rows + static_cast<int>(threadIdx.x) % 32 / 4 * n_columns + column;
  load_cells_of([&](int i) { return own + 8 * i * n_columns; }, n_columns, column, cells);
}

// Squares of a row in half precision and of what rounding took away, of the columns of one lane.
struct RowSquares {
  float square = 0, lost = 0;

  // Of all columns of steps * kStepColumns, the same in the four lanes of a row.
  __device__ __forceinline__ RowNorms norms(int steps) const { return norms_of(add_lanes(square, 1, 2), add_lanes(lost, 1, 2), steps); }
};

// shift: -pivot * scale of the four columns. low, high: two columns each.
__device__ __forceinline__ void convert_cells(const float4& x, const float4& shift, float scale, std::uint32_t& low, std::uint32_t& high,
                                              RowSquares& squares) {
  low = round_pair(__fmaf_rn(x.x, scale, shift.x), __fmaf_rn(x.y, scale, shift.y), squares.square, squares.lost);
  high = round_pair(__fmaf_rn(x.z, scale, shift.z), __fmaf_rn(x.w, scale, shift.w), squares.square, squares.lost);
}

// shift: (steps * kStepColumns). The lane's own four of a step.
__device__ __forceinline__ float4 shift_of(const float* shift, int step) {
  return *reinterpret_cast<const float4*>(shift + step * kStepColumns + threadIdx.x % 4 * 4);
}

}  // namespace coterie::COTERIE_GPU
