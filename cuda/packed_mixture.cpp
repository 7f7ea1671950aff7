#include "cuda/packed_mixture.hpp"

#include <algorithm>

namespace coterie::COTERIE_GPU {

using gaussian::Components;

// Appends an array at a multiple of 16 bytes; returns its first cell.
template <class T>
std::int64_t PackedMixture<T>::take(const std::vector<T>& values) {
  constexpr std::size_t kCells = 16 / sizeof(T);
  cells_.resize((cells_.size() + kCells - 1) / kCells * kCells);
  const auto first = static_cast<std::int64_t>(cells_.size());
  cells_.insert(cells_.end(), values.begin(), values.end());
  return first;
}

template <class T>
std::vector<T> PackedMixture<T>::in_rows(const Components<T>& components, const T* (Components<T>::*row)(std::int32_t) const) const {
  std::vector<T> values;
  for (std::int32_t k = 0; k < n_components_; ++k) {
    const T* from = (components.*row)(k);
    values.insert(values.end(), from, from + n_columns_);
    values.resize(values.size() + static_cast<std::size_t>(padded_columns_ - n_columns_));
  }
  return values;
}

template <class T>
std::vector<T> PackedMixture<T>::in_groups(const Components<T>& components, const T* (Components<T>::*group)(std::int32_t) const) const {
  std::vector<T> values;
  for (std::int32_t g = 0; g < components.n_groups(); ++g) {
    const T* from = (components.*group)(g);
    values.insert(values.end(), from, from + std::int64_t{n_columns_} * kGaussianGroup);
    values.resize(values.size() + static_cast<std::size_t>(padded_columns_ - n_columns_) * kGaussianGroup);
  }
  return values;
}

// As Components keeps them, with the rows of the last group padded.
template <class T>
std::vector<T> PackedMixture<T>::triangles_of(const Components<T>& components) const {
  const std::int32_t n_triangles = components.type() == CovarianceType::tied ? 1 : n_components_;
  std::vector<T> values;
  for (std::int32_t k = 0; k < n_triangles; ++k) {
    const T* from = components.triangle(k);
    for (std::int32_t first = 0; first < n_columns_; first += kGaussianGroup) {
      const std::int32_t end = first + kGaussianGroup;
      const std::int64_t cells = std::int64_t{kGaussianGroup} * std::min(n_columns_, end);
      values.insert(values.end(), from, from + cells);
      values.resize(values.size() + static_cast<std::size_t>(kGaussianGroup * std::min(padded_columns_, end) - cells));
      from += cells;
    }
  }
  return values;
}

template <class T>
void PackedMixture<T>::upload(const gaussian_mixture::Model& model, std::span<const float> center, cudaStream_t stream) {
  const Components<T> components(model, center);
  n_components_ = model.n_components;
  n_columns_ = model.n_columns;
  padded_columns_ = (n_columns_ + 3) / 4 * 4;
  cells_.clear();
  centers_ = scales_ = norms_ = triangles_ = -1;
  triangle_size_ = 0;
  std::vector<T> constants, factors;
  for (std::int32_t k = 0; k < n_components_; ++k) {
    constants.push_back(components.constant(k));
    factors.push_back(components.factor(k));
  }
  center_ = take({center.begin(), center.end()});
  constants_ = take(constants);
  factors_ = take(factors);
  means_ = take(in_rows(components, &Components<T>::mean));
  pivots_ = take(in_rows(components, &Components<T>::pivot));
  if (components.type() != CovarianceType::full) centers_ = take(in_groups(components, &Components<T>::centers));
  if (components.type() == CovarianceType::diag) scales_ = take(in_groups(components, &Components<T>::scales));
  if (model.missing_at_random) norms_ = take(in_groups(components, &Components<T>::norms));
  if (components.type() == CovarianceType::full || components.type() == CovarianceType::tied) {
    const std::vector<T> triangles = triangles_of(components);
    triangle_size_ = static_cast<std::int64_t>(triangles.size()) / (components.type() == CovarianceType::tied ? 1 : n_components_);
    triangles_ = take(triangles);
  }
  device_cells_.ensure(cells_.size());
  copy_to_device(device_cells_.data(), cells_.data(), cells_.size(), stream);
}

template <class T>
DeviceMixture<T> PackedMixture<T>::view() const {
  const auto at = [this](std::int64_t first) { return first < 0 ? nullptr : device_cells_.data() + first; };
  return {.n_components = n_components_,
          .n_columns = n_columns_,
          .padded_columns = padded_columns_,
          .center = at(center_),
          .constants = at(constants_),
          .factors = at(factors_),
          .means = at(means_),
          .pivots = at(pivots_),
          .centers = at(centers_),
          .scales = at(scales_),
          .norms = at(norms_),
          .triangles = at(triangles_),
          .triangle_size = triangle_size_};
}

template class PackedMixture<float>;
template class PackedMixture<double>;

}  // namespace coterie::COTERIE_GPU
