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

// Nor where one component becomes so tight that it alone needs double.
TEST(GaussianMixtureFit, LikelihoodNeverFallsBesideATightComponent) {
  constexpr std::int64_t n = size_for(6000, 300);
  std::vector<double> values = testing::blobs(n, 4, 3, 2, 7);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (i / 4 % 5 == 0) values[i] = 9 + 1e-3 * values[i];
  for (const CovarianceType type : kTypes) {
    SCOPED_TRACE(static_cast<int>(type));
    Problem problem{.rows = testing::on_grid(values, 4),
                    .weights = {},
                    .params = {{.n_components = 5, .covariance_type = type, .max_iter = 30, .tol = 1e-3, .reg_covar = 0}}};
    expect_never_falls(fit_one(problem));
  }
}

// reg_covar r moves the M-step off its maximum, by at most the mean over the components of sum (r / 2s)^2, s the eigenvalues of the
// covariance without it: those of unit blobs are no less than 0.5, so the default moves it by no more than 4e-12 in four columns.
TEST(GaussianMixtureFit, LikelihoodFallsByRegCovarOnlyAndLittle) {
  for (const CovarianceType type : kTypes) {
    SCOPED_TRACE(static_cast<int>(type));
    Problem problem = blobs_problem(size_for(4000, 400), 4, 3, 3);
    problem.params.front() = {.n_components = 3, .covariance_type = type, .max_iter = 40, .tol = 0};
    const Outcome outcome = run(problem);
    const Model& model = outcome.fit.best.front();
    for (std::size_t i = 1; i < model.lower_bound.size(); ++i) EXPECT_GE(model.lower_bound[i], model.lower_bound[i - 1] - 1e-8);
    for (const std::string& warning : outcome.fit.warnings) EXPECT_EQ(warning.find("--reg-covar"), std::string::npos) << warning;
  }
}

// From the maximum under no reg_covar, a large one can only lead down.
TEST(GaussianMixtureFit, WarnsWhereRegCovarLetsTheLikelihoodFall) {
  for (const CovarianceType type : kTypes) {
    SCOPED_TRACE(static_cast<int>(type));
    Problem problem = blobs_problem(size_for(2000, 300), 4, 3, 3);
    problem.params.front() = {.n_components = 3, .covariance_type = type, .max_iter = 200, .tol = 1e-10, .reg_covar = 0};
    const Outcome best = run(problem);
    for (const std::string& warning : best.fit.warnings) EXPECT_EQ(warning.find("fell"), std::string::npos) << warning;
    Params& params = problem.params.front();
    params.weights_init = best.fit.best.front().weights;
    params.means_init = best.fit.best.front().means;
    params.precisions_init.clear();
    const Model& start = best.fit.best.front();
    const auto add_precision = [&](const double* p, std::size_t d) {  // P P^T
      for (std::size_t a = 0; a < d; ++a)
        for (std::size_t b = 0; b < d; ++b) {
          double sum = 0;
          for (std::size_t i = 0; i < d; ++i) sum += p[a * d + i] * p[b * d + i];
          params.precisions_init.push_back(sum);
        }
    };
    const std::size_t d = type == CovarianceType::full || type == CovarianceType::tied ? 4 : 1;
    for (std::size_t i = 0; i < start.precisions_cholesky.size(); i += d * d) add_precision(start.precisions_cholesky.data() + i, d);
    params.max_iter = 3;
    params.reg_covar = 0.1;
    const Outcome widened = run(problem);
    const Model& model = widened.fit.best.front();
    ASSERT_EQ(model.lower_bound.size(), 3u);
    const double fall = model.lower_bound[0] - model.lower_bound[1], bound = 4 * std::pow(params.reg_covar / (2 * 0.5), 2);
    EXPECT_GT(fall, 1e-4);
    EXPECT_LT(fall, bound);
    ASSERT_FALSE(widened.fit.warnings.empty());
    std::string said;
    for (const std::string& warning : widened.fit.warnings) said += warning + '\n';
    EXPECT_NE(said.find("the likelihood fell after iteration 1"), std::string::npos) << said;
    EXPECT_NE(said.find("--reg-covar"), std::string::npos) << said;
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

// Rows that a change of coordinates takes from grid to grid without a rounding: multiples of 25 * 2^-12, below 2^5.
std::vector<double> coarse_blobs(std::int64_t n) {
  std::vector<double> values = testing::blobs(n, 3, 3, 3, 33);
  constexpr double kStep = 25 * 0x1p-12;
  for (double& value : values) value = std::nearbyint(value / kStep) * kStep;
  return values;
}

// The fits of rows and of what `change` makes of each of them, (3) -> (3), from plain starts that correspond.
std::pair<Model, Model> fits_of_both(const std::vector<double>& values, CovarianceType type, const auto& change) {
  std::vector<double> changed = values;
  for (std::size_t i = 0; i < changed.size(); i += 3) change(changed.data() + i);
  const Params params{.n_components = 3, .covariance_type = type, .max_iter = 15, .tol = 0};
  Problem one{.rows = testing::on_grid(values, 3), .weights = {}, .params = {params}};
  Problem other{.rows = testing::on_grid(changed, 3), .weights = {}, .params = {params}};
  for (std::size_t i = 0; i < changed.size(); ++i) {
    EXPECT_EQ(static_cast<double>(one.rows.x[i]), values[i]);
    EXPECT_EQ(static_cast<double>(other.rows.x[i]), changed[i]);
  }
  for (Problem* problem : {&one, &other}) start_from(plain_start(*problem), problem->params.front());
  return {fit_one(one), fit_one(other)};
}

// Sums are about a center, so means far from zero cost a mean the rounding of its own size: 10^3 * 2^-53.
TEST(GaussianMixtureFit, FollowsATranslation) {
  const double by[3] = {1000, -512, 0.25};
  for (const CovarianceType type : kTypes) {
    SCOPED_TRACE(static_cast<int>(type));
    const auto [a, b] = fits_of_both(coarse_blobs(size_for(4000, 400)), type, [&](double* row) {
      for (std::size_t j = 0; j < 3; ++j) row[j] += by[j];
    });
    for (std::size_t i = 0; i < a.means.size(); ++i) EXPECT_NEAR(a.means[i] + by[i % 3], b.means[i], kRounding * 10);
    expect_near(b.weights, a.weights, kRounding);
    expect_near(b.covariances, a.covariances, kRounding);
    EXPECT_NEAR(a.log_likelihood, b.log_likelihood, kRounding * std::abs(a.log_likelihood));
  }
}

// Angles of the triangle 3, 4, 5 in two planes; a rotation keeps volumes, the identity and with it reg_covar.
TEST(GaussianMixtureFit, FollowsARotation) {
  const auto rotate = [](double* row) {
    for (std::size_t j = 0; j < 2; ++j) {
      const double x = row[j], y = row[j + 1];
      row[j] = (3 * x - 4 * y) / 5;
      row[j + 1] = (4 * x + 3 * y) / 5;
    }
  };
  for (const CovarianceType type : {CovarianceType::full, CovarianceType::tied}) {
    SCOPED_TRACE(static_cast<int>(type));
    const auto [a, b] = fits_of_both(coarse_blobs(size_for(4000, 400)), type, rotate);
    std::vector<double> means = a.means, covariances = matrices(a);
    for (std::size_t i = 0; i < means.size(); i += 3) rotate(means.data() + i);
    for (std::size_t k = 0; k < covariances.size(); k += 9)
      for (int twice = 0; twice < 2; ++twice) {  // R (R C^T)^T
        for (std::size_t i = 0; i < 9; i += 3) rotate(covariances.data() + k + i);
        for (std::size_t i = 0; i < 3; ++i)
          for (std::size_t j = 0; j < i; ++j) std::swap(covariances[k + 3 * i + j], covariances[k + 3 * j + i]);
      }
    expect_near(b.means, means, kRounding);
    expect_near(b.weights, a.weights, kRounding);
    expect_near(matrices(b), covariances, kRounding);
    EXPECT_NEAR(a.log_likelihood, b.log_likelihood, kRounding * std::abs(a.log_likelihood));
  }
}

// One scale for all columns is what spherical components can follow. Not a power of two: (x * 3) has its own grid.
TEST(GaussianMixtureFit, SphericalComponentsFollowACommonScale) {
  constexpr std::int64_t n = size_for(4000, 400);
  const std::vector<double> values = coarse_blobs(n);
  std::vector<double> scaled = values;
  for (double& value : scaled) value *= 3;
  Problem one{.rows = testing::on_grid(values, 3),
              .weights = {},
              .params = {{.n_components = 3, .covariance_type = CovarianceType::spherical, .max_iter = 15, .tol = 0, .reg_covar = 0}}};
  Problem other{.rows = testing::on_grid(scaled, 3), .weights = {}, .params = one.params};
  start_from(plain_start(one), one.params.front());
  start_from(plain_start(other), other.params.front());
  for (double& precision : other.params.front().precisions_init) precision /= 9;
  const Model a = fit_one(one), b = fit_one(other);
  std::vector<double> means = a.means, variances = a.covariances;
  for (double& mean : means) mean *= 3;
  for (double& variance : variances) variance *= 9;
  expect_near(b.means, means, kRounding);
  expect_near(b.covariances, variances, kRounding);
  EXPECT_NEAR(a.log_likelihood, b.log_likelihood + n * 3 * std::log(3), kRounding * std::abs(a.log_likelihood));
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
  std::int64_t longest = 0;
  for (std::size_t m = 0; m < sweep.params.size(); ++m) {
    Problem alone = sweep;
    alone.params = {sweep.params[m]};
    const Fit fit = run(alone).fit;
    EXPECT_EQ(fit.best.front().means, together.fit.best[m].means);
    EXPECT_EQ(fit.best.front().bic, together.fit.best[m].bic);
    longest = std::max(longest, fit.sweeps);
  }
  EXPECT_EQ(together.fit.sweeps, longest);  // every sweep is shared
}

}  // namespace
}  // namespace coterie::gaussian_mixture
