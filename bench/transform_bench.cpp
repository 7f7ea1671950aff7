// The sweeps between raw columns and clustering rows, on rows in memory: survey, means and deviations, transform. Every
// run of the transform checks its answer against the reference and prints cells/s and the share of the measured roof.
#include <benchmark/benchmark.h>

#include "bench/roof.hpp"
#include "host/transform.hpp"
#include "tests/reference/transform.hpp"
#include "tests/support/random_matrix.hpp"
#include "tests/support/transformed_rows.hpp"

namespace coterie {
namespace {

constexpr std::int32_t kColumns = 16;
constexpr std::int64_t kRows = 500'000;

const std::vector<double>& wide_cells() {
  static const std::vector<double> cells =
      testing::random_matrix(kRows, std::vector<testing::RandomColumn>(kColumns, {testing::Shape::log_normal}));
  return cells;
}

const std::vector<float>& cells() {
  static const std::vector<float> narrow = testing::narrowed(wide_cells());
  return narrow;
}

Context::Options options(std::int64_t memory) { return {.threads = 2, .memory_bytes = memory, .seed = 1}; }

void count_cells(benchmark::State& state, double bytes_per_cell) {
  const double done = static_cast<double>(kRows) * kColumns * static_cast<double>(state.iterations());
  state.counters["cells/s"] = benchmark::Counter(done, benchmark::Counter::kIsRate);
  state.counters["%roof"] = benchmark::Counter(100 * done * bench::seconds_per_row(bytes_per_cell, 0), benchmark::Counter::kIsRate);
}

void survey(benchmark::State& state) {
  Context context(options(std::int64_t{4} << 30));
  MemoryTileSource raw(cells(), kColumns);
  for (auto _ : state)
    if (survey_columns(context, raw).n_rows != kRows) state.SkipWithError("rows are missing");
  count_cells(state, sizeof(float));
}

void choose(benchmark::State& state) {
  Context context(options(std::int64_t{4} << 30));
  MemoryTileSource raw(cells(), kColumns);
  const ColumnSurvey surveyed = survey_columns(context, raw);
  const auto kind = static_cast<TransformKind>(state.range(0));
  for (auto _ : state)
    if (choose_transform(context, raw, surveyed, testing::named_columns(kColumns), {.kind = kind}).transform.columns.size() != kColumns)
      state.SkipWithError("columns are missing");
  count_cells(state, sizeof(float));
}

void transform(benchmark::State& state) {
  Context context(options(std::int64_t{4} << 30)), streaming(options(std::int64_t{32} << 20));
  MemoryTileSource raw(cells(), kColumns);
  const Transform chosen = testing::survey_and_choose(context, raw, {.kind = static_cast<TransformKind>(state.range(0))}).transform;
  const auto source = transformed(streaming, raw, chosen);
  for (auto _ : state) {
    source->rewind();
    while (const Tile* tile = source->next()) benchmark::DoNotOptimize(tile->x);
  }
  if (testing::rows_of(*source) != reference::transformed_rows(chosen, wide_cells(), kColumns))
    state.SkipWithError("rows differ from the reference");
  count_cells(state, 2 * sizeof(float));  // read and written
}

void kinds(benchmark::internal::Benchmark* bench) {
  bench->ArgName("kind");
  for (const TransformKind kind :
       {TransformKind::none, TransformKind::zscore, TransformKind::log1p, TransformKind::robust, TransformKind::automatic})
    bench->Arg(static_cast<int>(kind));
  bench->MeasureProcessCPUTime()->UseRealTime()->Unit(benchmark::kMillisecond);
}

BENCHMARK(survey)->MeasureProcessCPUTime()->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(choose)->Apply(kinds);
BENCHMARK(transform)->Apply(kinds);

}  // namespace
}  // namespace coterie
