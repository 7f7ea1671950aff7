// exp and log1p of elementary.hpp on vectors of doubles: the same operations in the same order, so the same bits on every
// instruction set, for the arguments that likelihoods need. Included once per instruction set by files that
// hwy/foreach_target.h compiles over and over.
#if defined(COTERIE_HOST_ELEMENTARY_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef COTERIE_HOST_ELEMENTARY_INL_HPP
#undef COTERIE_HOST_ELEMENTARY_INL_HPP
#else
#define COTERIE_HOST_ELEMENTARY_INL_HPP
#endif

#include <hwy/highway.h>

#include "host/elementary.hpp"

HWY_BEFORE_NAMESPACE();
namespace coterie {
namespace HWY_NAMESPACE {

template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V horner_of(D d, V, double a) {
  return hwy::HWY_NAMESPACE::Set(d, a);
}
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>, class... Rest>
HWY_INLINE V horner_of(D d, V x, double a, Rest... rest) {
  namespace hn = hwy::HWY_NAMESPACE;
  return hn::Add(hn::Set(d, a), hn::Mul(x, horner_of(d, x, rest...)));
}

// The rounding error of sum = 1 + b.
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V error_of_one_plus(D d, V b, V sum) {
  namespace hn = hwy::HWY_NAMESPACE;
  const V one = hn::Set(d, 1.0), of_b = hn::Sub(sum, one);
  return hn::Add(hn::Sub(one, hn::Sub(sum, of_b)), hn::Sub(b, of_b));
}

// exp(x) for x <= 0.
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V exp_of_negative(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const V magic = hn::Set(d, 0x1.8p52), one = hn::Set(d, 1.0);
  const auto round = [&](V v) HWY_ATTR { return hn::Sub(hn::Add(v, magic), magic); };
  const auto power_of_two = [&](V exponent) HWY_ATTR {
    const hn::RebindToUnsigned<D> du;
    return hn::BitCast(d, hn::ShiftLeft<52>(hn::Add(hn::BitCast(du, hn::Add(exponent, magic)), hn::Set(du, 1023))));
  };
  x = hn::Max(x, hn::Set(d, -746.0));
  const V k = round(hn::Mul(x, hn::Set(d, 0x1.71547652b82fep0)));
  const V high = hn::Sub(x, hn::Mul(k, hn::Set(d, elementary::kLog2High))), low = hn::Mul(k, hn::Set(d, elementary::kLog2Low));
  const V r = hn::Sub(high, low), r_error = hn::Sub(hn::Sub(high, r), low);
  const V series = horner_of(d, r, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800,
                             1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800);
  const V tail = hn::Mul(hn::Mul(r, r), series), sum = hn::Add(one, r);
  const V scaled = hn::Add(sum, hn::Add(error_of_one_plus(d, r, sum), hn::Add(tail, r_error)));
  const V half = round(hn::Mul(hn::Set(d, 0.5), k));
  return hn::Mul(hn::Mul(scaled, power_of_two(half)), power_of_two(hn::Sub(k, half)));
}

// log(1 + x) for 0 <= x <= 1.
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V log1p_of_share(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  constexpr double kSqrtTwo = 0x1.6a09e667f3bcdp0;  // where elementary::split changes the exponent
  const V one = hn::Set(d, 1.0), half = hn::Set(d, 0.5), sum = hn::Add(one, x);
  const auto doubled = hn::Ge(sum, hn::Set(d, kSqrtTwo));  // 1 + x = 2^1 mantissa, else 2^0
  const V correction = hn::IfThenElseZero(doubled, hn::Div(error_of_one_plus(d, x, sum), sum));
  const V f = hn::IfThenElse(doubled, hn::Sub(hn::Mul(sum, half), one), x);
  const V s = hn::Div(f, hn::Add(hn::Set(d, 2.0), f)), z = hn::Mul(s, s);
  const V tail =
      hn::Mul(z, horner_of(d, z, 2.0 / 3, 2.0 / 5, 2.0 / 7, 2.0 / 9, 2.0 / 11, 2.0 / 13, 2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21));
  const V half_square = hn::Mul(hn::Mul(half, f), f);
  const V low = hn::Add(hn::IfThenElseZero(doubled, hn::Set(d, elementary::kLog2Low)), correction);
  const V small = hn::Add(hn::Mul(s, hn::Add(half_square, tail)), low);
  return hn::Add(hn::IfThenElseZero(doubled, hn::Set(d, elementary::kLog2High)), hn::Add(hn::Sub(small, half_square), f));
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie
HWY_AFTER_NAMESPACE();

#endif
