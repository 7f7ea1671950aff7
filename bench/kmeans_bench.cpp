// One k-means iteration (sweep, statistics, update) on rows in memory, at the shapes of the targets. Every run checks
// its answer against the definition on a few hundred rows and prints rows/s, GB/s and the share of the measured roof. Beside it the
// starts, which fits of many segments spend much of their time on; and, on processors with a matrix unit, what it is worth.
#include <benchmark/benchmark.h>

#include <random>

#include "bench/roof.hpp"
#include "host/group_scan.hpp"
#include "host/kmeans.hpp"
#include "host/passes.hpp"
#include "tests/reference/kmeans.hpp"
#include "tests/support/grid_rows.hpp"

namespace coterie {
namespace {

// Rows around n_clusters / 2 loose blobs: neither separated nor noise.
testing::GridRows make_rows(std::int64_t n, std::int32_t d, std::int32_t k) {
  return testing::on_grid(testing::blobs(n, d, std::max(2, k / 2), 1, 1), d);
}

bool answer_is_right(const testing::GridRows& rows, const kmeans::Model& model, Context& context) {
  const std::size_t d = static_cast<std::size_t>(rows.n_columns), cells = 512 * d;
  reference::KMeans expected;
  expected.centers = model.cluster_centers;
  reference::assign(std::vector<float>(rows.x.begin(), rows.x.begin() + static_cast<std::ptrdiff_t>(cells)), d, expected);
  MemoryTileSource few(std::span(rows.x).first(cells), rows.n_columns);
  const auto predictor = kmeans::make_cpu_predictor(context);
  bool right = true;
  map_tiles(context, few, *predictor, model, [&](std::int64_t, const kmeans::Assignment& a) {
    right = std::equal(a.label.begin(), a.label.end(), expected.label.begin(), expected.label.end());
  });
  return right;
}

// Rows of a benchmark whose first arguments are rows, columns and segments.
struct Setting {
  explicit Setting(const benchmark::State& state)
      : n(state.range(0)), d(static_cast<std::int32_t>(state.range(1))), k(static_cast<std::int32_t>(state.range(2))) {}
  std::int64_t n;
  std::int32_t d, k;
  Context context{{.threads = 2, .memory_bytes = std::int64_t{8} << 30, .seed = 1}};
  testing::GridRows rows = make_rows(n, d, k);
  kmeans::Grid grid{.steps = rows.grid.steps};
  MemoryTileSource source{rows.x, d};
  kmeans::GridMoments moments = kmeans::measure_moments(context, source, grid, k);
};

void iterate(benchmark::State& state) {
  Setting setting(state);
  auto& [n, d, k, context, rows, grid, source, moments] = setting;
  const kmeans::Params params{.n_clusters = k, .n_init = 1, .max_iter = 1 << 30, .tol = -1, .init = kmeans::Init::random};
  kmeans::Model model = kmeans::seed(context, grid, moments, params).front();
  const auto pass = kmeans::make_cpu_pass(context, grid, d);
  const kmeans::Model* models[] = {&model};
  for (auto _ : state) {
    const auto statistics = reduce_tiles(context, source, *pass, std::span<const kmeans::Model* const>(models));
    kmeans::update(context, model, statistics.models[0], grid, moments, params);
    model.settled = false;
  }
  if (!answer_is_right(rows, model, context)) state.SkipWithError("labels differ from the definition");
  const double rows_done = static_cast<double>(n) * static_cast<double>(state.iterations());
  state.counters["ns/row"] = benchmark::Counter(rows_done * 1e-9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["GB/s"] = benchmark::Counter(rows_done * d * 4e-9, benchmark::Counter::kIsRate);
  // A subtraction and a multiply-add per row, center and column: three operations.
  state.counters["GFLOP/s"] = benchmark::Counter(rows_done * d * k * 3e-9, benchmark::Counter::kIsRate);
  state.counters["%roof"] = benchmark::Counter(100 * rows_done * bench::seconds_per_row(d * 4.0, 3.0 * d * k), benchmark::Counter::kIsRate);
}

BENCHMARK(iterate)
    ->ArgNames({"rows", "columns", "segments"})
    ->Args({1'000'000, 16, 8})
    ->Args({1'000'000, 32, 16})
    ->Args({500'000, 64, 64})
    ->Args({200'000, 128, 256})
    ->Args({100'000, 128, 1000})
    ->Iterations(20)  // as the peers: bounds pay from the third or so on
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// The start of one restart, and what it is worth: the inertia that 20 iterations reach from it.
void start(benchmark::State& state) {
  Setting setting(state);
  auto& [n, d, k, context, rows, grid, source, moments] = setting;
  kmeans::Params params{.n_clusters = k, .n_init = 1, .max_iter = 20, .tol = 0};
  params.init = state.range(3) == 0 ? kmeans::Init::kmeans_plus_plus : kmeans::Init::kmeans_parallel;
  for (auto _ : state) params.given_centers = kmeans::seed(context, grid, moments, params).front().cluster_centers;
  params.init = kmeans::Init::given;
  const auto pass = kmeans::make_cpu_pass(context, grid, d);
  const kmeans::Model fitted = kmeans::fit(context, source, grid, moments, std::span(&params, 1), *pass).best.front();
  if (!answer_is_right(rows, fitted, context)) state.SkipWithError("labels differ from the definition");
  state.SetLabel(state.range(3) == 0 ? "k-means++" : "k-means||");
  state.counters["inertia"] = fitted.inertia;
}

BENCHMARK(start)
    ->ArgNames({"rows", "columns", "segments", "parallel"})
    ->ArgsProduct({{100'000}, {128}, {1000}, {0, 1}})
    ->ArgsProduct({{1'000'000}, {16}, {8}, {0, 1}})
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// One scan of every row and group on one core, the rows rounded before: by vectors, by the matrix unit.
void scan(benchmark::State& state) {
  constexpr std::int64_t kStrips = 32, kRows = kStrips * nearest::kLeastStripRows;
  const std::int32_t d = static_cast<std::int32_t>(state.range(0)), k = static_cast<std::int32_t>(state.range(1));
  const testing::GridRows rows = make_rows(kRows, d, k);
  const std::span centers = std::span(rows.x).first(static_cast<std::size_t>(k) * static_cast<std::size_t>(d));
  const nearest::Units units = nearest::units_of(rows.x.data(), kRows, d);
  const nearest::CenterGroups groups(centers, nearest::order_by_proximity(centers, k, d), units,
                                     state.range(2) == 0 ? nullptr : nearest::matrix_unit());
  std::vector<std::int32_t> pairs(static_cast<std::size_t>(kRows * groups.n_pairs()));
  std::vector<float> length(kRows), lost(kRows), no_drift(static_cast<std::size_t>(groups.n_groups() * nearest::kGroupWidth));
  const nearest::RoundedRows rounded{pairs.data(), length.data(), lost.data()};
  nearest::round_rows(rows.x.data(), kRows, units, rounded);
  nearest::NoBounds no_bounds(groups.n_groups());
  nearest::StripScan strip_scan(groups.n_groups());
  for (auto _ : state)
    for (std::int64_t row = 0; row < kRows; row += nearest::kLeastStripRows) {
      const nearest::RoundedRows of_strip = rounded.from(row, groups.n_pairs());
      const nearest::Strip strip{rows.x.data() + row * d,
                                 of_strip.pairs,
                                 of_strip.length,
                                 of_strip.lost,
                                 nearest::kLeastStripRows,
                                 d,
                                 &groups,
                                 no_bounds.forget(groups),
                                 {no_drift.data(), no_drift.data()}};
      nearest::find_doubtful(strip, strip_scan);
      nearest::scan_doubtful(strip, strip_scan);
    }
  state.SetLabel(state.range(2) == 0 ? "vectors" : "matrix unit");
  state.counters["ns/row"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * kRows * 1e-9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void iterate_by_vectors(benchmark::State& state) {
  const nearest::MatrixUnit* const unit = nearest::matrix_unit();
  nearest::use_matrix_unit(nullptr);
  iterate(state);
  nearest::use_matrix_unit(unit);
}

[[maybe_unused]] const bool kHasMatrixUnit = [] {
  const bool has_unit = nearest::matrix_unit() != nullptr;
  benchmark::RegisterBenchmark("scan", scan)
      ->ArgNames({"columns", "segments", "matrix_unit"})
      ->ArgsProduct({{32, 64, 128, 512}, {64, 256, 1000}, has_unit ? std::vector<std::int64_t>{0, 1} : std::vector<std::int64_t>{0}})
      ->Unit(benchmark::kMillisecond);
  if (!has_unit) return false;
  benchmark::RegisterBenchmark("iterate_by_vectors", iterate_by_vectors)
      ->ArgNames({"rows", "columns", "segments"})
      ->Args({500'000, 64, 64})
      ->Args({200'000, 128, 256})
      ->Args({100'000, 128, 1000})
      ->Iterations(20)
      ->MeasureProcessCPUTime()
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
  return true;
}();

}  // namespace
}  // namespace coterie
