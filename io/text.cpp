#include "io/text.hpp"

#include <fmt/format.h>

#include <bit>
#include <cstdint>
#include <cstring>

namespace coterie::io {
namespace {

// Bytes of the sequence that starts with `lead`; 0 for a byte that starts none.
std::size_t sequence_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xc2) return 0;  // a continuation byte, or the overlong leads c0 and c1
  if (lead < 0xe0) return 2;
  if (lead < 0xf0) return 3;
  return lead < 0xf5 ? 4 : 0;
}

// The second byte alone decides overlong forms, surrogates and the upper end.
bool is_second_byte(unsigned char lead, unsigned char second) {
  switch (lead) {
    case 0xe0: return second >= 0xa0 && second <= 0xbf;
    case 0xed: return second >= 0x80 && second <= 0x9f;
    case 0xf0: return second >= 0x90 && second <= 0xbf;
    case 0xf4: return second >= 0x80 && second <= 0x8f;
    default: return second >= 0x80 && second <= 0xbf;
  }
}

bool is_sequence(const unsigned char* bytes, std::size_t length) {
  if (length > 1 && !is_second_byte(bytes[0], bytes[1])) return false;
  for (std::size_t i = 2; i < length; ++i)
    if ((bytes[i] & 0xc0) != 0x80) return false;
  return true;
}

std::size_t ascii_prefix(const unsigned char* bytes, std::size_t n) {
  constexpr std::uint64_t kHighBits = 0x8080808080808080u;
  std::size_t i = 0;
  for (std::uint64_t word; i + sizeof word <= n; i += sizeof word) {
    std::memcpy(&word, bytes + i, sizeof word);
    if ((word & kHighBits) != 0) break;
  }
  while (i < n && bytes[i] < 0x80) ++i;
  return i;
}

}  // namespace

std::size_t utf8_prefix(std::string_view text) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  std::size_t done = 0;
  while (done < text.size()) {
    std::size_t length = ascii_prefix(bytes + done, text.size() - done);
    if (length == 0) {
      length = sequence_length(bytes[done]);
      if (length == 0 || length > text.size() - done || !is_sequence(bytes + done, length)) break;
    }
    done += length;
  }
  return done;
}

bool is_utf8(std::string_view text) { return utf8_prefix(text) == text.size(); }

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

std::string shown(std::string_view name) {
  constexpr std::size_t kMostBytes = 80;  // a message stays a line or two
  std::string text = "'";
  for (const char c : name.substr(0, kMostBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      text += fmt::format("\\x{:02x}", byte);
    } else {
      text += c;
    }
  }
  return text + (name.size() > kMostBytes ? "...'" : "'");
}

}  // namespace coterie::io
