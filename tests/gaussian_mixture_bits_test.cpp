// Mixtures bit for bit: whatever a run is given to work with, the result is the same.
#include <gtest/gtest.h>

#include "tests/support/mixtures.hpp"
#include "tests/support/thread_communicator.hpp"

namespace coterie::gaussian_mixture {
namespace {

void expect_same_bits(const Outcome& a, const Outcome& b) {
  ASSERT_EQ(a.fit.best.size(), b.fit.best.size());
  for (std::size_t m = 0; m < a.fit.best.size(); ++m) {
    EXPECT_EQ(a.fit.best[m].weights, b.fit.best[m].weights);
    EXPECT_EQ(a.fit.best[m].means, b.fit.best[m].means);
    EXPECT_EQ(a.fit.best[m].covariances, b.fit.best[m].covariances);
    EXPECT_EQ(a.fit.best[m].lower_bound, b.fit.best[m].lower_bound);
    EXPECT_EQ(a.fit.best[m].log_likelihood, b.fit.best[m].log_likelihood);
    EXPECT_EQ(a.fit.best[m].icl, b.fit.best[m].icl);
  }
  EXPECT_EQ(a.rows.label, b.rows.label);
  EXPECT_EQ(a.rows.log_likelihood, b.rows.log_likelihood);
}

constexpr CovarianceType kTypes[] = {CovarianceType::full, CovarianceType::tied, CovarianceType::diag, CovarianceType::spherical};

class GaussianMixtureBits : public ::testing::Test {
 protected:
  // All covariance types and two numbers of components, weights, a lost component, tiles that cut the rows unevenly.
  static Problem problem() {
    Problem problem = blobs_problem(testing::size_for(std::int64_t{30011}, kBlockRows + 11), 5, 4, 1.5);
    problem.params.clear();
    for (const CovarianceType type : kTypes) {
      problem.params.push_back(
          {.n_components = 4, .covariance_type = type, .n_init = testing::size_for(2, 1), .max_iter = testing::size_for(6, 2)});
      problem.params.push_back({.n_components = 9, .covariance_type = type, .max_iter = testing::size_for(5, 2)});
    }
    Problem lost = problem;
    lost.params = {{.n_components = 3, .max_iter = 6}};
    reference::Mixture start = plain_start(lost);
    start.means[1].assign(5, 1e3);
    start_from(start, lost.params.front());
    problem.params.push_back(lost.params.front());
    std::vector<double> weights;
    for (std::int64_t i = 0; i < problem.rows.n_rows; ++i) weights.push_back(1 + static_cast<double>(i * 7919 % 1000) / 37);
    problem.weights = quantise_weights(weights);
    return problem;
  }
};

TEST_F(GaussianMixtureBits, IgnoreThreadCount) {
  const Outcome expected = run(problem(), {.threads = 1});
  EXPECT_EQ(expected.fit.best.back().reseedings.size(), 1u);
  for (const int threads : {2, 3, 8}) expect_same_bits(expected, run(problem(), {.threads = threads}));
}

TEST_F(GaussianMixtureBits, IgnoreTileRows) {
  const Outcome expected = run(problem());
  for (const std::int64_t blocks : {1, 2, 100}) expect_same_bits(expected, run(problem(), {.tile_rows = blocks * kBlockRows}));
}

TEST_F(GaussianMixtureBits, IgnoreMemoryBudget) {
  const Outcome expected = run(problem());
  expect_same_bits(expected, run(problem(), {.memory = 3 << 20}));
}

// Ranks hold consecutive rows from a multiple of kBlockRows on; every rank must end with the same models as one alone.
TEST_F(GaussianMixtureBits, IgnoreRankCount) {
  const Problem all = problem();
  const Outcome expected = run(all);
  for (const int ranks : {2, 3}) {
    testing::run_ranks(ranks, [&](Communicator& communicator) {
      Context context({.threads = 1, .memory_bytes = std::int64_t{1} << 30, .seed = all.seed, .communicator = &communicator});
      const std::int64_t blocks = (all.rows.n_rows + kBlockRows - 1) / kBlockRows;
      const std::int64_t first = std::min(all.rows.n_rows, blocks * communicator.rank() / ranks * kBlockRows);
      const std::int64_t last = std::min(all.rows.n_rows, blocks * (communicator.rank() + 1) / ranks * kBlockRows);
      const std::size_t n = static_cast<std::size_t>(last - first), d = static_cast<std::size_t>(all.rows.n_columns);
      MemoryTileSource rows(std::span(all.rows.x).subspan(static_cast<std::size_t>(first) * d, n * d), all.rows.n_columns, kBlockRows,
                            first);
      ZippedSource source(rows, {.weight = std::span(all.weights.steps).subspan(static_cast<std::size_t>(first), n), .label = {}});
      const GridMoments moments = kmeans::measure_moments(context, source, all.grid(), 9);
      const auto backend = testing::make_backend(context);
      const auto staged = backend->stage(source);
      const auto pass = backend->gaussian_mixture_pass(all.grid(), moments);
      const Fit fit_of_rank = fit(context, *staged, all.grid(), moments, all.params, *pass);
      for (std::size_t m = 0; m < fit_of_rank.best.size(); ++m) {
        EXPECT_EQ(fit_of_rank.best[m].means, expected.fit.best[m].means);
        EXPECT_EQ(fit_of_rank.best[m].covariances, expected.fit.best[m].covariances);
        EXPECT_EQ(fit_of_rank.best[m].log_likelihood, expected.fit.best[m].log_likelihood);
      }
    });
  }
}

}  // namespace
}  // namespace coterie::gaussian_mixture
