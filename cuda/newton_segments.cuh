// What the rows of each segment give to the Newton step of a regression with segment effects, from the terms that newton_sums.cuh leaves
// of every row: sums of residuals, of curvature z and, in a last sweep, of squared residuals z.
//
// One block of threads per block of kBlockRows rows, a few segments and one task. Lanes of a group of threads are columns; groups
// deal out the rows. A thread adds to cells of shared memory that no other one touches, so nothing waits, and who adds what in which order
// depends on the number of columns alone.
#pragma once

#include "cuda/newton_plan.cuh"
#include "cuda/rows_ahead.cuh"

namespace coterie::COTERIE_GPU {

// Sums of one model: of factors z and, beside the curvature, of residuals.
struct SegmentTask {
  const double* factors;        // (term_rows) curvature or squared residuals
  const double* residual;       // (term_rows), or nullptr: not summed
  std::int64_t every;           // blocks that count are multiples of it
  std::int64_t first_sum;       // (n_segments, n_cells)
  std::int64_t first_residual;  // (n_segments)
  std::int32_t n_segments;
};

// Those of one launch: blockIdx.z says which.
struct SegmentTasks {
  static constexpr int kMost = 16;
  SegmentTask task[kMost];
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

// What is added up in a lane: cells of a column of x less its center or, beyond the last one, ones; with a factor and the segment of
// each. All are asked for ahead of their use.
struct SegmentLane {
  struct Term {
    double factor;
    float cell;
    std::int32_t segment;
  };
  const float* x;  // nullptr: ones
  const double* factors;
  const std::int32_t* label;
  float center;
  int stride;

  __device__ SegmentLane(const NewtonRows& rows, const double* factors_, int first_row, int j)
      : x(nullptr), factors(factors_), label(rows.label + first_row), center(0), stride(rows.n_cells - 1) {
    if (j >= stride) return;
    x = rows.x + std::int64_t{first_row} * stride + j;
    center = rows.center[j];
  }
  __device__ Term operator()(int row) const {
    return {factors[row], x == nullptr ? 1.0f : x[std::int64_t{row} * stride] - center, label[row]};
  }
};

// Dynamic shared memory: shape.bytes(of the segments of a block of threads). blockIdx: block of rows, segments, task.
__global__ void __launch_bounds__(kStripThreads) add_segment_sums_kernel(NewtonRows rows, SegmentTasks tasks, SegmentShape shape) {
  SHARED_BYTES(bytes);
  auto* const sums = reinterpret_cast<double*>(bytes);  // (groups, segments, width)
  const SegmentTask& task = tasks.task[blockIdx.z];
  const std::int64_t block = rows.first_of(task.every) + blockIdx.x * task.every;
  const int thread = static_cast<int>(threadIdx.x), group = thread / shape.n_lanes,
            first_segment = static_cast<int>(blockIdx.y) * shape.most_segments,
            n_segments = min(shape.most_segments, task.n_segments - first_segment), n_sums = n_segments * shape.width;
  if (block >= rows.n_blocks() || n_segments <= 0) return;  // other tasks have more of them
  for (int i = thread; i < shape.n_groups * n_sums; i += kStripThreads) sums[i] = 0;
  __syncthreads();
  const std::int64_t term = rows.term_at(block);
  const int first_row = static_cast<int>(block * kBlockRows), n_rows = min(static_cast<int>(kBlockRows), rows.n_rows - first_row);
  if (group < shape.n_groups) {
    for (int j = thread % shape.n_lanes; j < (task.residual == nullptr ? rows.n_cells : shape.width); j += shape.n_lanes) {
      const SegmentLane lane(rows, (j < rows.n_cells ? task.factors : task.residual) + term, first_row, j);
      double* const own = sums + group * n_sums + j;
      for_rows_ahead(group, n_rows, shape.n_groups, lane, [&](int, const SegmentLane::Term& of_row) {
        const int segment = of_row.segment - first_segment;
        if (segment >= 0 && segment < n_segments) own[segment * shape.width] += of_row.factor * static_cast<double>(of_row.cell);
      });
    }
  }
  __syncthreads();
  for (int i = thread; i < n_sums; i += kStripThreads) {
    const int segment = first_segment + i / shape.width, j = i % shape.width;
    const bool is_residual = j == rows.n_cells;
    if (is_residual && task.residual == nullptr) continue;
    double sum = 0;
    for (int g = 0; g < shape.n_groups; ++g) sum += sums[g * n_sums + i];
    const std::int64_t to = is_residual ? task.first_residual + segment : task.first_sum + std::int64_t{segment} * rows.n_cells + j;
    add_quanta(rows.sums + to, sum * (j < rows.n_cells - 1 ? static_cast<double>(rows.scale[j]) : 1.0) * rows.per_quantum[to]);
  }
}

}  // namespace coterie::COTERIE_GPU
