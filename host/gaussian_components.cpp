// A mixture as its kernels read it (gaussian_density.hpp).
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <utility>

#include "host/elementary.hpp"
#include "host/gaussian_density.hpp"
#include "host/gaussian_mixture_quanta.hpp"

namespace coterie::gaussian {
namespace {

constexpr double kLogTwoPi = coterie::log(2 * std::numbers::pi);

// log determinant of P for component k: the sum of the logarithms of its diagonal.
double log_determinant(const Model& model, std::int32_t k) {
  const std::size_t d = static_cast<std::size_t>(model.n_columns), component = static_cast<std::size_t>(k);
  const auto& p = model.precisions_cholesky;
  double sum = 0;
  switch (model.covariance_type) {
    case CovarianceType::full:
      for (std::size_t j = 0; j < d; ++j) sum += coterie::log(p[component * d * d + j * d + j]);
      return sum;
    case CovarianceType::tied:
      for (std::size_t j = 0; j < d; ++j) sum += coterie::log(p[j * d + j]);
      return sum;
    case CovarianceType::diag:
      for (std::size_t j = 0; j < d; ++j) sum += coterie::log(p[component * d + j]);
      return sum;
    case CovarianceType::spherical: return static_cast<double>(d) * coterie::log(p[component]);
  }
  return sum;
}

// Of diag and spherical components, what each column adds to the log density at the mean: (n_components, n_columns).
std::vector<double> log_norms(const Model& model) {
  std::vector<double> norms(model.means.size());
  const std::size_t columns_per_scale = model.means.size() / model.precisions_cholesky.size();
  for (std::size_t i = 0; i < norms.size(); ++i)
    norms[i] = coterie::log(model.precisions_cholesky[i / columns_per_scale]) - 0.5 * kLogTwoPi;
  return norms;
}

// means: (n_components, n_columns), P: (n_columns, n_columns) upper triangular. Returns means P.
std::vector<double> whiten(const std::vector<double>& means, const std::vector<double>& triangle, std::size_t d) {
  std::vector<double> whitened(means.size());
  for (std::size_t row = 0; row < means.size(); row += d)
    for (std::size_t j = 0; j < d; ++j)
      for (std::size_t i = j; i < d; ++i) whitened[row + i] += means[row + j] * triangle[j * d + i];
  return whitened;
}

// Of values that every component of a model has as many of, those of `numbers`.
std::vector<double> cells_of(const std::vector<std::int32_t>& numbers, const std::vector<double>& values, std::size_t n_components) {
  const std::ptrdiff_t each = static_cast<std::ptrdiff_t>(values.size() / n_components);
  std::vector<double> cells;
  for (const std::int32_t k : numbers) cells.insert(cells.end(), values.begin() + k * each, values.begin() + (k + 1) * each);
  return cells;
}

}  // namespace

std::int64_t stretch_rows(std::int32_t n_columns) {
  return std::clamp<std::int64_t>((std::int64_t{1} << 15) / n_columns / 64 * 64, 64, 1024);
}

std::vector<std::int32_t> all_of(const Model& model) {
  std::vector<std::int32_t> numbers(model.weights.size());
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

std::vector<double> log_constants(const Model& model) {
  std::vector<double> constants;
  for (std::int32_t k = 0; k < model.n_components; ++k)
    constants.push_back(coterie::log(model.weights[static_cast<std::size_t>(k)]) + log_determinant(model, k) -
                        0.5 * model.n_columns * kLogTwoPi);
  return constants;
}

template <class T>
Components<T>::Components(const Model& model, std::span<const float> center) : Components(model, center, all_of(model)) {}

template <class T>
Components<T>::Components(const Model& model, std::span<const float> center, std::vector<std::int32_t> numbers)
    : type_(model.covariance_type), numbers_(std::move(numbers)), n_columns_(model.n_columns) {
  const std::size_t d = static_cast<std::size_t>(n_columns_);
  const auto of_part = [&](const std::vector<double>& values) { return cells_of(numbers_, values, model.weights.size()); };
  const std::vector<double> means = of_part(gaussian_mixture::offsets_of(model, center));
  const std::vector<double> pivots = of_part(gaussian_mixture::pivots_of(model, center));
  const std::vector<double> precisions = type_ == CovarianceType::tied ? model.precisions_cholesky : of_part(model.precisions_cholesky);
  means_.assign(means.begin(), means.end());
  means_.resize(means.size() + kGroup);  // kernels read whole vectors
  const std::size_t stride = static_cast<std::size_t>(row_stride<T>(n_columns_));
  pivots_.resize(numbers_.size() * stride);
  for (std::size_t i = 0; i < pivots.size(); ++i) pivots_[i / d * stride + i % d] = static_cast<T>(pivots[i]);
  factors_.assign(numbers_.size(), T(-0.5));
  for (const double constant : of_part(log_constants(model))) constants_.push_back(static_cast<T>(constant));
  switch (type_) {
    case CovarianceType::full:
      for (std::size_t k = 0; k < numbers_.size(); ++k) add_triangle(precisions.data() + k * d * d);
      break;
    case CovarianceType::tied:
      add_triangle(precisions.data());
      centers_ = in_groups(whiten(means, precisions, d));
      break;
    case CovarianceType::diag:
      centers_ = in_groups(means);
      scales_ = in_groups(precisions);
      norms_ = in_groups(of_part(log_norms(model)));
      break;
    case CovarianceType::spherical:
      centers_ = in_groups(means);
      norms_ = in_groups(of_part(log_norms(model)));
      std::transform(precisions.begin(), precisions.end(), factors_.begin(), [](double p) { return static_cast<T>(-0.5 * p * p); });
      break;
  }
}

template <class T>
void Components<T>::add_directions(const Model& model) {
  if (type_ != CovarianceType::full) return;
  const std::vector<double> directions = directions_of(model, std::numeric_limits<T>::epsilon() / 2);
  for (const double cell : cells_of(numbers_, directions, model.weights.size())) directions_.push_back(static_cast<T>(cell));
}

template <class T>
void Components<T>::add_triangle(const double* p) {
  const std::size_t before = triangles_.size();
  for (std::int32_t first = 0; first < n_columns_; first += kGroup)
    for (std::int32_t j = 0; j < std::min(n_columns_, first + kGroup); ++j)
      for (std::int32_t i = first; i < first + kGroup; ++i)
        triangles_.push_back(i < n_columns_ && i >= j ? static_cast<T>(p[std::int64_t{j} * n_columns_ + i]) : T{0});
  triangle_size_ = static_cast<std::int64_t>(triangles_.size() - before);
}

template <class T>
LineVector<T> Components<T>::in_groups(const std::vector<double>& values) const {
  const std::size_t d = static_cast<std::size_t>(n_columns_);
  LineVector<T> groups(static_cast<std::size_t>(n_groups()) * d * kGroup);
  for (std::size_t k = 0; k < numbers_.size(); ++k)
    for (std::size_t j = 0; j < d; ++j) groups[(k / kGroup * d + j) * kGroup + k % kGroup] = static_cast<T>(values[k * d + j]);
  return groups;
}

template class Components<float>;
template class Components<double>;

}  // namespace coterie::gaussian
