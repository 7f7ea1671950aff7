// Runs of a logistic regression that must agree in every bit: threads, tiles, memory, ranks and company in the sweeps.
#include <gtest/gtest.h>

#include "tests/support/outcomes.hpp"
#include "tests/support/thread_communicator.hpp"

namespace coterie::logistic_regression {
namespace {

void expect_same_bits(const Model& a, const Model& b) {
  EXPECT_EQ(a.coefficients, b.coefficients);
  EXPECT_EQ(a.at_center, b.at_center);
  EXPECT_EQ(a.segment_effects, b.segment_effects);
  EXPECT_EQ(a.estimates.covariance, b.estimates.covariance);
  EXPECT_EQ(a.estimates.robust_covariance, b.estimates.robust_covariance);
  EXPECT_EQ(a.log_likelihood, b.log_likelihood);
  EXPECT_EQ(a.largest_log_odds, b.largest_log_odds);
  EXPECT_EQ(a.n_iter, b.n_iter);
}

void expect_same_bits(const Fit& a, const Fit& b) {
  ASSERT_EQ(a.models.size(), b.models.size());
  for (std::size_t m = 0; m < a.models.size(); ++m) {
    SCOPED_TRACE(::testing::Message() << "model " << m);
    expect_same_bits(a.models[m], b.models[m]);
  }
}

// Enough rows for Hessians of some blocks in float32, and all that a model may ask of the pass.
const Problem& mixed_problem() {
  static const Problem kProblem = [] {
    Problem problem = drawn_problem(testing::size_for<std::int64_t>(80'003, 20'003), 5, -1.5, 7, 3, 0.1);
    std::vector<double> weights;
    for (std::int64_t i = 0; i < problem.rows.n_rows; ++i) {
      weights.push_back(1 + static_cast<double>(i * 7919 % 1000) / 37);
      problem.fold.push_back(static_cast<std::int8_t>(i % 6 - 1));
      problem.label.push_back(static_cast<std::int32_t>(i % 5) - 1);
    }
    problem.weights = quantise_weights(weights);
    problem.params = for_this_backend({{.penalty = Penalty::none},
                                       {.target = 1, .left_out_fold = 2},
                                       {.target = 2, .n_segments = 4},
                                       {.penalty = Penalty::firth},
                                       {.target = 2, .inference = false},
                                       {.target = 1, .penalty = Penalty::none}});
    return problem;
  }();
  return kProblem;
}

// So many columns that Hessians are worth going on with.
const Problem& wide_problem() {
  static const Problem kProblem = [] {
    Problem problem = drawn_problem(testing::size_for<std::int64_t>(80'003, 9'001), 18, -1.5, 9, 2, 0.1);
    problem.params = {{.penalty = Penalty::none}, {.target = 1}, {.target = 1, .tol = 1e-3, .inference = false}};
    return problem;
  }();
  return kProblem;
}

TEST(LogisticRegressionBits, IgnoreThreadCount) {
  for (const Problem* problem : {&mixed_problem(), &wide_problem()}) {
    const Fit expected = run(*problem, {.threads = 1});
    for (const int threads : {2, 5}) expect_same_bits(expected, run(*problem, {.threads = threads}));
  }
}

TEST(LogisticRegressionBits, IgnoreTileRows) {
  for (const Problem* problem : {&mixed_problem(), &wide_problem()}) {
    const Fit expected = run(*problem);
    for (const std::int64_t blocks : {1, 100}) expect_same_bits(expected, run(*problem, {.tile_rows = blocks * kBlockRows}));
  }
}

TEST(LogisticRegressionBits, IgnoreMemoryBudget) {
  const Fit expected = run(mixed_problem()), tight = run(mixed_problem(), {.memory = 3 << 20});
  expect_same_bits(expected, tight);
}

TEST(LogisticRegressionBits, IgnoreCompanyInTheSweeps) {
  for (const Problem* problem : {&mixed_problem(), &wide_problem()}) {
    const Fit together = run(*problem);
    for (std::size_t m = 0; m < together.models.size(); ++m) {
      Problem alone = *problem;
      alone.params = {problem->params[m]};
      expect_same_bits(together.models[m], fit_one(alone));
    }
  }
}

TEST(LogisticRegressionBits, IgnoreRankCount) {
  const Problem& all = mixed_problem();
  const Fit expected = run(all);
  for (const int ranks : {2, 3}) {
    testing::run_ranks(ranks, [&](Communicator& communicator) {
      Context context({.threads = 1, .memory_bytes = std::int64_t{1} << 30, .communicator = &communicator});
      const std::int64_t blocks = (all.rows.n_rows + kBlockRows - 1) / kBlockRows;
      const auto first = static_cast<std::size_t>(std::min(all.rows.n_rows, blocks * communicator.rank() / ranks * kBlockRows));
      const auto last = static_cast<std::size_t>(std::min(all.rows.n_rows, blocks * (communicator.rank() + 1) / ranks * kBlockRows));
      const std::size_t n = last - first, d = static_cast<std::size_t>(all.rows.n_columns), t = static_cast<std::size_t>(all.n_targets);
      MemoryTileSource rows(std::span(all.rows.x).subspan(first * d, n * d), all.rows.n_columns, kBlockRows,
                            static_cast<std::int64_t>(first));
      ZippedSource source(rows, {.weight = std::span(all.weights.steps).subspan(first, n),
                                 .label = std::span(all.label).subspan(first, n),
                                 .target = std::span(all.target).subspan(first * t, n * t),
                                 .n_targets = all.n_targets,
                                 .fold = std::span(all.fold).subspan(first, n)});
      const GridMoments moments = kmeans::measure_moments(context, source, all.grid(), 1);
      const auto backend = testing::make_backend(context);
      const auto staged = backend->stage(source);
      const auto pass = backend->logistic_regression_pass(all.grid(), moments);
      expect_same_bits(expected, fit(context, *staged, all.grid(), moments, all.params, *pass));
    });
  }
}

}  // namespace
}  // namespace coterie::logistic_regression
