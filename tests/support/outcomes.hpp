// Logistic regressions and how they are run: rows on the grid, outcomes, folds, weights, what to fit, and under which
// circumstances.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "host/logistic_regression.hpp"
#include "host/passes.hpp"
#include "host/weights.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/grid_rows.hpp"

namespace coterie::logistic_regression {

// Everything that one run is asked for; two runs that differ only here must agree in every bit.
struct Setting {
  int threads = 2;
  std::int64_t tile_rows = 4 * kBlockRows;
  std::int64_t memory = std::int64_t{1} << 30;
};

struct Problem {
  testing::GridRows rows;
  std::vector<std::int8_t> target;  // (n_rows, n_targets)
  std::int32_t n_targets = 1;
  std::vector<Params> params = std::vector<Params>(1);
  std::vector<std::int8_t> fold{};    // (n_rows) or empty
  std::vector<std::int32_t> label{};  // (n_rows) or empty
  Weights weights{};

  Grid grid() const { return {.steps = rows.grid.steps, .weight_step = weights.step}; }
  SideColumns side_columns() const {
    return {.weight = weights.steps, .label = label, .target = target, .n_targets = n_targets, .fold = fold};
  }
};

// Not what the pass of a device leaves to the CPU's.
inline bool runs_everywhere(const Params& params) { return params.penalty != Penalty::firth; }
#if defined(COTERIE_EMULATED) || defined(COTERIE_TEST_CUDA)
inline constexpr bool kOnDevice = true;
#else
inline constexpr bool kOnDevice = false;
#endif

// `params` that the backend of this executable takes.
inline std::vector<Params> for_this_backend(std::vector<Params> params) {
  if (kOnDevice) std::erase_if(params, [](const Params& one) { return !runs_everywhere(one); });
  return params;
}

inline Fit run_on(Backend& backend, Context& context, const Problem& problem, std::int64_t tile_rows) {
  MemoryTileSource rows(std::span(problem.rows.x), problem.rows.n_columns, tile_rows);
  ZippedSource source(rows, problem.side_columns());
  const Grid grid = problem.grid();
  const GridMoments moments = kmeans::measure_moments(context, source, grid, 1);
  const auto staged = backend.stage(source);
  const auto pass = backend.logistic_regression_pass(grid, moments);
  return fit(context, *staged, grid, moments, problem.params, *pass);
}

inline Fit run(const Problem& problem, const Setting& setting = {}) {
  Context context({.threads = setting.threads, .memory_bytes = setting.memory});
  return run_on(*testing::make_backend(context), context, problem, setting.tile_rows);
}

inline Model fit_one(const Problem& problem, const Setting& setting = {}) { return run(problem, setting).models.front(); }

// Correlated normal columns and outcomes drawn from a known model; unknown_share of the outcomes are unknown.
inline Problem drawn_problem(std::int64_t n, std::int32_t d, double intercept, std::uint32_t seed = 3, std::int32_t n_targets = 1,
                             double unknown_share = 0) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  std::vector<double> values;
  Problem problem{.rows = {}, .target = {}, .n_targets = n_targets};
  for (std::int64_t i = 0; i < n; ++i) {
    const double common = normal(generator);
    for (std::int32_t j = 0; j < d; ++j) values.push_back(0.7 * normal(generator) + 0.7 * common + j);
    const double* const x = values.data() + i * d;
    for (std::int32_t t = 0; t < n_targets; ++t) {
      double eta = intercept;
      for (std::int32_t j = 0; j < d; ++j) eta += ((j + t) % 3 - 1) * 0.5 * (x[j] - j);
      const bool yes = uniform(generator) < 1 / (1 + std::exp(-eta));
      problem.target.push_back(uniform(generator) < unknown_share ? std::int8_t{-1} : static_cast<std::int8_t>(yes));
    }
  }
  problem.rows = testing::on_grid(values, d);
  return problem;
}

// Three targets of which some outcomes are unknown, weights of which some are zero, and folds of which one is of no model.
inline Problem weighted_problem(std::int64_t n, std::int32_t d) {
  Problem problem = drawn_problem(n, d, -1, 5, 3, 0.2);
  std::vector<double> weights;
  for (std::int64_t i = 0; i < n; ++i) {
    weights.push_back(i % 11 == 0 ? 0 : 1 + 0.25 * static_cast<double>(i % 5));
    problem.fold.push_back(static_cast<std::int8_t>(i % 7 - 1));
  }
  problem.weights = quantise_weights(weights);
  return problem;
}

}  // namespace coterie::logistic_regression
