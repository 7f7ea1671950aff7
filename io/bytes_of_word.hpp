// Eight bytes of text at once, the first one lowest.
#pragma once

#include <bit>
#include <cstdint>

namespace coterie::io {

static_assert(std::endian::native == std::endian::little, "the first byte of a word is the lowest");

inline constexpr std::uint64_t kEachByte = 0x0101010101010101;  // times a byte: eight of it

// Marks the highest bit of the lowest zero byte, and perhaps of higher bytes; 0 where there is none.
inline std::uint64_t mark_zero_byte(std::uint64_t word) { return (word - kEachByte) & ~word & kEachByte * 0x80; }

// The place of the lowest byte marked.
inline int first_marked(std::uint64_t marks) { return std::countr_zero(marks) / 8; }

}  // namespace coterie::io
