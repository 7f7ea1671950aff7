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

// A bit for each of 64 bytes that is one of these.
template <class... Others>
HWY_INLINE std::uint64_t bits_of(const char* text, char wanted, Others... others) {
#if HWY_TARGET == HWY_SCALAR
  std::uint64_t word = 0;
  for (int i = 0; i < 64; ++i) word |= std::uint64_t{text[i] == wanted || (... || (text[i] == others))} << i;
  return word;
#else
  const hn::CappedTag<std::uint8_t, 64> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto is = [d](auto bytes, char one) HWY_ATTR { return hn::Eq(bytes, hn::Set(d, static_cast<std::uint8_t>(one))); };
  std::uint8_t bits[8];
  for (std::size_t i = 0; i < 64; i += lanes) {
    const auto bytes = hn::LoadU(d, reinterpret_cast<const std::uint8_t*>(text) + i);
    auto any = is(bytes, wanted);
    ((any = hn::Or(any, is(bytes, others))), ...);
    hn::StoreMaskBits(d, any, bits + i / 8);
  }
  std::uint64_t word;
  std::memcpy(&word, bits, sizeof word);
  return word;
#endif
}

// The places of the marks in n bytes, a multiple of 64, at most 2^16. `places` has room for n and 64 more. Returns how many there are.
std::size_t find_marks(const char* text, std::size_t n, char delimiter, std::uint16_t* places) {
  constexpr int kAtOnce = 8;  // written whether they are there or not, for a branch that cannot be told costs more
  std::uint16_t* to = places;
  for (std::size_t base = 0; base < n; base += 64) {
    std::uint64_t marks = bits_of(text + base, delimiter, '\n', '\r', '"', '\0');
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

// Bit i: is the number of bits up to i odd?
HWY_INLINE std::uint64_t odd_prefix(std::uint64_t bits) {
  for (int shift = 1; shift < 64; shift *= 2) bits ^= bits << shift;
  return bits;
}

CsvRows rows_of(const char* text, std::size_t size, bool is_all, char delimiter) {
  CsvRows rows;
  std::int64_t lines = 0;
  std::uint64_t quoted_before = 0;  // all bits where the 64 bytes before end within quotes
  std::uint64_t cell_begins = 1;    // the lowest bit where a cell may begin behind them
  for (std::size_t base = 0; base < size; base += 64) {
    const std::size_t n = size - base;
    const bool is_last = n <= 64;
    const std::uint64_t inside = n < 64 ? (std::uint64_t{1} << n) - 1 : ~std::uint64_t{0};
    const std::uint64_t quotes = bits_of(text + base, '"') & inside, feeds = bits_of(text + base, '\n') & inside;
    const std::uint64_t returns = bits_of(text + base, '\r') & inside, delimiters = bits_of(text + base, delimiter) & inside;
    const std::uint64_t quoted = odd_prefix(quotes) ^ quoted_before;
    const std::uint64_t may_precede = quotes | feeds | returns | delimiters;
    if ((quotes & quoted & ~(may_precede << 1 | cell_begins)) != 0) return {.is_regular = false};
    const std::uint64_t last = is_last ? inside ^ inside >> 1 : 0;  // behind which nothing is known but the end of the file
    std::uint64_t before_feed = feeds >> 1;
    if (!is_last && text[base + 64] == '\n') before_feed |= std::uint64_t{1} << 63;
    if (!is_all) before_feed |= last;
    const std::uint64_t line_ends = feeds | (returns & ~before_feed & ~quoted), row_ends = line_ends & ~quoted;
    if (row_ends != 0) {
      const int place = 63 - static_cast<int>(hwy::Num0BitsAboveMS1Bit_Nonzero64(row_ends));
      rows.bytes = base + static_cast<std::size_t>(place) + 1;
      rows.lines = lines + static_cast<std::int64_t>(hwy::PopCount(line_ends << (63 - place)));
    }
    lines += static_cast<std::int64_t>(hwy::PopCount(line_ends));
    quoted_before = std::uint64_t{0} - (quoted >> 63);
    cell_begins = may_precede >> 63;
  }
  return is_all ? CsvRows{size, lines} : rows;
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie::io
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie::io {

HWY_EXPORT(find_marks);
HWY_EXPORT(rows_of);

CsvRows find_rows(std::string_view text, bool is_all, char delimiter) {
  return HWY_DYNAMIC_DISPATCH(rows_of)(text.data(), text.size(), is_all, delimiter);
}

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
