// The sweeps of a profile over rows in memory: counts, moments, each digit of the quantiles, and all of it. Every run checks its
// answer for one column against a sort and a plain sum, and prints cells/s, GB/s and the share of the measured roof.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "bench/roof.hpp"
#include "host/passes.hpp"
#include "host/profile.hpp"

namespace coterie {
namespace {

struct Rows {
  std::int32_t n_columns, n_segments;
  std::vector<float> x;             // (n_rows, n_columns)
  std::vector<std::int32_t> label;  // (n_rows)
};

// A third of the columns normal, a third heavy-tailed, a third counts with many zeros; means differ by segment.
Rows make_rows(const benchmark::State& state) {
  Rows rows{static_cast<std::int32_t>(state.range(1)), static_cast<std::int32_t>(state.range(2)), {}, {}};
  std::mt19937 bits(1);
  std::normal_distribution<float> gauss;
  for (std::int64_t row = 0; row < state.range(0); ++row) {
    const auto label = static_cast<std::int32_t>(bits() % static_cast<unsigned>(rows.n_segments));
    rows.label.push_back(label);
    for (std::int32_t column = 0; column < rows.n_columns; ++column) {
      const float g = gauss(bits) + 0.1f * static_cast<float>(label % 8);
      rows.x.push_back(column % 3 == 0 ? g : column % 3 == 1 ? std::exp(2 * g) : std::max(0.0f, std::floor(2 * g)));
    }
  }
  return rows;
}

struct Bench {
  explicit Bench(const benchmark::State& state) : rows(make_rows(state)), raw(rows.x, rows.n_columns), source(raw, {{}, rows.label}) {}
  Rows rows;
  Context context{{.threads = 2, .memory_bytes = std::int64_t{8} << 30}};
  MemoryTileSource raw;
  ZippedSource source;
  profile::Passes passes = profile::make_cpu_passes(context);
  SegmentScope scope{rows.n_segments, 0, rows.n_columns};

  std::vector<float> column(std::int32_t index) const {
    std::vector<float> cells;
    for (std::size_t i = static_cast<std::size_t>(index); i < rows.x.size(); i += static_cast<std::size_t>(rows.n_columns))
      cells.push_back(rows.x[i]);
    return cells;
  }
  double sum(std::int32_t index) const {
    double total = 0;
    for (const float cell : column(index)) total += static_cast<double>(cell);
    return total;
  }
  double median(std::int32_t index) const {
    std::vector<float> cells = column(index);
    const auto middle = cells.begin() + static_cast<std::ptrdiff_t>((cells.size() - 1) / 2);
    std::nth_element(cells.begin(), middle, cells.end());
    return static_cast<double>(*middle);
  }
};

void report(benchmark::State& state, int sweeps) {
  const double cells = static_cast<double>(state.range(0) * state.range(1) * sweeps) * static_cast<double>(state.iterations());
  state.counters["Mcells/s"] = benchmark::Counter(cells * 1e-6, benchmark::Counter::kIsRate);
  state.counters["GB/s"] = benchmark::Counter(cells * 4e-9, benchmark::Counter::kIsRate);
  state.counters["%roof"] = benchmark::Counter(100 * cells * bench::seconds_per_row(4, 1), benchmark::Counter::kIsRate);
}

void counts(benchmark::State& state) {
  Bench bench(state);
  profile::Counts found;
  for (auto _ : state) found = reduce_tiles(bench.context, bench.source, *bench.passes.counts, bench.scope);
  const std::vector<float> cells = bench.column(0);
  const double smallest = static_cast<double>(*std::min_element(cells.begin(), cells.end()));
  double found_smallest = found.min[0];
  for (std::size_t group = 0; group < bench.scope.n_groups(); ++group)
    found_smallest = std::min(found_smallest, found.min[bench.scope.cell(group, 0)]);
  if (found_smallest != smallest) state.SkipWithError("the minimum is wrong");
  report(state, 1);
}

void moments(benchmark::State& state) {
  Bench bench(state);
  const std::size_t n = bench.scope.n_cells();
  constexpr std::int32_t kReach = 30, kFraction = 60;  // 2^30 holds every cell; 60 bits below are far below the tolerance
  const profile::Frame frame{bench.scope, std::vector<double>(n), std::vector<std::int32_t>(n, kReach),
                             std::vector<std::int32_t>(n, kFraction)};
  profile::MomentSums found;
  for (auto _ : state) found = reduce_tiles(bench.context, bench.source, *bench.passes.moments, frame);
  double sum = 0;
  for (std::size_t group = 0; group < bench.scope.n_groups(); ++group)
    sum += std::ldexp(static_cast<double>(found.sums.value(bench.scope.cell(group, 1))), kReach - kFraction);
  if (std::abs(sum - bench.sum(1)) > 1e-9 * bench.sum(1)) state.SkipWithError("the sum is wrong");
  report(state, 1);
}

void quantile_digit(benchmark::State& state) {
  Bench bench(state);
  quantiles::Search search = quantiles::start(bench.scope, {100, 500, 900}, false);
  const auto sweep = [&] { return reduce_tiles(bench.context, bench.source, *bench.passes.quantiles, search); };
  while (search.known_digits < state.range(3)) quantiles::update(search, sweep());
  for (auto _ : state) benchmark::DoNotOptimize(sweep());
  while (!search.done()) quantiles::update(search, sweep());
  if (quantiles::value(search, bench.rows.n_segments, 0, 1) != bench.median(0)) state.SkipWithError("the median is wrong");
  report(state, 1);
}

void measure(benchmark::State& state) {
  Bench bench(state);
  profile::Profile found;
  for (auto _ : state) found = profile::measure(bench.context, bench.source, bench.rows.n_segments, 1, bench.passes);
  const double mean = bench.sum(1) / static_cast<double>(bench.rows.label.size());
  if (std::abs(found.mean.at(bench.rows.n_segments, 1) - mean) > 1e-9 * mean) state.SkipWithError("the mean is wrong");
  if (found.median.at(bench.rows.n_segments, 1) != bench.median(1)) state.SkipWithError("the median is wrong");
  report(state, 4);
}

void shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"rows", "columns", "segments"});
  benchmark->Args({1'000'000, 16, 8})->Args({1'000'000, 32, 8})->Args({500'000, 64, 64})->Args({200'000, 64, 100});
  benchmark->MeasureProcessCPUTime()->UseRealTime()->Unit(benchmark::kMillisecond);
}
void digits(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"rows", "columns", "segments", "digit"});
  for (const std::int64_t digit : {0, 1, 2, 3})
    benchmark->Args({1'000'000, 16, 8, digit})
        ->Args({1'000'000, 32, 8, digit})
        ->Args({500'000, 64, 64, digit})
        ->Args({200'000, 64, 100, digit});
  benchmark->MeasureProcessCPUTime()->UseRealTime()->Unit(benchmark::kMillisecond);
}

BENCHMARK(counts)->Apply(shapes);
BENCHMARK(moments)->Apply(shapes);
BENCHMARK(quantile_digit)->Apply(digits);
BENCHMARK(measure)->Apply(shapes);

}  // namespace
}  // namespace coterie
