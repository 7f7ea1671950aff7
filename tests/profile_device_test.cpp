// The statistics of profiles on a device: those of the CPU, which profile_test.cpp checks against the reference, to the last bit.
#include <gtest/gtest.h>

#include <limits>

#include "host/passes.hpp"
#include "host/profile_sweeps.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/labelled_rows.hpp"

#ifdef COTERIE_EMULATED
#include "cuda/emulated/emulator.hpp"
#include "tests/support/second_sweep.hpp"
#endif

namespace coterie::profile {
namespace {

using testing::awkward_rows;
using testing::LabelledRows;
using testing::RowWeights;

// Of all columns but the first and the last, where there are more than two: a scope may begin and end anywhere.
template <class T>
Findings findings_of(Backend& backend, Context& context, const LabelledRows<T>& rows, std::int64_t tile_rows) {
  MemoryTileSource source(std::span<const T>(rows.x), rows.n_columns, tile_rows, 4 * kBlockRows);
  ZippedSource labelled(source, {rows.weight, rows.label});
  const auto staged = backend.stage(labelled);
  Passes passes = backend.profile_passes();
  const std::int32_t first_column = rows.n_columns > 2 ? 1 : 0;
  return sweep_columns(context, *staged, {rows.n_segments, first_column, rows.n_columns - 2 * first_column}, passes);
}

std::vector<int128> values_of(const WideSums& sums) {
  std::vector<int128> values;
  for (std::size_t i = 0; i < sums.size(); ++i) values.push_back(sums.value(i));
  return values;
}

void expect_equal(const Findings& a, const Findings& b) {
  EXPECT_EQ(a.counts.rows, b.counts.rows);
  EXPECT_EQ(a.counts.weight, b.counts.weight);
  EXPECT_EQ(a.counts.known_rows, b.counts.known_rows);
  EXPECT_EQ(a.counts.known_weight, b.counts.known_weight);
  EXPECT_EQ(a.counts.nonzero_weight, b.counts.nonzero_weight);
  EXPECT_EQ(a.counts.min, b.counts.min);
  EXPECT_EQ(a.counts.max, b.counts.max);
  EXPECT_EQ(a.search.prefixes, b.search.prefixes);
  EXPECT_EQ(a.search.ranks, b.search.ranks);
  EXPECT_EQ(a.frame.pivot, b.frame.pivot);
  EXPECT_TRUE(values_of(a.sums.sums) == values_of(b.sums.sums));  // GoogleTest prints no 128-bit integers
  EXPECT_TRUE(values_of(a.sums.squares) == values_of(b.sums.squares));
}

template <class T>
void expect_those_of_the_cpu(const LabelledRows<T>& rows, std::int64_t tile_rows = 2 * kBlockRows, std::int64_t gpu_memory = 0) {
  Context context({.threads = 1, .memory_bytes = std::int64_t{1} << 30});
  const auto backend = testing::make_backend(context, gpu_memory), cpu = make_cpu_backend(context);
  expect_equal(findings_of(*backend, context, rows, tile_rows), findings_of(*cpu, context, rows, kBlockRows));
}

TEST(ProfileOnDevice, HasTheStatisticsOfTheCpu) {
  for (const RowWeights weights : {RowWeights::none, RowWeights::steps}) {
    for (const std::int64_t n_rows : {std::int64_t{1}, kBlockRows, 3 * kBlockRows + 40}) {
      expect_those_of_the_cpu(awkward_rows<float>(n_rows, weights));
      expect_those_of_the_cpu(awkward_rows<double>(n_rows, weights));
    }
  }
}

TEST(ProfileOnDevice, IgnoresTileRows) {
  const auto rows = awkward_rows<float>(4 * kBlockRows + 1, RowWeights::steps);
  for (const std::int64_t tile_rows : {kBlockRows, 3 * kBlockRows, 100 * kBlockRows}) expect_those_of_the_cpu(rows, tile_rows);
}

TEST(ProfileOnDevice, IgnoresItsMemory) {
  constexpr std::int64_t kTwoTiles = 2 * kBlockRows * (testing::kAwkwardColumns * 8 + 8);  // of one block: cells, label and weight
  constexpr std::int64_t kStatistics = 800'000;                                            // of all columns
  expect_those_of_the_cpu(awkward_rows<double>(4 * kBlockRows + 3, RowWeights::steps), 2 * kBlockRows, kTwoTiles + kStatistics);
}

// More blocks of rows than the emulated device has slots for (32), one to each of as many columns.
TEST(ProfileOnDevice, ReusesItsSlotsForBlocksThatDoNotFitAtOnce) {
  constexpr std::int64_t kRows = 35 * kBlockRows;
  constexpr std::int32_t kColumns = 33;
  LabelledRows<float> rows{.n_rows = kRows, .n_columns = kColumns, .n_segments = 2, .x = {}, .label = {}, .weight = {}};
  for (std::int64_t cell = 0; cell < kRows * kColumns; ++cell) rows.x.push_back(static_cast<float>(cell * 37 % 1009) / 7);
  for (std::int64_t row = 0; row < kRows; ++row) rows.label.push_back(static_cast<std::int32_t>(row % 5 % 3));
  Context context({.threads = 1});
  MemoryTileSource source(std::span<const float>(rows.x), rows.n_columns, kRows);
  ZippedSource labelled(source, {rows.weight, rows.label});
  const SegmentScope scope{rows.n_segments, 0, kColumns};
  const Frame frame{scope, std::vector<double>(scope.n_cells()), std::vector<std::int32_t>(scope.n_cells(), 8),
                    std::vector<std::int32_t>(scope.n_cells(), 80)};
  const auto backend = testing::make_backend(context), cpu = make_cpu_backend(context);
  const MomentSums found = reduce_tiles(context, labelled, *backend->profile_passes().moments, frame);
  const MomentSums expected = reduce_tiles(context, labelled, *cpu->profile_passes().moments, frame);
  EXPECT_TRUE(values_of(found.sums) == values_of(expected.sums));
  EXPECT_TRUE(values_of(found.squares) == values_of(expected.squares));
}

// So many that not even those of one column fit in shared memory.
TEST(ProfileOnDevice, SumsManySegmentsInDeviceMemory) {
  LabelledRows<float> rows{.n_rows = 20'000, .n_columns = 1, .n_segments = 9000, .x = {}, .label = {}, .weight = {}};
  for (int row = 0; row < 20'000; ++row) {
    rows.x.push_back(row % 11 == 0 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(row * 31 % 977) - 400);
    rows.label.push_back(row * 7919 % 9002 - 1);
    rows.weight.push_back(row % 13 * 1'000'000);
  }
  expect_those_of_the_cpu(rows);
}

TEST(ProfileOnDevice, CountsMoreColumnsThanABlockHasThreads) {
  LabelledRows<float> rows{.n_rows = 50, .n_columns = 1100, .n_segments = 3, .x = {}, .label = {}, .weight = {}};
  for (int i = 0; i < 50 * 1100; ++i) rows.x.push_back(static_cast<float>(i * 31 % 977) - 400);
  for (int row = 0; row < 50; ++row) rows.label.push_back(row % 4 - 1);
  expect_those_of_the_cpu(rows);
}

#ifdef COTERIE_EMULATED

TEST(ProfileOnDevice, AllocatesNothingInsideASweepAndDoesNotWait) {
  const auto rows = awkward_rows<float>(kBlockRows + 9, RowWeights::steps);
  Context context({.threads = 1});
  const auto backend = testing::make_backend(context);
  MemoryTileSource source(std::span<const float>(rows.x), rows.n_columns);
  ZippedSource labelled(source, {rows.weight, rows.label});
  const auto staged = backend->stage(labelled);
  const SegmentScope scope{rows.n_segments, 0, rows.n_columns};
  const Frame frame{scope, std::vector<double>(scope.n_cells()), std::vector<std::int32_t>(scope.n_cells(), 60),
                    std::vector<std::int32_t>(scope.n_cells(), 40)};
  const Passes passes = backend->profile_passes();
  testing::expect_no_stop_inside_a_sweep(*staged, *passes.counts, scope);
  testing::expect_no_stop_inside_a_sweep(*staged, *passes.moments, frame);
  quantiles::Search search = quantiles::start(scope, {100, 500, 900}, false);
  testing::expect_no_stop_inside_a_sweep(*staged, *passes.quantiles, search);
  quantiles::update(search, reduce_tiles(context, *staged, *passes.quantiles, search));
  testing::expect_no_stop_inside_a_sweep(*staged, *passes.quantiles, search);
}

TEST(ProfileOnDevice, IgnoresTheOrderOfThreadsAndBlocks) {
  const auto rows = awkward_rows<float>(2 * kBlockRows + 9, RowWeights::steps);
  for (const std::uint64_t seed : {1, 2}) {
    emulated::FreshEmulator device;
    device->seed = seed;
    expect_those_of_the_cpu(rows);
  }
}

#endif

}  // namespace
}  // namespace coterie::profile
