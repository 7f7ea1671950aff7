#include "host/gaussian_mixture_quanta.hpp"

#include <algorithm>
#include <cmath>

#include "host/elementary.hpp"

namespace coterie::gaussian_mixture {
namespace {

// The column that entry i of precisions_cholesky multiplies; spherical ones multiply all.
std::size_t column_of(const Model& model, std::size_t i) {
  const std::size_t d = static_cast<std::size_t>(model.n_columns);
  return model.covariance_type == CovarianceType::diag ? i % d : i / d % d;
}

// Above |log p(x)| of any row: the log-density of a component is a constant less half a squared length |P^T (x - p)|^2,
// by Cauchy and Schwarz at most n_columns times the sum of squares of all P_ji (x - p)_j, and log p(x) lies between the
// best of them and that plus log n_components.
double log_likelihood_bound(const Model& model, const std::vector<double>& bound) {
  double square = 0, logarithms = 1 + coterie::log(model.n_components);
  const auto add = [&](double p, double length) { square += p * p * length * length; };
  for (std::size_t i = 0; i < model.precisions_cholesky.size(); ++i) {
    const double p = model.precisions_cholesky[i];
    if (p != 0) logarithms += std::abs(coterie::log(std::abs(p)));
    if (model.covariance_type == CovarianceType::spherical)
      for (const double length : bound) add(p, length);
    else
      add(p, bound[column_of(model, i)]);
  }
  for (const double w : model.weights) logarithms += w > 0 ? std::abs(coterie::log(w)) : 0;
  return static_cast<double>(bound.size()) * (square + logarithms + 1);
}

}  // namespace

std::vector<float> mean_row(const Model& model) {
  std::vector<float> center(static_cast<std::size_t>(model.n_columns));
  for (std::size_t j = 0; j < center.size(); ++j) {
    double mean = 0;
    for (std::size_t k = 0; k < model.weights.size(); ++k) mean += model.weights[k] * model.means[k * center.size() + j];
    center[j] = static_cast<float>(mean);
  }
  return center;
}

std::vector<double> offsets_of(const Model& model, std::span<const float> center) {
  std::vector<double> offsets = model.means;
  for (std::size_t i = 0; i < offsets.size(); ++i) offsets[i] -= static_cast<double>(center[i % center.size()]);
  return offsets;
}

double variance_of(const Model& model, std::size_t k, std::size_t column) {
  const std::size_t d = static_cast<std::size_t>(model.n_columns);
  switch (model.covariance_type) {
    case CovarianceType::full: return model.covariances[(k * d + column) * d + column];
    case CovarianceType::tied: return model.covariances[column * d + column];
    case CovarianceType::diag: return model.covariances[k * d + column];
    case CovarianceType::spherical: return model.covariances[k];
  }
  return 0;
}

std::vector<double> pivots_of(const Model& model, std::span<const float> center) {
  constexpr double kFarSquared = 32 * 32;
  std::vector<double> pivots = offsets_of(model, center);
  bool far = false;
  for (std::size_t i = 0; i < pivots.size(); ++i)
    far = far || pivots[i] * pivots[i] > kFarSquared * variance_of(model, i / center.size(), i % center.size());
  for (double& pivot : pivots) pivot = far ? static_cast<double>(static_cast<float>(pivot)) : 0.0;
  return pivots;
}

Quanta::Quanta(const Model& model, const Grid& grid, const GridMoments& moments) : weight_(weight_quantum(moments)) {
  for (const double step : grid.steps) bound_.push_back(0x1p24 * step);
  for (std::size_t i = 0; i < model.means.size(); ++i) {
    double& bound = bound_[i % bound_.size()];
    bound = std::max(bound, 2 * std::abs(model.means[i]));
  }
  std::transform(bound_.begin(), bound_.end(), bound_.begin(), power_of_two_above);
  square_ = 0;
  for (const double bound : bound_) square_ += bound * bound;
  square_ = power_of_two_above(square_);
  log_likelihood_ = weight_ * power_of_two_above(log_likelihood_bound(model, bound_));
}

}  // namespace coterie::gaussian_mixture
