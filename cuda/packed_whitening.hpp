// The whitening product y = P^T (x - mean) of full covariances as tensor cores take it (gaussian_whitening.cuh): rows and P
// in fp16, each as the sum of a high and a low part, 22 bits together. Columns are scaled by powers of two to a deviation of
// about 1, and P the other way round, so that both stay within the range of fp16.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cuda/device_buffer.hpp"
#include "host/gaussian_mixture.hpp"

namespace coterie::COTERIE_GPU {

// Columns of y per tile and rows of P per step: the shape of mma_fp16.
inline constexpr int kTileColumns = 8, kStepRows = 16;

// What one lane holds of a right-hand side of mma_fp16: its two registers, high and low parts.
struct alignas(16) ProductFragment {
  std::uint32_t high[2], low[2];
};

// What a step of two tiles side by side takes; below the diagonal P is zero, so both have the same steps.
struct alignas(16) ProductUnit {
  ProductFragment fragments[2][32];  // by tile and lane
  float shifts[2 * kTileColumns];    // -P^T mean of the columns, mean less center, in the first step; else zero
};

// A number as the sum of two of fp16.
struct HalfParts {
  std::uint32_t high, low;
};
HalfParts split_into_halves(double value);

// (n_columns) e with a deviation of the mixture's rows from the center in [2^e, 2^(e+1)).
std::vector<int> column_exponents(const gaussian_mixture::Model& model, std::span<const float> center);

// Pairs of tiles that cover the columns, and as many steps.
constexpr int product_pairs(int n_columns) { return (n_columns + kStepRows - 1) / kStepRows; }
constexpr int product_units(int n_columns) { return product_pairs(n_columns) * (product_pairs(n_columns) + 1) / 2; }

struct DeviceWhitening {
  const ProductUnit* units;  // (n_components, product_units(n_columns)): pairs of tiles in order, of each the steps up to the diagonal
  const float* scales;       // (n_columns) 2^-e, of x - center
};

class PackedWhitening {
 public:
  // Whether fp16 holds the rows on the grid and P, scaled.
  static bool fits(const gaussian_mixture::Model& model, const gaussian_mixture::Grid& grid, std::span<const float> center);
  // Allocates what is missing and uploads; the arguments may go away. model: full covariances.
  void upload(const gaussian_mixture::Model& model, std::span<const float> center, cudaStream_t stream);
  DeviceWhitening view() const;

 private:
  void add_component(const gaussian_mixture::Model& model, std::size_t k, std::span<const float> center);

  std::vector<int> exponents_;  // (n_columns) e
  std::vector<ProductUnit> units_;
  std::vector<float> scales_;
  DeviceBuffer<ProductUnit> device_units_;
  DeviceBuffer<float> device_scales_;
};

}  // namespace coterie::COTERIE_GPU
