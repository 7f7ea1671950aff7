#include "host/gaussian_mixture.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "host/error.hpp"
#include "host/synth.hpp"
#include "tests/reference/gaussian_mixture.hpp"
#include "tests/support/instruction_sets.hpp"
#include "tests/support/mixtures.hpp"

namespace coterie::gaussian_mixture {
namespace {

using testing::size_for;

constexpr CovarianceType kTypes[] = {CovarianceType::full, CovarianceType::tied, CovarianceType::diag, CovarianceType::spherical};

// kRounding: sums of some 10^4 doubles of relative error 2^-53, carried through a dozen iterations.
constexpr double kRounding = 1e-9;

void expect_near(const std::vector<double>& a, const std::vector<double>& b, double relative) {
  ASSERT_EQ(a.size(), b.size());
  double largest = 0;
  for (const double value : b) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], relative * largest) << "at " << i;
}

// The covariances of a model as whole matrices.
std::vector<double> matrices(const Model& model) {
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

reference::Mixture as_reference(const Model& model) {
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

// Twelve iterations from the same start, then the likelihood of the result.
void expect_matches_reference(Problem problem, CovarianceType type) {
  Params& params = problem.params.front();
  params.covariance_type = type;
  params.max_iter = 12;
  params.tol = 0;
  reference::Mixture mixture = plain_start(problem);
  start_from(mixture, params);
  const std::vector<double> w = problem.row_weights();
  const double weight = std::accumulate(w.begin(), w.end(), 0.0);
  std::vector<double> lower_bound;
  for (int i = 0; i < params.max_iter; ++i) {
    const reference::Expectation expectation = reference::expect(problem.rows.x, w, mixture);
    lower_bound.push_back(expectation.total / weight);
    reference::maximise(problem.rows.x, w, expectation, static_cast<reference::Covariance>(type), params.reg_covar, mixture);
  }
  const Outcome outcome = run(problem);
  const Model& model = outcome.fit.best.front();
  EXPECT_EQ(model.n_iter, params.max_iter);
  expect_near(model.lower_bound, lower_bound, kRounding);
  std::vector<std::size_t> order(mixture.weights.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return mixture.weights[a] > mixture.weights[b]; });
  std::vector<double> weights, means, covariances;
  for (const std::size_t k : order) {
    weights.push_back(mixture.weights[k]);
    append(means, std::span<const double>(mixture.means[k]));
    append(covariances, std::span<const double>(mixture.covariances[k]));
  }
  expect_near(model.weights, weights, kRounding);
  expect_near(model.means, means, kRounding);
  expect_near(matrices(model), covariances, kRounding);
  EXPECT_NEAR(model.log_likelihood, reference::expect(problem.rows.x, w, mixture).total, kRounding * std::abs(model.log_likelihood));
}

TEST(GaussianMixtureFit, MatchesReferenceOnBlobs) {
  for (const CovarianceType type : kTypes) {
    SCOPED_TRACE(static_cast<int>(type));
    expect_matches_reference(blobs_problem(size_for(5003, 503), 3, 4, 3), type);
    expect_matches_reference(blobs_problem(size_for(4096, 409), 9, 5, 1.5), type);
    expect_matches_reference(blobs_problem(size_for(700, 200), 1, 3, 4), type);
  }
}

TEST(GaussianMixtureFit, MatchesReferenceWithWeights) {
  for (const CovarianceType type : kTypes) {
    SCOPED_TRACE(static_cast<int>(type));
    Problem problem = blobs_problem(size_for(3001, 401), 4, 3, 2);
    std::vector<double> weights;
    for (std::int64_t i = 0; i < problem.rows.n_rows; ++i) weights.push_back(i % 5 == 0 ? 0 : 0.25 * static_cast<double>(i % 7));
    problem.weights = quantise_weights(weights);
    expect_matches_reference(problem, type);
  }
}

TEST(GaussianMixturePredictor, MatchesReference) {
  for (const CovarianceType type : kTypes) {
    Problem problem = blobs_problem(size_for(2003, 303), 5, 4, 1);
    problem.params.front().covariance_type = type;
    const Outcome outcome = run(problem);
    const reference::Mixture mixture = as_reference(outcome.fit.best.front());
    const std::vector<double> w = problem.row_weights();
    const reference::Expectation expected = reference::expect(problem.rows.x, w, mixture);
    expect_near(outcome.rows.log_likelihood, expected.log_likelihood, kRounding);
    expect_near(outcome.rows.probabilities, expected.responsibility, kRounding);
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double* r = expected.responsibility.data() + i * 4;
      const std::size_t label = static_cast<std::size_t>(std::max_element(r, r + 4) - r);
      EXPECT_EQ(outcome.rows.label[i], static_cast<std::int32_t>(label));
      EXPECT_NEAR(outcome.rows.probability[i], r[label], kRounding);
      double entropy = 0;
      for (std::size_t k = 0; k < 4; ++k)
        if (r[k] > 0) entropy -= r[k] * std::log(r[k]);
      EXPECT_NEAR(outcome.rows.entropy[i], entropy, kRounding);
      const std::int32_t second = outcome.rows.second[i];
      ASSERT_NE(second, outcome.rows.label[i]);
      for (std::size_t k = 0; k < 4; ++k) EXPECT_TRUE(k == label || r[second] + kRounding >= r[k]);
    }
  }
}

// Lower bounds may fall by what rounding may do to two sweeps, and freely after a component started over.
void expect_never_falls(const Model& model) {
  const double rounding = 2 * model.sweep_tolerance;
  for (std::size_t i = 1; i < model.lower_bound.size(); ++i) {
    const bool started_over = std::any_of(model.reseedings.begin(), model.reseedings.end(),
                                          [&](const Reseeding& r) { return static_cast<std::size_t>(r.iteration) == i; });
    if (!started_over) {
      EXPECT_GE(model.lower_bound[i], model.lower_bound[i - 1] - rounding - kRounding * std::abs(model.lower_bound[i])) << "at " << i;
    }
  }
}

std::vector<double> heavy_tails(std::int64_t n, std::int32_t d) {
  std::mt19937 generator(5);
  std::normal_distribution<double> normal;
  std::vector<double> values;
  for (std::int64_t i = 0; i < n * d; ++i) values.push_back(std::exp(2.0 * normal(generator)));
  return values;
}

TEST(GaussianMixtureFit, LikelihoodNeverFalls) {
  for (const CovarianceType type : kTypes) {
    SCOPED_TRACE(static_cast<int>(type));
    Problem problem{.rows = testing::on_grid(heavy_tails(size_for(6000, 300), 4), 4),
                    .weights = {},
                    .params = {{.n_components = 9, .covariance_type = type, .n_init = 2, .max_iter = 60, .tol = 0, .reg_covar = 0}}};
    const Model model = fit_one(problem);
    EXPECT_EQ(model.n_iter, 60);
    expect_never_falls(model);
  }
}

TEST(GaussianMixtureFit, OneComponentIsTheMeanAndCovariance) {
  constexpr std::size_t n = size_for(10007, 4107);
  Problem problem = blobs_problem(n, 3, 4, 5);
  problem.params.front() = {.n_components = 1, .max_iter = 3, .tol = 0, .reg_covar = 0};
  const Model model = fit_one(problem);
  std::vector<double> mean(3), covariance(9);
  const auto x = [&](std::size_t i, std::size_t j) { return static_cast<double>(problem.rows.x[i * 3 + j]); };
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < 3; ++j) mean[j] += x(i, j) / n;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t a = 0; a < 3; ++a)
      for (std::size_t b = 0; b < 3; ++b) covariance[a * 3 + b] += (x(i, a) - mean[a]) * (x(i, b) - mean[b]) / n;
  expect_near(model.means, mean, 1e-12);  // 10^4 additions of doubles
  expect_near(model.covariances, covariance, 1e-12);
  EXPECT_EQ(model.weights, std::vector<double>{1.0});
  EXPECT_EQ(model.icl, model.bic);
}

TEST(GaussianMixtureFit, PrecisionsAreInverseCovariances) {
  Problem problem = blobs_problem(size_for(3000, 300), 4, 3, 2);
  const Model model = fit_one(problem);
  for (std::size_t k = 0; k < 3; ++k)
    for (std::size_t a = 0; a < 4; ++a)
      for (std::size_t b = 0; b < 4; ++b) {
        double sum = 0;  // covariance * P * P^T
        for (std::size_t i = 0; i < 4; ++i)
          for (std::size_t m = 0; m < 4; ++m)
            sum += model.covariances[k * 16 + a * 4 + i] * model.precisions_cholesky[k * 16 + i * 4 + m] *
                   model.precisions_cholesky[k * 16 + b * 4 + m];
        EXPECT_NEAR(sum, a == b ? 1 : 0, kRounding);
        if (a > b) {
          EXPECT_EQ(model.precisions_cholesky[k * 16 + a * 4 + b], 0);
        }
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

TEST(GaussianMixtureFit, RecoversPersonas) {
  constexpr std::int64_t n = size_for(20000, 1000);
  Context context({.threads = 2, .memory_bytes = std::int64_t{1} << 30});
  const SynthOptions options{.rows = n, .features = 8, .personas = 5, .seed = 3};
  std::vector<float> x(n * 8);
  std::vector<std::int32_t> persona(n);
  generate(context, options, 0, n, x.data(), persona.data());
  for (const CovarianceType type : kTypes) {
    Problem problem{.rows = testing::on_grid(std::vector<double>(x.begin(), x.end()), 8),
                    .weights = {},
                    .params = {{.n_components = 5, .covariance_type = type, .n_init = 3}}};
    const Outcome outcome = run(problem);
    std::vector<std::int64_t> shared(25);
    for (std::size_t i = 0; i < persona.size(); ++i) ++shared[static_cast<std::size_t>(persona[i] * 5 + outcome.rows.label[i])];
    std::int64_t hits = 0;
    for (std::size_t p = 0; p < 5; ++p) hits += *std::max_element(&shared[p * 5], &shared[p * 5] + 5);
    EXPECT_GT(hits, 0.97 * n);  // personas lie 6 deviations apart: the best rule errs on about one row in a hundred
  }
}

// A third of the rows are one point, in a column of whole numbers another third.
TEST(GaussianMixtureFit, SurvivesPointMasses) {
  constexpr std::size_t n = size_for(3000, 240);
  std::vector<double> values = testing::blobs(n, 2, 3, 2, 41);
  for (std::size_t i = 0; i < n / 3; ++i) values[2 * i] = 0.6931;
  for (const CovarianceType type : kTypes) {
    SCOPED_TRACE(static_cast<int>(type));
    Problem problem{.rows = testing::on_grid(values, 2),
                    .weights = {},
                    .params = {{.n_components = 4, .covariance_type = type, .n_init = 3, .max_iter = 300, .reg_covar = 0}}};
    const Outcome outcome = run(problem);
    const Model& model = outcome.fit.best.front();
    EXPECT_TRUE(std::isfinite(model.log_likelihood));
    expect_never_falls(model);
    EXPECT_EQ(outcome.fit.warnings.empty(), model.at_floor.empty() && model.converged && model.too_light.empty());
  }
}

TEST(GaussianMixtureFit, HoldsUpAPointMassAndSaysSo) {
  constexpr std::size_t n = size_for(2000, 400);
  std::vector<double> values = testing::blobs(n, 2, 1, 1, 42);
  for (std::size_t i = 0; i < n; ++i) values[i] = 7;  // the first half of the rows
  for (const double reg_covar : {0.0, 1e-4}) {        // the second one alone lifts the variance above the floor
    Problem problem{.rows = testing::on_grid(values, 2), .weights = {}, .params = {{.n_components = 2, .reg_covar = reg_covar}}};
    const Outcome outcome = run(problem);
    const Model& model = outcome.fit.best.front();
    ASSERT_EQ(model.at_floor.size(), 1u);
    const std::size_t point = static_cast<std::size_t>(model.at_floor.front());
    EXPECT_NEAR(model.weights[point], 0.5, 1e-6);
    EXPECT_NEAR(model.means[point * 2], 7, 1e-6);
    ASSERT_FALSE(outcome.fit.warnings.empty());
    EXPECT_NE(outcome.fit.warnings.front().find("covariance floor"), std::string::npos);
  }
}

TEST(GaussianMixtureFit, SurvivesCollinearAndConstantColumns) {
  constexpr std::size_t n = size_for(4000, 400);
  const auto blobs = testing::blobs(n, 2, 3, 4, 43);
  std::vector<double> values;
  for (std::size_t i = 0; i < n; ++i)
    values.insert(values.end(), {blobs[2 * i], blobs[2 * i + 1], blobs[2 * i] - 2 * blobs[2 * i + 1], 5.0});
  for (const CovarianceType type : kTypes) {
    SCOPED_TRACE(static_cast<int>(type));
    Problem problem{.rows = testing::on_grid(values, 4),
                    .weights = {},
                    .params = {{.n_components = 3, .covariance_type = type, .n_init = 2, .reg_covar = 0}}};
    const Outcome outcome = run(problem);
    EXPECT_TRUE(std::isfinite(outcome.fit.best.front().log_likelihood));
    EXPECT_TRUE(outcome.fit.best.front().converged);
    expect_never_falls(outcome.fit.best.front());
    if (type == CovarianceType::full || type == CovarianceType::tied) {
      EXPECT_EQ(outcome.fit.best.front().at_floor.size(), 3u);
    }
  }
}

// A component far from every row has no rows at all after the first iteration; it starts over once.
TEST(GaussianMixtureFit, ALostComponentStartsOver) {
  for (const CovarianceType type : kTypes) {
    SCOPED_TRACE(static_cast<int>(type));
    Problem problem = blobs_problem(size_for(6000, 600), 2, 2, 6);
    problem.params.front() = {.n_components = 3, .covariance_type = type, .reg_covar = 0};
    reference::Mixture start = plain_start(problem);
    start.means[1] = {1e4, 1e4};
    start_from(start, problem.params.front());
    const Outcome outcome = run(problem);
    const Model& model = outcome.fit.best.front();
    ASSERT_EQ(model.reseedings.size(), 1u);
    EXPECT_TRUE(model.converged);
    EXPECT_GT(model.weights.back(), 0);
    expect_never_falls(model);
    EXPECT_NE(outcome.fit.warnings.front().find("started over"), std::string::npos);
  }
}

TEST(GaussianMixtureFit, SurvivesMoreComponentsThanDistinctRows) {
  std::vector<double> values;
  for (int i = 0; i < size_for(300, 60); ++i) values.insert(values.end(), {static_cast<double>(i % 3), static_cast<double>(i % 3 == 1)});
  for (const CovarianceType type : kTypes) {
    SCOPED_TRACE(static_cast<int>(type));
    Problem problem{.rows = testing::on_grid(values, 2),
                    .weights = {},
                    .params = {{.n_components = 6, .covariance_type = type, .n_init = 2, .reg_covar = 0}}};
    const Outcome outcome = run(problem);
    EXPECT_TRUE(std::isfinite(outcome.fit.best.front().log_likelihood));
    EXPECT_FALSE(outcome.fit.warnings.empty());
  }
}

TEST(GaussianMixtureFit, FindsComponentsWhoseVariancesDifferAMillionfold) {
  std::mt19937 generator(9);
  std::normal_distribution<double> normal;
  std::vector<double> values;
  for (int i = 0; i < size_for(8000, 2000); ++i) {
    const bool tight = i % 2 == 0;
    values.insert(values.end(),
                  {tight ? 3 + 1e-3 * normal(generator) : normal(generator), tight ? 1e-3 * normal(generator) : normal(generator)});
  }
  for (const CovarianceType type : {CovarianceType::full, CovarianceType::diag, CovarianceType::spherical}) {
    Problem problem{.rows = testing::on_grid(values, 2),
                    .weights = {},
                    .params = {{.n_components = 2, .covariance_type = type, .n_init = 3, .reg_covar = 0, .covariance_floor = 1e-9}}};
    const Model model = fit_one(problem);
    EXPECT_TRUE(model.at_floor.empty());
    const std::vector<double> covariances = matrices(model);
    const std::size_t tight = covariances[0] < covariances[4] ? 0 : 1;
    EXPECT_NEAR(covariances[tight * 4], 1e-6, 1e-7);  // 4000 rows tell a variance to 2 %
    EXPECT_NEAR(covariances[(1 - tight) * 4], 1, 0.1);
    expect_never_falls(model);
  }
}

TEST(GaussianMixtureFit, MatchesReferenceOnOffsets) {
  auto values = testing::blobs(size_for(3000, 300), 2, 3, 4, 44);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 1e4 * values[i] + 1e7;
  Problem problem{.rows = testing::on_grid(values, 2), .weights = {}, .params = {{.n_components = 3}}};
  Params& params = problem.params.front();
  params.n_init = 2;
  const Outcome outcome = run(problem);
  const reference::Expectation expected = reference::expect(problem.rows.x, problem.row_weights(), as_reference(outcome.fit.best.front()));
  EXPECT_NEAR(outcome.fit.best.front().log_likelihood, expected.total, kRounding * std::abs(expected.total));
}

TEST(GaussianMixtureFit, StopsAtMaxIterAndSaysSo) {
  Problem problem = blobs_problem(2000, 3, 6, 0.5);
  problem.params.front().max_iter = 2;
  const Outcome outcome = run(problem);
  EXPECT_EQ(outcome.fit.best.front().n_iter, 2);
  EXPECT_FALSE(outcome.fit.best.front().converged);
  ASSERT_FALSE(outcome.fit.warnings.empty());
  EXPECT_NE(outcome.fit.warnings.front().find("--max-iter"), std::string::npos);
}

TEST(GaussianMixtureFit, RefusesWhatCannotBeFitted) {
  const auto refuses = [](auto&& change) {
    Problem problem = blobs_problem(50, 2, 2, 1);
    change(problem.params.front());
    EXPECT_THROW(run(problem), ArgumentError);
  };
  refuses([](Params& p) { p.n_components = 51; });
  refuses([](Params& p) { p.n_components = 0; });
  refuses([](Params& p) { p.n_init = 0; });
  refuses([](Params& p) { p.tol = -1; });
  refuses([](Params& p) { p.reg_covar = std::nan(""); });
  refuses([](Params& p) { p.means_init = {1, 2, 3}; });
  refuses([](Params& p) { p.weights_init = {0.5, 0.6}; });
  refuses([](Params& p) { p.weights_init = {1.5, -0.5}; });
  refuses([](Params& p) { p.means_init = {1, 2, 3, std::nan("")}; });
  refuses([](Params& p) { p.precisions_init = {1, 2, 2, 1, 1, 0, 0, 1}; });
  refuses([](Params& p) { p.precisions_init = {1, 0.5, 0, 1, 1, 0, 0, 1}; });
  refuses([](Params& p) {
    p.covariance_type = CovarianceType::diag;
    p.precisions_init = {1, 1, 0, 1};
  });
}

// The default tol lets sweeps run in float32, a tiny one does not; the last sweep is in double either way.
TEST(GaussianMixtureFit, FloatSweepsStayWithinTheirTolerance) {
  for (const CovarianceType type : kTypes) {
    SCOPED_TRACE(static_cast<int>(type));
    Problem exact = blobs_problem(size_for(20000, 600), 8, 5, 3);
    exact.params = {{.n_components = 5, .covariance_type = type, .max_iter = 8, .tol = 1e-12}};
    Problem narrow = exact;
    narrow.params.front().tol = 1e-3;
    start_from(plain_start(exact), exact.params.front());
    start_from(plain_start(exact), narrow.params.front());
    const Model a = fit_one(exact), b = fit_one(narrow);
    EXPECT_NE(a.lower_bound.front(), b.lower_bound.front());
    for (std::size_t i = 0; i < b.lower_bound.size(); ++i) EXPECT_NEAR(a.lower_bound[i], b.lower_bound[i], b.sweep_tolerance) << "at " << i;
  }
}

#if !defined(COTERIE_EMULATED) && !defined(COTERIE_TEST_CUDA)
TEST(GaussianMixtureFit, MatchesReferenceOnEveryInstructionSet) {
  testing::for_each_instruction_set([&] {
    for (const CovarianceType type : kTypes) expect_matches_reference(blobs_problem(1500, 5, 3, 2), type);
  });
}
#endif

TEST(GaussianMixtureParameters, AreCountedAsScikitLearnDoes) {
  const auto count = [](CovarianceType type) { return n_parameters({.covariance_type = type, .n_components = 3, .n_columns = 4}); };
  EXPECT_EQ(count(CovarianceType::full), 44);
  EXPECT_EQ(count(CovarianceType::tied), 24);
  EXPECT_EQ(count(CovarianceType::diag), 26);
  EXPECT_EQ(count(CovarianceType::spherical), 17);
}

}  // namespace
}  // namespace coterie::gaussian_mixture
