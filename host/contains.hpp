// Whether a value is among others.
#pragma once

#include <algorithm>
#include <ranges>

namespace coterie {

template <std::ranges::input_range Values, class Value>
bool contains(const Values& values, const Value& value) {
  return std::ranges::find(values, value) != std::ranges::end(values);
}

}  // namespace coterie
