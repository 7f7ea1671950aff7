// exp, expm1, log and log1p from + - * / and bit operations alone: neither libm nor fused multiply-add, so every
// compiler, instruction set and device gives the same bits. Below 2 ulp everywhere (elementary_test.cpp); zeros,
// infinities, NaN and arguments outside the domain behave as in IEEE 754, but the sign of a zero result is not kept.
// Selections instead of branches, so loops over arrays vectorise. Needs round-to-nearest, as everything here.
//
//   log:  x = 2^k m, m in [sqrt(1/2), sqrt(2)), f = m - 1, s = f / (2 + f), log(1 + f) = 2 atanh(s)
//   exp:  x = k log(2) + r, |r| <= log(2) / 2, exp(x) = 2^k exp(r)
// after W. J. Cody and W. Waite, Software Manual for the Elementary Functions, 1980; series are Taylor's.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

namespace coterie {

// The nearest whole number, ties to even, for |x| <= 2^51: adding 1.5 * 2^52 leaves no bits for a fraction. Never -0.0.
constexpr double round_to_even(double x) { return (x + 0x1.8p52) - 0x1.8p52; }

constexpr double magnitude(double x) { return std::bit_cast<double>(std::bit_cast<std::uint64_t>(x) & 0x7fffffffffffffffu); }

namespace elementary {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
// log(2) in two parts; the first has 32 bits, so its product with an exponent is exact.
inline constexpr double kLog2High = 0x1.62e42feep-1;
inline constexpr double kLog2Low = 0x1.a39ef35793c76p-33;

// a + x (b + x (c + ...))
constexpr double horner(double, double a) { return a; }
template <class... Rest>
constexpr double horner(double x, double a, Rest... rest) {
  return a + x * horner(x, rest...);
}

// The rounding error of sum = a + b, exactly (Knuth's two-sum).
constexpr double sum_error(double a, double b, double sum) {
  const double of_b = sum - a;
  return (a - (sum - of_b)) + (b - of_b);
}

// A positive normal number as 2^exponent * mantissa, mantissa in [sqrt(1/2), sqrt(2)).
struct Split {
  double exponent;
  double mantissa;
};
constexpr Split split(double x) {
  constexpr std::uint64_t kSqrtHalf = 0x3fe6a09e667f3bcdu, kOne = 0x3ff0000000000000u;
  // Moves [sqrt(1/2), sqrt(2)) to one exponent, reads the exponent as the low bits of a double of exponent 52.
  const std::uint64_t moved = std::bit_cast<std::uint64_t>(x) + (kOne - kSqrtHalf);
  const double exponent = std::bit_cast<double>((moved >> 52) | 0x4330000000000000u) - (0x1p52 + 1023);
  return {exponent, std::bit_cast<double>((moved & 0x000fffffffffffffu) + kSqrtHalf)};
}

// log(2^exponent * (1 + f)) + correction, for 1 + f in [sqrt(1/2), sqrt(2)). With z = s^2 <= 0.0295 the first term left
// out of 2 atanh(s) is below 2^-58 of the result.
constexpr double log_from_parts(double exponent, double f, double correction) {
  const double s = f / (2.0 + f);
  const double z = s * s;
  const double tail = z * horner(z, 2.0 / 3, 2.0 / 5, 2.0 / 7, 2.0 / 9, 2.0 / 11, 2.0 / 13, 2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21);
  // 2 s = f - s f = f - (f^2 / 2 - s f^2 / 2): the leading terms are exact or small.
  const double half_square = 0.5 * f * f;
  const double small = s * (half_square + tail) + (exponent * kLog2Low + correction);
  return exponent * kLog2High + ((small - half_square) + f);
}

// exp(x) for x in [-746, 710], or exp(x) - 1 for x in [-40, 710], as 2^k (exp(r) - 2^-k) with x = k log(2) + r.
// |r| <= 0.3466, so the first term left out of the series is below 2^-57.
template <bool kMinusOne>
constexpr double exp_by_powers_of_two(double x) {
  const double k = round_to_even(x * 0x1.71547652b82fep0);  // 1 / log(2)
  const double high = x - k * kLog2High;                    // exact
  const double low = k * kLog2Low;
  const double r = high - low;
  const double r_error = (high - r) - low;
  const double tail = r * r *
                      horner(r, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800,
                             1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800);
  const auto power_of_two = [](double exponent) {  // |exponent| <= 1022
    return std::bit_cast<double>((std::bit_cast<std::uint64_t>(exponent + 0x1.8p52) + 1023) << 52);
  };
  double one = 1.0;
  if constexpr (kMinusOne) one -= power_of_two(k < 64 ? -k : -64.0);  // below 2^-64 it cannot be seen
  const double sum = one + r;
  const double scaled = sum + (sum_error(one, r, sum) + (tail + r_error));
  const double half = round_to_even(0.5 * k);  // 2^k itself may lie outside the range of a double
  return scaled * power_of_two(half) * power_of_two(k - half);
}

}  // namespace elementary

constexpr double log(double x) {
  using namespace elementary;
  const bool subnormal = x < std::numeric_limits<double>::min();
  const Split parts = split(subnormal ? x * 0x1p54 : x);
  const double result = log_from_parts(parts.exponent - (subnormal ? 54.0 : 0.0), parts.mantissa - 1.0, 0.0);
  const double edge = x == 0 ? -kInfinity : (x > 0 ? x : kNaN);  // +inf and NaN are their own logarithms
  return x > 0 && x < kInfinity ? result : edge;
}

// log(1 + x)
constexpr double log1p(double x) {
  using namespace elementary;
  const double sum = 1.0 + x;
  const Split parts = split(sum);
  const bool near_one = parts.exponent == 0;
  const double correction = near_one ? 0.0 : sum_error(1.0, x, sum) / sum;
  const double result = log_from_parts(parts.exponent, near_one ? x : parts.mantissa - 1.0, correction);
  const double edge = x == -1 ? -kInfinity : (x > -1 ? x : kNaN);
  return x > -1 && x < kInfinity ? result : edge;
}

constexpr double exp(double x) {
  const double bounded = x < -746 ? -746.0 : (x > 710 ? 710.0 : x);  // beyond them 0 and infinity
  return elementary::exp_by_powers_of_two<false>(bounded);
}

// exp(x) - 1
constexpr double expm1(double x) {
  const double bounded = x < -40 ? -40.0 : (x > 710 ? 710.0 : x);  // below -40 the result is -1
  return elementary::exp_by_powers_of_two<true>(bounded);
}

}  // namespace coterie
