// A clustering problem, everything one run of it may be asked for, and what comes out.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "host/passes.hpp"
#include "host/weights.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/grid_rows.hpp"

namespace coterie::kmeans {

// Everything that one run is asked for; two runs that differ only here must agree in every bit.
struct Setting {
  int threads = 2;
  std::int64_t tile_rows = 4 * kBlockRows;
  std::int64_t memory = std::int64_t{1} << 30;
  std::int64_t gpu_memory = 0;  // all of it
};

struct Problem {
  testing::GridRows rows;
  Weights weights;
  std::vector<Params> params;
  std::uint64_t seed = 1;

  Grid grid() const { return {.steps = rows.grid.steps, .weight_step = weights.step}; }
  std::vector<double> weight_steps() const {
    if (weights.steps.empty()) return std::vector<double>(static_cast<std::size_t>(rows.n_rows), 1.0);
    return {weights.steps.begin(), weights.steps.end()};
  }
};

struct Outcome {
  Fit fit;
  std::vector<std::int32_t> label, second;  // of the first params entry
  std::vector<double> squared_distance;
  std::vector<Quality> quality;
};

inline Outcome run(const Problem& problem, const Setting& setting = {}) {
  Context context({.threads = setting.threads, .memory_bytes = setting.memory, .seed = problem.seed, .progress = {}});
  MemoryTileSource rows(problem.rows.x, problem.rows.n_columns, setting.tile_rows);
  ZippedSource source(rows, {.weight = problem.weights.steps, .label = {}});
  std::int32_t most = 0;
  for (const Params& params : problem.params) most = std::max(most, params.n_clusters);
  const Grid grid = problem.grid();
  const GridMoments moments = measure_moments(context, source, grid, most);
  const auto backend = testing::make_backend(context, setting.gpu_memory);
  const auto staged = backend->stage(source);
  const auto pass = backend->kmeans_pass(grid, problem.rows.n_columns);
  Outcome outcome{.fit = fit(context, *staged, grid, moments, problem.params, *pass, {.labels = true}),
                  .label = {},
                  .second = {},
                  .squared_distance = {},
                  .quality = {}};
  const auto predictor = backend->kmeans_predictor();
  map_tiles(context, *staged, *predictor, outcome.fit.best.front(), [&](std::int64_t, const Assignment& rows_of_tile) {
    outcome.label.insert(outcome.label.end(), rows_of_tile.label.begin(), rows_of_tile.label.end());
    outcome.second.insert(outcome.second.end(), rows_of_tile.second.begin(), rows_of_tile.second.end());
    outcome.squared_distance.insert(outcome.squared_distance.end(), rows_of_tile.squared_distance.begin(),
                                    rows_of_tile.squared_distance.end());
  });
  const auto& kept = outcome.fit.labels.front().of_rows;
  EXPECT_TRUE(kept.empty() || std::ranges::equal(kept, outcome.label));
  outcome.quality = measure_quality(context, source, grid, moments, outcome.fit.best, [&] { return backend->kmeans_predictor(); });
  return outcome;
}

inline void expect_same_bits(const Outcome& a, const Outcome& b) {
  ASSERT_EQ(a.fit.best.size(), b.fit.best.size());
  for (std::size_t m = 0; m < a.fit.best.size(); ++m) {
    EXPECT_EQ(a.fit.best[m].cluster_centers, b.fit.best[m].cluster_centers);
    EXPECT_EQ(a.fit.best[m].inertia, b.fit.best[m].inertia);
    EXPECT_EQ(a.fit.best[m].n_iter, b.fit.best[m].n_iter);
    EXPECT_EQ(a.fit.best[m].cluster_sizes, b.fit.best[m].cluster_sizes);
    EXPECT_EQ(a.quality[m].silhouette, b.quality[m].silhouette);
    EXPECT_EQ(a.quality[m].davies_bouldin, b.quality[m].davies_bouldin);
  }
  EXPECT_EQ(a.label, b.label);
  EXPECT_EQ(a.second, b.second);
  EXPECT_EQ(a.squared_distance, b.squared_distance);
}

inline Problem blobs_problem(std::int64_t n, std::int32_t d, std::int32_t k, double separation) {
  return {.rows = testing::on_grid(testing::blobs(n, d, k, separation, 3), d), .weights = {}, .params = {{.n_clusters = k}}};
}

}  // namespace coterie::kmeans
