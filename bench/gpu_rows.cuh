// Rows for the benches, made on the device by a counter-based generator, so that hundreds of millions take no time; any of them can be
// made again on the host.
#pragma once

#include <cstdint>

#include "cuda/kernel.hpp"

namespace coterie::gpu {

inline constexpr double kStep = 0x1p-21;  // |x| <= 4: a grid of 2^23 steps to either side

// mix64 of host/random.hpp, for both sides.
__host__ __device__ inline std::uint64_t mix(std::uint64_t z) {
  z += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Cell of a row: one of 16 loose blobs, unit-width noise; a whole number of steps.
__host__ __device__ inline float make_cell(std::int64_t row, int column) {
  const auto blob = mix(static_cast<std::uint64_t>(row)) % 16;
  const auto center = static_cast<std::int64_t>(mix(blob * 65536 + static_cast<std::uint64_t>(column)) >> 42) - (1 << 21);
  const auto noise =
      static_cast<std::int64_t>(mix(static_cast<std::uint64_t>(row) * 65536 + static_cast<std::uint64_t>(column) + (1ull << 62)) >> 42) -
      (1 << 21);
  return static_cast<float>(static_cast<double>(center + noise) * kStep);
}

// x: (n_rows, n_columns)
__global__ void make_rows_kernel(float* x, std::int64_t n_rows, int n_columns) {
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n_rows * n_columns; i += step) {
    x[i] = make_cell(i / n_columns, static_cast<int>(i % n_columns));
  }
}

// label: (n_rows) of 8 segments
__global__ void make_labels_kernel(std::int32_t* label, std::int64_t n_rows) {
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n_rows; i += step)
    label[i] = static_cast<std::int32_t>(mix(static_cast<std::uint64_t>(i)) % 8);
}

}  // namespace coterie::gpu
