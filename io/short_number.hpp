// Decimals of up to 8 bytes, read from one word.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>

#include "io/bytes_of_word.hpp"

namespace coterie::io {

inline constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kPowersOfTen[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7};

inline bool are_digits(std::uint64_t bytes) {  // of the bytes with the high half of '0', these keep it when 6 is added
  return ((bytes & kEachByte * 0xf0) | ((bytes + kEachByte * 6) & kEachByte * 0xf0) >> 4) == kEachByte * 0x33;
}

// The number that 8 digits are, the first one in the lowest byte: neighbours are joined to pairs, these to fours, and these.
inline std::uint64_t join_digits(std::uint64_t digits) {
  digits = (digits & kEachByte * 0x0f) * (1 + (10 << 8)) >> 8;
  digits = (digits & 0x00ff00ff00ff00ff) * (1 + (100 << 16)) >> 16;
  return (digits & 0x0000ffff0000ffff) * (1 + (std::uint64_t{10000} << 32)) >> 32;
}

// A decimal of n bytes, 1 to 8, the first one lowest, whatever lies above them, with `decimal` before its fraction: its digits and the
// power of ten are exact doubles, so that one division rounds as it should. kNoNumber: something else.
inline double short_number(std::uint64_t bytes, std::size_t n, char decimal) {
  const bool is_negative = (bytes & 0xff) == '-';
  if (is_negative && --n == 0) return kNoNumber;
  bytes = (is_negative ? bytes >> 8 : bytes) << 8 * (8 - n);
  const std::uint64_t points = mark_zero_byte(bytes ^ kEachByte * static_cast<unsigned char>(decimal));
  bytes |= kEachByte * '0' >> 8 >> 8 * (n - 1);  // zeros in front
  int n_behind_point = 0;
  if (points != 0) {
    if (n == 1) return kNoNumber;
    const int at = first_marked(points);
    const std::uint64_t before = (std::uint64_t{1} << 8 * at) - 1, behind = ~before << 8;
    bytes = (bytes & behind) | (bytes & before) << 8 | '0';
    n_behind_point = 7 - at;
  }
  if (!are_digits(bytes)) return kNoNumber;
  const double value = static_cast<double>(static_cast<std::int64_t>(join_digits(bytes))) / kPowersOfTen[n_behind_point];
  return is_negative ? -value : value;
}

// The same of a cell from whose begin 8 bytes can be read, as of every cell of a CsvBatch; kNoNumber of all that is longer.
inline double padded_short_number(std::string_view cell, char decimal) {
  std::uint64_t bytes;
  std::memcpy(&bytes, cell.data(), sizeof bytes);
  return cell.size() - 1 < sizeof bytes ? short_number(bytes, cell.size(), decimal) : kNoNumber;
}

}  // namespace coterie::io
