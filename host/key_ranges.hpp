// Entries in descending order of their keys where memory has no room for all of them: by ranges of keys that fit, each gathered in a
// sweep of its own. Which ranges there are is counted 16 bits of the key at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace coterie {

inline constexpr int kRangeBits = 16;
inline constexpr std::int64_t kRangeCountBytes = 64 / kRangeBits * ((std::int64_t{1} << kRangeBits) * std::int64_t{sizeof(std::int64_t)});

// for_each(g) calls g(key, entry) for every entry, in any order that stays the same; room: how many entries are gathered at a time, at
// least 1, which take kRangeCountBytes beside them.
template <class Entry, class ForEach, class Sink>
class KeyRanges {
 public:
  KeyRanges(std::size_t room, const ForEach& for_each, const Sink& sink) : room_(room), for_each_(for_each), sink_(sink) {}

  // Calls sink(entries), which it may reorder, for the ranges from the highest down. Of `n` entries in all. Only entries of one key may
  // come in several calls.
  void run(std::size_t n) {
    gathered_.reserve(std::min(room_, n));
    n <= room_ ? gather(0, kAll) : part(0, 64);
  }

 private:
  static constexpr std::uint64_t kAll = ~std::uint64_t{0};

  // Of the 2^bits keys from `first` on, which are more than there is room for.
  void part(std::uint64_t first, int bits) {
    const int shift = bits - kRangeBits;
    const std::uint64_t span = kAll >> (64 - bits);
    std::vector<std::size_t> n(std::size_t{1} << kRangeBits);
    for_each_([&](std::uint64_t key, const Entry&) {
      if (key - first <= span) ++n[(key - first) >> shift];
    });
    for (std::size_t end = n.size(), begin = end; end > 0; end = begin) {
      std::size_t together = n[--begin];
      while (begin > 0 && together + n[begin - 1] <= room_) together += n[--begin];
      const std::uint64_t low = first + (std::uint64_t{begin} << shift), high = first + ((std::uint64_t{end} << shift) - 1);
      if (together > room_ && shift > 0)
        part(low, shift);
      else if (together > 0)
        gather(low, high);
    }
  }

  void gather(std::uint64_t low, std::uint64_t high) {
    for_each_([&](std::uint64_t key, const Entry& entry) {
      if (key - low > high - low) return;
      if (gathered_.size() == room_) hand_on();
      gathered_.push_back(entry);
    });
    hand_on();
  }

  void hand_on() {
    if (!gathered_.empty()) sink_(std::span<Entry>(gathered_));
    gathered_.clear();
  }

  std::size_t room_;
  const ForEach& for_each_;
  const Sink& sink_;
  std::vector<Entry> gathered_;
};

}  // namespace coterie
