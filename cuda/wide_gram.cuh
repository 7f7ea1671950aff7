// Gram matrices of wide rows in double, as products that cuBLAS takes on tensor cores: rows of a block times the roots of their weights,
// t z z^T = (sqrt(t) z) (sqrt(t) z)^T, are packed into a slot, and when all slots are full one batch multiplies every pair of panels at or
// below the diagonal. Cells of z are those of newton_sums.cuh, scaled, and a last column of ones.
//
// On one device a batch always has as many slots, each of kBlockRows rows, so that cuBLAS always takes the same kernel; slots are filled in
// the order of blocks, whatever tiles and slices they come in.
#pragma once

#include <span>
#include <vector>

#include "cuda/dense_products.hpp"
#include "cuda/device_buffer.hpp"
#include "cuda/newton_gram.cuh"

namespace coterie::COTERIE_GPU {

inline constexpr int kNarrowColumns = 512;  // rows of no more are left to add_precise_gram_kernel
inline constexpr int kWidePanel = 128;      // columns
inline constexpr int kPackedRows = 32;      // of a block of threads

// A block of rows, and the matrix that it belongs to.
struct WideSlot {
  std::int64_t first_row;  // of the slice
  int n_rows;
  const double* term;      // (n_rows)
  std::int64_t first_sum;  // of the triangle
};
struct WideSlots {
  static constexpr int kMost = 32;
  WideSlot slot[kMost];
};

// Where things lie: depends on the columns and on the device, not on its memory. Panels of columns that do not exist are zero.
struct WideShape {
  int n_panels, n_slots;

  __host__ WideShape(int n_cells, int multiprocessors) : n_panels((n_cells + kWidePanel - 1) / kWidePanel) {
    constexpr std::int64_t kMostBytes = std::int64_t{448} << 20;
    constexpr int kPairs = 3;  // of a multiprocessor: the last ones of a batch leave others idle
    const std::int64_t bytes = std::int64_t{sizeof(double)} * (slot_size() + n_pairs() * kPairSize);
    n_slots = static_cast<int>(
        std::clamp<std::int64_t>(kPairs * multiprocessors / n_pairs(), 2, std::min<std::int64_t>(kMostBytes / bytes, WideSlots::kMost)));
  }
  static constexpr std::int64_t kPairSize = std::int64_t{kWidePanel} * kWidePanel;
  __host__ __device__ int stride() const { return n_panels * kWidePanel; }
  __host__ __device__ std::int64_t slot_size() const { return std::int64_t{kBlockRows} * stride(); }
  __host__ __device__ int n_pairs() const { return n_panels * (n_panels + 1) / 2; }
  // Of a cell of the triangle among the products (slots, pairs, row, column).
  __device__ std::int64_t product_at(int slot, int row, int column) const {
    const int panel = row / kWidePanel, pair = panel * (panel + 1) / 2 + column / kWidePanel;
    return (std::int64_t{slot} * n_pairs() + pair) * kPairSize + row % kWidePanel * kWidePanel + column % kWidePanel;
  }
};

// Grid: panels, by kPackedRows rows, by slots from first_slot on. packed: (n_slots, kBlockRows, stride)
__global__ void __launch_bounds__(kWidePanel) pack_wide_rows_kernel(NewtonRows rows, WideSlots slots, int first_slot, double* packed) {
  SHARED(root, double[kPackedRows]);
  const int own = first_slot + static_cast<int>(blockIdx.z), first = static_cast<int>(blockIdx.y) * kPackedRows,
            thread = static_cast<int>(threadIdx.x), stride = static_cast<int>(gridDim.x) * kWidePanel;
  const WideSlot& slot = slots.slot[own];
  const int n_rows = min(kPackedRows, slot.n_rows - first);
  if (n_rows <= 0) return;
  if (thread < n_rows) root[thread] = sqrt(slot.term[first + thread]);
  __syncthreads();
  const int j = static_cast<int>(blockIdx.x) * kWidePanel + thread;
  const GramColumn column(rows, slot.first_row + first, j);
  double* const to = packed + (std::int64_t{own} * kBlockRows + first) * stride + j;
#pragma unroll 8
  for (int row = 0; row < n_rows; ++row) to[std::int64_t{row} * stride] = root[row] * static_cast<double>(column.cell(column.load(row)));
}

// Grid: rows of the triangle, by slots: the first one of a matrix adds all that belong to it, and nobody else does.
__global__ void __launch_bounds__(kStripThreads)
    add_wide_products_kernel(WideShape shape, WideSlots slots, int n_slots, const double* products, const double* per_quantum,
                             FixedPoint* sums) {
  const int row = static_cast<int>(blockIdx.x), own = static_cast<int>(blockIdx.y);
  const std::int64_t first_sum = slots.slot[own].first_sum;
  for (int slot = 0; slot < own; ++slot)
    if (slots.slot[slot].first_sum == first_sum) return;
  for (int column = static_cast<int>(threadIdx.x); column <= row; column += kStripThreads) {
    const std::int64_t sum = first_sum + NewtonModel::triangle(row) + column;
    const double per = per_quantum[sum];
    FixedPoint total = sums[sum];
#pragma unroll 4
    for (int slot = own; slot < n_slots; ++slot)
      if (slots.slot[slot].first_sum == first_sum) total = plus(total, fixed_point_of(products[shape.product_at(slot, row, column)] * per));
    sums[sum] = total;
  }
}

class WideGrams {
 public:
  WideGrams(DenseProducts& by, int n_cells, int multiprocessors, cudaStream_t stream)
      : by_(by),
        n_cells_(n_cells),
        stream_(stream),
        shape_(n_cells, multiprocessors),
        packed_(static_cast<std::size_t>(shape_.n_slots * shape_.slot_size())),
        products_(static_cast<std::size_t>(n_products() * WideShape::kPairSize)),
        factors_(static_cast<std::size_t>(2 * n_products())),
        places_(static_cast<std::size_t>(n_products())) {
    std::vector<const double*> factors(factors_.size());
    std::vector<double*> places;
    for (int slot = 0; slot < shape_.n_slots; ++slot)
      for (int row = 0; row < shape_.n_panels; ++row)
        for (int column = 0; column <= row; ++column) {
          const double* const panels = packed_.data() + slot * shape_.slot_size();
          factors[places.size()] = panels + column * kWidePanel;
          factors[static_cast<std::size_t>(n_products()) + places.size()] = panels + row * kWidePanel;
          places.push_back(products_.data() + static_cast<std::int64_t>(places.size()) * WideShape::kPairSize);
        }
    copy_to_device(factors_.data(), factors.data(), factors.size(), stream_);
    copy_to_device(places_.data(), places.data(), places.size(), stream_);
    fill_zero(packed_.data(), packed_.size(), stream_);  // what no block has filled yet is multiplied as well
    check(cudaStreamSynchronize(stream_));
  }

  void begin(const double* per_quantum, FixedPoint* sums) {
    per_quantum_ = per_quantum;
    sums_ = sums;
    n_used_ = n_packed_ = 0;
  }

  // Adds the rows of a slice; what does not fill the slots waits for the next one.
  void add(const NewtonRows& rows, std::span<const GramTask> tasks) {
    for (std::int64_t block = 0; block < rows.n_blocks(); ++block)
      for (const GramTask& task : tasks)
        if ((rows.first_block + block) % task.every == 0) add_block(rows, block, task);
    pack(rows);
  }

  void finish() {
    if (n_used_ == 0) return;
    by_.multiply({.rows = kWidePanel,
                  .columns = kWidePanel,
                  .depth = static_cast<int>(kBlockRows),
                  .left_stride = shape_.stride(),
                  .right_stride = shape_.stride(),
                  .product_stride = kWidePanel,
                  .count = n_products()},
                 factors_.data(), factors_.data() + n_products(), places_.data());
    launch(add_wide_products_kernel, {{static_cast<unsigned>(n_cells_), static_cast<unsigned>(n_used_)}, kStripThreads, 0, stream_}, shape_,
           slots_, n_used_, products_.data(), per_quantum_, sums_);
    n_used_ = n_packed_ = 0;
  }

 private:
  int n_products() const { return shape_.n_slots * shape_.n_pairs(); }

  void add_block(const NewtonRows& rows, std::int64_t block, const GramTask& task) {
    const std::int64_t first_row = block * kBlockRows;
    slots_.slot[n_used_++] = {.first_row = first_row,
                              .n_rows = static_cast<int>(std::min<std::int64_t>(kBlockRows, rows.n_rows - first_row)),
                              .term = task.term + rows.term_at(block),
                              .first_sum = task.first_sum};
    if (n_used_ < shape_.n_slots) return;
    pack(rows);
    finish();
  }

  void pack(const NewtonRows& rows) {
    if (n_packed_ == n_used_) return;
    const dim3 grid(static_cast<unsigned>(shape_.n_panels), kBlockRows / kPackedRows, static_cast<unsigned>(n_used_ - n_packed_));
    launch(pack_wide_rows_kernel, {grid, kWidePanel, 0, stream_}, rows, slots_, n_packed_, packed_.data());
    for (; n_packed_ < n_used_; ++n_packed_) {
      const std::int64_t there = std::int64_t{slots_.slot[n_packed_].n_rows} * shape_.stride();
      fill_zero(packed_.data() + n_packed_ * shape_.slot_size() + there, static_cast<std::size_t>(shape_.slot_size() - there), stream_);
    }
  }

  DenseProducts& by_;
  int n_cells_;
  cudaStream_t stream_;
  WideShape shape_;
  DeviceBuffer<double> packed_;          // (n_slots, kBlockRows, stride)
  DeviceBuffer<double> products_;        // (n_slots, pairs, row, column)
  DeviceBuffer<const double*> factors_;  // (2, n_slots, pairs) panels of columns of the triangle, and of its rows
  DeviceBuffer<double*> places_;         // (n_slots, pairs) of the products
  WideSlots slots_{};
  int n_used_ = 0, n_packed_ = 0;  // slots that have a block, and those whose rows are in it
  const double* per_quantum_ = nullptr;
  FixedPoint* sums_ = nullptr;
};

}  // namespace coterie::COTERIE_GPU
