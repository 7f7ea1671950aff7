// k-means on a device: what only a device can get wrong. The laws of every backend are in kmeans_test.cpp.
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "host/error.hpp"
#include "host/passes.hpp"
#include "host/transform.hpp"
#include "host/weights.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/grid_rows.hpp"

#ifdef COTERIE_EMULATED
#include "cuda/emulated/emulator.hpp"
#include "tests/support/second_sweep.hpp"
#endif

namespace coterie::kmeans {
namespace {

struct Case {
  std::int64_t n_rows;
  std::int32_t n_columns, n_clusters;
  std::int64_t tile_rows = kBlockRows;
  bool weighted = false;
  std::int64_t gpu_memory = 0;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.n_rows << "x" << c.n_columns << ", k=" << c.n_clusters << (c.weighted ? ", weighted" : "");
}

struct Result {
  std::vector<int128> sums;
  std::vector<std::int64_t> weights, rows;
  std::vector<std::int32_t> label, second;
  std::vector<double> distance, second_distance;
  bool operator==(const Result&) const = default;
};

// Two models of one sweep, centers far from the means; two sweeps, of which the first is thrown away.
Result run(Backend& backend, Context& context, const Case& c, const testing::GridRows& data) {
  std::vector<std::int32_t> weight;
  for (std::int64_t i = 0; c.weighted && i < c.n_rows; ++i)
    weight.push_back(i % 11 == 0 ? 0 : static_cast<std::int32_t>(i * 2654435 % kMaxWeightSteps));
  MemoryTileSource rows(data.x, c.n_columns, c.tile_rows);
  ZippedSource source(rows, {.weight = weight, .label = {}});
  const auto staged = backend.stage(source);
  const auto pass = backend.kmeans_pass(data.grid, c.n_columns);
  Model model{.n_clusters = c.n_clusters, .n_columns = c.n_columns};
  model.cluster_centers.assign(data.x.begin(), data.x.begin() + c.n_clusters * c.n_columns);
  Model coarse{.n_clusters = 2, .n_columns = c.n_columns};
  coarse.cluster_centers.assign(data.x.end() - 2 * c.n_columns, data.x.end());
  const Model* const models[] = {&coarse, &model};
  (void)reduce_tiles(context, *staged, *pass, std::span<const Model* const>(models));
  const SweepStatistics statistics = reduce_tiles(context, *staged, *pass, std::span<const Model* const>(models));
  Result result;
  for (const Statistics& s : statistics.models) {
    for (std::size_t i = 0; i < s.center_sums.size(); ++i) result.sums.push_back(s.center_sums.value(i));
    result.weights.insert(result.weights.end(), s.weight_in_clusters.begin(), s.weight_in_clusters.end());
    result.rows.insert(result.rows.end(), s.rows_in_clusters.begin(), s.rows_in_clusters.end());
  }
  const auto predictor = backend.kmeans_predictor();
  map_tiles(context, *staged, *predictor, model, [&](std::int64_t, const Assignment& a) {
    result.label.insert(result.label.end(), a.label.begin(), a.label.end());
    result.second.insert(result.second.end(), a.second.begin(), a.second.end());
    result.distance.insert(result.distance.end(), a.squared_distance.begin(), a.squared_distance.end());
    result.second_distance.insert(result.second_distance.end(), a.second_squared_distance.begin(), a.second_squared_distance.end());
  });
  return result;
}

Context::Options options() { return {.threads = 1, .memory_bytes = std::int64_t{1} << 30}; }

testing::GridRows rows_of(const Case& c) { return testing::on_grid(testing::blobs(c.n_rows, c.n_columns, 4, 1, 5), c.n_columns); }

Result run_on_device(const Case& c) {
  Context context(options());
  const auto backend = testing::make_backend(context, c.gpu_memory);
  return run(*backend, context, c, rows_of(c));
}

Result run_on_cpu(const Case& c) {
  Context context(options());
  const auto backend = make_cpu_backend(context);
  return run(*backend, context, c, rows_of(c));
}

class KMeansOnDevice : public ::testing::TestWithParam<Case> {};

// The CPU's statistics are checked against the reference in kmeans_test.cpp; integers leave no room between the two.
TEST_P(KMeansOnDevice, HasTheStatisticsAndLabelsOfTheCpu) { EXPECT_EQ(run_on_device(GetParam()), run_on_cpu(GetParam())); }

INSTANTIATE_TEST_SUITE_P(Shapes, KMeansOnDevice,
                         ::testing::Values(Case{2, 1, 1}, Case{127, 1, 3}, Case{128, 2, 8}, Case{129, 4, 9}, Case{600, 8, 2},
                                           Case{700, 16, 17}, Case{600, 32, 64}, Case{500, 33, 31, kBlockRows, true}, Case{300, 130, 20},
                                           Case{200, 257, 5}, Case{1100, 3, 4, kBlockRows, true}, Case{700, 6, 300, kBlockRows, true}));
// 700 clusters of 100 columns fit in no block's shared memory, 9000 columns leave no room for a warp's rows, and the widths between are
// the widest for as many rows as a block then has.
INSTANTIATE_TEST_SUITE_P(TooLargeForSharedMemory, KMeansOnDevice,
                         ::testing::Values(Case{800, 100, 700}, Case{750, 100, 700, kBlockRows, true}, Case{20, 9000, 3}, Case{130, 592, 3},
                                           Case{130, 584, 3, kBlockRows, true}, Case{70, 1184, 3}, Case{40, 2240, 3}, Case{40, 2400, 3}));

// Six sweeps of one pass whose centers wander, and of one whose every sweep begins anew; models join, leave, change places and come
// twice, and the third sweep is cut short. What a sweep has found stays as it was while the next ones run.
class KMeansSweeps : public ::testing::TestWithParam<Case> {};

void expect_same(const SweepStatistics& found, const SweepStatistics& expected) {
  ASSERT_EQ(found.models.size(), expected.models.size());
  for (std::size_t m = 0; m < found.models.size(); ++m) {
    const Statistics &a = found.models[m], &b = expected.models[m];
    EXPECT_EQ(a.rows_in_clusters, b.rows_in_clusters);
    EXPECT_EQ(a.weight_in_clusters, b.weight_in_clusters);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < a.center_sums.size(); ++i) wrong += a.center_sums.value(i) != b.center_sums.value(i);
    EXPECT_EQ(wrong, 0u);
  }
}

TEST_P(KMeansSweeps, OfAPassThatRemembersAreThoseOfANewOne) {
  const Case c = GetParam();
  const testing::GridRows data = rows_of(c);
  std::vector<std::int32_t> weight;
  for (std::int64_t i = 0; c.weighted && i < c.n_rows; ++i)
    weight.push_back(i % 11 == 0 ? 0 : static_cast<std::int32_t>(i * 2654435 % kMaxWeightSteps));
  Context context(options());
  const auto backend = testing::make_backend(context, c.gpu_memory);
  MemoryTileSource rows(data.x, c.n_columns, c.tile_rows);
  ZippedSource source(rows, {.weight = weight, .label = {}});
  const auto staged = backend->stage(source);
  const auto pass = backend->kmeans_pass(data.grid, c.n_columns);
  const auto move_to = [&](Model& model, std::int64_t first_row) {
    model.n_columns = c.n_columns;
    const auto from = data.x.begin() + static_cast<std::ptrdiff_t>(first_row * c.n_columns);
    model.cluster_centers.assign(from, from + static_cast<std::ptrdiff_t>(model.n_clusters) * c.n_columns);
  };
  Model model{.n_clusters = c.n_clusters}, coarse{.n_clusters = 2}, late{.n_clusters = 3};
  SweepStatistics last, copy_of_last;
  for (const int sweep : {0, 1, 2, 3, 4, 5}) {
    move_to(model, sweep);
    move_to(coarse, c.n_rows - 2 - sweep);
    move_to(late, 5 * sweep);
    std::vector<const Model*> models = {&coarse, &model};
    if (sweep == 1) models.push_back(&late);
    if (sweep == 3) models.erase(models.begin());
    if (sweep == 4) models = {&model, &late, &coarse};
    if (sweep == 5) models = {&coarse, &model, &coarse};
    if (sweep == 2) {
      pass->begin(models);
      staged->rewind();
      pass->accumulate(*staged->next());
      move_to(model, 7);
    }
    const auto fresh = backend->kmeans_pass(data.grid, c.n_columns);
    SweepStatistics found = reduce_tiles(context, *staged, *pass, std::span<const Model* const>(models));
    expect_same(found, reduce_tiles(context, *staged, *fresh, std::span<const Model* const>(models)));
    expect_same(last, copy_of_last);
    copy_of_last = found;
    last = std::move(found);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, KMeansSweeps,
                         ::testing::Values(Case{600, 8, 5}, Case{700, 33, 31, kBlockRows, true}, Case{300, 130, 20},
                                           Case{300, 140, 17, kBlockRows, true}, Case{kBlockRows + 9, 3, 4},
                                           Case{kBlockRows + 9, 5, 6, kBlockRows, true}, Case{800, 100, 700},
                                           Case{750, 100, 700, kBlockRows, true}, Case{700, 6, 300}));
INSTANTIATE_TEST_SUITE_P(InFlight, KMeansSweeps, ::testing::Values(Case{30000, 5, 3, 3 * kBlockRows, false, 400000}));

// One cluster takes every row with the largest value there is: the most that a 32-bit sum could be asked to hold.
TEST(KMeansOnDeviceSums, DoNotOverflow) {
  Context context(options());
  const auto backend = testing::make_backend(context);
  testing::GridRows data = testing::on_grid(std::vector<double>(5000 * 2, 1.0), 2);
  const Case c{.n_rows = 5000, .n_columns = 2, .n_clusters = 1};
  const Result result = run(*backend, context, c, data);
  EXPECT_TRUE(result.sums[0] == static_cast<int128>(5000) << 23);
}

// What `coterie cluster` digests: labels, centers and inertia, from raw cells, some missing and half of them heavy-tailed.
struct Digested {
  std::vector<std::int32_t> label;
  std::vector<float> centers;
  std::vector<double> inertia;
  std::vector<std::int32_t> n_iter;
  bool operator==(const Digested&) const = default;
};

Digested fit_raw_cells(Backend& backend, Context& context, const std::vector<float>& cells, std::int32_t n_columns) {
  MemoryTileSource raw(cells, n_columns);
  std::vector<RawColumn> columns;
  for (std::int32_t j = 0; j < n_columns; ++j) columns.push_back({"column " + std::to_string(j), true});
  const ChosenTransform chosen = choose_transform(context, raw, survey_columns(context, raw, columns), columns, {});
  const auto logs = std::count_if(chosen.transform.columns.begin(), chosen.transform.columns.end(), [](const auto& c) { return c.log1p; });
  EXPECT_GE(logs, n_columns / 2);
  const auto rows = transformed(context, raw, chosen.transform);
  const Grid grid{.steps = chosen.transform.steps()};
  const GridMoments moments = measure_moments(context, *rows, grid, 20);
  const auto staged = backend.stage(*rows);
  const auto pass = backend.kmeans_pass(grid, rows->n_columns());
  // 4 centers together with 20, in one sweep.
  const std::vector<Params> params = {{.n_clusters = 4, .n_init = 2, .max_iter = 4}, {.n_clusters = 20, .n_init = 2, .max_iter = 4}};
  const Fit fit = kmeans::fit(context, *staged, grid, moments, params, *pass);
  Digested digested;
  for (const Model& model : fit.best) {
    digested.centers.insert(digested.centers.end(), model.cluster_centers.begin(), model.cluster_centers.end());
    digested.inertia.push_back(model.inertia);
    digested.n_iter.push_back(model.n_iter);
    const auto predictor = backend.kmeans_predictor();
    map_tiles(context, *staged, *predictor, model,
              [&](std::int64_t, const Assignment& a) { digested.label.insert(digested.label.end(), a.label.begin(), a.label.end()); });
  }
  return digested;
}

TEST(KMeansOnDeviceFit, OfRawCellsHasTheBitsOfTheCpu) {
  constexpr std::int32_t kColumns = 18;
  const std::vector<double> blobs = testing::blobs(testing::size_for<std::int64_t>(20000, 1500), kColumns, 6, 1, 8);
  std::vector<float> cells;
  for (std::size_t i = 0; i < blobs.size(); ++i) {
    const double cell = i % kColumns % 2 == 0 ? std::exp(1.5 * blobs[i]) : blobs[i];
    cells.push_back(i % 37 == 0 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(cell));
  }
  Context context(options());
  const auto backend = testing::make_backend(context), cpu = make_cpu_backend(context);
  EXPECT_EQ(fit_raw_cells(*backend, context, cells, kColumns), fit_raw_cells(*cpu, context, cells, kColumns));
}

TEST(KMeansOnDeviceMemory, IsIgnoredByResults) {
  const Case resident{.n_rows = 30000, .n_columns = 5, .n_clusters = 3, .tile_rows = 3 * kBlockRows};
  Case in_flight = resident;
  in_flight.gpu_memory = 400000;  // 14 rows fit in a kilobyte or so: two tiles of one block
  EXPECT_EQ(run_on_device(resident), run_on_device(in_flight));
}

#ifdef COTERIE_EMULATED

TEST(KMeansOnDeviceMemory, RowsThatFitAreCopiedOnce) {
  emulated::FreshEmulator device;
  const Case c{.n_rows = 5000, .n_columns = 4, .n_clusters = 3};
  (void)run_on_device(c);  // two sweeps and a prediction
  const std::int64_t matrix = c.n_rows * c.n_columns * 4;
  EXPECT_GE(device->copied_to_device, matrix);
  EXPECT_LT(device->copied_to_device, matrix + matrix / 2);
}

TEST(KMeansOnDeviceMemory, ShrinksTilesWhereItRunsOut) {
  const Case c{.n_rows = 30000, .n_columns = 5, .n_clusters = 3, .tile_rows = 8 * kBlockRows};
  const Result expected = run_on_device(c);
  emulated::FreshEmulator device;
  device->memory_bytes = 900000;
  EXPECT_EQ(run_on_device(c), expected);
}

// Narrow rows and wide ones: centers up and into place, a sweep, sums home, one wait for them. Many centers take a few launches more.
TEST(KMeansOnDeviceSweep, OfRowsOnTheDeviceAllocatesNothingAndWaitsOnce) {
  for (const Case& c : {Case{600, 8, 5}, Case{700, 16, 17, kBlockRows, true}, Case{300, 130, 20}, Case{700, 6, 300}}) {
    SCOPED_TRACE(::testing::PrintToString(c));
    Context context(options());
    const auto backend = testing::make_backend(context);
    const testing::GridRows data = rows_of(c);
    MemoryTileSource rows(data.x, c.n_columns);
    const std::vector<std::int32_t> weight(c.weighted ? static_cast<std::size_t>(c.n_rows) : 0, 3);
    ZippedSource source(rows, {.weight = weight, .label = {}});
    const auto staged = backend->stage(source);
    const auto pass = backend->kmeans_pass(data.grid, c.n_columns);
    Model model{.n_clusters = c.n_clusters, .n_columns = c.n_columns};
    model.cluster_centers.assign(data.x.begin(), data.x.begin() + c.n_clusters * c.n_columns);
    const Model* const models[] = {&model};
    const testing::SecondSweep sweep = testing::measure_second_sweep(*staged, *pass, models);
    EXPECT_EQ(sweep.by_all.allocations, 0);
    EXPECT_EQ(sweep.by_all.waits, 1);
    EXPECT_EQ(sweep.by_accumulate.waits, 0);
    EXPECT_LE(sweep.by_all.operations, c.n_clusters < 100 ? 4 : 7);
    EXPECT_GT(sweep.by_accumulate.operations, 0);
  }
}

TEST(KMeansOnDeviceOrder, OfThreadsAndBlocksIsIgnored) {
  const Case c{.n_rows = 700, .n_columns = 9, .n_clusters = 12, .weighted = true};
  const Result expected = run_on_device(c);
  for (const std::uint64_t seed : {1, 2}) {
    emulated::FreshEmulator device;
    device->seed = seed;
    EXPECT_EQ(run_on_device(c), expected);
  }
}

#endif

}  // namespace
}  // namespace coterie::kmeans
