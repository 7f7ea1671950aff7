#include "host/exact_sum.hpp"

#include <bit>
#include <cmath>

#include "host/statistics.hpp"

namespace coterie {
namespace {

__extension__ typedef unsigned __int128 uint128;  // -Wpedantic objects to the bare keyword
constexpr std::int64_t kLimbMask = 0xffffffff;
// An add moves a limb by less than 2^32, so after this many it is still below 2^62.
constexpr std::int64_t kAddsBeforeCarry = std::int64_t{1} << 30;

}  // namespace

void ExactSum::add(double value, std::int64_t weight) {
  constexpr int kFractionBits = 52;
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const auto exponent = static_cast<int>(bits >> kFractionBits & 0x7ff);
  const auto fraction = static_cast<std::int64_t>(bits & ((std::uint64_t{1} << kFractionBits) - 1));
  const std::int64_t mantissa = exponent == 0 ? fraction : fraction | std::int64_t{1} << kFractionBits;
  const int position = exponent == 0 ? 0 : exponent - 1;  // |value| = mantissa * 2^(position + kLowestExponent)
  int128 term = static_cast<int128>(mantissa) * weight << position % kLimbBits;
  if (value < 0) term = -term;
  auto limb = limbs_.begin() + position / kLimbBits;
  for (int i = 0; i < 3; ++i, term >>= kLimbBits) *limb++ += static_cast<std::int64_t>(term & kLimbMask);
  *limb += static_cast<std::int64_t>(term);  // 53 + 31 + 31 bits less three limbs: small, and signed
  if (++uncarried_ == kAddsBeforeCarry) {
    carry(limbs_);
    uncarried_ = 0;
  }
}

void ExactSum::add(const ExactSum& other) {
  Limbs limbs = other.limbs_;
  carry(limbs);
  carry(limbs_);
  for (std::size_t i = 0; i < kLimbs; ++i) limbs_[i] += limbs[i];
  uncarried_ = 1;
}

// Afterwards every limb but the last is in [0, 2^32), and the last has the sign of the sum.
void ExactSum::carry(Limbs& limbs) {
  for (std::size_t i = 0; i + 1 < kLimbs; ++i) {
    limbs[i + 1] += limbs[i] >> kLimbBits;
    limbs[i] &= kLimbMask;
  }
}

double ExactSum::value() const {
  Limbs limbs = limbs_;
  carry(limbs);
  const bool negative = limbs.back() < 0;
  if (negative) {
    for (std::int64_t& limb : limbs) limb = -limb;
    carry(limbs);
  }
  std::size_t top = kLimbs - 1;
  while (top > 2 && limbs[top] == 0) --top;
  const auto at = [&](std::size_t i) { return static_cast<uint128>(limbs[i]); };
  uint128 leading = at(top) << 64 | at(top - 1) << 32 | at(top - 2);  // at least 65 significant bits when anything lies below
  for (std::size_t i = 0; i + 2 < top; ++i)
    if (limbs[i] != 0) leading |= 1;  // so that a tie is broken upwards where it is no tie
  const double magnitude = std::ldexp(static_cast<double>(leading), kLimbBits * static_cast<int>(top - 2) + kLowestExponent);
  return negative ? -magnitude : magnitude;
}

}  // namespace coterie
