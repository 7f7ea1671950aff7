#include "host/near_duplicates.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "host/random.hpp"
#include "tests/support/csv_files.hpp"

namespace coterie {
namespace {

using coterie::testing::context_with_threads;

// Rows of wide cells, column by column from f(row, column).
std::vector<double> table(std::int64_t n_rows, std::int32_t n_columns, auto f) {
  std::vector<double> x;
  for (std::int64_t row = 0; row < n_rows; ++row)
    for (std::int32_t column = 0; column < n_columns; ++column) x.push_back(f(row, column));
  return x;
}

double draw(std::int64_t row, std::uint64_t stream) {
  return random_uniform(5, Purpose::bootstrap, static_cast<std::uint64_t>(row), stream);
}

std::vector<NearDuplicate> find_in(const std::vector<double>& x, std::int32_t n_columns, std::vector<std::int32_t> columns) {
  const auto context = context_with_threads(2);
  MemoryTileSource source(x, n_columns);
  ColumnSurvey survey = survey_columns(*context, source);
  survey.sample.sort();
  return find_near_duplicates(*context, survey, columns);
}

double reference_correlation(const std::vector<double>& x, std::size_t n_columns, std::size_t a, std::size_t b) {
  const std::size_t n = x.size() / n_columns;
  long double mean_a = 0, mean_b = 0, aa = 0, bb = 0, ab = 0;
  for (std::size_t i = 0; i < n; ++i)
    mean_a += x[i * n_columns + a] / static_cast<long double>(n), mean_b += x[i * n_columns + b] / static_cast<long double>(n);
  for (std::size_t i = 0; i < n; ++i) {
    const long double u = x[i * n_columns + a] - mean_a, v = x[i * n_columns + b] - mean_b;
    aa += u * u, bb += v * v, ab += u * v;
  }
  return static_cast<double>(ab / std::sqrt(aa * bb));
}

TEST(NearDuplicates, MatchesReference) {
  const std::vector<double> x = table(5000, 3, [](std::int64_t row, std::int32_t column) {
    return column == 2 ? 1e6 - 3 * draw(row, 0) + 0.05 * draw(row, 2) : draw(row, static_cast<std::uint64_t>(column));
  });
  const std::vector<NearDuplicate> found = find_in(x, 3, {0, 1, 2});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].column, 2);
  EXPECT_EQ(found[0].of, 0);
  EXPECT_NEAR(found[0].correlation, reference_correlation(x, 3, 0, 2), 1e-9);  // cells near 1e6 hold their deviations to 1e-10
}

// Dense, of few cells, and of a long tail; every third column follows an earlier one, some with a sign of their own, and all about the
// threshold. 100 rows are no whole number of stretches, and 20 fewer than there are.
TEST(NearDuplicates, ArePairsThatTheirCorrelationsTell) {
  constexpr std::int32_t kColumns = 60;
  constexpr auto d = static_cast<std::size_t>(kColumns);
  for (const std::int64_t n_rows : {20, 100, 3000}) {
    const auto cell = [](std::int64_t row, std::int32_t column) {
      const double u = draw(row, static_cast<std::uint64_t>(column));
      return column % 3 == 0 ? u : column % 3 == 1 ? (u < 0.1 ? 1.0 : 0.0) : 1 / (u + 1e-4);
    };
    const std::vector<double> x = table(n_rows, kColumns, [&](std::int64_t row, std::int32_t column) {
      if (column < 30) return cell(row, column);
      const double noise = draw(row, static_cast<std::uint64_t>(column) + 100) - 0.5;
      return (column % 2 == 0 ? 1 : -1) * (cell(row, column % 30) + 0.004 * (column - 30) * noise);
    });
    std::vector<std::int32_t> columns(d);
    std::iota(columns.begin(), columns.end(), 0);
    std::vector<NearDuplicate> expected;
    for (std::size_t j = 0; j < d; ++j)
      for (std::size_t i = 0; i < j && (expected.empty() || expected.back().column != columns[j]); ++i)
        if (const double r = reference_correlation(x, d, i, j); std::abs(r) > 0.999) expected.push_back({columns[j], columns[i], r});
    EXPECT_GE(expected.size(), 10u);
    const std::vector<NearDuplicate> found = find_in(x, kColumns, columns);
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t pair = 0; pair < found.size(); ++pair) {
      EXPECT_EQ(found[pair].column, expected[pair].column);
      EXPECT_EQ(found[pair].of, expected[pair].of);
      EXPECT_NEAR(found[pair].correlation, expected[pair].correlation, 1e-9);
    }
  }
}

TEST(NearDuplicates, FollowTheEarliestColumn) {
  const std::vector<double> x = table(1000, 3, [](std::int64_t row, std::int32_t column) { return draw(row, 0) * (column + 1); });
  const std::vector<NearDuplicate> found = find_in(x, 3, {0, 1, 2});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].of, 0);
  EXPECT_EQ(found[1].of, 0);
}

TEST(NearDuplicates, LookAtListedColumnsOnly) {
  const std::vector<double> x =
      table(1000, 3, [](std::int64_t row, std::int32_t column) { return column == 1 ? draw(row, 1) : draw(row, 0); });
  EXPECT_EQ(find_in(x, 3, {1, 2}).size(), 0u);
  EXPECT_EQ(find_in(x, 3, {0, 2}).size(), 1u);
  EXPECT_EQ(find_in(x, 3, {}).size(), 0u);
}

TEST(NearDuplicates, ConstantAndEmptyColumnsResembleNothing) {
  constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> x = table(1000, 4, [](std::int64_t, std::int32_t column) { return column < 2 ? 0.1 : kMissing; });
  EXPECT_EQ(find_in(x, 4, {0, 1, 2, 3}).size(), 0u);
}

TEST(NearDuplicates, MissingCellsCountAsTheMean) {
  const auto with_gaps = [](std::int64_t every) {
    return table(2000, 2, [every](std::int64_t row, std::int32_t column) {
      return column == 1 && row % every == 0 ? std::numeric_limits<double>::quiet_NaN() : draw(row, 0);
    });
  };
  EXPECT_EQ(find_in(with_gaps(5), 2, {0, 1}).size(), 0u);     // sqrt(0.8) = 0.894
  EXPECT_EQ(find_in(with_gaps(1000), 2, {0, 1}).size(), 1u);  // sqrt(0.999) = 0.9995
}

}  // namespace
}  // namespace coterie
