// Log-densities of diagonal and spherical components, expanded, as the product that tensor cores take (gaussian_expansion.cuh):
//   log (w N)(x) = constant + sum_j (p_j mu_j) x_j + (-p_j / 2) x_j^2,   p = 1 / variance, x and mu less the center
// Columns are scaled by powers of two to a deviation of about 1, and their factors the other way round, in fp16 as in
// packed_whitening.hpp.
#pragma once

#include "cuda/packed_whitening.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr int kExpandedColumns = 8;     // per step: each with its square
inline constexpr int kMostExpandedTiles = 8;   // of kTileColumns components: what a warp holds of its rows' log-densities
inline constexpr int kMostExpandedPieces = 8;  // of the sums: 32 components and 16 columns each, one per warp

// That cover the components, a power of two, and the columns, an even number.
constexpr int expanded_tiles(int n_components) {
  int tiles = 1;
  while (tiles * kTileColumns < n_components) tiles *= 2;
  return tiles;
}
constexpr int expanded_steps(int n_columns) { return (n_columns + 2 * kExpandedColumns - 1) / (2 * kExpandedColumns) * 2; }

// With lane = 4 group + member, a lane's first register is for columns 2 member + {0, 1} of a step and its group's component,
// the second for their squares.
struct DeviceExpansion {
  std::int32_t n_components, n_columns;
  std::int32_t n_tiles, n_steps;     // expanded_tiles(), expanded_steps()
  bool spherical;                    // the squares of all columns have one sum
  const ProductFragment* fragments;  // (n_steps, n_tiles, 32)
  const float* constants;            // (n_tiles * kTileColumns), -infinity beyond the components
  const float* scales;               // (n_steps * kExpandedColumns) 2^-e, zero beyond the columns
  const float* shifts;               // (n_steps * kExpandedColumns) -center 2^-e
  const float* units;                // (n_steps * kExpandedColumns) 2^e
};

class PackedExpansion {
 public:
  // Whether fp16 holds the rows on the grid, their squares and the factors, scaled, and the shape is one that the kernel takes.
  static bool fits(const gaussian_mixture::Model& model, const gaussian_mixture::Grid& grid, std::span<const float> center);
  // Allocates what is missing and uploads; the arguments may go away. model: diag or spherical.
  void upload(const gaussian_mixture::Model& model, std::span<const float> center, cudaStream_t stream);
  DeviceExpansion view() const;

 private:
  std::int32_t n_components_ = 0, n_columns_ = 0, n_tiles_ = 0, n_steps_ = 0;
  bool spherical_ = false;
  std::vector<ProductFragment> fragments_;
  std::vector<float> values_;  // constants, scales, shifts, units
  DeviceBuffer<ProductFragment> device_fragments_;
  DeviceBuffer<float> device_values_;
};

}  // namespace coterie::COTERIE_GPU
