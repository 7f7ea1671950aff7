// Logistic regression as the textbook reads: Newton's method on whole matrices in double, Gauss-Jordan inverses, nothing
// shared with host/.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

namespace coterie::reference {

struct LogisticProblem {
  std::size_t d = 0;
  std::vector<double> x;        // (n, d)
  std::vector<double> y;        // (n) 0 or 1
  std::vector<double> w;        // (n)
  std::vector<double> ridge{};  // (d) of every coefficient, or empty
  bool firth = false;
};

struct LogisticFit {
  std::vector<double> beta;        // (d + 1), the intercept last
  std::vector<double> covariance;  // (d + 1, d + 1)
  std::vector<double> robust;      // sandwich
  double log_likelihood = 0;
};

// Both tails of the normal distribution beyond |z|: its density by Simpson's rule, relative error below 1e-10.
inline double both_tails(double z) {
  constexpr int kSteps = 20000;
  constexpr double kWidth = 12;
  const double from = std::abs(z), step = kWidth / kSteps;
  double sum = 0;
  for (int i = 0; i <= kSteps; ++i) {
    const double t = from + i * step;
    sum += (i == 0 || i == kSteps ? 1 : (i % 2 == 1 ? 4 : 2)) * std::exp((from - t) * (from + t) / 2);
  }
  return 2 * sum * step / 3 * std::exp(-from * from / 2) / std::sqrt(2 * std::acos(-1.0));
}

inline std::vector<double> inverse_of(std::vector<double> a, std::size_t n) {
  std::vector<double> b(n * n);
  for (std::size_t i = 0; i < n; ++i) b[i * n + i] = 1;
  for (std::size_t k = 0; k < n; ++k) {
    std::size_t best = k;
    for (std::size_t i = k; i < n; ++i)
      if (std::abs(a[i * n + k]) > std::abs(a[best * n + k])) best = i;
    for (std::size_t j = 0; j < n; ++j) {
      std::swap(a[k * n + j], a[best * n + j]);
      std::swap(b[k * n + j], b[best * n + j]);
    }
    const double pivot = a[k * n + k];
    for (std::size_t j = 0; j < n; ++j) {
      a[k * n + j] /= pivot;
      b[k * n + j] /= pivot;
    }
    for (std::size_t i = 0; i < n; ++i) {
      if (i == k) continue;
      const double factor = a[i * n + k];
      for (std::size_t j = 0; j < n; ++j) {
        a[i * n + j] -= factor * a[k * n + j];
        b[i * n + j] -= factor * b[k * n + j];
      }
    }
  }
  return b;
}

inline std::vector<double> product(const std::vector<double>& a, const std::vector<double>& b, std::size_t n) {
  std::vector<double> c(n * n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      for (std::size_t k = 0; k < n; ++k) c[i * n + j] += a[i * n + k] * b[k * n + j];
  return c;
}

// Sums at beta: log-likelihood, gradient, information and squared scores, with the penalty of the ridge in the first three.
struct LogisticSums {
  double log_likelihood = 0;
  std::vector<double> gradient, information, squared_scores;
};

inline LogisticSums sums_at(const LogisticProblem& problem, const std::vector<double>& beta, const std::vector<double>& covariance) {
  const std::size_t d = problem.d, n = d + 1;
  LogisticSums sums{
      .gradient = std::vector<double>(n), .information = std::vector<double>(n * n), .squared_scores = std::vector<double>(n * n)};
  for (std::size_t row = 0; row < problem.y.size(); ++row) {
    std::vector<double> x(problem.x.begin() + static_cast<std::ptrdiff_t>(row * d),
                          problem.x.begin() + static_cast<std::ptrdiff_t>((row + 1) * d));
    x.push_back(1);
    double eta = 0, hat = 0;
    for (std::size_t j = 0; j < n; ++j) eta += beta[j] * x[j];
    const double p = 1 / (1 + std::exp(-eta)), w = problem.w[row];
    sums.log_likelihood += w * (problem.y[row] > 0 ? -std::log1p(std::exp(-eta)) : -std::log1p(std::exp(eta)));
    if (!covariance.empty())
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j) hat += p * (1 - p) * x[i] * covariance[i * n + j] * x[j];
    const double r = problem.y[row] - p + hat * (0.5 - p);
    for (std::size_t i = 0; i < n; ++i) {
      sums.gradient[i] += w * r * x[i];
      for (std::size_t j = 0; j < n; ++j) {
        sums.information[i * n + j] += w * p * (1 - p) * x[i] * x[j];
        sums.squared_scores[i * n + j] += w * r * r * x[i] * x[j];
      }
    }
  }
  for (std::size_t j = 0; j < d; ++j) {
    if (problem.ridge.empty()) break;
    sums.gradient[j] -= problem.ridge[j] * beta[j];
    sums.information[j * n + j] += problem.ridge[j];
  }
  return sums;
}

inline LogisticFit fit_logistic(const LogisticProblem& problem, int iterations = 60) {
  const std::size_t n = problem.d + 1;
  LogisticFit fit{.beta = std::vector<double>(n), .covariance = {}, .robust = {}};
  for (int iteration = 0; iteration < iterations; ++iteration) {
    LogisticSums sums = sums_at(problem, fit.beta, {});
    fit.covariance = inverse_of(sums.information, n);
    if (problem.firth) sums = sums_at(problem, fit.beta, fit.covariance);
    double largest = 0;
    std::vector<double> step(n);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) step[i] += fit.covariance[i * n + j] * sums.gradient[j];
    for (const double s : step) largest = std::max(largest, std::abs(s));
    const double shorter = largest > 5 ? 5 / largest : 1;
    for (std::size_t i = 0; i < n; ++i) fit.beta[i] += shorter * step[i];
  }
  const LogisticSums sums = sums_at(problem, fit.beta, {});
  fit.log_likelihood = sums.log_likelihood;
  fit.covariance = inverse_of(sums.information, n);
  fit.robust = product(product(fit.covariance, sums.squared_scores, n), fit.covariance, n);
  return fit;
}

}  // namespace coterie::reference
