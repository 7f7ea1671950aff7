// IEEE half precision in integer arithmetic: what cvt.rn.f16 makes of a number and back, for hosts whose compiler has no such type.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "cuda/namespace.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr double kLargestFactor = 32768;  // half of what a half holds: of what is to be one

// The nearest half, ties to even, infinity beyond the largest. `value` is not NaN.
inline std::uint32_t to_half_bits(float value) {
  constexpr std::uint32_t kInfinity = 0x7c00;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude >= 0x477ff000u) return sign | kInfinity;  // 65520, halfway from the largest half to the power of two above
  if (magnitude < 0x38800000u)                            // 2^-14: below, steps are 2^-24
    return sign | static_cast<std::uint32_t>(std::nearbyint(std::bit_cast<float>(magnitude) * 0x1p24f));
  const std::uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);  // may carry into the exponent, as it should
  return sign | ((rounded >> 13) - (112u << 10));                             // exponents count from 15, not from 127
}

inline float from_half_bits(std::uint32_t bits) {
  const std::uint32_t magnitude = bits & 0x7fffu;
  const float value = magnitude >= 0x7c00u ? std::bit_cast<float>(0x7f800000u | (magnitude & 0x3ffu) << 13)
                                           : std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  return (bits & 0x8000u) != 0 ? -value : value;
}

}  // namespace coterie::COTERIE_GPU
