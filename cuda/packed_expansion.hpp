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

// With lane = 4 group + member, a lane's first register is for two columns of its group's component, the second for their
// squares. A pair of steps covers 16 columns, of which a lane has four neighbours: 4 member + {0, 1}, then + {2, 3}.
struct DeviceExpansion {
  std::int32_t n_tiles, n_steps;     // that cover the components and, an even number, the columns
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
  std::int32_t n_tiles_ = 0, n_steps_ = 0;
  std::vector<ProductFragment> fragments_;
  std::vector<float> values_;  // constants, scales, shifts, units
  DeviceBuffer<ProductFragment> device_fragments_;
  DeviceBuffer<float> device_values_;
};

}  // namespace coterie::COTERIE_GPU
