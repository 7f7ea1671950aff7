// The rows of a labelled tile as host/segment_rows.hpp counts them, and the order-preserving keys of host/ordered_key.hpp, for kernels.
#pragma once

#include <algorithm>

#include "cuda/kernel.hpp"
#include "host/segment_rows.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr int kCellThreads = 256;

template <class Cell>
struct SegmentRows {
  const Cell* x;               // (n_rows, tile_columns)
  const std::int32_t* weight;  // (n_rows), or nullptr: every row weighs 1 step
  const std::int32_t* label;   // (n_rows), or nullptr: all rows belong to the population only
  std::int32_t n_rows, tile_columns;
  std::int32_t n_segments, first_column, n_columns;  // of the scope

  SegmentRows(const Tile& tile, const Cell* cells, const SegmentScope& scope)
      : x(cells),
        weight(tile.weight),
        label(tile.label),
        n_rows(tile.n_rows),
        tile_columns(tile.n_columns),
        n_segments(scope.n_segments),
        first_column(scope.first_column),
        n_columns(scope.n_columns) {}

  // Group of a row, negative where it is absent.
  __device__ std::int32_t group_of(std::int64_t row) const {
    const std::int32_t of_row = label != nullptr ? label[row] : n_segments;
    return weight_of(row) == 0 ? -1 : min(of_row, n_segments);
  }
  __device__ std::int32_t weight_of(std::int64_t row) const { return weight != nullptr ? weight[row] : 1; }
  __device__ Cell cell(std::int64_t row, std::int32_t column) const { return x[row * tile_columns + first_column + column]; }
};

// Blocks of kCellThreads for one thread per cell, but no more than keep the device busy: each walks on by the whole grid.
template <class Cell>
dim3 count_cell_blocks(const SegmentRows<Cell>& rows, int multiprocessors) {
  constexpr std::int64_t kBlocksPerMultiprocessor = 8;  // 2048 threads, all that a multiprocessor can hold
  const std::int64_t n_cells = std::int64_t{rows.n_rows} * rows.n_columns;
  return static_cast<unsigned>(std::min((n_cells + kCellThreads - 1) / kCellThreads, kBlocksPerMultiprocessor * multiprocessors));
}

// Calls f(x, group, column, weight) for the cells that this thread takes, of the rows that count. Neighbouring threads have
// neighbouring cells.
template <class Cell, class F>
__device__ void for_each_cell(const SegmentRows<Cell>& rows, F&& f) {
  const std::int64_t n_cells = std::int64_t{rows.n_rows} * rows.n_columns;
  const std::int64_t step = std::int64_t{gridDim.x} * kCellThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kCellThreads + threadIdx.x; i < n_cells; i += step) {
    const std::int64_t row = i / rows.n_columns;
    const auto column = static_cast<std::int32_t>(i % rows.n_columns);
    const std::int32_t group = rows.group_of(row);
    if (group >= 0) f(rows.cell(row, column), group, column, std::int64_t{rows.weight_of(row)});
  }
}

// x is not NaN; -0.0 counts as 0.0.
__device__ inline std::uint32_t device_key(float x) {
  const auto bits = static_cast<std::uint32_t>(__float_as_int(x + 0.0f));
  return bits ^ ((0u - (bits >> 31)) | 0x80000000u);
}
__device__ inline std::uint64_t device_key(double x) {
  const auto bits = static_cast<std::uint64_t>(__double_as_longlong(x + 0.0));
  return bits ^ ((std::uint64_t{0} - (bits >> 63)) | std::uint64_t{1} << 63);
}

}  // namespace coterie::COTERIE_GPU
