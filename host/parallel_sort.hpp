// Sorts in place on all threads: as a quicksort begins, halves are told apart, then their halves, until every thread has one to sort.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>

#include "host/context.hpp"

namespace coterie {

// Items that compare equal come in any order.
template <class T, class Less = std::less<>>
void parallel_sort(Context& context, std::span<T> items, Less less = {}) {
  constexpr std::int64_t kLeastItems = 1 << 14;
  const std::int64_t n = std::ssize(items), most_parts = std::min<std::int64_t>(n / kLeastItems, context.threads());
  const auto bound = [&](std::int64_t part, std::int64_t n_parts) { return items.begin() + n * part / n_parts; };
  std::int64_t n_parts = 1;
  for (; n_parts < most_parts; n_parts *= 2)
    context.parallel_for(n_parts, [&](std::int64_t part, int) {
      std::nth_element(bound(part, n_parts), bound(2 * part + 1, 2 * n_parts), bound(part + 1, n_parts), less);
    });
  context.parallel_for(n_parts, [&](std::int64_t part, int) { std::sort(bound(part, n_parts), bound(part + 1, n_parts), less); });
}

}  // namespace coterie
