// What a profile counts and sums per group and column (host/profile_pass.hpp). Counts are integers and extremes are maxima of keys,
// so atomics may meet in any order. Moments are sums of doubles, so there one thread adds the cells of one column and one block of
// 4096 rows, row after row, as the CPU does, and only whole multiples of the quantum meet in atomics.
#pragma once

#include "cuda/segment_rows.cuh"

namespace coterie::COTERIE_GPU {

// profile::Counts on the device, all zero at the start.
struct DeviceCounts {
  std::int64_t* rows;            // (n_groups)
  std::int64_t* weight;          // (n_groups)
  std::int64_t* known_rows;      // (n_groups, n_columns)
  std::int64_t* known_weight;    // (n_groups, n_columns)
  std::int64_t* nonzero_weight;  // (n_groups, n_columns)
  std::uint64_t* largest;        // (n_groups, n_columns) key of the largest known cell; 0, a key of no number, where there is none
  std::uint64_t* smallest;       // (n_groups, n_columns) complement of the key of the smallest known cell, likewise
};

// One thread per cell; that of a row's first column counts the row.
template <class Cell>
__global__ void __launch_bounds__(kCellThreads) count_cells_kernel(SegmentRows<Cell> rows, DeviceCounts counts) {
  for_each_cell(rows, [&](Cell x, std::int64_t group, std::int32_t column, std::int64_t weight) {
    if (column == 0) {
      atomic_add(&counts.rows[group], 1);
      atomic_add(&counts.weight[group], weight);
    }
    if (x != x) return;
    const std::int64_t cell = group * rows.n_columns + column;
    atomic_add(&counts.known_rows[cell], 1);
    atomic_add(&counts.known_weight[cell], weight);
    if (x != 0) atomic_add(&counts.nonzero_weight[cell], weight);
    const std::uint64_t key = device_key(static_cast<double>(x));
    atomic_max(&counts.largest[cell], key);
    atomic_max(&counts.smallest[cell], ~key);
  });
}

inline constexpr int kMomentThreads = 128;
inline constexpr int kMomentLimbs = 3;  // of 32, 32 and up to 46 bits of a block's sum, each summed in 64: 2^31 blocks wrap nowhere

// All arrays (n_groups, n_columns), after one another where there are several.
struct DeviceMoments {
  std::int64_t n_cells;        // n_groups * n_columns
  const double* scale;         // 2^-exponent
  const double* scaled_pivot;  // pivot * scale
  const double* quanta;        // 2^fraction_bits
  double* scratch;             // (slots, 2, n_cells) sums and squares of a block of rows, all zero between blocks
  std::int64_t* limbs;         // (2, kMomentLimbs, n_cells) of sums and of squares
};

// Adds a block's sum in quanta, cut towards zero to an integer below 2^110, to its limbs. Every step is exact but the cut, which
// the last conversion makes. limbs: of the entry, n_cells apart
__device__ inline void add_limbs(std::int64_t* limbs, std::int64_t n_cells, double quanta) {
  const double size = quanta < 0 ? -quanta : quanta;
  const std::int64_t sign = quanta < 0 ? -1 : 1;
  const auto high = static_cast<std::int64_t>(size * 0x1p-64);
  const double below_high = size - static_cast<double>(high) * 0x1p64;
  const auto middle = static_cast<std::int64_t>(below_high * 0x1p-32);
  const auto low = static_cast<std::int64_t>(below_high - static_cast<double>(middle) * 0x1p32);
  atomic_add(limbs, sign * low);
  atomic_add(limbs + n_cells, sign * middle);
  atomic_add(limbs + 2 * n_cells, sign * high);
}

// Moves what a block of rows has left in one column to the totals, and clears it for the next block.
__device__ inline void close_block(const DeviceMoments& moments, double* sums, double* squares, std::int32_t column,
                                   std::int32_t n_columns) {
  for (std::int64_t i = column; i < moments.n_cells; i += n_columns) {
    if (sums[i] == 0 && squares[i] == 0) continue;  // most groups of a block, when there are many
    add_limbs(moments.limbs + i, moments.n_cells, sums[i] * moments.quanta[i]);
    add_limbs(moments.limbs + kMomentLimbs * moments.n_cells + i, moments.n_cells, squares[i] * moments.quanta[i]);
    sums[i] = 0;
    squares[i] = 0;
  }
}

// One thread per column and block of kBlockRows rows; blockIdx.x is the slot of scratch, and blocks of rows come around by the
// whole grid. Threads of a warp read neighbouring columns of the same row.
template <class Cell>
__global__ void __launch_bounds__(kMomentThreads) add_moments_kernel(SegmentRows<Cell> rows, DeviceMoments moments) {
  const auto column = static_cast<std::int32_t>(blockIdx.y * kMomentThreads + threadIdx.x);
  if (column >= rows.n_columns) return;
  double* const sums = moments.scratch + 2 * blockIdx.x * moments.n_cells;
  double* const squares = sums + moments.n_cells;
  const std::int64_t step = std::int64_t{gridDim.x} * kBlockRows;
  for (std::int64_t first = std::int64_t{blockIdx.x} * kBlockRows; first < rows.n_rows; first += step) {
    const std::int64_t last = min(first + kBlockRows, std::int64_t{rows.n_rows});
    for (std::int64_t row = first; row < last; ++row) {
      const std::int64_t group = rows.group_of(row);
      if (group < 0) continue;
      const auto x = static_cast<double>(rows.cell(row, column));
      if (x != x) continue;
      const std::int64_t i = group * rows.n_columns + column;
      const double t = x * moments.scale[i] - moments.scaled_pivot[i];
      const double weighted = rows.weight_of(row) * t;
      sums[i] += weighted;
      squares[i] += weighted * t;
    }
    close_block(moments, sums, squares, column, rows.n_columns);
  }
}

}  // namespace coterie::COTERIE_GPU
