// A mixture as its kernels read it, on the device: gaussian::Components in the layout of gaussian_density.cuh.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cuda/device_buffer.hpp"
#include "host/gaussian_density.hpp"

namespace coterie::COTERIE_GPU {

using gaussian_mixture::CovarianceType;

// Components, or columns of P, that one thread computes at once.
inline constexpr int kGaussianGroup = gaussian::kGroup;

// Columns are padded with zeros to a multiple of 4, components and columns of P to whole groups. P of a component by groups
// of columns: group g holds rows 0 .. min(padded_columns, (g + 1) kGaussianGroup) - 1, (kGaussianGroup) each.
template <class T>
struct DeviceMixture {
  std::int32_t n_components, n_columns, padded_columns;
  const T* center;     // (n_columns) what is taken off every row first
  const T* constants;  // (n_components) log weight + log density at the mean
  const T* factors;    // (n_components) of the squared length
  const T* means;      // (n_components, padded_columns) less center
  const T* pivots;     // (n_components, padded_columns) less center
  const T* centers;    // (n_groups, padded_columns, kGaussianGroup) means, tied: whitened; none for full
  const T* scales;     // (n_groups, padded_columns, kGaussianGroup) 1 / standard deviation; diag only
  const T* norms;      // (n_groups, padded_columns, kGaussianGroup) share of a column in the constant; only where cells may be missing
  const T* triangles;  // (n_components or, tied, 1, triangle_size) P; full and tied only
  std::int64_t triangle_size;
};

template <class T>
class PackedMixture {
 public:
  // Allocates what is missing and uploads; the arguments may go away.
  void upload(const gaussian_mixture::Model& model, std::span<const float> center, cudaStream_t stream);
  DeviceMixture<T> view() const;

 private:
  std::int64_t take(const std::vector<T>& values);
  std::vector<T> in_rows(const gaussian::Components<T>& components, const T* (gaussian::Components<T>::*row)(std::int32_t) const) const;
  std::vector<T> in_groups(const gaussian::Components<T>& components, const T* (gaussian::Components<T>::*group)(std::int32_t) const) const;
  std::vector<T> triangles_of(const gaussian::Components<T>& components) const;

  std::int32_t n_components_ = 0, n_columns_ = 0, padded_columns_ = 0;
  std::int64_t triangle_size_ = 0;
  // Firsts of the arrays of DeviceMixture; -1: it has none.
  std::int64_t center_ = 0, constants_ = 0, factors_ = 0, means_ = 0, pivots_ = 0, centers_ = -1, scales_ = -1, norms_ = -1,
               triangles_ = -1;
  std::vector<T> cells_;  // all of them
  DeviceBuffer<T> device_cells_;
};

}  // namespace coterie::COTERIE_GPU
