// Warp exchanges: the last lane to arrive does it for all. Compiled without ThreadSanitizer, because an exchange of
// registers orders no memory and must not look like a race either.
#include "cuda/emulated/language.hpp"

namespace coterie::emulated {
namespace {

struct Exchange {
  std::byte value[16], result[16];
  unsigned source_lane;
};

template <class F>
void for_each_lane(unsigned mask, F&& f) {
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) f(static_cast<unsigned>(std::countr_zero(rest)));
}

void copy_bytes(volatile std::byte* to, const std::byte* from, std::size_t bytes) {  // memcpy would be intercepted
  for (std::size_t i = 0; i < bytes; ++i) to[i] = from[i];
}

struct Vote {
  int value;
  unsigned result;
};

}  // namespace

void exchange(unsigned mask, const char* operation, void* value, std::size_t bytes, unsigned source_lane) {
  Exchange mine;
  if (bytes > sizeof mine.value) throw std::logic_error("a shuffle of more than 16 bytes");
  copy_bytes(mine.value, static_cast<const std::byte*>(value), bytes);
  mine.source_lane = source_lane;
  const auto complete = [](void* const* arguments, unsigned lanes) {
    for_each_lane(lanes, [&](unsigned lane) {
      auto* to = static_cast<Exchange*>(arguments[lane]);
      // A lane outside the mask has no defined value; poison stands for it.
      static constexpr Exchange kUndefined = [] {
        Exchange e{};
        for (std::byte& b : e.value) b = std::byte{0xff};
        return e;
      }();
      const auto* from = (lanes >> to->source_lane & 1) != 0 ? static_cast<const Exchange*>(arguments[to->source_lane]) : &kUndefined;
      copy_bytes(to->result, from->value, sizeof from->value);
    });
  };
  Scheduler::running().meet(mask, operation, &mine, complete, false);
  copy_bytes(static_cast<std::byte*>(value), mine.result, bytes);
}

unsigned vote(unsigned mask, const char* operation, bool predicate) {
  Vote mine{predicate, 0};
  const auto complete = [](void* const* arguments, unsigned lanes) {
    unsigned ballot = 0;
    for_each_lane(lanes, [&](unsigned lane) { ballot |= static_cast<unsigned>(static_cast<Vote*>(arguments[lane])->value) << lane; });
    for_each_lane(lanes, [&](unsigned lane) { static_cast<Vote*>(arguments[lane])->result = ballot; });
  };
  Scheduler::running().meet(mask, operation, &mine, complete, false);
  return mine.result;
}

int sum_lanes(unsigned mask, int value) {
  Vote mine{value, 0};
  const auto complete = [](void* const* arguments, unsigned lanes) {
    unsigned sum = 0;  // wraps around, as the instruction does
    for_each_lane(lanes, [&](unsigned lane) { sum += static_cast<unsigned>(static_cast<Vote*>(arguments[lane])->value); });
    for_each_lane(lanes, [&](unsigned lane) { static_cast<Vote*>(arguments[lane])->result = sum; });
  };
  Scheduler::running().meet(mask, "__reduce_add_sync", &mine, complete, false);
  return static_cast<int>(mine.result);
}

unsigned match_lanes(unsigned mask, int value) {
  Vote mine{value, 0};
  const auto complete = [](void* const* arguments, unsigned lanes) {
    for_each_lane(lanes, [&](unsigned lane) {
      auto* to = static_cast<Vote*>(arguments[lane]);
      for_each_lane(lanes, [&](unsigned other) {
        if (static_cast<Vote*>(arguments[other])->value == to->value) to->result |= 1u << other;
      });
    });
  };
  Scheduler::running().meet(mask, "__match_any_sync", &mine, complete, false);
  return mine.result;
}

}  // namespace coterie::emulated
