#include "host/repeat_counter.hpp"

#include <algorithm>
#include <utility>

namespace coterie {

void RepeatCounter::grow(std::size_t n_keys) {
  constexpr std::size_t kLeast = std::size_t{1} << 10;
  const std::size_t room = std::max(n_keys, kLeast);
  Reservation larger = memory_->reserve("the keys that find repeated ids", static_cast<std::int64_t>(room * sizeof(IdKey)));
  keys_.reserve(room);
  reservation_ = std::move(larger);  // the smaller one is given back only now: both buffers were there at once
}

std::int64_t RepeatCounter::repeats() {
  std::sort(keys_.begin(), keys_.end());
  std::int64_t repeats = 0;
  for (std::size_t i = 1; i < keys_.size(); ++i) repeats += keys_[i] == keys_[i - 1] ? 1 : 0;
  return repeats;
}

}  // namespace coterie
