// What the rows of each segment give to the Newton step of a regression with segment effects, from the terms that newton_sums.cuh leaves
// of every row: sums of residuals, of curvature z and, in a last sweep, of squared residuals z.
//
// One block of threads per block of kBlockRows rows, a few segments and one kind of sum. Lanes of a group of threads are columns; groups
// deal out the rows. A thread adds to cells of shared memory that no other one touches, so nothing waits, and who adds what in which order
// depends on the number of columns alone.
#pragma once

#include "cuda/newton_plan.cuh"
#include "cuda/rows_ahead.cuh"

namespace coterie::COTERIE_GPU {

// One model. Its sums lie one after the other: (n_segments) of residuals, (n_segments, n_cells) of curvature and of squares.
struct SegmentTask {
  const double *residual, *curvature, *squared;  // (term_rows); squared is nullptr before the last sweep
  std::int64_t every;                            // blocks that count are multiples of it
  std::int64_t first_sum;
  std::int32_t n_segments;
};

// How a block of threads is shared out: a lane for every cell of z, and for the residual.
struct SegmentShape {
  int width, n_lanes, n_groups;
  int most_segments;  // at once

  __host__ explicit SegmentShape(int n_cells)
      : width(n_cells + 1), n_lanes(std::min(width, kStripThreads)), n_groups(kStripThreads / n_lanes) {
    constexpr std::size_t kMostBytes = std::size_t{32} << 10;  // several blocks of threads find room in a multiprocessor
    most_segments = std::max(1, static_cast<int>(kMostBytes / bytes(1)));
  }
  __host__ std::size_t bytes(int n_segments) const { return sizeof(double) * static_cast<std::size_t>(n_groups * n_segments * width); }
};

// The cells of a column of x less its center; beyond the last one, ones.
struct SegmentColumn {
  const float* x;
  float center;
  int stride;  // 0: ones

  __device__ SegmentColumn(const NewtonRows& rows, int first_row, int j) {
    const int n_columns = rows.n_cells - 1;
    x = j < n_columns ? rows.x + std::int64_t{first_row} * n_columns + j : nullptr;
    center = j < n_columns ? rows.center[j] : 0.0f;
    stride = n_columns;
  }
  __device__ float operator()(int row) const { return x == nullptr ? 1.0f : x[std::int64_t{row} * stride] - center; }
};

// Dynamic shared memory: shape.bytes(of the segments of a block of threads). blockIdx: block of rows, segments, kind.
__global__ void __launch_bounds__(kStripThreads) add_segment_sums_kernel(NewtonRows rows, SegmentTask task, SegmentShape shape) {
  SHARED_BYTES(bytes);
  auto* const sums = reinterpret_cast<double*>(bytes);  // (groups, segments, width)
  const bool squares = blockIdx.z == 1;
  const int thread = static_cast<int>(threadIdx.x), group = thread / shape.n_lanes,
            first_segment = static_cast<int>(blockIdx.y) * shape.most_segments,
            n_segments = min(shape.most_segments, task.n_segments - first_segment), n_sums = n_segments * shape.width;
  for (int i = thread; i < shape.n_groups * n_sums; i += kStripThreads) sums[i] = 0;
  __syncthreads();
  const std::int64_t block = rows.first_of(task.every) + blockIdx.x * task.every, term = rows.term_at(block);
  const int first_row = static_cast<int>(block * kBlockRows), n_rows = min(static_cast<int>(kBlockRows), rows.n_rows - first_row);
  if (group < shape.n_groups) {
    for (int j = thread % shape.n_lanes; j < (squares ? rows.n_cells : shape.width); j += shape.n_lanes) {
      const double* const factors = (squares ? task.squared : j < rows.n_cells ? task.curvature : task.residual) + term;
      double* const own = sums + group * n_sums + j;
      for_rows_ahead(group, n_rows, shape.n_groups, SegmentColumn(rows, first_row, j), [&](int row, float cell) {
        const int segment = rows.label[first_row + row] - first_segment;
        if (segment >= 0 && segment < n_segments) own[segment * shape.width] += factors[row] * static_cast<double>(cell);
      });
    }
  }
  __syncthreads();
  for (int i = thread; i < n_sums; i += kStripThreads) {
    const int segment = first_segment + i / shape.width, j = i % shape.width;
    if (squares && j == rows.n_cells) continue;
    double sum = 0;
    for (int g = 0; g < shape.n_groups; ++g) sum += sums[g * n_sums + i];
    const std::int64_t cells = std::int64_t{task.n_segments} * rows.n_cells, cell = std::int64_t{segment} * rows.n_cells + j;
    const std::int64_t to = task.first_sum + (j == rows.n_cells ? segment : task.n_segments + (squares ? cells : 0) + cell);
    add_quanta(rows.sums + to, sum * (j < rows.n_cells - 1 ? static_cast<double>(rows.scale[j]) : 1.0) * rows.per_quantum[to]);
  }
}

}  // namespace coterie::COTERIE_GPU
