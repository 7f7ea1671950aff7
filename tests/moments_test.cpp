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
