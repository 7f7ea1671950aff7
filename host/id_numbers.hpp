// Numbers of ids, in the order in which they first come. Open addressing, so that what a search will look at can be fetched ahead.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "host/id_key.hpp"

namespace coterie {

class IdNumbers {
 public:
  static constexpr std::int64_t kBytesPerId = 48;  // at most half of the slots are taken

  std::int64_t size() const { return size_; }
  // Room for so many ids, 2^31 - 1 at most.
  void reserve(std::int64_t n_ids) {
    std::vector<Slot> before = std::exchange(slots_, {});
    std::size_t n_slots = 2;
    while (static_cast<std::int64_t>(n_slots) < 2 * n_ids) n_slots *= 2;
    slots_.resize(n_slots);
    for (const Slot& slot : before)
      if (slot.number != kFree) slots_[place_of(slot.id)] = slot;
  }
  void clear() {
    slots_.assign(slots_.size(), {});
    size_ = 0;
  }

  void fetch(const IdKey& id) const {
    if (!slots_.empty()) __builtin_prefetch(&slots_[first_place(id)]);
  }
  // The number of an id, or -1 of one that is new.
  std::int64_t find(const IdKey& id) const { return slots_.empty() ? kFree : slots_[place_of(id)].number; }
  // Of one that is new and has room.
  std::int64_t add(const IdKey& id) {
    slots_[place_of(id)] = {id, static_cast<std::int32_t>(size_)};
    return size_++;
  }

 private:
  static constexpr std::int32_t kFree = -1;
  struct Slot {
    IdKey id;
    std::int32_t number = kFree;
  };
  static_assert(2 * sizeof(Slot) == kBytesPerId);

  std::size_t first_place(const IdKey& id) const { return mix64(id.low ^ mix64(id.high)) & (slots_.size() - 1); }
  std::size_t place_of(const IdKey& id) const {
    std::size_t place = first_place(id);
    while (slots_[place].number != kFree && !(slots_[place].id == id)) place = (place + 1) & (slots_.size() - 1);
    return place;
  }

  std::vector<Slot> slots_;  // a power of two of them
  std::int64_t size_ = 0;
};

}  // namespace coterie
