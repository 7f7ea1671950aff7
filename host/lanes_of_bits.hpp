// The bits that are set in a byte, from the lowest on: how to put the chosen lanes of eight together (chosen_lanes-inl.hpp).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace coterie {

inline constexpr std::array<std::array<std::uint8_t, 8>, 256> kLanesOfBits = [] {
  std::array<std::array<std::uint8_t, 8>, 256> lanes{};
  for (unsigned bits = 0; bits < 256; ++bits) {
    std::size_t n = 0;
    for (std::uint8_t lane = 0; lane < 8; ++lane)
      if ((bits >> lane & 1u) != 0) lanes[bits][n++] = lane;
  }
  return lanes;
}();

}  // namespace coterie
