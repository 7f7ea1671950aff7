// How one mixture runs: rows per strip, shared memory, and how many blocks may run at a time. The strip follows from the
// shape of the model alone, because it fixes bits; the rest decides speed only.
#pragma once

#include <algorithm>
#include <string>

#include "cuda/gaussian_sweep.cuh"
#include "host/error.hpp"

namespace coterie::COTERIE_GPU {

// As many rows as fit into 40 KB with their log-densities, so that two blocks and the sums of 64 x 64 components and columns
// find room in the shared memory of one multiprocessor. ResourceError when a single row fits into no block's shared memory.
inline StripShape choose_strip(CovarianceType type, std::size_t cell_bytes, int n_components, int n_columns, std::size_t shared_limit) {
  constexpr int kStripBytes = 40 << 10;
  StripShape shape{.rows = 128, .stride = strip_stride(n_columns), .density_stride = n_components | 1, .lanes_per_row = 2, .half_words = 0};
  const auto bytes = [&] { return MixtureMemory(type, shape, static_cast<int>(cell_bytes), n_components, 0).bytes; };
  while (shape.rows > 1 && bytes() > kStripBytes) shape.rows /= 2;
  shape.lanes_per_row = std::min(32, kStripThreads / shape.rows);
  if (static_cast<std::size_t>(bytes()) > shared_limit)
    throw ResourceError("a mixture of " + std::to_string(n_components) + " components over " + std::to_string(n_columns) +
                        " columns does not fit into the shared memory of this GPU. Nothing was written. Use --device cpu.");
  return shape;
}

// The same on tensor cores, in twice the memory, because a warp takes 32 rows at once; rows is 0 where they do not fit.
inline StripShape choose_half_strip(int n_components, int n_columns) {
  constexpr int kHalfStripBytes = 80 << 10;
  StripShape shape{.rows = 128,
                   .stride = strip_stride(n_columns),
                   .density_stride = n_components | 1,
                   .lanes_per_row = 2,
                   .half_words = half_words(n_columns)};
  while (shape.rows >= kProductRows && MixtureMemory(CovarianceType::full, shape, sizeof(float), n_components, 0).bytes > kHalfStripBytes)
    shape.rows /= 2;
  if (shape.rows < kProductRows) return {};
  shape.lanes_per_row = kStripThreads / shape.rows;
  return shape;
}

// A second strip where it does not keep a second block from the multiprocessor: the number fixes no bits. Without strips where
// the shared memory is too small.
inline ExpandedShape choose_expanded_shape(int n_components, int n_columns, std::size_t shared_limit) {
  constexpr std::size_t kReserved = 1 << 10;  // of a block, by the driver
  const ExpandedShape one(n_components, n_columns, 1), two(n_components, n_columns, 2);
  const auto bytes = [](const ExpandedShape& shape) { return static_cast<std::size_t>(shape.at.bytes); };
  const auto fits_twice = [&](const ExpandedShape& shape) { return 2 * (bytes(shape) + kReserved) <= shared_limit + kReserved; };
  if (bytes(one) > shared_limit) return {};
  return fits_twice(two) || (!fits_twice(one) && bytes(two) <= shared_limit) ? two : one;
}

struct StripPlan {
  StripShape shape{};
  ExpandedShape expanded{};  // instead, of sweep_expanded_kernel
  std::size_t cell_bytes = 0;
  std::size_t shared_bytes = 0;     // of sweep_mixture_kernel
  std::size_t scatter_bytes = 0;    // of add_scatter_kernel
  std::int64_t device_moments = 0;  // doubles of block moments in device memory per running block; 0: in shared memory
  std::int64_t members = 0;         // entries of the lists of members per running block
  std::int64_t n_blocks = 1;        // that may run at a time

  StripPlan() = default;
  explicit StripPlan(const ExpandedShape& of_strips) : expanded(of_strips), shared_bytes(static_cast<std::size_t>(of_strips.at.bytes)) {}
  StripPlan(const gaussian_mixture::Model& model, const StripShape& of_rows, std::size_t bytes_per_cell, std::size_t shared_limit)
      : shape(of_rows), cell_bytes(bytes_per_cell) {
    const CovarianceType type = model.covariance_type;
    const int k = model.n_components, d = model.n_columns;
    const bool full = type == CovarianceType::full, moves = !model.final_parameters;
    const auto bytes = [&](std::int64_t moments) {
      return static_cast<std::size_t>(MixtureMemory(type, shape, static_cast<int>(cell_bytes), k, moments).bytes);
    };
    const std::int64_t moments = full || !moves ? 0 : block_moments_size(type, k, d, model.missing_at_random);
    const bool fits = moments * std::int64_t{sizeof(double)} < static_cast<std::int64_t>(shared_limit) && bytes(moments) <= shared_limit;
    device_moments = fits ? 0 : moments;
    shared_bytes = bytes(fits ? moments : 0);
    scatter_bytes = cell_bytes * static_cast<std::size_t>(shape.rows * (shape.stride + 1));
    members = full && moves ? std::int64_t{k} * kBlockRows : 0;
  }

  // Blocks that fill the device, in at most an eighth of its memory.
  void limit_blocks(std::int64_t that_fill_the_device, std::int64_t memory_bytes) {
    const auto of_one =
        device_moments * std::int64_t{sizeof(double)} + members * static_cast<std::int64_t>(sizeof(std::uint16_t) + cell_bytes);
    n_blocks = of_one == 0 ? that_fill_the_device : std::clamp<std::int64_t>(memory_bytes / 8 / of_one, 1, that_fill_the_device);
  }
};

}  // namespace coterie::COTERIE_GPU
