#include "io/csv_marks.hpp"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "io/csv_marks.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace coterie::io {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// A bit for each of 64 bytes that is a mark.
HWY_INLINE std::uint64_t marks_of(const char* text, char delimiter) {
  const hn::CappedTag<std::uint8_t, 64> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto is = [&](auto bytes, char wanted) { return hn::Eq(bytes, hn::Set(d, static_cast<std::uint8_t>(wanted))); };
  std::uint8_t bits[8];
  for (std::size_t i = 0; i < 64; i += lanes) {
    const auto bytes = hn::LoadU(d, reinterpret_cast<const std::uint8_t*>(text) + i);
    const auto line_ends = hn::Or(is(bytes, '\n'), is(bytes, '\r'));
    const auto others = hn::Or(is(bytes, delimiter), hn::Or(is(bytes, '"'), is(bytes, '\0')));
    hn::StoreMaskBits(d, hn::Or(line_ends, others), bits + i / 8);
  }
  std::uint64_t word;
  std::memcpy(&word, bits, sizeof word);
  return word;
}

// The places of the marks in n bytes, a multiple of 64, at most 2^16. `places` has room for n and 64 more. Returns how many there are.
std::size_t find_marks(const char* text, std::size_t n, char delimiter, std::uint16_t* places) {
  constexpr int kAtOnce = 8;  // written whether they are there or not, for a branch that cannot be told costs more
  std::uint16_t* to = places;
  for (std::size_t base = 0; base < n; base += 64) {
    std::uint64_t marks = marks_of(text + base, delimiter);
    std::uint16_t* const behind = to + hwy::PopCount(marks);
    while (marks != 0) {
      for (int i = 0; i < kAtOnce; ++i) {
        to[i] = static_cast<std::uint16_t>(base + static_cast<std::size_t>(hwy::Num0BitsBelowLS1Bit_Nonzero64(marks | 1ULL << 63)));
        marks &= marks - 1;
      }
      to += kAtOnce;
    }
    to = behind;
  }
  return static_cast<std::size_t>(to - places);
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie::io
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie::io {

HWY_EXPORT(find_marks);

bool CsvMarks::look_on() {
  while (seen_ < text_.size()) {
    base_ = seen_;
    const std::size_t n = std::min(kWindow, text_.size() - base_);
    n_ = HWY_DYNAMIC_DISPATCH(find_marks)(text_.data() + base_, (n + 63) / 64 * 64, delimiter_, places_.data());
    while (n_ > 0 && places_[n_ - 1] >= n) --n_;  // the padding
    next_ = 0;
    seen_ = base_ + n;
    if (n_ > 0) return true;
  }
  return false;
}

}  // namespace coterie::io
#endif  // HWY_ONCE
