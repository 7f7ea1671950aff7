#include "io/text.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>

namespace coterie::io {
namespace {

// RFC 3629 the slow way: decode one sequence, then ask whether its value belongs to its length.
std::optional<std::size_t> sequence_at(std::string_view bytes) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i])); };
  const std::size_t length = byte(0) < 0x80 ? 1 : byte(0) >> 5 == 0x6 ? 2 : byte(0) >> 4 == 0xe ? 3 : byte(0) >> 3 == 0x1e ? 4 : 0;
  if (length == 0 || length > bytes.size()) return std::nullopt;
  std::uint32_t value = length == 1 ? byte(0) : byte(0) & (0x7fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if (byte(i) >> 6 != 2) return std::nullopt;
    value = value << 6 | (byte(i) & 0x3f);
  }
  constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xd800 && value <= 0xdfff;
  if (value < kLeast[length] || value > 0x10ffff || surrogate) return std::nullopt;
  return length;
}

bool reference_is_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::optional<std::size_t> length = sequence_at(bytes);
    if (!length) return false;
    bytes.remove_prefix(*length);
  }
  return true;
}

TEST(Text, Utf8MatchesReferenceForAllShortStrings) {
  for (std::uint32_t bits = 0; bits < (1u << 24); bits += bits < (1u << 16) ? 1 : 7) {
    const char bytes[] = {static_cast<char>(bits), static_cast<char>(bits >> 8), static_cast<char>(bits >> 16)};
    for (std::size_t size = bits < (1u << 16) ? 1 : 3; size <= 3; ++size)
      ASSERT_EQ(is_utf8({bytes, size}), reference_is_utf8({bytes, size})) << std::hex << bits << ' ' << size;
  }
}

TEST(Text, Utf8MatchesReferenceForFourBytes) {
  for (std::uint32_t lead = 0xe8; lead <= 0xff; ++lead)
    for (std::uint32_t second = 0x70; second <= 0xd0; ++second)
      for (std::uint32_t rest = 0; rest < 0x10000; rest += 37) {
        const char bytes[] = {static_cast<char>(lead), static_cast<char>(second), static_cast<char>(rest), static_cast<char>(rest >> 8)};
        ASSERT_EQ(is_utf8({bytes, 4}), reference_is_utf8({bytes, 4})) << std::hex << lead << ' ' << second << ' ' << rest;
      }
}

TEST(Text, Utf8IsJudgedBehindLongAsciiRuns) {
  for (std::size_t ascii = 0; ascii < 40; ++ascii) {
    EXPECT_TRUE(is_utf8(std::string(ascii, 'a') + "\xc3\xa4" + std::string(ascii, 'b'))) << ascii;
    EXPECT_FALSE(is_utf8(std::string(ascii, 'a') + "\xc3" + std::string(ascii, 'b'))) << ascii;
  }
}

TEST(Text, TrimsBlanksOnly) {
  EXPECT_EQ(trimmed(" \ta b\t "), "a b");
  EXPECT_EQ(trimmed("   "), "");
  EXPECT_EQ(trimmed("\n"), "\n");
}

TEST(Text, LowerCaseLeavesOtherAlphabetsAlone) { EXPECT_EQ(lower_case("ABC-xyz \xc3\x84"), "abc-xyz \xc3\x84"); }

TEST(Text, ShownNamesAreShortAndHarmless) {
  EXPECT_EQ(shown("spend"), "'spend'");
  EXPECT_EQ(shown("a\nb\x1b[31m\x7f"), "'a\\x0ab\\x1b[31m\\x7f'");
  EXPECT_EQ(shown(std::string(100, 'x')), "'" + std::string(80, 'x') + "...'");
}

}  // namespace
}  // namespace coterie::io
