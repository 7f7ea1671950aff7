// The statistics of profiles on a device: those of the CPU, which profile_test.cpp checks against the reference, to the last bit.
#include <gtest/gtest.h>

#include "host/profile_sweeps.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/labelled_rows.hpp"

#ifdef COTERIE_EMULATED
#include "cuda/emulated/emulator.hpp"
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
  expect_those_of_the_cpu(awkward_rows<double>(2 * kBlockRows + 3, RowWeights::steps), 2 * kBlockRows, kTwoTiles);
}

TEST(ProfileOnDevice, ReusesItsScratchForBlocksThatDoNotFitAtOnce) {
  constexpr std::int64_t kRows = 70 * kBlockRows;  // more blocks than the emulated device has slots of scratch (32)
  LabelledRows<float> rows{.n_rows = kRows, .n_columns = 1, .n_segments = 2, .x = {}, .label = {}, .weight = {}};
  for (std::int64_t row = 0; row < kRows; ++row) {
    rows.x.push_back(static_cast<float>(row * 37 % 1009) / 7);
    rows.label.push_back(static_cast<std::int32_t>(row % 5 % 3));
  }
  expect_those_of_the_cpu(rows, kRows);
}

TEST(ProfileOnDevice, CountsMoreColumnsThanABlockHasThreads) {
  LabelledRows<float> rows{.n_rows = 50, .n_columns = 300, .n_segments = 3, .x = {}, .label = {}, .weight = {}};
  for (int i = 0; i < 50 * 300; ++i) rows.x.push_back(static_cast<float>(i * 31 % 977) - 400);
  for (int row = 0; row < 50; ++row) rows.label.push_back(row % 4 - 1);
  expect_those_of_the_cpu(rows);
}

#ifdef COTERIE_EMULATED

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
