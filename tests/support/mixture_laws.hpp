// What the tests of mixtures measure models by.
#pragma once

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/mixtures.hpp"

namespace coterie::gaussian_mixture {

inline constexpr CovarianceType kTypes[] = {CovarianceType::full, CovarianceType::tied, CovarianceType::diag, CovarianceType::spherical};

// kRounding: sums of some 10^4 doubles of relative error 2^-53, carried through a dozen iterations.
inline constexpr double kRounding = 1e-9;

inline void expect_near(const std::vector<double>& a, const std::vector<double>& b, double relative) {
  ASSERT_EQ(a.size(), b.size());
  double largest = 0;
  for (const double value : b) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], relative * largest) << "at " << i;
}

// The covariances of a model as whole matrices.
inline std::vector<double> matrices(const Model& model) {
  const std::size_t d = static_cast<std::size_t>(model.n_columns), k = static_cast<std::size_t>(model.n_components);
  std::vector<double> values(k * d * d);
  for (std::size_t c = 0; c < k; ++c)
    for (std::size_t i = 0; i < d; ++i)
      for (std::size_t j = 0; j < d; ++j) {
        double& value = values[(c * d + i) * d + j];
        switch (model.covariance_type) {
          case CovarianceType::full: value = model.covariances[(c * d + i) * d + j]; break;
          case CovarianceType::tied: value = model.covariances[i * d + j]; break;
          case CovarianceType::diag: value = i == j ? model.covariances[c * d + i] : 0; break;
          case CovarianceType::spherical: value = i == j ? model.covariances[c] : 0; break;
        }
      }
  return values;
}

// A model as the reference knows it.
inline reference::Mixture as_reference(const Model& model) {
  const std::size_t d = static_cast<std::size_t>(model.n_columns);
  reference::Mixture mixture{.d = d, .weights = model.weights, .means = {}, .covariances = {}};
  const std::vector<double> covariances = matrices(model);
  for (std::size_t k = 0; k < model.weights.size(); ++k) {
    mixture.means.emplace_back(model.means.begin() + static_cast<std::ptrdiff_t>(k * d),
                               model.means.begin() + static_cast<std::ptrdiff_t>((k + 1) * d));
    mixture.covariances.emplace_back(covariances.begin() + static_cast<std::ptrdiff_t>(k * d * d),
                                     covariances.begin() + static_cast<std::ptrdiff_t>((k + 1) * d * d));
  }
  return mixture;
}

// Lower bounds may fall by what rounding may do to two sweeps, and freely after a component started over.
inline void expect_never_falls(const Model& model) {
  const double rounding = 2 * model.sweep_tolerance;
  for (std::size_t i = 1; i < model.lower_bound.size(); ++i) {
    const bool started_over = std::any_of(model.reseedings.begin(), model.reseedings.end(),
                                          [&](const Reseeding& r) { return static_cast<std::size_t>(r.iteration) == i; });
    if (!started_over) {
      EXPECT_GE(model.lower_bound[i], model.lower_bound[i - 1] - rounding - kRounding * std::abs(model.lower_bound[i])) << "at " << i;
    }
  }
}

}  // namespace coterie::gaussian_mixture
