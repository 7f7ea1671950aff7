#include "host/repeat_counter.hpp"

#include <algorithm>
#include <span>
#include <utility>

#include "host/parallel_sort.hpp"

namespace coterie {
void RepeatCounter::grow(std::size_t n_keys) {
  constexpr std::size_t kLeast = std::size_t{1} << 10;
  const std::size_t room = std::max(n_keys, kLeast);
  Reservation larger = memory_->reserve("the keys that find repeated ids", static_cast<std::int64_t>(room * sizeof(IdKey)));
  keys_.reserve(room);
  reservation_ = std::move(larger);  // the smaller one is given back only now: both buffers were there at once
}

void RepeatCounter::finish(Context& context) {
  if (!std::is_sorted(keys_.begin(), keys_.end())) parallel_sort(context, std::span(keys_));  // ids often come in their order
  std::int64_t repeats = 0;
  for (std::size_t i = 1; i < keys_.size(); ++i) repeats += keys_[i] == keys_[i - 1] ? 1 : 0;
  repeats_ = repeats;
  std::vector<IdKey>().swap(keys_);
  reservation_ = {};
}

}  // namespace coterie
