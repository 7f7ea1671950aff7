// The centers of a sweep as the tensor cores take them, and the numbers that bound the error of their products (tensor_scan.cuh).
//
// With a pivot p per column and one power of two, sigma, for the whole sweep, y = sigma (x - p) and e_k = sigma (c_k - p) are
// rounded to half precision; sigma puts the largest coordinate of a center near 2^4, so rows may lie 2^12 times further out.
// Lengths of what the rounding took away are measured, not estimated, for centers as for rows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cuda/device_buffer.hpp"
#include "cuda/packed_models.hpp"
#include "host/kmeans.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr int kStepColumns = 16;  // of one product
inline constexpr int kPairCenters = 16;  // two products side by side share a fragment

// Of a row. Kernels that hold rows in registers exist for 1, 2, 3, 4, 6 and 8.
constexpr int count_steps(int n_columns) {
  const int steps = (n_columns + kStepColumns - 1) / kStepColumns;
  return steps == 5 || steps == 7 ? steps + 1 : steps;
}

inline constexpr int kTileCenters = 128;  // of a product of warpgroups (warpgroup_mma.hpp)

// How the centers of a model lie in memory.
enum class CenterLayout : std::int32_t {
  fragments,  // (n_pairs, steps, 32) Fragments, for products of warps
  tiles,      // (n_pairs / 8, steps) tiles of kTileCenters centers as core matrices, for products of warpgroups
};

// What one lane holds of rows (a[0..3] of mma.hpp) or of two tiles of 8 centers (b[0..1] of each) in one step. A product may take its
// columns in any order, so a lane's are neighbours: 4 * member + {0, 1}, and + {2, 3} where mma.hpp has those 8 further.
struct alignas(16) Fragment {
  std::uint32_t x, y, z, w;
};

// Of the two centers whose products a lane receives: |e|^2 / 2, where the sum begins, and |e|, rounded up.
struct alignas(16) CenterPair {
  float half_square[2], norm[2];
};

struct TensorModel {
  std::int64_t fragments;  // first of its (n_pairs, steps, 32), or of what its layout has in that place
  std::int32_t pairs;      // first of its (2 * n_pairs, 4) CenterPairs
  std::int32_t n_pairs;    // of tiles; the centers that fill up the last one, or the last kTileCenters, are infinitely far
  // A product sum is within |e_k| * (what the row lost + of_norm * |row| + constant) of the true one.
  float of_norm, constant;
  CenterLayout layout;
};

// On the device, for kernels.
struct TensorCenters {
  const Fragment* fragments;
  const CenterPair* pairs;
  const TensorModel* models;
  const float* pivot;  // (steps * kStepColumns)
  float scale;         // sigma
  float margin;        // times |row|^2: what the chain of the definition may round
};

class CenterFragments {
 public:
  // Chooses the units, and packs what `packed` has uploaded, on the device; lives as PackedModels does. layouts: by model, or none.
  void upload(std::span<const kmeans::Model* const> models, std::span<const CenterLayout> layouts, const PackedModels& packed,
              std::int32_t n_columns, cudaStream_t stream);
  TensorCenters on_device() const;

 private:
  void choose_units(std::span<const kmeans::Model* const> models);

  std::int32_t n_columns_ = 0;
  double scale_ = 1;
  PinnedBuffer<float> pivot_;
  PinnedBuffer<TensorModel> models_;
  DeviceBuffer<float> device_pivot_;
  DeviceBuffer<Fragment> device_fragments_;
  DeviceBuffer<CenterPair> device_pairs_;
  DeviceBuffer<TensorModel> device_models_;
  DeviceBuffer<std::uint64_t> device_largest_;
};

}  // namespace coterie::COTERIE_GPU
