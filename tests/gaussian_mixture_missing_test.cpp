// Mixtures of rows with cells missing at random.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "host/error.hpp"
#include "tests/reference/missing_mixture.hpp"
#include "tests/support/instruction_sets.hpp"
#include "tests/support/mixtures.hpp"

namespace coterie::gaussian_mixture {
namespace {

using testing::size_for;

constexpr CovarianceType kTypes[] = {CovarianceType::diag, CovarianceType::spherical};

// Sums of some 10^4 doubles of relative error 2^-53, carried through a dozen iterations.
constexpr double kRounding = 1e-9;

void expect_near(const std::vector<double>& a, const std::vector<double>& b, double relative = kRounding) {
  ASSERT_EQ(a.size(), b.size());
  double largest = 0;
  for (const double value : b) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], relative * largest) << "at " << i;
}

// Equal weights, the first rows as means, unit variances.
Problem plain_problem(std::int64_t n, std::int32_t d, std::int32_t k, CovarianceType type, double separation = 2) {
  Problem problem = blobs_problem(n, d, k, separation);
  Params& params = problem.params.front();
  params = {.n_components = k, .covariance_type = type, .max_iter = 12, .tol = 0, .missing_at_random = true};
  params.weights_init.assign(static_cast<std::size_t>(k), 1.0 / k);
  params.means_init.assign(problem.rows.x.begin(), problem.rows.x.begin() + static_cast<std::ptrdiff_t>(k) * d);
  params.precisions_init.assign(static_cast<std::size_t>(type == CovarianceType::diag ? k * d : k), 1.0);
  return problem;
}

// What a sweep with moments of filled rows leads to: rows is what the fit reads, moments come from problem.rows.
Outcome run_with(const Problem& problem, const std::vector<float>& rows, const Setting& setting = {}) {
  Context context({.threads = setting.threads, .memory_bytes = setting.memory, .seed = problem.seed});
  MemoryTileSource filled_rows(std::span(problem.rows.x), problem.rows.n_columns, setting.tile_rows);
  ZippedSource filled(filled_rows, {.weight = problem.weights.steps, .label = {}});
  MemoryTileSource known_rows(rows, problem.rows.n_columns, setting.tile_rows);
  ZippedSource known(known_rows, {.weight = problem.weights.steps, .label = {}});
  const Grid grid = problem.grid();
  const GridMoments moments = kmeans::measure_moments(context, filled, grid, problem.params.front().n_components);
  const auto backend = testing::make_backend(context);
  const auto staged = backend->stage(known);
  const auto pass = backend->gaussian_mixture_pass(grid, moments);
  Outcome outcome{.fit = fit(context, *staged, grid, moments, problem.params, *pass), .rows = {}};
  outcome.rows = predict(context, *staged, *backend, outcome.fit.best.front());
  return outcome;
}

// Every fifth cell or so is missing, in the middle third of the rows none.
std::vector<float> with_holes(const Problem& problem) {
  std::vector<float> rows = problem.rows.x;
  const std::size_t d = static_cast<std::size_t>(problem.rows.n_columns);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::size_t row = i / d, n = rows.size() / d;
    if ((row < n / 3 || row > 2 * n / 3) && i * 2654435761u % 97 < 20) rows[i] = std::numeric_limits<float>::quiet_NaN();
  }
  return rows;
}

std::vector<std::vector<double>> as_rows(const std::vector<float>& x, std::size_t d) {
  std::vector<std::vector<double>> rows;
  for (std::size_t i = 0; i < x.size(); i += d)
    rows.emplace_back(x.begin() + static_cast<std::ptrdiff_t>(i), x.begin() + static_cast<std::ptrdiff_t>(i + d));
  return rows;
}

void expect_matches_reference(const Problem& problem, const std::vector<float>& cells) {
  const Params& params = problem.params.front();
  const std::size_t k = static_cast<std::size_t>(params.n_components), d = static_cast<std::size_t>(problem.rows.n_columns);
  const auto x = as_rows(cells, d);
  const std::vector<double> w = problem.row_weights();
  reference::DiagonalMixture mixture{params.weights_init, params.means_init, std::vector<double>(k * d, 1.0)};
  const double weight = std::accumulate(w.begin(), w.end(), 0.0);
  std::vector<double> lower_bound, log_likelihood;
  const auto mean_likelihood = [&] { return std::inner_product(w.begin(), w.end(), log_likelihood.begin(), 0.0) / weight; };
  for (int i = 0; i < params.max_iter; ++i) {
    const auto r = reference::responsibilities(x, mixture, log_likelihood);
    lower_bound.push_back(mean_likelihood());
    mixture = reference::maximised(x, w, r, mixture, params.covariance_type == CovarianceType::spherical, params.reg_covar);
  }
  reference::responsibilities(x, mixture, log_likelihood);
  const Outcome outcome = run_with(problem, cells);
  const Model& model = outcome.fit.best.front();
  expect_near(model.lower_bound, lower_bound);
  EXPECT_NEAR(model.log_likelihood, mean_likelihood() * weight, kRounding * std::abs(model.log_likelihood));
  expect_near(outcome.rows.log_likelihood, log_likelihood);
  std::vector<std::size_t> order(k);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return mixture.weights[a] > mixture.weights[b]; });
  std::vector<double> weights, means, variances;
  for (const std::size_t c : order) {
    weights.push_back(mixture.weights[c]);
    for (std::size_t j = 0; j < d; ++j) {
      means.push_back(mixture.means[c * d + j]);
      if (params.covariance_type == CovarianceType::diag || j == 0) variances.push_back(mixture.variances[c * d + j]);
    }
  }
  expect_near(model.weights, weights);
  expect_near(model.means, means);
  expect_near(model.covariances, variances);
}

TEST(GaussianMixtureMissing, MatchesReference) {
  for (const CovarianceType type : kTypes)
    for (const auto& [n, d, k] : {std::tuple{size_for(5003, 503), 3, 4}, {size_for(2000, 200), 9, 5}, {size_for(1000, 100), 1, 3}}) {
      const Problem problem = plain_problem(n, d, k, type);
      expect_matches_reference(problem, with_holes(problem));
    }
}

TEST(GaussianMixtureMissing, MatchesReferenceWithWeights) {
  for (const CovarianceType type : kTypes) {
    Problem problem = plain_problem(size_for(3001, 301), 4, 3, type);
    std::vector<double> weights;
    for (std::int64_t i = 0; i < problem.rows.n_rows; ++i) weights.push_back(i % 5 == 0 ? 0 : 0.25 * static_cast<double>(i % 7));
    problem.weights = quantise_weights(weights);
    expect_matches_reference(problem, with_holes(problem));
  }
}

// Components a hundred deviations apart are summed about pivots, not about the center.
TEST(GaussianMixtureMissing, MatchesReferenceAboutPivots) {
  for (const CovarianceType type : kTypes) {
    const Problem problem = plain_problem(1500, 3, 3, type, 100);
    expect_matches_reference(problem, with_holes(problem));
  }
}

#if !defined(COTERIE_EMULATED) && !defined(COTERIE_TEST_CUDA)
TEST(GaussianMixtureMissing, MatchesReferenceOnEveryInstructionSet) {
  testing::for_each_instruction_set([&] {
    for (const CovarianceType type : kTypes) {
      const Problem problem = plain_problem(1500, 5, 3, type);
      expect_matches_reference(problem, with_holes(problem));
    }
  });
}
#endif

void expect_same_bits(const Outcome& a, const Outcome& b) {
  EXPECT_EQ(a.fit.best.front().weights, b.fit.best.front().weights);
  EXPECT_EQ(a.fit.best.front().means, b.fit.best.front().means);
  EXPECT_EQ(a.fit.best.front().covariances, b.fit.best.front().covariances);
  EXPECT_EQ(a.fit.best.front().lower_bound, b.fit.best.front().lower_bound);
  EXPECT_EQ(a.rows.label, b.rows.label);
  EXPECT_EQ(a.rows.log_likelihood, b.rows.log_likelihood);
}

TEST(GaussianMixtureMissing, WithoutMissingCellsNothingChanges) {
  for (const CovarianceType type : kTypes) {
    Problem problem = plain_problem(size_for(6000, 600), 4, 3, type);
    const Outcome allowed = run_with(problem, problem.rows.x);
    problem.params.front().missing_at_random = false;
    expect_same_bits(allowed, run_with(problem, problem.rows.x));
  }
}

// Of diagonal components; spherical ones take the missing column into their one variance and approach it more slowly.
TEST(GaussianMixtureMissing, AColumnMissingEverywhereChangesNothing) {
  constexpr std::size_t n = size_for(4000, 400);
  Problem problem = plain_problem(n, 3, 3, CovarianceType::diag);
  Problem wider{.rows = {}, .weights = {}, .params = problem.params};
  Params& params = wider.params.front();
  params.means_init.clear();
  params.precisions_init.assign(12, 1.0);
  std::vector<double> values;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < 3; ++j) values.push_back(static_cast<double>(problem.rows.x[i * 3 + j]));
    values.push_back(static_cast<double>(i % 5));
    if (i < 3) params.means_init.insert(params.means_init.end(), values.end() - 4, values.end());
  }
  wider.rows = testing::on_grid(values, 4);
  std::vector<float> cells = wider.rows.x;
  for (std::size_t i = 3; i < cells.size(); i += 4) cells[i] = std::numeric_limits<float>::quiet_NaN();
  const Model narrow = run_with(problem, problem.rows.x).fit.best.front(), wide = run_with(wider, cells).fit.best.front();
  expect_near(wide.lower_bound, narrow.lower_bound);
  expect_near(wide.weights, narrow.weights);
  for (std::size_t i = 0; i < narrow.means.size(); ++i) {
    EXPECT_NEAR(wide.means[i / 3 * 4 + i % 3], narrow.means[i], kRounding * 10);  // blobs lie within 10 of zero
    EXPECT_NEAR(wide.covariances[i / 3 * 4 + i % 3], narrow.covariances[i], kRounding * 10);
  }
}

TEST(GaussianMixtureMissing, LikelihoodNeverFalls) {
  for (const CovarianceType type : kTypes) {
    Problem problem = plain_problem(size_for(4000, 200), 4, 6, type);
    problem.params.front().reg_covar = 0;
    problem.params.front().max_iter = 60;
    const Model model = run_with(problem, with_holes(problem)).fit.best.front();
    ASSERT_EQ(model.n_iter, 60);
    for (std::size_t i = 1; i < model.lower_bound.size(); ++i)
      EXPECT_GE(model.lower_bound[i], model.lower_bound[i - 1] - kRounding) << "at " << i;
  }
}

TEST(GaussianMixtureMissing, IgnoresThreadsAndTileRows) {
  for (const CovarianceType type : kTypes) {
    const Problem problem = plain_problem(size_for(std::int64_t{30011}, kBlockRows + 11), 4, 3, type);
    const std::vector<float> cells = with_holes(problem);
    const Outcome expected = run_with(problem, cells, {.threads = 1});
    expect_same_bits(expected, run_with(problem, cells, {.threads = 3}));
    expect_same_bits(expected, run_with(problem, cells, {.tile_rows = kBlockRows}));
  }
}

// A lost component starts over from an unlikely row, whose missing cells it takes from the center.
TEST(GaussianMixtureMissing, ALostComponentStartsOver) {
  for (const CovarianceType type : kTypes) {
    Problem problem = plain_problem(size_for(3000, 600), 3, 3, type);
    for (std::size_t j = 3; j < 6; ++j) problem.params.front().means_init[j] = 1e4;
    const Model model = run_with(problem, with_holes(problem)).fit.best.front();
    ASSERT_EQ(model.reseedings.size(), 1u);
    for (const double mean : model.means) EXPECT_TRUE(std::isfinite(mean));
  }
}

TEST(GaussianMixtureMissing, MatricesOfCovariancesAreRefused) {
  for (const CovarianceType type : {CovarianceType::full, CovarianceType::tied}) {
    Problem problem = blobs_problem(50, 2, 2, 1);
    problem.params.front().covariance_type = type;
    problem.params.front().missing_at_random = true;
    EXPECT_THROW(run_with(problem, problem.rows.x), ArgumentError);
  }
}

}  // namespace
}  // namespace coterie::gaussian_mixture
