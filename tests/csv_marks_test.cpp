#include "io/csv_marks.hpp"

#include <gtest/gtest.h>

#include <string>

#include "host/random.hpp"
#include "tests/support/instruction_sets.hpp"

namespace coterie::io {
namespace {

// What find_rows() says of texts of a few pieces, which end anywhere; and all their marks.
void find_rows_of_pieces() {
  constexpr std::string_view kPieces[] = {"a", "1234567", ",", ",", "\n", "\r\n", "\r", "\"x\"", "\"\"", "\"a\nb\r\"", "\"c\"\"d\"", "5\""};
  int irregular = 0;
  for (std::uint64_t seed = 0; seed < 20'000; ++seed) {
    std::uint64_t draw = seed << 32;
    std::string text;
    for (std::uint64_t pieces = mix64(draw++) % 60; pieces > 0; --pieces) text += kPieces[mix64(draw++) % std::size(kPieces)];
    text.resize(mix64(draw++) % (text.size() + 1));
    CsvRows expected;
    std::int64_t lines = 0;
    const bool is_all = seed % 2 == 0;
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char before = i == 0 ? '\n' : text[i - 1], c = text[i];
      const bool feed_follows = i + 1 < text.size() ? text[i + 1] == '\n' : !is_all;
      if (c == '"') quoted = !quoted;
      if (c == '"' && quoted && before != ',' && before != '\n' && before != '\r' && before != '"') expected.is_regular = false;
      const bool line_ends = c == '\n' || (c == '\r' && !quoted && !feed_follows);
      lines += line_ends ? 1 : 0;
      if (line_ends && !quoted) expected = {i + 1, lines, expected.is_regular};
    }
    if (is_all) expected = {text.size(), lines, expected.is_regular};
    const std::string padded = text + "\n,\"" + std::string(kCsvPadding, '\n');
    const CsvRows rows = find_rows(std::string_view(padded).substr(0, text.size()), is_all, ',');
    const std::string terminated = text + std::string(kCsvPadding, '\0');
    CsvMarks marks(std::string_view(terminated).substr(0, text.size()), ',');
    for (std::size_t i = text.find_first_of(",\"\r\n"); i < text.size(); i = text.find_first_of(",\"\r\n", i + 1))
      ASSERT_EQ(marks.next(), i);
    ASSERT_EQ(marks.next(), text.size());
    ASSERT_EQ(rows.is_regular, expected.is_regular) << text;
    irregular += expected.is_regular ? 0 : 1;
    if (!expected.is_regular) continue;
    ASSERT_EQ(rows.bytes, expected.bytes) << text;
    ASSERT_EQ(rows.lines, expected.lines) << text;
  }
  EXPECT_GT(irregular, 2'000);
  EXPECT_LT(irregular, 18'000);
}

TEST(CsvMarks, FindRowsOnEveryInstructionSet) { testing::for_each_instruction_set(find_rows_of_pieces); }

}  // namespace
}  // namespace coterie::io
