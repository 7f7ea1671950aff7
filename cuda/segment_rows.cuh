// The rows of a labelled tile as host/segment_rows.hpp counts them, for kernels: a block of threads has a slice of the columns, a thread
// one of them, and walks down the rows. What is summed per group and column lies in shared memory where it fits, so that no two columns
// of a row meet; integers, so that the order of the threads does not show.
#pragma once

#include <algorithm>

#include "cuda/device.hpp"
#include "cuda/kernel.hpp"
#include "host/segment_rows.hpp"

namespace coterie::COTERIE_GPU {

// A cell of a row that counts.
template <class Cell>
struct GroupCell {
  Cell x;
  std::int32_t group, weight;
};

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

  __device__ std::int32_t weight_of(unsigned row) const { return weight != nullptr ? weight[row] : 1; }
  __device__ std::int32_t label_of(unsigned row) const { return label != nullptr ? label[row] : n_segments; }

  // Calls f(cell) for the rows first, first + step, ... below `last` that count, in order: their cells of a column.
  template <class F>
  __device__ __forceinline__ void for_each(unsigned first, unsigned last, unsigned step, std::int32_t column, F&& f) const {
    constexpr int kAhead = 24 / sizeof(Cell);  // loads under way, as many as the registers of the kernels hold; no branch comes between
    for (unsigned row = first; row < last; row += kAhead * step) {
      Cell cells[kAhead];
      std::int32_t labels[kAhead], weights[kAhead];
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        const unsigned from = min(row + static_cast<unsigned>(i) * step, last - 1);
        cells[i] = x[std::uint64_t{from} * static_cast<unsigned>(tile_columns) + static_cast<unsigned>(first_column + column)];
        labels[i] = label_of(from);
        weights[i] = weight_of(from);
      }
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        const bool counts = row + static_cast<unsigned>(i) * step < last && labels[i] >= 0 && weights[i] != 0;
        if (counts) f(GroupCell<Cell>{cells[i], min(labels[i], n_segments), weights[i]});
      }
    }
  }
};

// How the columns of a scope are cut into slices.
struct Slices {
  std::int32_t n_columns;  // of each, but fewer of the last
  bool shared;             // whether a block keeps in shared memory what it sums
  std::size_t shared_bytes;

  std::int32_t count(std::int32_t all_columns) const { return (all_columns + n_columns - 1) / n_columns; }
};

// Slices of at most `most` columns, all about as wide; whole sectors of memory where there is room for them.
inline std::int32_t cut_columns(std::int32_t n_columns, std::int32_t most) {
  constexpr std::int32_t kSector = 8;  // floats
  if (n_columns <= most) return n_columns;
  const std::int32_t unit = most < kSector ? 1 : kSector, units = (n_columns + unit - 1) / unit;
  const std::int32_t n_slices = (units + most / unit - 1) / (most / unit);
  return (units + n_slices - 1) / n_slices * unit;
}

// For blocks of `threads` that sum column_bytes for every column and fixed_bytes beside them.
inline Slices choose_slices(std::int32_t n_columns, int threads, std::size_t column_bytes, std::size_t fixed_bytes,
                            std::size_t shared_limit) {
  const std::size_t fit = fixed_bytes < shared_limit ? (shared_limit - fixed_bytes) / column_bytes : 0;
  const auto most = static_cast<std::int32_t>(std::min<std::size_t>(fit, static_cast<std::size_t>(threads)));
  if (most == 0) return {cut_columns(n_columns, threads), false, 0};
  const std::int32_t columns = cut_columns(n_columns, most);
  return {columns, true, fixed_bytes + column_bytes * static_cast<std::size_t>(columns)};
}

// Launches kernel(rows, slices, arguments...) of `threads`: blockIdx.x is the slice, and the blocks of a slice, no more than keep the
// device busy, deal its rows out among them.
template <class Cell, class... Arguments>
void launch_slices(void (*kernel)(SegmentRows<Cell>, Slices, Arguments...), int threads, const DeviceContext& device,
                   const SegmentRows<Cell>& rows, const Slices& slices, const std::type_identity_t<Arguments>&... arguments) {
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(device.shared_bytes)));
  int per_multiprocessor = 0;
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_multiprocessor, kernel, threads, slices.shared_bytes));
  const std::int32_t n_slices = slices.count(rows.n_columns), rows_at_once = threads / slices.n_columns;
  const std::int32_t busy = per_multiprocessor * device.device.multiprocessors / n_slices;
  const std::int32_t blocks = std::clamp(busy, 1, (rows.n_rows - 1) / rows_at_once + 1);
  launch(kernel,
         {dim3(static_cast<unsigned>(n_slices), static_cast<unsigned>(blocks)), static_cast<unsigned>(threads), slices.shared_bytes,
          device.compute.get()},
         rows, slices, arguments...);
}

// The columns of a block of threads, and where they are among all of the scope.
struct Slice {
  std::int32_t first, n_columns, all_columns;

  __device__ std::int32_t at(std::int32_t group, std::int32_t column) const { return group * n_columns + column; }
  __device__ std::int64_t among_all(std::int32_t group, std::int32_t column) const {
    return std::int64_t{group} * all_columns + first + column;
  }
};
template <class Cell>
__device__ Slice own_slice(const SegmentRows<Cell>& rows, const Slices& slices) {
  const std::int32_t first = static_cast<std::int32_t>(blockIdx.x) * slices.n_columns;
  return {first, min(slices.n_columns, rows.n_columns - first), rows.n_columns};
}

// Calls f(cell, column) for the cells that this thread takes, of the rows that count; column: of the slice. Neighbouring threads have
// neighbouring cells.
template <class Cell, class F>
__device__ __forceinline__ void for_each_cell(const SegmentRows<Cell>& rows, const Slice& slice, F&& f) {
  const auto n_columns = static_cast<unsigned>(slice.n_columns), rows_at_once = blockDim.x / n_columns;
  const unsigned own_row = threadIdx.x / n_columns;
  const auto column = static_cast<std::int32_t>(threadIdx.x % n_columns);
  if (own_row >= rows_at_once) return;
  rows.for_each(blockIdx.y * rows_at_once + own_row, static_cast<unsigned>(rows.n_rows), gridDim.y * rows_at_once, slice.first + column,
                [&](const GroupCell<Cell>& cell) { f(cell, column); });
}

// Calls f(i) for 0 <= i < n, by all threads of the block.
template <class F>
__device__ __forceinline__ void for_block(std::int32_t n, F&& f) {
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < n; i += static_cast<std::int32_t>(blockDim.x)) f(i);
}

// Sums of counts and weights (n_groups, columns, depth), to which any thread adds. A block has words for its own columns, whose carries
// go to the device at once and the rest in close(); without kShared all goes to the device.
template <bool kShared>
struct CellSums {
  Slice slice;
  std::int32_t n_groups, depth;
  std::int64_t* sums;    // of all columns, on the device
  std::uint32_t* words;  // of the slice, in shared memory

  __device__ __forceinline__ void add(std::int32_t group, std::int32_t column, std::int32_t at, std::int32_t value) const {
    if constexpr (kShared) {
      const std::int32_t word = slice.at(group, column) * depth + at;
      const auto added = static_cast<std::uint32_t>(value);
      if (atomicAdd(&words[word], added) > ~added) atomic_add(sum_of(word), std::int64_t{1} << 32);
    } else {
      atomic_add(sums + slice.among_all(group, column) * depth + at, value);
    }
  }

  // By all threads, before and after.
  __device__ void clear() const {
    if constexpr (kShared) for_block(slice.at(n_groups, 0) * depth, [&](std::int32_t word) { words[word] = 0; });
  }
  __device__ void close() const {
    if constexpr (!kShared) return;
    for_block(slice.at(n_groups, 0) * depth, [&](std::int32_t word) {
      if (words[word] != 0) atomic_add(sum_of(word), words[word]);
    });
  }

 private:
  __device__ std::int64_t* sum_of(std::int32_t word) const {
    const std::int32_t of_group = slice.n_columns * depth;
    return sums + slice.among_all(word / of_group, 0) * depth + word % of_group;
  }
};

// The order-preserving keys of host/ordered_key.hpp. x is not NaN; -0.0 counts as 0.0.
__device__ inline std::uint32_t device_key(float x) {
  const auto bits = static_cast<std::uint32_t>(__float_as_int(x + 0.0f));
  return bits ^ ((0u - (bits >> 31)) | 0x80000000u);
}
__device__ inline std::uint64_t device_key(double x) {
  const auto bits = static_cast<std::uint64_t>(__double_as_longlong(x + 0.0));
  return bits ^ ((std::uint64_t{0} - (bits >> 63)) | std::uint64_t{1} << 63);
}

}  // namespace coterie::COTERIE_GPU
