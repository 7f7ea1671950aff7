// The exact sum of doubles times integer weights, rounded once: a fixed-point number wide enough for every finite double (Kulisch's
// long accumulator), so the order of the terms does not matter and nothing cancels away.
#pragma once

#include <array>
#include <cstdint>

namespace coterie {

class ExactSum {
 public:
  // Adds value * weight. `value` is finite, 0 <= weight < 2^31.
  void add(double value, std::int64_t weight = 1);
  void add(const ExactSum& other);
  // The sum, rounded once to the nearest double, ties to even; infinite beyond the largest double.
  double value() const;

 private:
  static constexpr int kLimbBits = 32;
  static constexpr int kLowestExponent = -1074;  // of the smallest positive double: the unit of limb 0
  // 2098 bits of double, 31 of a weight and 63 of a count make 2192; with the sign 69 limbs, and one is never reached.
  static constexpr std::size_t kLimbs = 70;
  using Limbs = std::array<std::int64_t, kLimbs>;

  static void carry(Limbs& limbs);

  Limbs limbs_{};               // sum of limbs_[i] * 2^(32 i - 1074)
  std::int64_t uncarried_ = 0;  // adds since the last carry
};

}  // namespace coterie
