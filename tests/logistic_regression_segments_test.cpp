// Effects of segments, shrunk to the population.
#include <gtest/gtest.h>

#include <random>
#include <utility>

#include "tests/support/logistic_reference.hpp"

namespace coterie::logistic_regression {
namespace {

// Effects are those of indicator columns with a ridge of one over their variance.
TEST(LogisticRegressionSegments, MatchIndicatorColumnsWithARidge) {
  Problem problem = drawn_problem(4000, 2, -0.5);
  constexpr std::size_t kSegments = 5;
  std::mt19937 generator(9);
  std::uniform_real_distribution<double> uniform;
  for (std::size_t i = 0; i < 4000; ++i) {
    problem.label.push_back(static_cast<std::int32_t>(i % (kSegments + 1)) - 1);
    const double eta = problem.label.back() < 0 ? 0 : 0.8 * (problem.label.back() - 2);
    problem.target[i] = uniform(generator) < 1 / (1 + std::exp(-eta)) ? 1 : 0;
  }
  problem.params = {{.penalty = Penalty::none, .tol = 1e-14, .n_segments = kSegments}};
  const Model model = fit_one(problem);
  EXPECT_TRUE(model.converged);
  EXPECT_GT(model.segment_variance, 0.3);
  EXPECT_LT(model.segment_variance, 3);
  reference::LogisticProblem plain = as_reference(problem, problem.params.front());
  reference::LogisticProblem with_indicators{.d = 2 + kSegments, .x = {}, .y = plain.y, .w = plain.w};
  for (std::size_t i = 0; i < 4000; ++i) {
    with_indicators.x.insert(with_indicators.x.end(), {plain.x[i * 2], plain.x[i * 2 + 1]});
    for (std::int32_t s = 0; s < static_cast<std::int32_t>(kSegments); ++s) with_indicators.x.push_back(problem.label[i] == s);
  }
  with_indicators.ridge.assign(2 + kSegments, 1 / model.segment_variance);
  with_indicators.ridge[0] = with_indicators.ridge[1] = 0;
  const reference::LogisticFit expected = reference::fit_logistic(with_indicators, 20);
  constexpr double kVariance = 1e-4;  // where the variance of the effects stands still
  for (std::size_t j = 0; j < 2; ++j) EXPECT_NEAR(model.coefficients[j], expected.beta[j], kVariance);
  for (std::size_t s = 0; s < kSegments; ++s) {
    EXPECT_NEAR(model.segment_effects[s], expected.beta[2 + s], kVariance);
    EXPECT_NEAR(model.segment_std_errs[s], std::sqrt(expected.covariance[(2 + s) * (kSegments + 4)]), kVariance);
  }
  for (const auto& [ours, theirs] : {std::pair<std::size_t, std::size_t>(0, 0), {1, 1}, {2, 2 + kSegments}}) {  // the last is the intercept
    EXPECT_NEAR(wald(model.estimates, ours).std_err, std::sqrt(expected.covariance[theirs * (kSegments + 4)]), kVariance);
    EXPECT_NEAR(wald(model.estimates, ours, true).std_err, std::sqrt(expected.robust[theirs * (kSegments + 4)]), kVariance);
  }
}

TEST(LogisticRegressionSegments, WithoutDifferencesShrinkToThePopulation) {
  Problem problem = drawn_problem(6000, 2, -0.5);
  for (std::int32_t i = 0; i < 6000; ++i) problem.label.push_back(i % 4);
  problem.params = {{.n_segments = 4}};
  const Model model = fit_one(problem);
  for (const double effect : model.segment_effects) EXPECT_LT(std::abs(effect), 0.05);
}

}  // namespace
}  // namespace coterie::logistic_regression
