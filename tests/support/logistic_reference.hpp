// Fits of logistic regressions beside the naive reference of tests/reference/.
#pragma once

#include <gtest/gtest.h>

#include <cmath>

#include "tests/reference/logistic_regression.hpp"
#include "tests/support/outcomes.hpp"

namespace coterie::logistic_regression {

inline constexpr double kTight = 1e-10;      // a step of 1e-5 standard errors, taken, leaves less than a tenth of it
inline constexpr double kParameters = 1e-6;  // of a standard error
// Sums of some 10^4 doubles of relative error 2^-53, through the inverse of a matrix of condition 10^2.
inline constexpr double kRounding = 1e-9;

// The rows that count for a model, as the reference takes them.
inline reference::LogisticProblem as_reference(const Problem& problem, const Params& params) {
  reference::LogisticProblem plain{.d = static_cast<std::size_t>(problem.rows.n_columns), .x = {}, .y = {}, .w = {}};
  for (std::size_t i = 0; i < static_cast<std::size_t>(problem.rows.n_rows); ++i) {
    const int outcome = problem.target[i * static_cast<std::size_t>(problem.n_targets) + static_cast<std::size_t>(params.target)];
    const int fold = problem.fold.empty() ? 0 : problem.fold[i];
    if (outcome < 0 || fold < 0 || fold == params.left_out_fold) continue;
    for (std::size_t j = 0; j < plain.d; ++j) plain.x.push_back(static_cast<double>(problem.rows.x[i * plain.d + j]));
    plain.y.push_back(outcome);
    plain.w.push_back(problem.weights.step * (problem.weights.steps.empty() ? 1 : problem.weights.steps[i]));
  }
  if (params.penalty == Penalty::l2) plain.ridge.assign(plain.d, 1 / params.C);
  plain.firth = params.penalty == Penalty::firth;
  return plain;
}

// z, its two tails and the 95 % interval of a coefficient and standard error that have been compared.
inline void expect_wald(const Wald& wald) {
  constexpr double kQuantile = 1.959963984540054;
  EXPECT_NEAR(wald.z, wald.value / wald.std_err, kRounding * std::abs(wald.z));
  const double p_value = reference::both_tails(wald.value / wald.std_err);
  EXPECT_NEAR(wald.p_value, p_value, kRounding * p_value);
  EXPECT_NEAR(wald.low, wald.value - kQuantile * wald.std_err, kRounding * wald.std_err);
  EXPECT_NEAR(wald.high, wald.value + kQuantile * wald.std_err, kRounding * wald.std_err);
}

inline void expect_same_fit(const Model& model, const reference::LogisticFit& expected) {
  EXPECT_TRUE(model.converged);
  const std::size_t n = expected.beta.size();
  for (std::size_t i = 0; i < n; ++i) {
    const double std_err = std::sqrt(expected.covariance[i * n + i]);
    EXPECT_NEAR(model.estimates.values[i], expected.beta[i], kParameters * std_err) << "parameter " << i;
    EXPECT_NEAR(wald(model.estimates, i).std_err, std_err, kParameters * std_err) << "parameter " << i;
    const double robust = std::sqrt(expected.robust[i * n + i]);
    EXPECT_NEAR(wald(model.estimates, i, true).std_err, robust, kParameters * robust) << "parameter " << i;
    for (const bool is_robust : {false, true}) expect_wald(wald(model.estimates, i, is_robust));
  }
  EXPECT_NEAR(model.log_likelihood, expected.log_likelihood, kRounding * std::abs(expected.log_likelihood));
}

inline void expect_matches_reference(const Problem& problem) {
  const Fit fit = run(problem);
  for (std::size_t m = 0; m < fit.models.size(); ++m) {
    SCOPED_TRACE(::testing::Message() << "model " << m);
    expect_same_fit(fit.models[m], reference::fit_logistic(as_reference(problem, problem.params[m]), 25));
  }
}

// A weighted problem of every penalty, with a fold left out.
inline Problem mixed_problem(std::int64_t n = 3001, std::int32_t d = 4) {
  Problem problem = weighted_problem(n, d);
  problem.params = for_this_backend({{.penalty = Penalty::none, .tol = kTight},
                                     {.target = 1, .penalty = Penalty::l2, .C = 0.01, .tol = kTight},
                                     {.target = 2, .left_out_fold = 3, .penalty = Penalty::none, .tol = kTight},
                                     {.target = 1, .left_out_fold = 0, .tol = kTight},
                                     {.target = 2, .penalty = Penalty::firth, .tol = 1e-14}});
  return problem;
}

}  // namespace coterie::logistic_regression
