// Whole Newton fits of one or four outcomes on rows in memory, with and without the last sweep for standard errors, to steps of
// 10^-digits (squared, in standard errors). Every run checks that the gradient of the first outcome vanishes as far at its
// parameters, and prints ns/row of all sweeps together, how many there were, and the share of the measured roof. Rows and outcomes go to
// the folder COTERIE_BENCH_ROWS, if set, as <rows>x<columns>.f32 and .i8 for logistic_regression_peers.py.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <random>
#include <string>

#include "bench/roof.hpp"
#include "host/logistic_regression.hpp"
#include "tests/support/grid_rows.hpp"

namespace coterie {
namespace {

using logistic_regression::Model;
using logistic_regression::Params;

constexpr std::int32_t kTargets = 4;

struct Rows {
  testing::GridRows rows;
  std::vector<std::int8_t> target;  // (n_rows, kTargets), with some 6 to 20 % of yes
};

template <class T>
void write_rows(const std::string& name, const std::vector<T>& values) {
  const char* folder = std::getenv("COTERIE_BENCH_ROWS");
  if (folder == nullptr) return;
  std::ofstream file(std::filesystem::path(folder) / name, std::ios::binary);
  file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(T)));
}

Rows make_rows(std::int64_t n, std::int32_t d) {
  std::mt19937 generator(11);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<double> uniform;
  std::vector<double> values;
  Rows result;
  for (std::int64_t i = 0; i < n; ++i) {
    const float common = normal(generator);
    double eta[kTargets] = {-3, -2.5, -2, -1.5};
    for (std::int32_t j = 0; j < d; ++j) {
      values.push_back(static_cast<double>(0.8f * normal(generator) + 0.6f * common));
      for (std::int32_t t = 0; t < kTargets; ++t) eta[t] += 0.4 * ((j + t) % 5 - 2) / std::sqrt(d / 8.0) * values.back();
    }
    for (const double of_target : eta) result.target.push_back(uniform(generator) < 1 / (1 + std::exp(-of_target)) ? 1 : 0);
  }
  result.rows = testing::on_grid(values, d);
  const std::string name = std::to_string(n) + "x" + std::to_string(d);
  write_rows(name + ".f32", result.rows.x);
  write_rows(name + ".i8", result.target);
  return result;
}

// The sum of log-losses + |coefficients|^2 / 2 of scikit-learn, and the largest absolute entry of its gradient.
struct Objective {
  double loss = 0, gradient = 0;
};
Objective objective_of(const Rows& rows, const Model& model) {
  Objective objective;
  const std::size_t d = static_cast<std::size_t>(model.n_columns);
  std::vector<double> gradient = model.coefficients;
  gradient.push_back(0);
  for (const double coefficient : model.coefficients) objective.loss += coefficient * coefficient / 2;
  for (std::size_t i = 0; i < static_cast<std::size_t>(rows.rows.n_rows); ++i) {
    const float* const x = rows.rows.x.data() + i * d;
    double eta = model.intercept();
    for (std::size_t j = 0; j < d; ++j) eta += model.coefficients[j] * static_cast<double>(x[j]);
    const double outcome = rows.target[i * kTargets], error = 1 / (1 + std::exp(-eta)) - outcome;
    objective.loss += std::log1p(std::exp(-std::abs(eta))) + std::max(eta, 0.0) - outcome * eta;
    for (std::size_t j = 0; j < d; ++j) gradient[j] += error * static_cast<double>(x[j]);
    gradient[d] += error;
  }
  for (const double value : gradient) objective.gradient = std::max(objective.gradient, std::abs(value));
  return objective;
}

// What a fit asks of its pass per row of the source: bytes of cells, and operations of log-odds, gradient and half of a symmetric
// product for every Gram matrix, over those blocks that a sweep takes.
class CountingPass final : public logistic_regression::Pass {
 public:
  explicit CountingPass(Pass& pass) : pass_(pass) {}
  void begin(std::span<const Model* const> models) override {
    double share_of_rows = 0;
    for (const Model* model : models) {
      const double d = model->n_columns, gram = d * (d + 1);
      const auto& search = model->search;
      const double share = 1 / static_cast<double>(search.rows_every);
      share_of_rows = std::max(share_of_rows, share);
      operations += share * (4 * d + (search.last ? gram : 0));
      if (search.hessian_every > 0) operations += gram / static_cast<double>(std::lcm(search.rows_every, search.hessian_every));
    }
    bytes += share_of_rows * 4 * static_cast<double>(models.front()->n_columns);
    pass_.begin(models);
  }
  void accumulate(const Tile& tile) override { pass_.accumulate(tile); }
  logistic_regression::SweepStatistics finish() override { return pass_.finish(); }
  double bytes = 0, operations = 0;

 private:
  Pass& pass_;
};

void fit(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  const std::int32_t d = static_cast<std::int32_t>(state.range(1)), targets = static_cast<std::int32_t>(state.range(2));
  const bool inference = state.range(3) != 0;
  const double tol = std::pow(10.0, -static_cast<double>(state.range(4)));
  const Rows rows = make_rows(n, d);
  Context context({.threads = 2, .memory_bytes = std::int64_t{8} << 30});
  MemoryTileSource cells(std::span(rows.rows.x), d);
  ZippedSource source(cells, {.weight = {}, .label = {}, .target = rows.target, .n_targets = kTargets});
  const kmeans::GridMoments moments = kmeans::measure_moments(context, source, rows.rows.grid, 1);
  const auto pass = logistic_regression::make_cpu_pass(context, rows.rows.grid, moments);
  std::vector<Params> params;
  for (std::int32_t t = 0; t < targets; ++t) params.push_back({.target = t, .tol = tol, .inference = inference});
  logistic_regression::Fit fitted;
  CountingPass counting(*pass);
  for (auto _ : state) fitted = logistic_regression::fit(context, source, rows.rows.grid, moments, params, counting);
  const Objective objective = objective_of(rows, fitted.models.front());
  // The root of tol standard errors off the maximum: one of them moves an entry by half the root of the rows at most.
  if (!(objective.gradient < std::sqrt(tol * static_cast<double>(n)) / 2)) state.SkipWithError("the gradient does not vanish");
  const double rows_done = static_cast<double>(n) * static_cast<double>(state.iterations());
  const double fits = static_cast<double>(state.iterations());
  state.counters["ns/row"] = benchmark::Counter(rows_done * 1e-9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["sweeps"] = static_cast<double>(fitted.sweeps);
  state.counters["%roof"] = benchmark::Counter(100 * rows_done * bench::seconds_per_row(counting.bytes / fits, counting.operations / fits),
                                               benchmark::Counter::kIsRate);
  state.counters["gradient"] = objective.gradient;
  state.counters["loss"] = objective.loss;
}

void shapes(benchmark::internal::Benchmark* bench) {
  constexpr std::int64_t kDefault = 6, kFine = 10;
  for (const auto& [rows, columns] : {std::pair{1'000'000, 16}, {500'000, 64}, {100'000, 128}})
    for (const std::int64_t targets : {1, 4}) {
      bench->Args({rows, columns, targets, 0, kDefault});
      bench->Args({rows, columns, targets, 0, kFine});
      bench->Args({rows, columns, targets, 1, kDefault});
    }
}

BENCHMARK(fit)
    ->ArgNames({"rows", "columns", "targets", "inference", "digits"})
    ->Apply(shapes)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace coterie
