// Mixture problems and how they are run: rows on the grid, weights, what to fit, and under which circumstances.
#pragma once

#include <algorithm>
#include <vector>

#include "host/gaussian_mixture.hpp"
#include "host/passes.hpp"
#include "host/weights.hpp"
#include "tests/reference/gaussian_mixture.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/grid_rows.hpp"

namespace coterie::gaussian_mixture {

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

inline Rows predict(Context& context, TileSource& source, Backend& backend, const Model& model) {
  Rows rows;
  const auto predictor = backend.gaussian_mixture_predictor(true);
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

inline Context::Options options_of(const Problem& problem, const Setting& setting) {
  return {.threads = setting.threads, .memory_bytes = setting.memory, .seed = problem.seed, .progress = {}};
}

inline Outcome run_on(Backend& backend, Context& context, const Problem& problem, const Setting& setting) {
  MemoryTileSource rows(std::span(problem.rows.x), problem.rows.n_columns, setting.tile_rows);
  ZippedSource source(rows, {.weight = problem.weights.steps, .label = {}});
  std::int32_t most = 0;
  for (const Params& params : problem.params) most = std::max(most, params.n_components);
  const Grid grid = problem.grid();
  const GridMoments moments = kmeans::measure_moments(context, source, grid, most);
  const auto staged = backend.stage(source);
  const auto pass = backend.gaussian_mixture_pass(grid, moments);
  Outcome outcome{.fit = fit(context, *staged, grid, moments, problem.params, *pass), .rows = {}};
  outcome.rows = predict(context, *staged, backend, outcome.fit.best.front());
  return outcome;
}

inline Outcome run(const Problem& problem, const Setting& setting = {}) {
  Context context(options_of(problem, setting));
  const auto backend = testing::make_backend(context, setting.gpu_memory);
  return run_on(*backend, context, problem, setting);
}

inline Model fit_one(const Problem& problem) { return run(problem).fit.best.front(); }

inline Problem blobs_problem(std::int64_t n, std::int32_t d, std::int32_t k, double separation) {
  return {.rows = testing::on_grid(testing::blobs(n, d, k, separation, 3), d), .weights = {}, .params = {{.n_components = k}}};
}

// Equal weights, the first rows as means, unit covariances.
inline reference::Mixture plain_start(const Problem& problem) {
  const std::size_t d = static_cast<std::size_t>(problem.rows.n_columns);
  const std::size_t k = static_cast<std::size_t>(problem.params.front().n_components);
  reference::Mixture mixture{.d = d, .weights = std::vector<double>(k, 1.0 / static_cast<double>(k)), .means = {}, .covariances = {}};
  for (std::size_t c = 0; c < k; ++c) {
    const auto first = problem.rows.x.begin() + static_cast<std::ptrdiff_t>(c * d);
    mixture.means.emplace_back(first, first + static_cast<std::ptrdiff_t>(d));
    std::vector<double> identity(d * d);
    for (std::size_t j = 0; j < d; ++j) identity[j * d + j] = 1;
    mixture.covariances.push_back(identity);
  }
  return mixture;
}

inline void start_from(const reference::Mixture& mixture, Params& params) {
  params.weights_init = mixture.weights;
  params.means_init.clear();
  params.precisions_init.clear();
  const std::size_t d = mixture.d, k = mixture.weights.size();
  for (const auto& mean : mixture.means) append(params.means_init, std::span<const double>(mean));
  switch (params.covariance_type) {
    case CovarianceType::full:
      for (const auto& identity : mixture.covariances) append(params.precisions_init, std::span<const double>(identity));
      break;
    case CovarianceType::tied: params.precisions_init = mixture.covariances.front(); break;
    case CovarianceType::diag: params.precisions_init.assign(k * d, 1.0); break;
    case CovarianceType::spherical: params.precisions_init.assign(k, 1.0); break;
  }
}

}  // namespace coterie::gaussian_mixture
