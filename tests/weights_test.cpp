#include "host/weights.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "host/error.hpp"

namespace coterie {
namespace {

TEST(Weights, LieOnAGridBelowTheLargest) {
  const Weights weights = quantise_weights(std::vector<double>{3, 0, 1.5, 1});
  EXPECT_EQ(weights.step, std::ldexp(1, -22));
  EXPECT_EQ(weights.steps, (std::vector<std::int32_t>{3 << 22, 0, 3 << 21, 1 << 22}));
}

TEST(Weights, ThatAreEqualAreNone) {
  const Weights weights = quantise_weights(std::vector<double>{2.5, 2.5});
  EXPECT_TRUE(weights.steps.empty());
  EXPECT_EQ(weights.step, 2.5);
}

TEST(Weights, KeepEveryRowOfPositiveWeight) {
  const Weights weights = quantise_weights(std::vector<double>{1, 0, 1e-8, 1e-300, 5e-324});
  EXPECT_EQ(weights.steps, (std::vector<std::int32_t>{1 << 23, 0, 1, 1, 1}));
}

TEST(Weights, RefuseWhatWeighsNothing) {
  EXPECT_THROW(quantise_weights(std::vector<double>{1, -1}), ContentsError);
  EXPECT_THROW(quantise_weights(std::vector<double>{1, NAN}), ContentsError);
  EXPECT_THROW(quantise_weights(std::vector<double>{0, 0}), ContentsError);
}

}  // namespace
}  // namespace coterie
