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

// rows: (8 kRows, n_columns); zeros beyond the columns.
template <bool kVector, int kRows, int kSteps>
__device__ __forceinline__ void load_cells(const float* rows, int n_columns, int first_step, TileCells<kRows, kSteps>& cells) {
  const int lane = static_cast<int>(threadIdx.x) % 32, column = first_step * kStepColumns + lane % 4 * 4;
  const float* const own = rows + lane / 4 * n_columns + column;
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const float* const row = own + 8 * i * n_columns;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const int at = step * kStepColumns;
      cells.cell[i][step] = four_cells<kVector>(row + at, n_columns - column - at);
    }
  }
}
template <int kRows, int kSteps>
__device__ __forceinline__ void load_cells(const float* rows, int n_columns, int first_step, TileCells<kRows, kSteps>& cells) {
  if (n_columns % 4 == 0) {  // around all loads, so that they are under way together
    load_cells<true>(rows, n_columns, first_step, cells);
  } else {
    load_cells<false>(rows, n_columns, first_step, cells);
  }
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
