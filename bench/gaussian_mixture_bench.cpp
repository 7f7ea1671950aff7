// One iteration of expectation and maximisation (sweep, statistics, update) on rows in memory, at the shapes of the
// targets, from the same plain start. Every run checks the likelihood of its rows against the naive reference and prints
// ns/row, the share of the measured roof, and how far the mean log-likelihood lies from the exact one. Rows go to the
// folder COTERIE_BENCH_ROWS, if set, as <rows>x<columns>x<components>.f32 for gaussian_mixture_peers.py.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "bench/roof.hpp"
#include "host/gaussian_mixture.hpp"
#include "host/passes.hpp"
#include "tests/support/grid_rows.hpp"

namespace coterie {
namespace {

using gaussian_mixture::CovarianceType;

// Rows around n_components / 2 loose blobs: neither separated nor noise.
testing::GridRows make_rows(std::int64_t n, std::int32_t d, std::int32_t k) {
  testing::GridRows rows = testing::on_grid(testing::blobs(n, d, std::max(2, k / 2), 1, 1), d);
  if (const char* folder = std::getenv("COTERIE_BENCH_ROWS")) {
    std::ostringstream name;
    name << n << 'x' << d << 'x' << k << ".f32";
    std::ofstream file(std::filesystem::path(folder) / name.str(), std::ios::binary);
    file.write(reinterpret_cast<const char*>(rows.x.data()), static_cast<std::streamsize>(rows.x.size() * sizeof(float)));
  }
  return rows;
}

// Equal weights, the first rows as means, unit covariances.
gaussian_mixture::Params plain_start(const testing::GridRows& rows, CovarianceType type, std::int32_t k) {
  const std::size_t d = static_cast<std::size_t>(rows.n_columns), n_components = static_cast<std::size_t>(k);
  gaussian_mixture::Params params{.n_components = k, .covariance_type = type, .max_iter = 1 << 30};
  params.weights_init.assign(n_components, 1.0 / k);
  params.means_init.assign(rows.x.begin(), rows.x.begin() + static_cast<std::ptrdiff_t>(n_components * d));
  const bool matrices = type == CovarianceType::full || type == CovarianceType::tied;
  if (type == CovarianceType::spherical) params.precisions_init.assign(n_components, 1.0);
  if (type == CovarianceType::diag) params.precisions_init.assign(n_components * d, 1.0);
  if (matrices) params.precisions_init.assign((type == CovarianceType::full ? n_components : 1) * d * d, 0.0);
  for (std::size_t i = 0; matrices && i < params.precisions_init.size(); ++i) params.precisions_init[i] = i / d % d == i % d ? 1 : 0;
  return params;
}

// Operations of the shortest forms that do not cancel: a subtraction, a scaling and a multiply-add per cell and component
// where covariances are diagonal, a triangular product where they are full, and the same again for the sums.
double operations_per_row(CovarianceType type, double d, double k) {
  switch (type) {
    case CovarianceType::full: return 2 * k * d * (d + 1);
    case CovarianceType::tied: return d * (d + 1) + 6 * k * d;
    case CovarianceType::diag: return 9 * k * d;
    case CovarianceType::spherical: return 6 * k * d;
  }
  return 0;
}

void iterate(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  const std::int32_t d = static_cast<std::int32_t>(state.range(1)), k = static_cast<std::int32_t>(state.range(2));
  const CovarianceType type = static_cast<CovarianceType>(state.range(3));
  Context context({.threads = 2, .memory_bytes = std::int64_t{8} << 30, .seed = 1});
  const testing::GridRows rows = make_rows(n, d, k);
  MemoryTileSource source(std::span(rows.x), d);
  const kmeans::GridMoments moments = kmeans::measure_moments(context, source, rows.grid, k);
  const gaussian_mixture::Params params = plain_start(rows, type, k);
  gaussian_mixture::Model model = gaussian_mixture::seed(context, rows.grid, moments, params).front();
  const auto pass = gaussian_mixture::make_cpu_pass(context, rows.grid, moments);
  const gaussian_mixture::Model* models[] = {&model};
  double log_likelihood = 0;
  gaussian_mixture::Model measured;
  for (auto _ : state) {
    measured = model;
    const auto statistics = reduce_tiles(context, source, *pass, std::span<const gaussian_mixture::Model* const>(models));
    gaussian_mixture::update(model, statistics.models[0], rows.grid, moments, params);
    model.final_parameters = model.converged = false;
    log_likelihood = model.lower_bound.back();
  }
  double exact = 0;
  const auto predictor = gaussian_mixture::make_cpu_predictor(context);
  map_tiles(context, source, *predictor, measured, [&](std::int64_t, const gaussian_mixture::Prediction& prediction) {
    for (const double row : prediction.log_likelihood) exact += row;
  });
  const double error = log_likelihood - exact / static_cast<double>(n);
  if (!(std::abs(error) < params.tol / 10)) state.SkipWithError("the likelihood differs from the exact one");
  const double rows_done = static_cast<double>(n) * static_cast<double>(state.iterations());
  state.counters["ns/row"] = benchmark::Counter(rows_done * 1e-9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["%roof"] =
      benchmark::Counter(100 * rows_done * bench::seconds_per_row(d * 4.0, operations_per_row(type, d, k)), benchmark::Counter::kIsRate);
  state.counters["error"] = error;
  const std::size_t checked = std::min<std::size_t>(5, model.lower_bound.size());  // what gaussian_mixture_peers.py compares
  state.counters["checked_iteration"] = static_cast<double>(checked);
  state.counters["checked_bound"] = model.lower_bound[checked - 1];
}

void shapes(benchmark::internal::Benchmark* bench) {
  for (const std::int64_t type : {0, 1, 2, 3}) {
    bench->Args({200'000, 16, 8, type});
    bench->Args({100'000, 32, 16, type});
    bench->Args({50'000, 64, 16, type});
  }
  bench->Args({1'000'000, 64, 64, static_cast<std::int64_t>(CovarianceType::diag)});
}

BENCHMARK(iterate)
    ->ArgNames({"rows", "columns", "components", "type"})
    ->Apply(shapes)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace coterie
