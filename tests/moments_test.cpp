#include "host/moments.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace coterie {
namespace {

// A handful of roundings on numbers near 1.
constexpr double kRounding = 1e-14;

Moments moments_of(std::initializer_list<double> values) {
  Moments moments;
  for (const double value : values) moments = merged(moments, {.rows = 1, .weight = 1, .mean = value, .squares = 0});
  return moments;
}

WeightSums weighed(std::initializer_list<std::int32_t> weights) {
  WeightSums sums;
  for (const std::int32_t steps : weights) sums.add(steps);
  return sums;
}

TEST(WeightSums, OfUnequalWeightsAreWorthFewerRows) {
  EXPECT_EQ(weighed({}).effective_rows(), 0);
  EXPECT_EQ(weighed({3, 1}).effective_rows(), 16.0 / 10);
  EXPECT_EQ((weighed({5, 3, 1}) - weighed({5})).effective_rows(), 16.0 / 10);
  EXPECT_NEAR(weighed({1 << 24, 1, 1, 1}).effective_rows(), 1, 1e-6);
}

TEST(WeightSums, OfEqualWeightsAreWorthTheirRowsToTheBit) {
  WeightSums sums;
  for (std::int64_t row = 1; row <= 300'007; ++row) {
    sums.add((1 << 24) - 3);
    ASSERT_EQ(sums.effective_rows(), static_cast<double>(row));
  }
}

TEST(Moments, MergeIntoTheMomentsOfTheUnion) {
  const Moments all = merged(moments_of({1, 4, 4}), moments_of({-2, 8}));
  EXPECT_EQ(all.rows, 5);
  EXPECT_NEAR(all.mean, 3, kRounding);
  EXPECT_NEAR(all.squares, 4 + 1 + 1 + 25 + 25, 100 * kRounding);
  EXPECT_NEAR(standard_deviation(all), std::sqrt(56.0 / 4), 10 * kRounding);
}

TEST(Moments, OfNothingChangeNothing) {
  const Moments some = moments_of({1, 2});
  EXPECT_EQ(merged(some, {}).squares, some.squares);
  EXPECT_EQ(merged({}, some).mean, some.mean);
  EXPECT_TRUE(std::isnan(standard_deviation({})));
  EXPECT_TRUE(std::isnan(standard_deviation(moments_of({5}))));
}

TEST(CohenD, IsTheDifferenceOverThePooledSpread) {
  // Means 2 and 5; pooled variance ((2) + (8)) / 4 = 2.5.
  const EffectSize effect = cohen_d(moments_of({1, 2, 3}), moments_of({3, 5, 7}));
  const double d = -3 / std::sqrt(2.5);
  const double half = 1.959963984540054 * std::sqrt(6.0 / 9 + d * d / 12);
  EXPECT_NEAR(effect.d, d, kRounding);
  EXPECT_NEAR(effect.low, d - half, kRounding);
  EXPECT_NEAR(effect.high, d + half, kRounding);
}

TEST(CohenD, HasAWiderIntervalBetweenFewerRows) {
  const EffectSize effect = cohen_d(moments_of({1, 2, 3}), moments_of({3, 5, 7})), same = effect_of_rows(effect.d, 3, 3),
                   wider = effect_of_rows(effect.d, 1.5, 2);
  EXPECT_EQ(same.low, effect.low);
  EXPECT_EQ(same.high, effect.high);
  EXPECT_NEAR(wider.high - effect.d, 1.959963984540054 * std::sqrt(3.5 / 3 + effect.d * effect.d / 7), kRounding);
  EXPECT_EQ(wider.d, effect.d);
}

TEST(CohenD, NeedsBothSidesAndSpread) {
  EXPECT_TRUE(std::isnan(cohen_d(moments_of({1, 2, 3}), {}).d));
  EXPECT_TRUE(std::isnan(cohen_d({}, moments_of({1, 2, 3})).d));
  EXPECT_TRUE(std::isnan(cohen_d(moments_of({1}), moments_of({2})).d));
  EXPECT_TRUE(std::isnan(cohen_d(moments_of({2, 2}), moments_of({2, 2})).d));
  EXPECT_TRUE(std::isinf(cohen_d(moments_of({2, 2}), moments_of({3, 3})).d));
  EXPECT_NEAR(cohen_d(moments_of({4}), moments_of({1, 3})).d, 2 / std::sqrt(2.0), kRounding);
}

}  // namespace
}  // namespace coterie
