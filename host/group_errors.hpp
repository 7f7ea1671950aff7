// How results of the scan of 16-bit rows bound distances (center_groups.hpp has the arithmetic).
#pragma once

#include <cstdint>
#include <limits>

#include "host/center_groups.hpp"

namespace coterie::nearest {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr float kScanned = CenterGroups::kNoScore / 2;  // results below it are of centers

// Bounds round outwards by this; it also covers what the chain of the definition may round.
inline constexpr float kOutwards = 0x1p-20f;
inline constexpr float kDriftOutwards = 0x1p-22f;

// What underflows on the way, in units in which rows are near 1.
inline constexpr float kUnderflow = 0x1p-60f;

// From a result to an upper bound of s: twice its error, and a little for the roundings on the way.
inline constexpr float kTwiceRho = 2.125f, kTwiceShare = 1.25f * 0x1p-18f;

// |y|^2 is within these times the square of the length.
struct Errors {
  float square_down, square_up;
  explicit Errors(std::int32_t n_columns) {
    const float error = static_cast<float>(2 * length_error(n_columns)) + kOutwards;
    square_down = 1 - error;
    square_up = 1 + error;
  }
};

}  // namespace coterie::nearest
