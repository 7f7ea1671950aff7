// The centers of a sweep as the tensor cores take them, and the numbers that bound the error of their products (tensor_scan.cuh).
//
// With a pivot p per column and one power of two, sigma, for the whole sweep, y = sigma (x - p) and e_k = sigma (c_k - p) are
// rounded to half precision; sigma puts the largest coordinate of a center near 2^4, so rows may lie 2^12 times further out.
// Lengths of what the rounding took away are measured, not estimated, for centers as for rows.
#pragma once

#include <cstdint>

#include "cuda/device_buffer.hpp"
#include "cuda/packed_models.hpp"

namespace coterie::COTERIE_GPU {

// What one lane holds of rows (a[0..3] of mma.hpp) or of two tiles of 8 centers (b[0..1] of each) in one step. A product may take its
// columns in any order, so a lane's are neighbours: 4 * member + {0, 1}, and + {2, 3} where mma.hpp has those 8 further.
struct alignas(16) Fragment {
  std::uint32_t x, y, z, w;
};

// Of the two centers whose products a lane receives: |e|^2 / 2, where the sum begins, and |e|, rounded up.
struct alignas(16) CenterPair {
  float half_square[2], norm[2];
};

// |e|^2 / 2 of a center that does not exist: above all others, and finite, for its lowest bits may be written.
inline constexpr float kFarAway = 0x1p120f;

struct TensorModel {
  std::int64_t fragments;  // first of its (n_pairs, steps, 32), or of what its layout has in that place
  std::int32_t pairs;      // first of its (2 * n_pairs, 4) CenterPairs
  std::int32_t n_pairs;    // of tiles; the centers that fill up the last one, or the last kTileCenters, are kFarAway
  // A product sum is within |e_k| * (what the row lost + of_norm * |row| + constant) of the true one.
  float of_norm, constant;
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

// Over the centers of a model while they are packed, zeros otherwise. Bits of doubles that are not negative, which order as integers.
struct LargestCenter {
  std::uint64_t lost_ratio, norm;
  std::uint64_t blocks;  // that are through
};

class CenterFragments {
 public:
  // Packs what `packed` has uploaded, on the device. `packed` lives as long and keeps its models.
  void pack(const PackedModels& packed, cudaStream_t stream);
  TensorCenters on_device(const PackedModels& packed) const;

 private:
  DeviceBuffer<Fragment> fragments_;
  DeviceBuffer<CenterPair> pairs_;
  DeviceBuffer<TensorModel> models_;
  DeviceBuffer<LargestCenter> largest_;
};

}  // namespace coterie::COTERIE_GPU
