// What a profile counts and sums per group and column (host/profile_pass.hpp). Counts are integers and extremes are maxima of keys,
// so atomics may meet in any order. Moments are sums of doubles, so there one thread adds the cells of one column and one block of
// 4096 rows, row after row, as the CPU does, and only whole multiples of the quantum meet in atomics.
#pragma once

#include "cuda/segment_rows.cuh"
#include "host/ordered_key.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr int kCountThreads = 512;

// Of cells what is rare: those that are missing or zero.
enum RowCount : std::int32_t { kRows, kWeight, kRowCounts };
enum CellCount : std::int32_t { kMissingRows, kMissingWeight, kZeroWeight, kCellCounts };

// All zero at the start.
struct DeviceCounts {
  std::int64_t* of_rows;    // (n_groups, kRowCounts)
  std::int64_t* of_cells;   // (n_groups, n_columns, kCellCounts)
  std::uint64_t* extremes;  // (2, n_groups, n_columns) key of the largest known cell and complement of the key of the smallest, as wide
                            // as the cells; 0, a key of no number, where there is none
};

// Of a group in shared memory, and of each of its columns.
inline constexpr std::size_t kRowCountBytes = sizeof(std::uint32_t) * kRowCounts;
template <class Cell>
inline constexpr std::size_t kCellCountBytes = sizeof(std::uint32_t) * kCellCounts + 2 * sizeof(Cell);

// DeviceCounts::extremes of a block of threads, in shared memory; without kShared those of all blocks.
template <class Key, bool kShared>
struct CellExtremes {
  using Stored = std::conditional_t<kShared, Key, std::uint64_t>;
  Slice slice;
  std::int32_t n_groups;
  std::uint64_t* device;
  Stored* keys;  // (2, n_groups, columns)

  // The smallest of a group are those of another, n_groups further.
  __device__ __forceinline__ void take(std::int32_t group, std::int32_t column, Key key) const {
    const auto own = [&](std::int32_t of) { return keys + (kShared ? slice.at(of, column) : slice.among_all(of, column)); };
    raise(own(group), Stored{key});
    raise(own(group + n_groups), Stored{static_cast<Key>(~key)});
  }

  // By all threads, before and after.
  __device__ void clear() const {
    if constexpr (kShared) for_block(slice.at(2 * n_groups, 0), [&](std::int32_t i) { keys[i] = 0; });
  }
  __device__ void close() const {
    if constexpr (!kShared) return;
    for_block(slice.at(2 * n_groups, 0),
              [&](std::int32_t i) { raise(device + slice.among_all(i / slice.n_columns, i % slice.n_columns), std::uint64_t{keys[i]}); });
  }

 private:
  // Few cells are beyond all before them, and only those cost an atomic.
  template <class T>
  __device__ __forceinline__ static void raise(T* extreme, T key) {
    if (key > peek(extreme)) atomic_max(extreme, key);
  }
};

// Counts the rows of a tile, one to a thread.
template <class Cell, bool kShared>
__device__ void count_rows(const SegmentRows<Cell>& rows, const CellSums<kShared>& of_rows) {
  const auto n_rows = static_cast<unsigned>(rows.n_rows);
  for (unsigned row = blockIdx.y * blockDim.x + threadIdx.x; row < n_rows; row += gridDim.y * blockDim.x) {
    const std::int32_t label = rows.label_of(row), weight = rows.weight_of(row);
    if (label < 0 || weight == 0) continue;
    of_rows.add(min(label, rows.n_segments), 0, kRows, 1);
    of_rows.add(min(label, rows.n_segments), 0, kWeight, weight);
  }
}

// The blocks of the first slice count the rows too.
template <class Cell, bool kShared>
__global__ void __launch_bounds__(kCountThreads) count_cells_kernel(SegmentRows<Cell> rows, Slices slices, DeviceCounts counts) {
  using Extremes = CellExtremes<OrderedKey<Cell>, kShared>;
  using Stored = typename Extremes::Stored;
  SHARED_BYTES(memory);
  const Slice slice = own_slice(rows, slices);
  const std::int32_t n_groups = rows.n_segments + 1;
  auto* const keys = kShared ? reinterpret_cast<Stored*>(memory) : reinterpret_cast<Stored*>(counts.extremes);
  auto* const cell_words = reinterpret_cast<std::uint32_t*>(keys + slice.at(2 * n_groups, 0));
  const Extremes extremes{slice, n_groups, counts.extremes, keys};
  const CellSums<kShared> of_cells{slice, n_groups, kCellCounts, counts.of_cells, cell_words};
  const CellSums<kShared> of_rows{{0, 1, 1}, n_groups, kRowCounts, counts.of_rows, cell_words + slice.at(n_groups, 0) * kCellCounts};
  extremes.clear();
  of_cells.clear();
  of_rows.clear();
  __syncthreads();
  if (slice.first == 0) count_rows(rows, of_rows);
  for_each_cell(rows, slice, [&](const GroupCell<Cell>& cell, std::int32_t column) {
    if (cell.x != cell.x) {
      of_cells.add(cell.group, column, kMissingRows, 1);
      of_cells.add(cell.group, column, kMissingWeight, cell.weight);
      return;
    }
    if (cell.x == 0) of_cells.add(cell.group, column, kZeroWeight, cell.weight);
    extremes.take(cell.group, column, device_key(cell.x));
  });
  __syncthreads();
  extremes.close();
  of_cells.close();
  of_rows.close();
}

inline constexpr int kMomentThreads = 64;
inline constexpr int kMomentBlocks = 16;  // of a multiprocessor: 32 warps, whose shared memory is busy before all of them wait
inline constexpr int kMomentLimbs = 3;    // of 32, 32 and up to 46 bits of a block's sum, each summed in 64: 2^31 blocks wrap nowhere

struct alignas(16) MomentUnits {
  double scale;         // 2^-exponent
  double scaled_pivot;  // pivot * scale
};
struct alignas(16) BlockMoments {
  double sum, square;
};

struct DeviceMoments {
  std::int64_t n_cells;      // n_groups * n_columns
  const MomentUnits* units;  // (n_cells)
  const double* quanta;      // (n_cells) 2^fraction_bits
  BlockMoments* scratch;     // (blocks of threads, n_groups, kMomentThreads), where they do not fit in shared memory
  std::int64_t* limbs;       // (2, kMomentLimbs, n_cells) of sums and of squares
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

// Moves what a block of rows has left in one column of a group to the totals, and clears it for the next block. i: of the group and column
__device__ inline void close_block(const DeviceMoments& moments, BlockMoments& block, std::int64_t i) {
  if (block.sum == 0 && block.square == 0) return;  // most groups of a block, when there are many
  add_limbs(moments.limbs + i, moments.n_cells, block.sum * moments.quanta[i]);
  add_limbs(moments.limbs + kMomentLimbs * moments.n_cells + i, moments.n_cells, block.square * moments.quanta[i]);
  block = {0, 0};
}

// One thread per column and block of kBlockRows rows, which come around by all blocks of threads of a slice.
template <class Cell, bool kShared>
__global__ void __launch_bounds__(kMomentThreads, kMomentBlocks)
    add_moments_kernel(SegmentRows<Cell> rows, Slices slices, DeviceMoments moments) {
  SHARED_BYTES(memory);
  const Slice slice = own_slice(rows, slices);
  const auto thread = static_cast<std::int32_t>(threadIdx.x), column = thread % slice.n_columns;
  const std::int32_t n_groups = rows.n_segments + 1, at_once = kMomentThreads / slice.n_columns;
  if (thread >= at_once * slice.n_columns) return;
  const std::int64_t place = (std::int64_t{blockIdx.y} * gridDim.x + blockIdx.x) * n_groups * kMomentThreads;
  BlockMoments* const own = (kShared ? reinterpret_cast<BlockMoments*>(memory) : moments.scratch + place) + thread;
  for (std::int32_t group = 0; group < n_groups; ++group) own[group * kMomentThreads] = {0, 0};
  const std::int64_t step = std::int64_t{gridDim.y} * at_once * kBlockRows;
  for (std::int64_t first = (std::int64_t{blockIdx.y} * at_once + thread / slice.n_columns) * kBlockRows; first < rows.n_rows;
       first += step) {
    const auto last = static_cast<unsigned>(min(first + kBlockRows, std::int64_t{rows.n_rows}));
    rows.for_each(static_cast<unsigned>(first), last, 1, slice.first + column, [&](const GroupCell<Cell>& cell) {
      if (cell.x != cell.x) return;
      const MomentUnits units = moments.units[slice.among_all(cell.group, column)];
      const double t = static_cast<double>(cell.x) * units.scale - units.scaled_pivot;
      const double weighted = rows.weight != nullptr ? cell.weight * t : t;
      BlockMoments block = own[cell.group * kMomentThreads];
      block.sum += weighted;
      block.square += weighted * t;
      own[cell.group * kMomentThreads] = block;
    });
    for (std::int32_t group = 0; group < n_groups; ++group)
      close_block(moments, own[group * kMomentThreads], slice.among_all(group, column));
  }
}

}  // namespace coterie::COTERIE_GPU
