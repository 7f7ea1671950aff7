// What a fit of any mixture must do: climb, count rows by their weights, follow columns and components.

#include "tests/support/mixture_laws.hpp"

namespace coterie::gaussian_mixture {
namespace {

using testing::size_for;

TEST(GaussianMixtureFit, LikelihoodNeverFalls) {
  for (const CovarianceType type : kTypes) {
    SCOPED_TRACE(static_cast<int>(type));
    Problem problem{.rows = testing::on_grid(testing::heavy_tails(size_for(6000, 300), 4, 2), 4),
                    .weights = {},
                    .params = {{.n_components = 9, .covariance_type = type, .n_init = 2, .max_iter = 60, .tol = 0, .reg_covar = 0}}};
    const Model model = fit_one(problem);
    EXPECT_EQ(model.n_iter, 60);
    expect_never_falls(model);
  }
}

TEST(GaussianMixtureFit, WeightTwoIsARowTwice) {
  constexpr std::size_t n = size_for(3000, 300);
  const auto values = testing::blobs(n, 3, 4, 2, 21);
  std::vector<double> twice, weights;
  for (std::size_t i = 0; i < n; ++i) {
    weights.push_back(i % 3 == 0 ? 2 : 1);
    for (std::size_t copy = 0; copy < (i % 3 == 0 ? 2 : 1); ++copy) append(twice, std::span<const double>(values).subspan(i * 3, 3));
  }
  for (const CovarianceType type : kTypes) {
    Problem weighted{.rows = testing::on_grid(values, 3),
                     .weights = quantise_weights(weights),
                     .params = {{.n_components = 4, .covariance_type = type, .max_iter = 20, .tol = 0}}};
    start_from(plain_start(weighted), weighted.params.front());
    Problem repeated{.rows = testing::on_grid(twice, 3), .weights = {}, .params = weighted.params};
    const Model a = fit_one(weighted), b = fit_one(repeated);
    expect_near(a.means, b.means, kRounding);
    expect_near(a.covariances, b.covariances, kRounding);
    EXPECT_NEAR(a.log_likelihood, b.log_likelihood, kRounding * std::abs(b.log_likelihood));
    EXPECT_NEAR(a.bic, b.bic, kRounding * b.bic);
    EXPECT_NEAR(a.icl, b.icl, kRounding * b.icl);
  }
}

TEST(GaussianMixtureFit, ZeroWeightRowCountsForNothing) {
  const auto values = testing::blobs(3000, 3, 4, 2, 22);
  std::vector<double> with_strays = values, weights(3000, 1.0);
  for (int i = 0; i < 100; ++i) with_strays.insert(with_strays.end(), {1, -1, 5.0 * i / 100}), weights.push_back(0);
  Problem clean{.rows = testing::on_grid(values, 3), .weights = {}, .params = {{.n_components = 4, .max_iter = 10, .tol = 0}}};
  Problem strays{.rows = testing::on_grid(with_strays, 3), .weights = quantise_weights(weights), .params = clean.params};
  ASSERT_EQ(clean.rows.grid.steps, strays.rows.grid.steps);
  const Model a = fit_one(clean), b = fit_one(strays);
  expect_near(a.means, b.means, kRounding);
  EXPECT_NEAR(a.log_likelihood, b.log_likelihood, kRounding * std::abs(a.log_likelihood));
}

// A power of two moves every grid step along, so the rows of both problems are the same whole numbers of steps.
TEST(GaussianMixtureFit, FollowsTheScaleOfColumns) {
  constexpr std::int64_t n = size_for(4000, 400);
  const auto values = testing::blobs(n, 3, 3, 3, 31);
  const double factor[3] = {0x1p20, 1, 0x1p-20};
  std::vector<double> scaled = values;
  for (std::size_t i = 0; i < scaled.size(); ++i) scaled[i] *= factor[i % 3];
  for (const CovarianceType type : {CovarianceType::full, CovarianceType::tied, CovarianceType::diag}) {
    Problem one{.rows = testing::on_grid(values, 3),
                .weights = {},
                .params = {{.n_components = 3, .covariance_type = type, .max_iter = 10, .tol = 0, .reg_covar = 0}}};
    Problem other{.rows = testing::on_grid(scaled, 3), .weights = {}, .params = one.params};
    reference::Mixture start = plain_start(one);
    start_from(start, one.params.front());
    start_from(start, other.params.front());
    Params& params = other.params.front();
    for (std::size_t i = 0; i < params.means_init.size(); ++i) params.means_init[i] *= factor[i % 3];
    for (std::size_t i = 0; i < params.precisions_init.size(); ++i) {
      const std::size_t row = type == CovarianceType::diag ? i % 3 : i / 3 % 3, column = i % 3;
      params.precisions_init[i] /= factor[row] * factor[column];
    }
    const Model a = fit_one(one), b = fit_one(other);
    const double jacobian = n * std::log(factor[0] * factor[1] * factor[2]);
    EXPECT_NEAR(a.log_likelihood, b.log_likelihood + jacobian, kRounding * std::abs(a.log_likelihood));
    for (std::size_t i = 0; i < a.means.size(); ++i) EXPECT_NEAR(a.means[i] * factor[i % 3], b.means[i], kRounding * 10 * factor[i % 3]);
  }
}

TEST(GaussianMixtureFit, FollowsTheOrderOfColumnsAndComponents) {
  constexpr std::int64_t n = size_for(4000, 400);
  const auto values = testing::blobs(n, 3, 3, 3, 32);
  std::vector<double> reversed = values;
  for (std::size_t i = 0; i < values.size(); ++i) reversed[i] = values[i / 3 * 3 + 2 - i % 3];
  for (const CovarianceType type : kTypes) {
    Problem one{.rows = testing::on_grid(values, 3),
                .weights = {},
                .params = {{.n_components = 3, .covariance_type = type, .max_iter = 15, .tol = 0}}};
    Problem other{.rows = testing::on_grid(reversed, 3), .weights = {}, .params = one.params};
    start_from(plain_start(one), one.params.front());
    start_from(plain_start(other), other.params.front());
    auto& means = other.params.front().means_init;  // the last component first, too
    std::rotate(means.begin(), means.begin() + 6, means.end());
    const Model a = fit_one(one), b = fit_one(other);
    for (std::size_t i = 0; i < a.means.size(); ++i) EXPECT_NEAR(a.means[i], b.means[i / 3 * 3 + 2 - i % 3], kRounding * 10);
    expect_near(a.weights, b.weights, kRounding);
    EXPECT_NEAR(a.log_likelihood, b.log_likelihood, kRounding * std::abs(a.log_likelihood));
  }
}

TEST(GaussianMixtureFit, ComponentsAreSortedByWeight) {
  const Model model = fit_one(blobs_problem(size_for(5000, 500), 3, 6, 4));
  EXPECT_TRUE(std::is_sorted(model.weights.rbegin(), model.weights.rend()));
}

TEST(GaussianMixtureFit, SweepOverKEqualsFitsOneByOne) {
  Problem sweep = blobs_problem(size_for(20000, 300), 3, 4, 2);
  sweep.params.clear();
  for (const CovarianceType type : kTypes)
    for (std::int32_t k = 1; k <= 4; ++k) sweep.params.push_back({.n_components = k, .covariance_type = type, .n_init = 2, .max_iter = 8});
  const Outcome together = run(sweep);
  for (std::size_t m = 0; m < sweep.params.size(); ++m) {
    Problem alone = sweep;
    alone.params = {sweep.params[m]};
    const Model model = fit_one(alone);
    EXPECT_EQ(model.means, together.fit.best[m].means);
    EXPECT_EQ(model.bic, together.fit.best[m].bic);
  }
}

}  // namespace
}  // namespace coterie::gaussian_mixture
