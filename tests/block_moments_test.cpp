// Sums, squares and sample of one sweep, against plain loops over whole numbers.
#include "host/block_moments.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "host/random.hpp"
#include "tests/support/instruction_sets.hpp"

namespace coterie::kmeans {
namespace {

constexpr std::int64_t kLargestStep = std::int64_t{1} << 23;

// Whole numbers of steps, the largest ones among them.
std::vector<std::int64_t> whole_cells(std::size_t n) {
  std::mt19937_64 random(5);
  std::vector<std::int64_t> cells(n);
  for (std::int64_t& cell : cells)
    cell = random() % 3 == 0 ? kLargestStep : static_cast<std::int64_t>(random() % (2 * kLargestStep)) - kLargestStep;
  return cells;
}

Grid grid_of(std::size_t n_columns) {
  Grid grid;
  for (std::size_t j = 0; j < n_columns; ++j) grid.steps.push_back(j % 2 == 0 ? 0x1p-20 : 0x1p3);
  return grid;
}

void expect_moments(std::size_t n_rows, std::size_t n_columns, const std::vector<std::int32_t>& weight) {
  const std::vector<std::int64_t> cells = whole_cells(n_rows * n_columns);
  const Grid grid = grid_of(n_columns);
  std::vector<float> x;
  std::vector<int128> sums(n_columns), squares(n_columns);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    x.push_back(static_cast<float>(static_cast<double>(cells[i]) * grid.steps[i % n_columns]));
    const std::int64_t w = weight.empty() ? 1 : weight[i / n_columns];
    sums[i % n_columns] += static_cast<int128>(w) * cells[i];
    squares[i % n_columns] += static_cast<int128>(w) * cells[i] * cells[i];
  }
  BlockMoments block(grid);
  GridMoments found{.sums = WideSums(n_columns), .squares = WideSums(n_columns)};
  for (int again = 0; again < 2; ++again) {
    block.add(x.data(), weight.empty() ? nullptr : weight.data(), static_cast<std::int64_t>(n_rows));
    block.flush(found);
  }
  for (std::size_t j = 0; j < n_columns; ++j) {
    EXPECT_TRUE(found.sums.value(j) == 2 * sums[j]) << n_rows << " rows, column " << j << " of " << n_columns;
    EXPECT_TRUE(found.squares.value(j) == 2 * squares[j]) << n_rows << " rows, column " << j << " of " << n_columns;
  }
}

TEST(BlockMoments, AreExact) {
  testing::for_each_instruction_set([] {
    for (const std::size_t n_columns : {1, 3, 4, 7, 16, 17, 35})
      for (const std::size_t n_rows : {1, 127, 128, 129, 4096}) expect_moments(n_rows, n_columns, {});
  });
}

TEST(BlockMoments, OfWeightedRowsAreExact) {
  std::mt19937 random(6);
  std::vector<std::int32_t> weight(4096);
  for (std::int32_t& w : weight) w = random() % 4 == 0 ? 0 : static_cast<std::int32_t>(random() % ((1 << 24) + 1));
  expect_moments(weight.size(), 5, weight);
}

// The rows of positive weight whose keys are the smallest, in their order.
void expect_sample(std::int64_t n_rows, const std::vector<std::int32_t>& weight) {
  constexpr std::int32_t kColumns = 130;
  std::vector<float> x(static_cast<std::size_t>(n_rows * kColumns));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 1000);
  std::vector<std::pair<std::uint64_t, std::int64_t>> keys;
  for (std::int64_t row = 0; row < n_rows; ++row)
    if (weight.empty() || weight[static_cast<std::size_t>(row)] > 0)
      keys.emplace_back(random_bits(9, Purpose::seeding_sample, static_cast<std::uint64_t>(row)), row);
  std::sort(keys.begin(), keys.end());
  Context context({.threads = 2, .memory_bytes = std::int64_t{1} << 30, .seed = 9});
  MemoryTileSource rows(x, kColumns);
  ZippedSource source(rows, {.weight = weight, .label = {}});
  const GridMoments moments = measure_moments(context, source, Grid{.steps = std::vector<double>(kColumns, 1.0)}, 3);
  ASSERT_EQ(moments.n_rows, std::ssize(keys));
  ASSERT_EQ(moments.sample.size(), std::min<std::int64_t>(std::ssize(keys), sample_rows(n_rows, kColumns, 3)));
  for (std::int64_t i = 0; i < moments.sample.size(); ++i) {
    const std::int64_t row = keys[static_cast<std::size_t>(i)].second;
    ASSERT_EQ(moments.sample.row(i), row);
    EXPECT_EQ(moments.sample.values(i)[kColumns - 1], x[static_cast<std::size_t>((row + 1) * kColumns - 1)]);
    EXPECT_EQ(moments.sample.values(i)[kColumns], weight.empty() ? 1.0f : static_cast<float>(weight[static_cast<std::size_t>(row)]));
  }
}

TEST(SeedingSampleRows, HaveTheSmallestKeys) {
  for (const std::int64_t n_rows : {100, 8192, 30'000}) expect_sample(n_rows, {});
}

TEST(SeedingSampleRows, OfMostlyWeightlessRowsAreAllThatCount) {
  std::vector<std::int32_t> weight(30'000);
  for (std::size_t i = 0; i < weight.size(); i += 5) weight[i] = 7;
  expect_sample(30'000, weight);
}

}  // namespace
}  // namespace coterie::kmeans
