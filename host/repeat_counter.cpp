#include "host/repeat_counter.hpp"

#include <algorithm>
#include <utility>

namespace coterie {
namespace {

// In place on all threads: as a quicksort begins, halves are told apart, then their halves, until every thread has a few to sort.
void sort_keys(Context& context, std::vector<IdKey>& keys) {
  constexpr std::int64_t kLeastKeys = 1 << 14, kPartsPerThread = 4;
  const std::int64_t n = std::ssize(keys), most_parts = std::min(n / kLeastKeys, kPartsPerThread * context.threads());
  const auto bound = [&](std::int64_t part, std::int64_t n_parts) { return keys.begin() + n * part / n_parts; };
  std::int64_t n_parts = 1;
  for (; n_parts < most_parts; n_parts *= 2)
    context.parallel_for(n_parts, [&](std::int64_t part, int) {
      std::nth_element(bound(part, n_parts), bound(2 * part + 1, 2 * n_parts), bound(part + 1, n_parts));
    });
  context.parallel_for(n_parts, [&](std::int64_t part, int) { std::sort(bound(part, n_parts), bound(part + 1, n_parts)); });
}

}  // namespace

void RepeatCounter::grow(std::size_t n_keys) {
  constexpr std::size_t kLeast = std::size_t{1} << 10;
  const std::size_t room = std::max(n_keys, kLeast);
  Reservation larger = memory_->reserve("the keys that find repeated ids", static_cast<std::int64_t>(room * sizeof(IdKey)));
  keys_.reserve(room);
  reservation_ = std::move(larger);  // the smaller one is given back only now: both buffers were there at once
}

void RepeatCounter::finish(Context& context) {
  if (!std::is_sorted(keys_.begin(), keys_.end())) sort_keys(context, keys_);  // ids often come in their order
  std::int64_t repeats = 0;
  for (std::size_t i = 1; i < keys_.size(); ++i) repeats += keys_[i] == keys_[i - 1] ? 1 : 0;
  repeats_ = repeats;
  std::vector<IdKey>().swap(keys_);
  reservation_ = {};
}

}  // namespace coterie
