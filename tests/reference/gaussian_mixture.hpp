// Expectation and maximisation for Gaussian mixtures as the textbook reads: whole matrices for every covariance type,
// all responsibilities in memory, double precision, nothing shared with host/.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <vector>

namespace coterie::reference {

enum class Covariance { full, tied, diag, spherical };

struct Mixture {
  std::size_t d = 0;
  std::vector<double> weights;                   // (k)
  std::vector<std::vector<double>> means;        // (k) of (d)
  std::vector<std::vector<double>> covariances;  // (k) of (d, d)
};

// Lower Cholesky factor, (d, d).
inline std::vector<double> cholesky(const std::vector<double>& a, std::size_t d) {
  std::vector<double> l(d * d);
  for (std::size_t i = 0; i < d; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = a[i * d + j];
      for (std::size_t m = 0; m < j; ++m) sum -= l[i * d + m] * l[j * d + m];
      l[i * d + j] = i == j ? std::sqrt(sum) : sum / l[j * d + j];
    }
  return l;
}

inline double log_density(const float* x, const std::vector<double>& mean, const std::vector<double>& l, std::size_t d) {
  double square = 0, log_determinant = 0;
  std::vector<double> y(d);
  for (std::size_t i = 0; i < d; ++i) {
    double sum = static_cast<double>(x[i]) - mean[i];
    for (std::size_t j = 0; j < i; ++j) sum -= l[i * d + j] * y[j];
    y[i] = sum / l[i * d + i];
    square += y[i] * y[i];
    log_determinant += std::log(l[i * d + i]);
  }
  return -0.5 * (square + static_cast<double>(d) * std::log(2 * std::numbers::pi)) - log_determinant;
}

struct Expectation {
  std::vector<double> responsibility;  // (n, k)
  std::vector<double> log_likelihood;  // (n)
  double total = 0;                    // sum of w log p(x)
};

inline Expectation expect(const std::vector<float>& x, const std::vector<double>& w, const Mixture& mixture) {
  const std::size_t n = w.size(), k = mixture.weights.size();
  std::vector<std::vector<double>> factors;
  for (const auto& covariance : mixture.covariances) factors.push_back(cholesky(covariance, mixture.d));
  Expectation result{.responsibility = std::vector<double>(n * k), .log_likelihood = std::vector<double>(n)};
  long double total = 0;
  for (std::size_t i = 0; i < n; ++i) {
    double* r = result.responsibility.data() + i * k;
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (std::size_t c = 0; c < k; ++c) {
      r[c] = std::log(mixture.weights[c]) + log_density(x.data() + i * mixture.d, mixture.means[c], factors[c], mixture.d);
      largest = std::max(largest, r[c]);
    }
    for (std::size_t c = 0; c < k; ++c) sum += std::exp(r[c] - largest);
    result.log_likelihood[i] = largest + std::log(sum);
    for (std::size_t c = 0; c < k; ++c) r[c] = std::exp(r[c] - result.log_likelihood[i]);
    total += static_cast<long double>(w[i]) * static_cast<long double>(result.log_likelihood[i]);
  }
  result.total = static_cast<double>(total);
  return result;
}

// Keeps of a full covariance what the type allows.
inline void restrict_to(Covariance type, std::vector<double>& covariance, std::size_t d) {
  if (type == Covariance::full || type == Covariance::tied) return;
  double trace = 0;
  for (std::size_t j = 0; j < d; ++j) trace += covariance[j * d + j];
  for (std::size_t i = 0; i < d; ++i)
    for (std::size_t j = 0; j < d; ++j)
      if (i != j)
        covariance[i * d + j] = 0;
      else if (type == Covariance::spherical)
        covariance[i * d + j] = trace / static_cast<double>(d);
}

inline void maximise(const std::vector<float>& x, const std::vector<double>& w, const Expectation& expectation, Covariance type,
                     double reg_covar, Mixture& mixture) {
  const std::size_t n = w.size(), k = mixture.weights.size(), d = mixture.d;
  std::vector<double> pooled(d * d);
  double total = 0;
  for (std::size_t c = 0; c < k; ++c) {
    double weight = 0;
    std::vector<double> mean(d), covariance(d * d);
    for (std::size_t i = 0; i < n; ++i) {
      const double r = w[i] * expectation.responsibility[i * k + c];
      weight += r;
      for (std::size_t j = 0; j < d; ++j) mean[j] += r * static_cast<double>(x[i * d + j]);
    }
    for (double& value : mean) value /= weight;
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t a = 0; a < d; ++a)
        for (std::size_t b = 0; b < d; ++b)
          covariance[a * d + b] += w[i] * expectation.responsibility[i * k + c] * (static_cast<double>(x[i * d + a]) - mean[a]) *
                                   (static_cast<double>(x[i * d + b]) - mean[b]);
    for (std::size_t cell = 0; cell < d * d; ++cell) pooled[cell] += covariance[cell];
    for (double& value : covariance) value /= weight;
    for (std::size_t j = 0; j < d; ++j) covariance[j * d + j] += reg_covar;
    restrict_to(type, covariance, d);
    mixture.weights[c] = weight;
    mixture.means[c] = mean;
    mixture.covariances[c] = covariance;
    total += weight;
  }
  for (double& value : pooled) value /= total;
  for (std::size_t j = 0; j < d; ++j) pooled[j * d + j] += reg_covar;
  for (double& weight : mixture.weights) weight /= total;
  if (type == Covariance::tied) std::fill(mixture.covariances.begin(), mixture.covariances.end(), pooled);
}

}  // namespace coterie::reference
