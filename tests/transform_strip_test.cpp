#include "host/transform_strip.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <span>
#include <vector>

#include "host/transform_cells.hpp"
#include "tests/support/instruction_sets.hpp"

namespace coterie {
namespace {

// Cells that all differ, and which of them belong into strips of the first columns.
template <class T>
std::vector<T> numbered_cells(std::int64_t n_rows, std::int64_t stride) {
  std::vector<T> cells(static_cast<std::size_t>(n_rows * stride));
  std::iota(cells.begin(), cells.end(), T{0.5});
  return cells;
}

template <class T>
void expect_gathered(std::int64_t n_rows, std::size_t n_columns, std::int64_t stride) {
  const std::vector<T> cells = numbered_cells<T>(n_rows, stride);
  Strips<double> expected;
  expected.fill(-1);
  for (std::int64_t row = 0; row < n_rows; ++row)
    for (std::size_t k = 0; k < n_columns; ++k)
      expected[k * kStripRows + static_cast<std::size_t>(row)] = cells[static_cast<std::size_t>(row * stride) + k];
  testing::for_each_instruction_set([&] {
    Strips<double> strips;
    strips.fill(-1);
    gather_strips(cells.data(), stride, n_rows, n_columns, strips);
    EXPECT_EQ(strips, expected) << n_rows << " rows, " << n_columns << " columns, " << stride << " apart";
  });
}

void expect_scattered(std::int64_t n_rows, std::size_t n_columns, std::int64_t stride) {
  Strips<float> strips;
  std::iota(strips.begin(), strips.end(), 0.5f);
  std::vector<float> expected(static_cast<std::size_t>(n_rows * stride), -1);
  for (std::int64_t row = 0; row < n_rows; ++row)
    for (std::size_t k = 0; k < n_columns; ++k)
      expected[static_cast<std::size_t>(row * stride) + k] = strips[k * kStripRows + static_cast<std::size_t>(row)];
  testing::for_each_instruction_set([&] {
    std::vector<float> cells(expected.size(), -1);
    scatter_strips(strips, n_columns, n_rows, stride, cells.data());
    EXPECT_EQ(cells, expected) << n_rows << " rows, " << n_columns << " columns, " << stride << " apart";
  });
}

TEST(Strips, TakeAndGiveTheCellsOfTheirColumnsAndNoOthers) {
  for (const std::int64_t n_rows : {std::int64_t{1}, std::int64_t{3}, std::int64_t{4}, std::int64_t{7}, kStripRows - 1, kStripRows})
    for (std::size_t n_columns = 1; n_columns <= kStripsAtOnce; ++n_columns)
      for (const std::int64_t more : {0, 1, 28}) {
        const std::int64_t stride = static_cast<std::int64_t>(n_columns) + more;
        expect_gathered<float>(n_rows, n_columns, stride);
        expect_gathered<double>(n_rows, n_columns, stride);
        expect_scattered(n_rows, n_columns, stride);
      }
}

TEST(Strips, NameEveryColumnOnceWhicheverAreListed) {
  const std::vector<float> cells = numbered_cells<float>(kStripRows + 5, 12);
  const Tile tile{.x = cells.data(), .n_rows = static_cast<std::int32_t>(kStripRows + 5), .n_columns = 12};
  const std::vector<std::int32_t> columns = {0, 1, 2, 3, 4, 6, 7, 11, 10, 9, 8};
  std::vector<std::vector<double>> found(columns.size());
  for_each_strips(tile, 2, tile.n_rows, columns, [&](std::size_t i, std::int64_t row, std::span<const std::span<double>> strips) {
    for (std::size_t k = 0; k < strips.size(); ++k) {
      EXPECT_EQ(row, 2 + std::ssize(found[i + k]));
      found[i + k].insert(found[i + k].end(), strips[k].begin(), strips[k].end());
    }
  });
  for (std::size_t i = 0; i < columns.size(); ++i) {
    ASSERT_EQ(std::ssize(found[i]), tile.n_rows - 2);
    for (std::size_t r = 0; r < found[i].size(); ++r) ASSERT_EQ(found[i][r], cells[(r + 2) * 12 + static_cast<std::size_t>(columns[i])]);
  }
}

void expect_sums_of_each(const std::vector<double>& strip, const FixedPoint& point) {
  StepSums expected;
  for (const double x : strip) {
    const double steps = std::nearbyint((x - point.origin) / point.unit), most = FixedPoint::kMostSteps;
    const auto whole = static_cast<std::int64_t>(steps > -most ? std::min(steps, most) : -most);
    expected.steps += whole;
    expected.squares += static_cast<int128>(whole) * whole;
  }
  testing::for_each_instruction_set([&] {
    std::vector<double> cells = strip;
    const StepSums sums = sum_steps({.source = 0}, point, cells);
    EXPECT_EQ(sums.steps, expected.steps) << strip.size();
    EXPECT_TRUE(sums.squares == expected.squares) << strip.size();
  });
}

TEST(TransformStrip, SumsStepsAndSquaresExactlyAtEveryLength) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> anywhere(-100, 100);
  for (std::int64_t n = 0; n <= kStripRows; ++n) {
    std::vector<double> strip(static_cast<std::size_t>(n));
    for (double& x : strip) x = anywhere(random);
    expect_sums_of_each(strip, {.origin = 3, .unit = 0x1p-31});
  }
}

TEST(TransformStrip, SumsTheLargestSteps) {
  const FixedPoint point{.origin = 0, .unit = 0x1p-38};
  std::vector<double> strip(static_cast<std::size_t>(kStripRows), 1.0);
  expect_sums_of_each(strip, point);
  strip.assign(strip.size(), -1.0);
  expect_sums_of_each(strip, point);
  strip.assign(strip.size(), 1 - 0x1p-38);  // every bit of a step
  expect_sums_of_each(strip, point);
  for (std::size_t i = 0; i < strip.size(); i += 3) strip[i] = i % 2 == 0 ? 1e9 : -1e9;  // beyond: as far as steps go
  strip[5] = std::numeric_limits<double>::quiet_NaN();
  expect_sums_of_each(strip, point);
}

}  // namespace
}  // namespace coterie
