// Counts repeated ids in 16 bytes per row. Integers are counted exactly, texts by 128-bit hashes: among 10^9 different ones
// two are taken for one with a probability of 10^-21.
#pragma once

#include <compare>
#include <cstdint>
#include <string_view>
#include <vector>

#include "host/memory_ledger.hpp"

namespace coterie {

class RepeatCounter {
 public:
  // Grows as ids come, or has room for n_rows from the start. ResourceError, here and in add(): the memory budget.
  explicit RepeatCounter(MemoryLedger& memory, std::int64_t n_rows = 0) : memory_(&memory) { grow(static_cast<std::size_t>(n_rows)); }
  // Either integers or texts.
  void add(std::int64_t id) { add(Key{0, static_cast<std::uint64_t>(id)}); }
  void add(std::string_view id);
  std::int64_t repeats();  // rows whose id an earlier row has

 private:
  struct Key {
    std::uint64_t high, low;
    auto operator<=>(const Key&) const = default;
  };
  void add(Key key) {
    if (keys_.size() == keys_.capacity()) grow(2 * keys_.size());
    keys_.push_back(key);
  }
  void grow(std::size_t n_keys);

  MemoryLedger* memory_;
  Reservation reservation_;
  std::vector<Key> keys_;
};

}  // namespace coterie
