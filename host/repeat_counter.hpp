// Counts repeated ids in 8 bytes per row. Integers are counted exactly; texts by 64-bit hashes: two different texts are
// taken for one with a probability of 3e-8 at a million rows and 3e-4 at a hundred million.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "host/memory_ledger.hpp"

namespace coterie {

class RepeatCounter {
 public:
  explicit RepeatCounter(MemoryLedger& memory) : memory_(&memory) {}
  // Either integers or texts. ResourceError when the keys outgrow the memory budget.
  void add(std::int64_t id) { add_key(static_cast<std::uint64_t>(id)); }
  void add(std::string_view id);
  std::int64_t repeats();  // rows whose id an earlier row has

 private:
  void add_key(std::uint64_t key);

  MemoryLedger* memory_;
  Reservation reservation_;
  std::vector<std::uint64_t> keys_;
};

}  // namespace coterie
