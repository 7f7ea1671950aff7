#include "host/elementary.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace coterie {
namespace {

using Function = double (*)(double);
using Reference = long double (*)(long double);

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLargest = std::numeric_limits<double>::max();
constexpr double kSmallest = std::numeric_limits<double>::denorm_min();
constexpr double kTolerance = 2.0;  // ulp, what the header promises; the extended reference adds less than 0.001

double ulp_of(double value) {
  const double size = std::abs(value);
  return size < std::numeric_limits<double>::min() ? kSmallest : size - std::nextafter(size, 0.0);
}

// The error of f(x) in units of the last place of the correctly rounded result.
double error_in_ulp(Function f, Reference reference, double x) {
  const long double expected = reference(x);
  const double rounded = static_cast<double>(expected);
  const double found = f(x);
  if (!std::isfinite(rounded) || !std::isfinite(found)) return rounded == found ? 0.0 : kInfinity;
  return static_cast<double>(std::abs(static_cast<long double>(found) - expected)) / ulp_of(rounded);
}

// Arguments whose bit patterns are evenly spread between those of `from` and `to` (same sign): every exponent appears.
double largest_error(Function f, Reference reference, double from, double to, int count = 400000) {
  const auto first = std::bit_cast<std::uint64_t>(from), last = std::bit_cast<std::uint64_t>(to);
  const std::uint64_t stride = (last - first) / static_cast<std::uint64_t>(count) + 1;
  double worst = 0;
  for (std::uint64_t bits = first; bits <= last && bits >= first; bits += stride)
    worst = std::max(worst, error_in_ulp(f, reference, std::bit_cast<double>(bits)));
  return worst;
}

long double log_reference(long double x) { return std::log(x); }
long double log1p_reference(long double x) { return std::log1p(x); }
long double exp_reference(long double x) { return std::exp(x); }
long double expm1_reference(long double x) { return std::expm1(x); }

TEST(Elementary, LogStaysBelowTwoUlp) {
  EXPECT_LT(largest_error(log, log_reference, kSmallest, kLargest), kTolerance);
  EXPECT_LT(largest_error(log, log_reference, 0.5, 2.0), kTolerance);
  EXPECT_LT(largest_error(log, log_reference, 0.999, 1.001), kTolerance);
  EXPECT_LT(largest_error(log, log_reference, kSmallest, 4e-308), kTolerance);
}

TEST(Elementary, Log1pStaysBelowTwoUlp) {
  EXPECT_LT(largest_error(log1p, log1p_reference, kSmallest, kLargest), kTolerance);
  EXPECT_LT(largest_error(log1p, log1p_reference, 1e-3, 1e6), kTolerance);
  EXPECT_LT(largest_error(log1p, log1p_reference, 0.2, 0.9), kTolerance);
  EXPECT_LT(largest_error(log1p, log1p_reference, -kSmallest, -0.9999999), kTolerance);
  EXPECT_LT(largest_error(log1p, log1p_reference, -0.1, -0.5), kTolerance);
}

TEST(Elementary, ExpStaysBelowTwoUlp) {
  EXPECT_LT(largest_error(exp, exp_reference, kSmallest, 720.0), kTolerance);
  EXPECT_LT(largest_error(exp, exp_reference, -kSmallest, -760.0), kTolerance);
  EXPECT_LT(largest_error(exp, exp_reference, 0.01, 3.0), kTolerance);
  EXPECT_LT(largest_error(exp, exp_reference, -700.0, -750.0), kTolerance);  // subnormal results
  EXPECT_LT(largest_error(exp, exp_reference, 709.0, 710.0), kTolerance);    // up to the overflow
}

TEST(Elementary, Expm1StaysBelowTwoUlp) {
  EXPECT_LT(largest_error(expm1, expm1_reference, kSmallest, 720.0), kTolerance);
  EXPECT_LT(largest_error(expm1, expm1_reference, -kSmallest, -760.0), kTolerance);
  EXPECT_LT(largest_error(expm1, expm1_reference, 0.1, 2.0), kTolerance);
  EXPECT_LT(largest_error(expm1, expm1_reference, -0.1, -2.0), kTolerance);
  EXPECT_LT(largest_error(expm1, expm1_reference, 30.0, 60.0), kTolerance);
}

TEST(Elementary, EdgesBehaveAsInIeee754) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(log(0.0), -kInfinity);
  EXPECT_EQ(log(1.0), 0.0);
  EXPECT_EQ(log(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(log(-1.0)));
  EXPECT_EQ(log1p(-1.0), -kInfinity);
  EXPECT_EQ(log1p(0.0), 0.0);
  EXPECT_EQ(log1p(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(log1p(-1.5)));
  EXPECT_EQ(exp(0.0), 1.0);
  EXPECT_EQ(exp(-kInfinity), 0.0);
  EXPECT_EQ(exp(kInfinity), kInfinity);
  EXPECT_EQ(expm1(0.0), 0.0);
  EXPECT_EQ(expm1(-kInfinity), -1.0);
  EXPECT_EQ(expm1(kInfinity), kInfinity);
  for (const Function f : {log, log1p, exp, expm1}) EXPECT_TRUE(std::isnan(f(nan)));
}

TEST(Elementary, RoundsToNearestWithTiesToEven) {
  for (const double x : {0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 0.49999999999999994, 8388607.5, 1e15 + 0.5, -4503599.5})
    EXPECT_EQ(round_to_even(x), std::nearbyint(x)) << x;
}

// The same bits whether a loop is vectorised or each value is computed alone.
TEST(Elementary, LoopsGiveTheBitsOfSingleCalls) {
  std::vector<double> x(1003), y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = 1e-3 * static_cast<double>(i * i);
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = log1p(x[i]);
  for (std::size_t i = 0; i < x.size(); ++i) {
    volatile double alone = x[i];
    EXPECT_EQ(y[i], log1p(alone));
  }
}

// Golden bits: another compiler or processor must reproduce them.
TEST(Elementary, KeepsItsBits) {
  std::uint64_t hash = 0;
  for (int i = 1; i < 10000; ++i) {
    const double x = 0.01 * i;
    for (const double y : {log(x), log1p(x), exp(x), expm1(-x)}) hash = hash * 0x9e3779b97f4a7c15u + std::bit_cast<std::uint64_t>(y);
  }
  EXPECT_EQ(hash, 13714116108028333892u);
}

}  // namespace
}  // namespace coterie
