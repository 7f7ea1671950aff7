#include "host/repeat_counter.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "host/random.hpp"

namespace coterie {

void RepeatCounter::add(std::string_view id) {
  std::uint64_t key = id.size();
  for (std::uint64_t word = 0; !id.empty(); word = 0) {
    const std::size_t n = std::min(id.size(), sizeof word);
    std::memcpy(&word, id.data(), n);
    key = mix64(key ^ word);
    id.remove_prefix(n);
  }
  add_key(key);
}

void RepeatCounter::add_key(std::uint64_t key) {
  if (keys_.size() == keys_.capacity()) {
    constexpr std::size_t kLeast = std::size_t{1} << 16;
    const std::size_t grown = std::max(2 * keys_.size(), kLeast);
    Reservation larger = memory_->reserve("the keys that find repeated ids", static_cast<std::int64_t>(grown * sizeof key));
    keys_.reserve(grown);
    reservation_ = std::move(larger);  // the smaller one is given back only now: both buffers were there at once
  }
  keys_.push_back(key);
}

std::int64_t RepeatCounter::repeats() {
  std::sort(keys_.begin(), keys_.end());
  std::int64_t repeats = 0;
  for (std::size_t i = 1; i < keys_.size(); ++i) repeats += keys_[i] == keys_[i - 1] ? 1 : 0;
  return repeats;
}

}  // namespace coterie
