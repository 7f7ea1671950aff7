// Rows in 16 bits: what was lost is said, and rows that cannot be rounded are named.
#include "host/rounded_rows.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "tests/support/instruction_sets.hpp"

namespace coterie::nearest {
namespace {

struct Rounded {
  std::vector<std::int32_t> pairs;
  std::vector<float> length, lost;
  Rounded(const std::vector<float>& x, const Units& units) {
    const std::int64_t n_columns = std::ssize(units.pivot), n_rows = std::ssize(x) / n_columns;
    pairs.assign(static_cast<std::size_t>(n_rows * pairs_of(static_cast<std::int32_t>(n_columns))), -1);
    length.resize(static_cast<std::size_t>(n_rows));
    lost.resize(length.size());
    round_rows(x.data(), n_rows, units, {pairs.data(), length.data(), lost.data()});
  }
  // Column j of a row.
  double cell(std::size_t row, std::size_t j) const {
    const auto* cells = reinterpret_cast<const std::int16_t*>(pairs.data() + row * (pairs.size() / length.size()));
    return cells[j];
  }
};

// The distance in double of a row to what stands for it.
double distance(const std::vector<float>& x, const Units& units, const Rounded& rounded, std::size_t row, double& length) {
  const std::size_t d = units.pivot.size();
  double lost = 0;
  length = 0;
  for (std::size_t j = 0; j < d; ++j) {
    const double y = (static_cast<double>(x[row * d + j]) - static_cast<double>(units.pivot[j])) * static_cast<double>(units.scale);
    const double left = y - rounded.cell(row, j) * static_cast<double>(rounded.length[row] * kUnit);
    length += y * y;
    lost += left * left;
  }
  length = std::sqrt(length);
  return std::sqrt(lost);
}

TEST(RoundedRows, SayWhatTheyLost) {
  testing::for_each_instruction_set([] {
    for (const std::size_t d : {1, 7, 8, 9, 16, 33})
      for (const std::size_t n : {1, 7, 8, 9, 100}) {
        std::mt19937 random(3);
        std::normal_distribution<float> normal;
        std::vector<float> x(n * d);
        for (float& cell : x) cell = std::ldexp(std::round(std::ldexp(normal(random), 20)), -20);  // differences are exact
        const Units units = units_of(x.data(), static_cast<std::int64_t>(n), static_cast<std::int32_t>(d));
        const Rounded rounded(x, units);
        for (std::size_t row = 0; row < n; ++row) {
          double length = 0;
          const double lost = distance(x, units, rounded, row, length), share = length_error(static_cast<std::int32_t>(d));
          const double rounding = length * 0x1p-22;  // of cells; group_errors.hpp allows for more
          EXPECT_LE(lost, static_cast<double>(rounded.lost[row]) + rounding) << "row " << row << " of " << n << ", " << d << " columns";
          EXPECT_LE(static_cast<double>(rounded.lost[row]), lost * (1 + 4 * share) + rounding);
          EXPECT_NEAR(static_cast<double>(rounded.length[row]), length, length * share + 1e-17);
          EXPECT_LE(static_cast<double>(rounded.lost[row]), std::sqrt(static_cast<double>(d)) * length / 32000);
          const std::size_t padded = 2 * rounded.pairs.size() / n;
          for (std::size_t j = d; j < padded; ++j) EXPECT_EQ(rounded.cell(row, j), 0);
        }
      }
  });
}

TEST(RoundedRows, ThatCannotBeRoundedLoseAll) {
  testing::for_each_instruction_set([] {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    std::vector<float> x(3 * 20, 0.5f);
    x[3 * 2] = 1e30f;
    x[3 * 9 + 1] = kInfinity;
    x[3 * 17 + 2] = std::numeric_limits<float>::quiet_NaN();
    x[3 * 4] = 0.25f;
    const Units units{.pivot = {0.5f, 0.5f, 0.5f}, .scale = 1};
    const Rounded rounded(x, units);
    for (std::size_t row = 0; row < 20; ++row) {
      const bool loses_all = row == 2 || row == 9 || row == 17;
      EXPECT_NEAR(rounded.lost[row], loses_all ? kLostAll : 0.0f, 1e-7f) << "row " << row;
      EXPECT_EQ(rounded.length[row], loses_all ? 0.0f : row == 4 ? 0.25f : kLeastLength) << "row " << row;
      for (std::size_t j = 0; j < 8; ++j) EXPECT_EQ(rounded.cell(row, j), row == 4 && j == 0 ? -32000 : 0) << "row " << row;
    }
  });
}

}  // namespace
}  // namespace coterie::nearest
