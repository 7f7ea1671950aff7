#include "host/transform_strip.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "host/transform_cells.hpp"
#include "tests/support/instruction_sets.hpp"

namespace coterie {
namespace {

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
