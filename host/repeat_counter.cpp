#include "host/repeat_counter.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "host/random.hpp"

namespace coterie {

void RepeatCounter::add(std::string_view id) {
  Key key{~id.size(), id.size()};  // two chains of one mixer, with different starts
  for (std::uint64_t word = 0; !id.empty(); word = 0) {
    const std::size_t n = std::min(id.size(), sizeof word);
    std::memcpy(&word, id.data(), n);
    key = {mix64(key.high ^ word), mix64(key.low ^ word)};
    id.remove_prefix(n);
  }
  add(key);
}

void RepeatCounter::grow(std::size_t n_keys) {
  constexpr std::size_t kLeast = std::size_t{1} << 10;
  const std::size_t room = std::max(n_keys, kLeast);
  Reservation larger = memory_->reserve("the keys that find repeated ids", static_cast<std::int64_t>(room * sizeof(Key)));
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
