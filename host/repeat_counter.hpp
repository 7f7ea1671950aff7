// Counts repeated ids by their keys, in 16 bytes per row until finish().
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "host/context.hpp"
#include "host/id_key.hpp"

namespace coterie {

class RepeatCounter {
 public:
  // Grows as ids come, or has room for n_rows from the start. ResourceError, here and in add(): the memory budget.
  explicit RepeatCounter(MemoryLedger& memory, std::int64_t n_rows = 0) : memory_(&memory) { grow(static_cast<std::size_t>(n_rows)); }
  // Either integers or texts.
  void add(std::int64_t id) { add(id_key(id)); }
  void add(std::string_view id) { add(id_key(id)); }
  void add(std::span<const IdKey> ids) {
    for (const IdKey& id : ids) add(id);
  }
  void finish(Context& context);                             // once all have come
  std::int64_t repeats() const { return repeats_.value(); }  // rows whose id an earlier row has; after finish()

 private:
  void add(IdKey key) {
    if (keys_.size() == keys_.capacity()) grow(2 * keys_.size());
    keys_.push_back(key);
  }
  void grow(std::size_t n_keys);

  MemoryLedger* memory_;
  Reservation reservation_;
  std::vector<IdKey> keys_;
  std::optional<std::int64_t> repeats_;
};

}  // namespace coterie
