// Order-preserving integer keys of floats, of the float's own width: a < b exactly when key(a) < key(b), and -0.0 counts as 0.0.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

namespace coterie {

template <class Cell>
using OrderedKey = std::conditional_t<sizeof(Cell) == sizeof(std::uint32_t), std::uint32_t, std::uint64_t>;

template <class Cell>
inline constexpr OrderedKey<Cell> kKeySign = OrderedKey<Cell>{1} << (8 * sizeof(Cell) - 1);

// `x` is not NaN.
template <class Cell>
OrderedKey<Cell> ordered_key(Cell x) {
  using Key = OrderedKey<Cell>;
  const auto bits = std::bit_cast<Key>(x + Cell{0});
  const Key negative = Key{0} - (bits >> (8 * sizeof(Cell) - 1));  // all ones or 0
  return bits ^ (negative | kKeySign<Cell>);
}

template <class Cell>
Cell from_ordered_key(OrderedKey<Cell> key) {
  return std::bit_cast<Cell>((key & kKeySign<Cell>) != 0 ? key ^ kKeySign<Cell> : ~key);
}

}  // namespace coterie
