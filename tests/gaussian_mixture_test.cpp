#include "host/gaussian_mixture.hpp"

#include <gtest/gtest.h>

#include <numbers>
#include <numeric>

#include "host/synth.hpp"
#include "tests/reference/gaussian_mixture.hpp"
#include "tests/support/instruction_sets.hpp"
#include "tests/support/mixture_laws.hpp"

namespace coterie::gaussian_mixture {
namespace {

using testing::size_for;

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

// At 0, where the middle one of three narrow components lies, both others are impossible; the nearer one comes second.
TEST(GaussianMixturePredictor, TheSecondIsTheNextDensestHoweverFar) {
  const std::vector<float> x = {0, 0.5, -0.5};
  for (const CovarianceType type : kTypes) {
    const std::size_t n_covariances = type == CovarianceType::tied ? 1 : 3;
    const Model model{.covariance_type = type,
                      .n_components = 3,
                      .n_columns = 1,
                      .weights = {0.5, 0.3, 0.2},
                      .means = {1000, 0, 200},
                      .covariances = std::vector<double>(n_covariances, 1.0),
                      .precisions_cholesky = std::vector<double>(n_covariances, 1.0)};
    Context context({.threads = 2, .memory_bytes = std::int64_t{1} << 30});
    const auto backend = testing::make_backend(context);
    MemoryTileSource rows(x, 1);
    const Rows predicted = predict(context, rows, *backend, model);
    EXPECT_EQ(predicted.label, (std::vector<std::int32_t>{1, 1, 1}));
    EXPECT_EQ(predicted.second, (std::vector<std::int32_t>{2, 2, 2}));
    EXPECT_EQ(predicted.probabilities, (std::vector<double>{0, 1, 0, 0, 1, 0, 0, 1, 0}));
  }
}

// tied is full, diag has the diagonal alone, spherical its mean; the log-likelihood of a maximum needs no rows but
// -n/2 (d log 2 pi + log |covariance| + d).
TEST(GaussianMixtureFit, OneComponentIsTheMeanAndCovariance) {
  constexpr std::size_t n = size_for(10007, 4107), d = 3;
  Problem problem = blobs_problem(n, d, 4, 5);
  std::vector<double> mean(d), scatter(d * d);
  const auto x = [&](std::size_t i, std::size_t j) { return static_cast<double>(problem.rows.x[i * d + j]); };
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < d; ++j) mean[j] += x(i, j) / n;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t a = 0; a < d; ++a)
      for (std::size_t b = 0; b < d; ++b) scatter[a * d + b] += (x(i, a) - mean[a]) * (x(i, b) - mean[b]) / n;
  for (const CovarianceType type : kTypes) {
    SCOPED_TRACE(static_cast<int>(type));
    problem.params.front() = {.n_components = 1, .covariance_type = type, .max_iter = 3, .tol = 0, .reg_covar = 0};
    const Model model = fit_one(problem);
    std::vector<double> covariance = scatter;
    reference::restrict_to(static_cast<reference::Covariance>(type), covariance, d);
    expect_near(model.means, mean, 1e-12);  // 10^4 additions of doubles
    expect_near(matrices(model), covariance, 1e-12);
    EXPECT_EQ(model.weights, std::vector<double>{1.0});
    EXPECT_EQ(model.icl, model.bic);
    double log_determinant = 0;
    const std::vector<double> factor = reference::cholesky(covariance, d);
    for (std::size_t j = 0; j < d; ++j) log_determinant += 2 * std::log(factor[j * d + j]);
    EXPECT_NEAR(model.log_likelihood, -0.5 * n * (d * (std::log(2 * std::numbers::pi) + 1) + log_determinant), 1e-12 * n);
  }
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
