// The promise of k-means: what a run is asked for beside its data cannot move a bit of the answer.
#include <gtest/gtest.h>

#include "tests/support/instruction_sets.hpp"
#include "tests/support/kmeans_problem.hpp"
#include "tests/support/thread_communicator.hpp"

namespace coterie::kmeans {
namespace {

class KMeansBits : public ::testing::Test {
 protected:
  // Three cuts of tiles, weights, two values of k and restarts that settle at different sweeps.
  static Problem problem() {
    constexpr std::int32_t kMaxIter = testing::size_for(300, 3);
    Problem problem = blobs_problem(testing::size_for<std::int64_t>(30011, 8301), 6, 7, 0.8);
    problem.params = {{.n_clusters = 7, .n_init = 4, .max_iter = kMaxIter},
                      {.n_clusters = 11, .n_init = 2, .max_iter = kMaxIter},
                      {.n_clusters = 5, .n_init = 2, .max_iter = 2, .init = Init::kmeans_parallel},
                      {.n_clusters = 5, .n_init = 1, .max_iter = 2, .init = Init::mini_batch}};
    std::vector<double> weights;
    for (std::int64_t i = 0; i < problem.rows.n_rows; ++i) weights.push_back(1 + static_cast<double>(i * 7919 % 1000) / 37);
    problem.weights = quantise_weights(weights);
    return problem;
  }
};

TEST_F(KMeansBits, IgnoreThreadCount) {
  const Outcome expected = run(problem(), {.threads = 1});
  for (const int threads : {2, 3, 8}) expect_same_bits(expected, run(problem(), {.threads = threads}));
}

TEST_F(KMeansBits, IgnoreTileRows) {
  const Outcome expected = run(problem());
  for (const std::int64_t blocks : {1, 2, 5, 100}) expect_same_bits(expected, run(problem(), {.tile_rows = blocks * kBlockRows}));
}

TEST_F(KMeansBits, IgnoreMemoryBudget) {
  const Outcome expected = run(problem());
  expect_same_bits(expected, run(problem(), {.memory = 3 << 20}));
}

#ifndef COTERIE_EMULATED
TEST_F(KMeansBits, IgnoreInstructionSet) {
  const Outcome expected = run(problem());
  testing::for_each_instruction_set([&] { expect_same_bits(expected, run(problem())); });
}
#endif

// Ranks hold consecutive rows from a multiple of kBlockRows on; every rank must end with the same model as one alone.
TEST_F(KMeansBits, IgnoreRankCount) {
  const Problem all = problem();
  const Outcome expected = run(all);
  for (const int ranks : {2, 3, 5}) {
    testing::run_ranks(ranks, [&](Communicator& communicator) {
      Context context({.threads = 1, .memory_bytes = std::int64_t{1} << 30, .seed = all.seed, .communicator = &communicator});
      const std::int64_t blocks = (all.rows.n_rows + kBlockRows - 1) / kBlockRows;
      const std::int64_t first = std::min(all.rows.n_rows, blocks * communicator.rank() / ranks * kBlockRows);
      const std::int64_t last = std::min(all.rows.n_rows, blocks * (communicator.rank() + 1) / ranks * kBlockRows);
      const std::size_t n = static_cast<std::size_t>(last - first), d = static_cast<std::size_t>(all.rows.n_columns);
      MemoryTileSource rows(std::span(all.rows.x).subspan(static_cast<std::size_t>(first) * d, n * d), all.rows.n_columns, kBlockRows,
                            first);
      ZippedSource source(rows, {.weight = std::span(all.weights.steps).subspan(static_cast<std::size_t>(first), n)});
      const GridMoments moments = measure_moments(context, source, all.grid(), 11);
      const auto backend = testing::make_backend(context);
      const auto staged = backend->stage(source);
      const auto pass = backend->kmeans_pass(all.grid(), all.rows.n_columns);
      const Fit fit_of_rank = fit(context, *staged, all.grid(), moments, all.params, *pass);
      for (std::size_t m = 0; m < fit_of_rank.best.size(); ++m) {
        EXPECT_EQ(fit_of_rank.best[m].cluster_centers, expected.fit.best[m].cluster_centers);
        EXPECT_EQ(fit_of_rank.best[m].inertia, expected.fit.best[m].inertia);
        EXPECT_EQ(fit_of_rank.best[m].cluster_sizes, expected.fit.best[m].cluster_sizes);
      }
    });
  }
}

TEST_F(KMeansBits, FollowTheSeed) {
  Problem other = problem();
  other.seed = 2;
  other.params.front().max_iter = 1;
  Problem same = problem();
  same.params.front().max_iter = 1;
  EXPECT_NE(run(other).fit.best.front().cluster_centers, run(same).fit.best.front().cluster_centers);
}

}  // namespace
}  // namespace coterie::kmeans
