#include "host/logistic_regression_estimates.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "host/error.hpp"
#include "host/moments.hpp"

namespace coterie::logistic_regression {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// New coefficients are factor times old ones, and the new intercept is the old one less shift . new coefficients: a matrix that scales
// and has one row more than its diagonal, which is never written down.
struct Units {
  Vector factor, shift;  // (n_columns + 1) of the intercept 1 and 0

  Units(std::span<const double> factors, std::span<const double> shifts)
      : factor(Vector::Ones(std::ssize(factors) + 1)), shift(Vector::Zero(std::ssize(factors) + 1)) {
    std::copy(factors.begin(), factors.end(), factor.begin());
    std::copy(shifts.begin(), shifts.end(), shift.begin());
  }
};

std::vector<double> moved(const std::vector<double>& covariance, const Units& units) {
  if (covariance.empty()) return {};
  const Eigen::Index n = units.factor.size(), intercept = n - 1;
  using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  RowMajor result = Eigen::Map<const RowMajor>(covariance.data(), n, n);
  std::vector<Eigen::Index> aliased;
  for (Eigen::Index i = 0; i < n; ++i)
    if (std::isnan(result(i, i))) aliased.push_back(i);
  for (const Eigen::Index i : aliased) result.row(i).setZero(), result.col(i).setZero();
  result.array().colwise() *= units.factor.array();
  result.array().rowwise() *= units.factor.transpose().array();
  const Vector with_shift = result * units.shift;
  result.row(intercept) -= with_shift.transpose();
  result.col(intercept) -= with_shift;
  result(intercept, intercept) += units.shift.dot(with_shift);
  for (const Eigen::Index i : aliased) result.row(i).setConstant(kNaN), result.col(i).setConstant(kNaN);
  return {result.data(), result.data() + n * n};
}

Estimates moved(const Estimates& estimates, const Units& units) {
  Vector values = Eigen::Map<const Vector>(estimates.values.data(), units.factor.size()).cwiseProduct(units.factor);
  values[values.size() - 1] -= units.shift.dot(values);
  return {.values = {values.begin(), values.end()},
          .covariance = moved(estimates.covariance, units),
          .robust_covariance = moved(estimates.robust_covariance, units)};
}

std::vector<double> without_aliased(const Model& model, const Matrix& covariance) {
  const Eigen::Index n = model.n_columns + 1;
  std::vector<double> values(static_cast<std::size_t>(n * n));
  for (Eigen::Index i = 0; i < n; ++i)
    for (Eigen::Index j = 0; j < n; ++j) values[static_cast<std::size_t>(i * n + j)] = covariance(i, j);
  for (const std::int32_t column : model.aliased)
    for (Eigen::Index i = 0; i < n; ++i)
      values[static_cast<std::size_t>(column * n + i)] = values[static_cast<std::size_t>(i * n + column)] = kNaN;
  return values;
}

}  // namespace

double Model::intercept() const {
  double value = at_center;
  for (std::size_t j = 0; j < coefficients.size(); ++j) value -= coefficients[j] * center[j];
  return value;
}

std::int32_t Model::n_parameters() const { return n_columns + 1 - static_cast<std::int32_t>(aliased.size()); }

void set_values(Model& model) {
  model.estimates.values = model.coefficients;
  model.estimates.values.push_back(model.intercept());
}

void set_estimates(Model& model, const Point& point, const Vector& precision, std::span<const float> scales) {
  const Eigen::Index n = model.n_columns + 1, n_segments = point.parameters.size() - n;
  const Matrix inverse = invert(information_of(point, precision), free_parameters(model, point.parameters.size())).inverse;
  const Matrix covariance = inverse.topLeftCorner(n, n), robust = inverse.topRows(n) * point.squared_scores * inverse.leftCols(n);
  const Estimates scaled{.values = model.search.parameters,
                         .covariance = without_aliased(model, covariance),
                         .robust_covariance = without_aliased(model, robust)};
  const std::vector<double> factors(scales.begin(), scales.end());
  model.estimates = moved(scaled, Units(factors, model.center));
  model.segment_std_errs.clear();
  for (Eigen::Index s = n; s < n + n_segments; ++s) model.segment_std_errs.push_back(std::sqrt(inverse(s, s)));
}

Wald wald(const Estimates& estimates, std::size_t i, bool robust) {
  const std::vector<double>& covariance = robust ? estimates.robust_covariance : estimates.covariance;
  const std::size_t n = estimates.values.size();
  Wald result{.value = estimates.values[i], .std_err = covariance.empty() ? kNaN : std::sqrt(covariance[i * n + i])};
  result.z = result.value / result.std_err;
  result.p_value = std::erfc(std::abs(result.z) / std::numbers::sqrt2);
  result.low = result.value - kNormal95 * result.std_err;
  result.high = result.value + kNormal95 * result.std_err;
  return result;
}

void require_fit(const Model& model, std::string_view target_name) {
  if (model.refusal.empty()) return;
  throw ContentsError(fmt::format("outcome '{}' cannot be learned: {}. Give an outcome with rows that say yes and rows that say no",
                                  target_name, model.refusal));
}

std::vector<std::string> warnings_about(const Model& model, std::span<const std::string> names) {
  std::vector<std::string> warnings;
  const auto list = [&](const std::vector<std::int32_t>& columns) {
    std::string text;
    for (const std::int32_t j : columns) text += fmt::format("{}'{}'", text.empty() ? "" : ", ", names[static_cast<std::size_t>(j)]);
    return text;
  };
  if (!model.converged) warnings.push_back(fmt::format("the fit still moved after {} iterations; raise --max-iter", model.n_iter));
  if (!model.aliased.empty())
    warnings.push_back(fmt::format("dropped from the model because other columns determine them: {}", list(model.aliased)));
  if (!model.separating.empty())
    warnings.push_back(
        fmt::format("these columns tell the outcomes apart, so their coefficients have no finite estimate: {}; leave them "
                    "out if they are known only after the outcome, or use --penalty firth or l2",
                    list(model.separating)));
  if (const auto events = std::min(model.rows[0], model.rows[1]); events < model.n_columns)
    warnings.push_back(fmt::format("only {} rows of the rarer outcome for {} columns: expect wide intervals", events, model.n_columns));
  return warnings;
}

std::optional<Estimates> in_raw_units(const Estimates& estimates, const Transform& transform) {
  std::vector<double> factor, shift;
  for (const ColumnTransform& column : transform.columns) {
    if (column.answered || column.log1p || std::isfinite(column.lower) || std::isfinite(column.upper)) return std::nullopt;
    factor.push_back(1 / column.scale);
    shift.push_back(column.center);
  }
  return moved(estimates, Units(factor, shift));
}

}  // namespace coterie::logistic_regression
