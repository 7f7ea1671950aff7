// Ids of customers as 128-bit keys that are compared, sorted and searched instead of the ids. Integers keep their value, texts are
// hashed: among 10^9 different ones two are taken for one with a probability of 10^-21.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "host/random.hpp"

namespace coterie {

struct IdKey {
  std::uint64_t high = 0, low = 0;
  bool operator==(const IdKey&) const = default;
  bool operator<(const IdKey& other) const { return high != other.high ? high < other.high : low < other.low; }
};

inline IdKey id_key(std::int64_t id) { return {0, static_cast<std::uint64_t>(id)}; }

inline IdKey id_key(std::string_view id) {
  IdKey key{~id.size(), id.size()};  // two chains of one mixer, with different starts
  for (std::uint64_t word = 0; !id.empty(); word = 0) {
    const std::size_t n = std::min(id.size(), sizeof word);
    std::memcpy(&word, id.data(), n);
    key = {mix64(key.high ^ word), mix64(key.low ^ word)};
    id.remove_prefix(n);
  }
  return key;
}

}  // namespace coterie
