// What float32 does to the log-likelihood of a mixture, predicted from its parameters. Rounding errors are taken as
// independent and centered (Higham and Mary 2019, A new approach to probabilistic rounding error analysis), so n of
// them add up to sqrt(n) u; worst cases are sqrt(n) times larger and never met. For a row of component k, whose
// whitened coordinates have variance 1:
//   y_i = sum_j t_j P_ji      errs by sqrt(i + 4) u b_i, b_i = sum_j sd_j |P_ji|: cancellation makes b_i large
//   |y|^2                     errs by 2 y_i of that, and by n_columns^(3/2) / sqrt(3) u from its own additions
//   the mean                  is rounded to float32, a shift that multiplies y once more
#include <algorithm>
#include <cmath>
#include <limits>

#include "host/gaussian_density.hpp"
#include "host/gaussian_mixture_quanta.hpp"

namespace coterie::gaussian {
namespace {

constexpr double kUnit = 0x1p-24;
// Cells and deviations within these bounds cannot leave the range of float32, squared and weighted.
constexpr double kLargest = 0x1p45, kSmallest = 0x1p-45;

struct Whitening {
  std::vector<double> deviation;  // (n_columns) of the rows less what P multiplies
  std::vector<double> p;          // (n_columns, n_columns) row-major, upper triangular; or its diagonal where there is no more
  bool is_diagonal = false;
};

double mean_square(const std::vector<double>& offsets, const std::vector<double>& weights, std::size_t column, std::size_t d) {
  double sum = 0;
  for (std::size_t k = 0; k < weights.size(); ++k) sum += weights[k] * offsets[k * d + column] * offsets[k * d + column];
  return sum;
}

// less_center: P multiplies rows less the center, not less the mean.
Whitening whitening_of(const Model& model, std::size_t k, const std::vector<double>& offsets, bool less_center) {
  const std::size_t d = static_cast<std::size_t>(model.n_columns);
  Whitening whitening{.deviation = std::vector<double>(d), .p = {}, .is_diagonal = true};
  for (std::size_t j = 0; j < d; ++j) {
    const double variance = gaussian_mixture::variance_of(model, k, j);
    whitening.p.push_back(1 / std::sqrt(variance));
    whitening.deviation[j] = std::sqrt(variance + (less_center ? mean_square(offsets, model.weights, j, d) : 0.0));
  }
  if (model.covariance_type == CovarianceType::diag || model.covariance_type == CovarianceType::spherical) return whitening;
  const auto first =
      model.precisions_cholesky.begin() + static_cast<std::ptrdiff_t>(model.covariance_type == CovarianceType::full ? k * d * d : 0);
  whitening.p.assign(first, first + static_cast<std::ptrdiff_t>(d * d));
  whitening.is_diagonal = false;
  return whitening;
}

double error_of_component(const Model& model, std::size_t k, const std::vector<double>& offsets, double constant, bool less_center) {
  const std::size_t d = static_cast<std::size_t>(model.n_columns);
  const auto [deviation, p, is_diagonal] = whitening_of(model, k, offsets, less_center);
  double products = 0, shift = 0;
  for (std::size_t i = 0; i < d; ++i) {
    double magnitude = 0, moved = 0;
    for (std::size_t j = is_diagonal ? i : 0; j <= i; ++j) {
      const double offset = offsets[k * d + j], factor = is_diagonal ? p[i] : p[j * d + i];
      magnitude += deviation[j] * std::abs(factor);
      moved += (offset - static_cast<double>(static_cast<float>(offset))) * factor;
    }
    products += static_cast<double>(i + 4) * magnitude * magnitude;
    shift += moved * moved;
  }
  if (*std::min_element(deviation.begin(), deviation.end()) < kSmallest) return std::numeric_limits<double>::infinity();
  const double columns = static_cast<double>(d);
  return kUnit * (std::sqrt(products + columns * columns * columns / 12) + std::abs(constant)) + std::sqrt(shift);
}

double error_of(const Model& model, const kmeans::Grid& grid, std::span<const float> center, bool less_center) {
  if (std::any_of(grid.steps.begin(), grid.steps.end(), [](double step) { return step * 0x1p24 > kLargest; }))
    return std::numeric_limits<double>::infinity();
  const std::vector<double> offsets = gaussian_mixture::offsets_of(model, center);
  const Components<double> components(model, center);
  double largest = 0;
  for (std::int32_t k = 0; k < model.n_components; ++k) {
    const std::size_t component = static_cast<std::size_t>(k);
    if (model.weights[component] > 0)
      largest = std::max(largest, error_of_component(model, component, offsets, components.constant(k), less_center));
  }
  const double level = model.lower_bound.empty() ? 0 : std::abs(model.lower_bound.back());
  return largest + kUnit * level;  // outlying rows have logarithms far beyond those of their component
}

}  // namespace

double float_error(const Model& model, const kmeans::Grid& grid, std::span<const float> center) {
  return error_of(model, grid, center, model.covariance_type == CovarianceType::tied);
}

double product_error(const Model& model, const kmeans::Grid& grid, std::span<const float> center) {
  return error_of(model, grid, center, true);
}

}  // namespace coterie::gaussian
