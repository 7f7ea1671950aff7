// Weighted Gram matrices of wide rows, whose triangle is too large to be added to once per strip: a block of threads takes
// kPanel x kPanel cells of the triangle and walks through a block of rows with them in registers, so sums meet device memory once
// per kBlockRows rows. Cells are those of newton_sums.cuh; products and sums are float32 within kPanelRows rows where the model
// allows, double beyond. One cell belongs to one thread, so nothing depends on which blocks run where.
#pragma once

#include "cuda/newton_sums.cuh"

namespace coterie::COTERIE_GPU {

inline constexpr int kPanel = 64;      // columns: 16 threads with kGramSide each
inline constexpr int kPanelRows = 32;  // in shared memory at a time
inline constexpr int kPanelStride = kPanel + 4;

struct GramTask {
  const double* term;      // (n_rows) weight of every row in the sum
  std::int64_t every;      // block of rows that counts
  std::int64_t first_sum;  // of the triangle
};

// panel: (kPanelRows, kPanelStride) becomes the cells of kPanel columns from first_column on; zero beyond the columns and the rows.
// A thread has one column of every so many-th row.
__device__ inline void load_panel(const NewtonSweep& sweep, std::int64_t first_row, int n_rows, int first_column, float* panel) {
  constexpr int kStep = kStripThreads / kPanel, kCells = kPanelRows / kStep;
  const int n = sweep.n_cells - 1, i = static_cast<int>(threadIdx.x) % kPanel, j = first_column + i;
  const int own_row = static_cast<int>(threadIdx.x) / kPanel;
  const float* const from = sweep.x + (first_row + own_row) * n + j;
  const float center = j < n ? sweep.center[j] : 0.0f, scale = j < n ? sweep.scale[j] : 0.0f;
  float cell[kCells];
#pragma unroll
  for (int r = 0; r < kCells; ++r) cell[r] = own_row + r * kStep < n_rows && j < n ? from[std::int64_t{r} * kStep * n] : 0.0f;
#pragma unroll
  for (int r = 0; r < kCells; ++r) {
    const bool exists = own_row + r * kStep < n_rows;
    panel[(own_row + r * kStep) * kPanelStride + i] = exists && j < n ? (cell[r] - center) * scale : (exists && j == n ? 1.0f : 0.0f);
  }
}

// Grid: pairs of panels, the first not before the second, by blocks of rows in turn. One kGramSide x kGramSide square per thread; one
// block at least per multiprocessor, for its sums take more than 128 registers.
template <class T>
__global__ void __launch_bounds__(kStripThreads, 1) add_wide_gram_kernel(NewtonSweep sweep, GramTask task) {
  SHARED(left, Four<float>[kPanelRows * kPanelStride / 4]);
  SHARED(right, Four<float>[kPanelRows * kPanelStride / 4]);
  SHARED(weight, T[kPanelRows]);
  const int thread = static_cast<int>(threadIdx.x), pair = static_cast<int>(blockIdx.x);
  int a = 0;
  while ((a + 1) * (a + 2) / 2 <= pair) ++a;
  const int i_panel = a * kPanel, j_panel = (pair - a * (a + 1) / 2) * kPanel;
  const int i_at = thread / 16, j_at = thread % 16;
  const std::int64_t n_blocks = (sweep.n_rows + kBlockRows - 1) / kBlockRows;
  for (std::int64_t b = blockIdx.y; b < n_blocks; b += gridDim.y) {
    if ((sweep.first_block + b) % task.every != 0) continue;
    double total[kGramSide][kGramSide] = {};
    const std::int64_t last = min((b + 1) * kBlockRows, std::int64_t{sweep.n_rows});
    for (std::int64_t first = b * kBlockRows; first < last; first += kPanelRows) {
      const int n_rows = static_cast<int>(min(last - first, std::int64_t{kPanelRows}));
      __syncthreads();
      load_panel(sweep, first, n_rows, i_panel, &left[0].value[0]);
      load_panel(sweep, first, n_rows, j_panel, &right[0].value[0]);
      if (thread < kPanelRows) weight[thread] = thread < n_rows ? static_cast<T>(task.term[first + thread]) : T{0};
      __syncthreads();
      T sum[kGramSide][kGramSide] = {};
      for (int row = 0; row < kPanelRows; ++row) {
        const Four<float> l = left[row * kPanelStride / 4 + i_at], r = right[row * kPanelStride / 4 + j_at];
#pragma unroll
        for (int i = 0; i < kGramSide; ++i) {
          const T scaled = weight[row] * static_cast<T>(l.value[i]);
#pragma unroll
          for (int j = 0; j < kGramSide; ++j) sum[i][j] = multiply_add(scaled, static_cast<T>(r.value[j]), sum[i][j]);
        }
      }
#pragma unroll
      for (int i = 0; i < kGramSide; ++i) {
#pragma unroll
        for (int j = 0; j < kGramSide; ++j) total[i][j] += static_cast<double>(sum[i][j]);
      }
    }
#pragma unroll
    for (int i = 0; i < kGramSide; ++i) {
#pragma unroll
      for (int j = 0; j < kGramSide; ++j) {
        const int row = i_panel + i_at * kGramSide + i, column = j_panel + j_at * kGramSide + j;
        if (row >= sweep.n_cells || column > row) continue;
        const std::int64_t sum = task.first_sum + NewtonModel::triangle(row) + column;
        add_quanta(sweep.sums + sum, total[i][j] * sweep.per_quantum[sum]);
      }
    }
  }
}

}  // namespace coterie::COTERIE_GPU
