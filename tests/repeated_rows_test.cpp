#include "host/repeated_rows.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "tests/support/csv_files.hpp"

namespace coterie {
namespace {

using coterie::testing::context_with_threads;

std::int64_t repeated_rows(const std::vector<double>& x, std::int32_t d) {
  const auto context = context_with_threads(2);
  MemoryTileSource source(x, d);
  const RepeatedRows repeated = count_repeated_rows(*context, source);
  EXPECT_TRUE(repeated.exact);
  return repeated.rows;
}

TEST(RepeatedRows, CountsRowsLikeAnEarlierOne) {
  const double missing = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(repeated_rows({1, 2, 3, 4, 1, 2, 1, 2}, 2), 2);
  EXPECT_EQ(repeated_rows({1, 2, 2, 1}, 2), 0);
  EXPECT_EQ(repeated_rows({0.0, missing, -0.0, -missing}, 2), 1);
  EXPECT_EQ(repeated_rows({0.5, 0.5, 1, 1}, 2), 0);
}

TEST(RepeatedRows, EstimatesLargeTables) {
  constexpr std::size_t kRows = 2'100'000;  // twice what is counted exactly
  const auto estimate = [](auto cell) {
    std::vector<float> x(kRows);
    for (std::size_t i = 0; i < kRows; ++i) x[i] = cell(i);
    const auto context = context_with_threads(2);
    MemoryTileSource source(x, 1);
    const RepeatedRows repeated = count_repeated_rows(*context, source);
    EXPECT_FALSE(repeated.exact);
    return static_cast<double>(repeated.rows);
  };
  // Every tenth row repeats the one before: 210,000, and 5 standard errors of a share of 10 % among 2^20 rows are 1.5 %.
  EXPECT_NEAR(estimate([](std::size_t i) { return static_cast<float>(i % 10 == 9 ? i - 1 : i); }), 210'000, 0.015 * 210'000);
  EXPECT_EQ(estimate([](std::size_t i) { return static_cast<float>(i); }), 0);
  EXPECT_EQ(estimate([](std::size_t) { return 1.0f; }), kRows - 1);
}

}  // namespace
}  // namespace coterie
