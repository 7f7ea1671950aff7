// What float32 does to the log-likelihood of a mixture, predicted from its parameters. Rounding errors are taken as
// independent and centered (Higham and Mary 2019, A new approach to probabilistic rounding error analysis), so n of
// them add up to sqrt(n) u; worst cases are sqrt(n) times larger and never met. For a row of component k, whose
// whitened coordinates have variance 1:
//   y_i = sum_j t_j P_ji      errs by sqrt(i + 4) u b_i, b_i = sum_j sd_j |P_ji|: cancellation makes b_i large
//   |y|^2                     errs by 2 y_i of that, and by n_columns^(3/2) / sqrt(3) u from its own additions
//   the mean                  is rounded to float32, a shift that multiplies y once more
//
// An expanded square -p x^2 / 2 + p mu x errs by the roundings of two products, each of magnitude a_j or b_j, and by those of
// the sums, which lie between -sum_j p mu^2 / 2 and the result: with 8 columns added at a time, n_columns / 8 roundings, and as
// many cuts of tensor cores, which have a sign.
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

bool is_diagonal(const Model& model) {
  return model.covariance_type == CovarianceType::diag || model.covariance_type == CovarianceType::spherical;
}

struct Whitening {
  std::vector<double> deviation;  // (n_columns) of the rows less what P multiplies
  std::vector<double> p;          // (n_columns, n_columns) row-major, upper triangular; or its diagonal where there is no more
  bool is_diagonal = false;
};

// How a row is multiplied: less the mean of its component, in full or in an expanded square less the center.
enum class Form { less_mean, less_center, expanded };

// What the errors of all components are made of.
struct Setting {
  const Model& model;
  Form form;
  std::vector<double> offsets;       // (n_components, n_columns) means less the center
  std::vector<double> mean_squares;  // (n_columns) of those, over the mixture
  std::vector<double> spreads;       // (n_columns) of the mixture's rows less the center, squared

  Setting(const Model& m, Form f, std::span<const float> center)
      : model(m), form(f), offsets(gaussian_mixture::offsets_of(m, center)), mean_squares(center.size()), spreads(center.size()) {
    for (std::size_t k = 0; k < model.weights.size(); ++k)
      for (std::size_t j = 0; j < center.size(); ++j) {
        const double offset = offsets[k * center.size() + j];
        mean_squares[j] += model.weights[k] * offset * offset;
        spreads[j] += model.weights[k] * (gaussian_mixture::variance_of(model, k, j) + offset * offset);
      }
  }
};

Whitening whitening_of(const Setting& setting, std::size_t k) {
  const Model& model = setting.model;
  const std::size_t d = static_cast<std::size_t>(model.n_columns);
  Whitening whitening{.deviation = std::vector<double>(d), .p = {}, .is_diagonal = true};
  for (std::size_t j = 0; j < d; ++j) {
    const double variance = gaussian_mixture::variance_of(model, k, j);
    whitening.p.push_back(1 / std::sqrt(variance));
    whitening.deviation[j] = std::sqrt(variance + (setting.form == Form::less_center ? setting.mean_squares[j] : 0.0));
  }
  if (is_diagonal(model)) return whitening;
  const auto first =
      model.precisions_cholesky.begin() + static_cast<std::ptrdiff_t>(model.covariance_type == CovarianceType::full ? k * d * d : 0);
  whitening.p.assign(first, first + static_cast<std::ptrdiff_t>(d * d));
  whitening.is_diagonal = false;
  return whitening;
}

double error_of_component(const Setting& setting, std::size_t k, double constant) {
  const std::size_t d = setting.spreads.size();
  const auto [deviation, p, is_diagonal] = whitening_of(setting, k);
  double products = 0, shift = 0;
  for (std::size_t i = 0; i < d; ++i) {
    double magnitude = 0, moved = 0;
    for (std::size_t j = is_diagonal ? i : 0; j <= i; ++j) {
      const double offset = setting.offsets[k * d + j], factor = is_diagonal ? p[i] : p[j * d + i];
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

// Where squares are expanded; see above. Numbers in fp16 err by a unit of their own or, near zero, of 1/2 where a deviation of
// the mixture's rows is between 1 and 2.
double expanded_error_of_component(const Setting& setting, std::size_t k, double constant) {
  constexpr double kRoundings = 4, kColumns = 8;
  const std::size_t d = setting.spreads.size();
  double products = 0, distance = 0, reach = 0;
  for (std::size_t j = 0; j < d; ++j) {
    const double variance = gaussian_mixture::variance_of(setting.model, k, j), offset = setting.offsets[k * d + j];
    const double spread = setting.spreads[j], square = std::max(variance + offset * offset, spread);
    const double a = std::max(0.5 / variance, 2 / spread) * square;
    const double b = std::max(std::abs(offset) / variance, 1 / std::sqrt(spread)) * std::sqrt(square);
    if (!(std::min(variance, spread) > kSmallest * kSmallest)) return std::numeric_limits<double>::infinity();
    products += a * a + b * b;
    distance += 0.5 * offset * offset / variance;
    reach += 0.5 * (1 + offset * offset / variance);
  }
  const double steps = static_cast<double>(d) / kColumns;
  return kUnit * (kRoundings * std::sqrt(products) + reach * (std::sqrt(steps / 3) + 2) + std::abs(constant - distance));
}

// Outlying rows have logarithms far beyond those of their component.
double level_error(const Model& model) { return model.lower_bound.empty() ? 0 : kUnit * std::abs(model.lower_bound.back()); }

// (n_components) without what level_error() adds.
std::vector<double> errors_of(const Model& model, const kmeans::Grid& grid, std::span<const float> center, Form form) {
  std::vector<double> errors(model.weights.size(), std::numeric_limits<double>::infinity());
  if (std::any_of(grid.steps.begin(), grid.steps.end(), [](double step) { return step * 0x1p24 > kLargest; })) return errors;
  const Setting setting(model, form, center);
  const std::vector<double> constants = log_constants(model);
  for (std::size_t k = 0; k < errors.size(); ++k) {
    if (model.weights[k] == 0)
      errors[k] = 0;
    else
      errors[k] =
          form == Form::expanded ? expanded_error_of_component(setting, k, constants[k]) : error_of_component(setting, k, constants[k]);
  }
  return errors;
}

double largest_error(const Model& model, const std::vector<double>& errors) {
  return *std::max_element(errors.begin(), errors.end()) + level_error(model);
}

Form float_form(const Model& model) { return model.covariance_type == CovarianceType::tied ? Form::less_center : Form::less_mean; }

}  // namespace

double float_error(const Model& model, const kmeans::Grid& grid, std::span<const float> center) {
  return largest_error(model, errors_of(model, grid, center, float_form(model)));
}

Parts parts_of(const Model& model, const kmeans::Grid& grid, std::span<const float> center) {
  const std::vector<double> errors = errors_of(model, grid, center, float_form(model)), constants = log_constants(model);
  const double level = level_error(model);
  Parts parts;
  bool apart = model.covariance_type != CovarianceType::tied;  // components of tied share what errs
  bool any_narrow = false;                                     // that has rows
  for (std::int32_t k = 0; k < model.n_components; ++k) {
    const std::size_t component = static_cast<std::size_t>(k);
    const bool narrow = errors[component] + level < model.sweep_tolerance;
    (narrow ? parts.narrow : parts.wide).push_back(k);
    any_narrow = any_narrow || (narrow && model.weights[component] > 0);
    apart = apart && (narrow || kUnit * std::abs(constants[component]) + level < model.sweep_tolerance);
  }
  return any_narrow && (apart || parts.wide.empty()) ? parts : Parts{.narrow = {}, .wide = all_of(model)};
}

double product_error(const Model& model, const kmeans::Grid& grid, std::span<const float> center) {
  return largest_error(model, errors_of(model, grid, center, is_diagonal(model) ? Form::expanded : Form::less_center));
}

}  // namespace coterie::gaussian
