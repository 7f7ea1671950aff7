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
  StripShape shape{.rows = 128, .stride = strip_stride(n_columns), .density_stride = n_components | 1, .lanes_per_row = 2};
  const auto bytes = [&] { return MixtureMemory(type, shape, static_cast<int>(cell_bytes), n_components, 0).bytes; };
  while (shape.rows > 1 && bytes() > kStripBytes) shape.rows /= 2;
  shape.lanes_per_row = std::min(32, kStripThreads / shape.rows);
  if (static_cast<std::size_t>(bytes()) > shared_limit)
    throw ResourceError("a mixture of " + std::to_string(n_components) + " components over " + std::to_string(n_columns) +
                        " columns does not fit into the shared memory of this GPU. Nothing was written. Use --device cpu.");
  return shape;
}

// As many rows as fit, and two blocks into the 227 KB of a Hopper or one into the 99 KB of a small multiprocessor; of shapes with as
// many rows the one that holds them in registers. Where none fits, the smallest if it fits this device; rows is 0 where it does not.
inline WhitenedShape choose_whitened_shape(int n_components, int n_columns, std::size_t shared_limit) {
  constexpr std::size_t kWhitenedBytes = 98 << 10;
  const auto fits = [](const WhitenedShape& shape, std::size_t limit) { return static_cast<std::size_t>(shape.at.bytes) <= limit; };
  const bool may_hold = product_pairs(n_columns) <= kHeldPairs;
  for (int rows = kProductRows * kStripWarps; rows >= kProductRows; rows /= 2) {
    for (int held = may_hold ? 1 : 0; held >= 0; --held) {
      for (int gram_rows = kMostGramRows; gram_rows >= kStepRows; gram_rows /= 2) {
        const WhitenedShape shape(n_components, n_columns, rows, held == 1, gram_rows);
        if (fits(shape, std::min(kWhitenedBytes, shared_limit))) return shape;
      }
    }
  }
  const WhitenedShape least(n_components, n_columns, kProductRows, false, kStepRows);
  return fits(least, shared_limit) ? least : WhitenedShape{};
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
  WhitenedShape whitened{};  // instead, of sweep_whitened_kernel
  ExpandedShape expanded{};  // instead, of sweep_expanded_kernel
  std::size_t cell_bytes = 0;
  std::size_t shared_bytes = 0;     // of the kernel that sweeps
  std::size_t scatter_bytes = 0;    // of add_scatter_kernel
  std::int64_t device_moments = 0;  // doubles of block moments in device memory per running block; 0: in shared memory
  std::int64_t members = 0;         // entries of the lists of members per running block
  std::int64_t n_blocks = 1;        // that may run at a time

  StripPlan() = default;
  StripPlan(const gaussian_mixture::Model& model, const WhitenedShape& of_strips)
      : whitened(of_strips),
        cell_bytes(sizeof(float)),
        shared_bytes(static_cast<std::size_t>(of_strips.at.bytes)),
        members(std::int64_t{model.n_components} * kBlockRows) {}
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
