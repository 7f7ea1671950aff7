#include "host/exact_sum.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace coterie {
namespace {

double sum_of(const std::vector<double>& values) {
  ExactSum sum;
  for (const double value : values) sum.add(value);
  return sum.value();
}

TEST(ExactSum, LosesNothingToCancellation) {
  EXPECT_EQ(sum_of({1e300, 1, -1e300}), 1);
  EXPECT_EQ(sum_of({1e-300, 1e300, -1e300, 1e-320, -1e-300}), 1e-320);
  EXPECT_EQ(sum_of({3, -3}), 0);
  EXPECT_EQ(sum_of({}), 0);
}

TEST(ExactSum, RoundsOnceToEven) {
  const double ulp = 0x1p-52;
  EXPECT_EQ(sum_of({1, ulp / 2}), 1);
  EXPECT_EQ(sum_of({1, ulp / 2, 5e-324}), 1 + ulp);
  EXPECT_EQ(sum_of({1 + ulp, ulp / 2}), 1 + 2 * ulp);
  EXPECT_EQ(sum_of({-1, -ulp / 2, -5e-324}), -1 - ulp);
}

TEST(ExactSum, AddsSums) {
  std::mt19937_64 random(3);
  ExactSum whole;
  std::array<ExactSum, 3> parts;
  for (int i = 0; i < 3000; ++i) {
    const double value = std::ldexp(static_cast<double>(static_cast<std::int64_t>(random())), static_cast<int>(random() % 600) - 300);
    const auto weight = static_cast<std::int64_t>(random() % 1000);
    whole.add(value, weight);
    parts[static_cast<std::size_t>(i) % parts.size()].add(value, weight);
  }
  ExactSum merged;
  for (const ExactSum& part : parts) merged.add(part);
  EXPECT_EQ(merged.value(), whole.value());
  for (const ExactSum& part : parts) whole.add(part);
  merged.add(merged);
  EXPECT_EQ(merged.value(), whole.value());
}

TEST(ExactSum, KeepsEveryFiniteDouble) {
  for (const double value :
       {5e-324, -5e-324, 1e-310, 0x1p-1022, 0.1, -0.1, 1e300, std::numeric_limits<double>::max(), std::numeric_limits<double>::lowest()})
    EXPECT_EQ(sum_of({value}), value);
  EXPECT_EQ(sum_of({std::numeric_limits<double>::max(), std::numeric_limits<double>::max()}), std::numeric_limits<double>::infinity());
}

TEST(ExactSum, WeightRepeatsAValue) {
  ExactSum weighted, repeated;
  weighted.add(0.1, 1000);
  weighted.add(-7.3, 3);
  weighted.add(5, 0);
  for (int i = 0; i < 1000; ++i) repeated.add(0.1);
  for (int i = 0; i < 3; ++i) repeated.add(-7.3);
  EXPECT_EQ(weighted.value(), repeated.value());
  ExactSum heavy;
  heavy.add(std::numeric_limits<double>::max() / 2, (std::int64_t{1} << 31) - 1);
  heavy.add(-std::numeric_limits<double>::max() / 2, (std::int64_t{1} << 31) - 2);
  EXPECT_EQ(heavy.value(), std::numeric_limits<double>::max() / 2);
}

TEST(ExactSum, IgnoresOrder) {
  std::mt19937_64 bits(5);
  std::vector<double> values;
  for (int i = 0; i < 2000; ++i)
    values.push_back(std::ldexp(static_cast<double>(static_cast<std::int64_t>(bits())), static_cast<int>(bits() % 200) - 150));
  const double expected = sum_of(values);
  std::shuffle(values.begin(), values.end(), bits);
  EXPECT_EQ(sum_of(values), expected);
}

TEST(ExactSum, MatchesIntegerArithmetic) {
  std::mt19937_64 bits(6);
  ExactSum sum;
  std::int64_t eighths_sum = 0;
  for (int i = 0; i < 5000; ++i) {
    const std::int64_t eighths = static_cast<std::int64_t>(bits() % 2'000'001) - 1'000'000;
    sum.add(static_cast<double>(eighths) / 8);
    eighths_sum += eighths;
  }
  EXPECT_EQ(sum.value(), static_cast<double>(eighths_sum) / 8);
}

}  // namespace
}  // namespace coterie
