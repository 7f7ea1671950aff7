// Expectation and maximisation with cells missing at random, for covariances without off-diagonal cells, as the textbook
// reads: the density of a row is that of its known cells, and a missing one counts as its expectation under each component,
// E[x] = mean and E[x^2] = mean^2 + variance. Double precision, nothing shared with host/.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

namespace coterie::reference {

struct DiagonalMixture {
  std::vector<double> weights;    // (k)
  std::vector<double> means;      // (k, d)
  std::vector<double> variances;  // (k, d)
};

// NaN where a cell is missing; one entry per row.
inline std::vector<std::vector<double>> responsibilities(const std::vector<std::vector<double>>& x, const DiagonalMixture& mixture,
                                                         std::vector<double>& log_likelihood) {
  const std::size_t k = mixture.weights.size(), d = mixture.means.size() / k;
  std::vector<std::vector<double>> all;
  log_likelihood.clear();
  for (const auto& row : x) {
    std::vector<double> r(k);
    for (std::size_t c = 0; c < k; ++c) {
      r[c] = std::log(mixture.weights[c]);
      for (std::size_t j = 0; j < d; ++j) {
        if (std::isnan(row[j])) continue;
        const double variance = mixture.variances[c * d + j], t = row[j] - mixture.means[c * d + j];
        r[c] -= 0.5 * (t * t / variance + std::log(2 * std::numbers::pi * variance));
      }
    }
    const double largest = *std::max_element(r.begin(), r.end());
    double sum = 0;
    for (const double value : r) sum += std::exp(value - largest);
    log_likelihood.push_back(largest + std::log(sum));
    for (double& value : r) value = std::exp(value - log_likelihood.back());
    all.push_back(r);
  }
  return all;
}

// One M-step. w: (n) row weights; spherical components share one variance over their columns.
inline DiagonalMixture maximised(const std::vector<std::vector<double>>& x, const std::vector<double>& w,
                                 const std::vector<std::vector<double>>& r, const DiagonalMixture& old, bool spherical, double reg_covar) {
  const std::size_t k = old.weights.size(), d = old.means.size() / k;
  DiagonalMixture mixture = old;
  double total = 0;
  for (const double weight : w) total += weight;
  for (std::size_t c = 0; c < k; ++c) {
    double weight = 0, trace = 0;
    for (std::size_t i = 0; i < x.size(); ++i) weight += w[i] * r[i][c];
    mixture.weights[c] = weight / total;
    for (std::size_t j = 0; j < d; ++j) {
      const std::size_t cell = c * d + j;
      double first = 0, second = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double value = std::isnan(x[i][j]) ? old.means[cell] : x[i][j];
        first += w[i] * r[i][c] * value;
      }
      mixture.means[cell] = first / weight;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double t = (std::isnan(x[i][j]) ? old.means[cell] : x[i][j]) - mixture.means[cell];
        second += w[i] * r[i][c] * (t * t + (std::isnan(x[i][j]) ? old.variances[cell] : 0));
      }
      mixture.variances[cell] = second / weight + reg_covar;
      trace += mixture.variances[cell];
    }
    for (std::size_t j = 0; spherical && j < d; ++j) mixture.variances[c * d + j] = trace / static_cast<double>(d);
  }
  return mixture;
}

}  // namespace coterie::reference
