// Eight bytes of text at once, the first one lowest.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace coterie::io {

static_assert(std::endian::native == std::endian::little, "the first byte of a word is the lowest");

inline constexpr std::uint64_t kEachByte = 0x0101010101010101;  // times a byte: eight of it

// Marks the highest bit of the lowest zero byte, and perhaps of higher bytes; 0 where there is none.
inline std::uint64_t mark_zero_byte(std::uint64_t word) { return (word - kEachByte) & ~word & kEachByte * 0x80; }

// The place of the lowest byte marked.
inline int first_marked(std::uint64_t marks) { return std::countr_zero(marks) / 8; }

// The bytes of a text of 1 to 8, the first one lowest, and zeros.
inline std::uint64_t load_bytes(std::string_view text) {
  const auto part = [&]<class Word>(std::size_t at, Word word) {
    std::memcpy(&word, text.data() + at, sizeof word);
    return std::uint64_t{word} << 8 * at;
  };
  const std::size_t n = text.size();
  if (n < 4) return part(0, std::uint8_t{}) | part(n / 2, std::uint8_t{}) | part(n - 1, std::uint8_t{});
  return part(0, std::uint32_t{}) | part(n - 4, std::uint32_t{});
}

}  // namespace coterie::io
