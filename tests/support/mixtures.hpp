// Mixture problems and how they are run: rows on the grid, weights, what to fit, and under which circumstances.
#pragma once

#include <algorithm>
#include <vector>

#include "host/gaussian_mixture.hpp"
#include "host/passes.hpp"
#include "host/weights.hpp"
#include "tests/support/grid_rows.hpp"

namespace coterie::gaussian_mixture {

// Everything that one run is asked for; two runs that differ only here must agree in every bit.
struct Setting {
  int threads = 2;
  std::int64_t tile_rows = 4 * kBlockRows;
  std::int64_t memory = std::int64_t{1} << 30;
};

struct Problem {
  testing::GridRows rows;
  Weights weights;
  std::vector<Params> params;
  std::uint64_t seed = 1;

  Grid grid() const { return {.steps = rows.grid.steps, .weight_step = weights.step}; }
  std::vector<double> row_weights() const {
    std::vector<double> values(static_cast<std::size_t>(rows.n_rows), weights.step);
    for (std::size_t i = 0; i < weights.steps.size(); ++i) values[i] *= weights.steps[i];
    return values;
  }
};

// The predictions for the first params entry, row by row.
struct Rows {
  std::vector<std::int32_t> label, second;
  std::vector<double> probability, entropy, log_likelihood, probabilities;
};

struct Outcome {
  Fit fit;
  Rows rows;
};

template <class T>
void append(std::vector<T>& to, std::span<const T> from) {
  to.insert(to.end(), from.begin(), from.end());
}

inline Rows predict(Context& context, TileSource& source, const Model& model) {
  Rows rows;
  const auto predictor = make_cpu_predictor(context, true);
  map_tiles(context, source, *predictor, model, [&](std::int64_t, const Prediction& prediction) {
    append(rows.label, prediction.label);
    append(rows.second, prediction.second);
    append(rows.probability, prediction.probability);
    append(rows.entropy, prediction.entropy);
    append(rows.log_likelihood, prediction.log_likelihood);
    append(rows.probabilities, prediction.probabilities);
  });
  return rows;
}

inline Outcome run(const Problem& problem, const Setting& setting = {}) {
  Context context({.threads = setting.threads, .memory_bytes = setting.memory, .seed = problem.seed});
  MemoryTileSource rows(std::span(problem.rows.x), problem.rows.n_columns, setting.tile_rows);
  ZippedSource source(rows, {.weight = problem.weights.steps, .label = {}});
  std::int32_t most = 0;
  for (const Params& params : problem.params) most = std::max(most, params.n_components);
  const Grid grid = problem.grid();
  const GridMoments moments = kmeans::measure_moments(context, source, grid, most);
  const auto pass = make_cpu_pass(context, grid, moments);
  Outcome outcome{.fit = fit(context, source, grid, moments, problem.params, *pass), .rows = {}};
  outcome.rows = predict(context, source, outcome.fit.best.front());
  return outcome;
}

inline Model fit_one(const Problem& problem) { return run(problem).fit.best.front(); }

inline Problem blobs_problem(std::int64_t n, std::int32_t d, std::int32_t k, double separation) {
  return {.rows = testing::on_grid(testing::blobs(n, d, k, separation, 3), d), .weights = {}, .params = {{.n_components = k}}};
}

}  // namespace coterie::gaussian_mixture
