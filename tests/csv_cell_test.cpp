#include "io/csv_cell.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <string_view>

namespace coterie::io {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(CsvCell, KnowsTheTokensOfMissingCells) {
  for (const char* cell : {"", "?", "NA", "na", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "<NA>"}) EXPECT_TRUE(is_missing(cell)) << cell;
  for (const char* cell : {"0", "no", "None", "n", "-", "??", "nano", "nullable"}) EXPECT_FALSE(is_missing(cell)) << cell;
}

TEST(CsvCell, ReadsDecimalNumbers) {
  EXPECT_EQ(parse_number("12"), 12);
  EXPECT_EQ(parse_number("-0.5"), -0.5);
  EXPECT_EQ(parse_number("+7"), 7);
  EXPECT_EQ(parse_number(".5"), 0.5);
  EXPECT_EQ(parse_number("5."), 5);
  EXPECT_EQ(parse_number("1e3"), 1000);
  EXPECT_EQ(parse_number("0.1"), 0.1);
  EXPECT_EQ(parse_number("9007199254740993"), 9007199254740992);  // the nearest float64
  EXPECT_EQ(parse_number("inf"), kInfinity);
  EXPECT_EQ(parse_number("1e999"), kInfinity);
  EXPECT_EQ(parse_number("-1e999"), -kInfinity);
  EXPECT_EQ(parse_number("1e-999"), 0);
}

// Short cells have a way of their own: it must take what from_chars takes, and for the same number.
TEST(CsvCell, ReadsShortCellsAsTheStandardLibraryDoes) {
  constexpr std::string_view kCharacters = "0123456789012345678901234567899..-e/:";
  std::mt19937 random(1);
  int numbers = 0;
  for (int i = 0; i < 300'000; ++i) {
    std::string cell(1 + random() % 10, '0');
    for (char& c : cell) c = kCharacters[random() % kCharacters.size()];
    double expected = 0;
    const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), expected);
    const bool is_number = end == cell.data() + cell.size();
    ASSERT_EQ(parse_number(cell).has_value(), is_number) << cell;
    const std::string padded = cell + "7.-,5\n02";
    std::string with_comma = padded;
    std::replace(with_comma.begin(), with_comma.end(), '.', ',');
    const double of_padded = padded_number_or_nan(std::string_view(padded).substr(0, cell.size()));
    const double of_comma = padded_number_or_nan(std::string_view(with_comma).substr(0, cell.size()), ',');
    ASSERT_EQ(std::isnan(of_padded), !is_number) << cell;
    ASSERT_EQ(std::isnan(of_comma), !is_number) << cell;
    if (!is_number || error != std::errc()) continue;
    for (const double value : {*parse_number(cell), of_padded, of_comma})
      ASSERT_EQ(std::bit_cast<std::uint64_t>(value), std::bit_cast<std::uint64_t>(expected)) << cell;
    ++numbers;
  }
  EXPECT_GT(numbers, 100'000);
}

TEST(CsvCell, TakesNothingElseForANumber) {
  for (const char* cell : {"", "+", "-", "+-1", "1,000", "1 000", "0x10", "12%", "$5", "1.2.3", "five", "1e", "nan(1)", "2026-01-01"})
    EXPECT_FALSE(parse_number(cell)) << cell;
}

TEST(CsvCell, ReadsDecimalCommasOnRequest) {
  EXPECT_EQ(parse_number("3,25", ','), 3.25);
  EXPECT_EQ(parse_number("-7", ','), -7);
  EXPECT_FALSE(parse_number("3.25", ','));
  EXPECT_FALSE(parse_number("1,234,567", ','));
  EXPECT_FALSE(parse_number(std::string(70, '1'), ','));
}

TEST(CsvCell, KnowsWhatAFloat32Keeps) {
  const auto survives = [](const char* cell) { return survives_float32(cell, *parse_number(cell)); };
  for (const char* cell : {"0", "29.85", "8684.8", "16777216", "0.1", "123456", "1e10", "1e-30", "0.000123456", "100000000", "1234567"})
    EXPECT_TRUE(survives(cell)) << cell;
  for (const char* cell : {"16777217", "16777217e0", "123456789", "0.123456789", "3.14159265358979", "1e39", "1e-50"})
    EXPECT_FALSE(survives(cell)) << cell;
}

TEST(CsvCell, SeesLeadingZeros) {
  for (const char* cell : {"00501", "007", "00"}) EXPECT_TRUE(has_leading_zero(cell)) << cell;
  for (const char* cell : {"0", "0.5", "10", "", "0e1"}) EXPECT_FALSE(has_leading_zero(cell)) << cell;
}

TEST(CsvCell, IdsAreTheWholeNumbersTheySay) {
  for (const char* cell : {"1000", "+1000", "1000.0", "1000.", "1e3", "1E3", "10.0e2", "001000.0"})
    EXPECT_EQ(cell_key(cell, '.'), id_key(1000)) << cell;
  for (const char* cell : {"1000", "1000,0", "+1000", "1e3"}) EXPECT_EQ(cell_key(cell, ','), id_key(1000)) << cell;
  EXPECT_EQ(cell_key("-0", '.'), id_key(0));
  EXPECT_EQ(cell_key("12345678901234.0", '.'), cell_key("12345678901234", '.'));
  for (const char* cell : {"01000", "1000,0", "1000.5", "A1000", "", "inf", "1e300", "9007199254740993", "90071992547409930"})
    EXPECT_EQ(cell_key(cell, '.'), id_key(std::string_view(cell))) << cell;
  EXPECT_EQ(cell_key("1000.0", ','), id_key(std::string_view("1000.0")));
}

TEST(CsvCell, ReadsIsoDates) {
  EXPECT_EQ(parse_date("1970-01-01"), 0);
  EXPECT_EQ(parse_date("1969-12-31"), -1);
  EXPECT_EQ(parse_date("2000-03-01"), 11017);
  EXPECT_EQ(parse_date("2024-02-29"), 19782);
  EXPECT_EQ(parse_date("2024-02-29 23:59:59"), 19782);
  EXPECT_EQ(parse_date("2024-02-29T23:59:59Z"), 19782);
  for (const char* time : {"00:00", "23:59", "23:59:60", "12:00:00.5", "12:00:00.123456789", "12:00Z", "12:00:00+02", "12:00:00-0230",
                           "12:00:00.5+02:30", "12:00:00 -0500", "12:00:00 UTC"})
    for (const char* between : {"T", " "}) EXPECT_EQ(parse_date(std::string("2024-02-29") + between + time), 19782) << time;
}

TEST(CsvCell, TakesNothingElseForADate) {
  for (const char* cell :
       {"2023-02-29", "2023-13-01", "2023-00-10", "2023-1-1", "20230101", "01.02.2023", "2023-01-01x", "2023/01/01", "23-01-01-1"})
    EXPECT_FALSE(parse_date(cell)) << cell;
  for (const char* time : {"T", " ", " 12", " 1:00", " 12:", " 24:00", " 12:60", " 12:00:", " 12:00:61", " 12:00:00.", " 12:00:00.x",
                           " 99:99:99 rubbish", " 12:00:00 rubbish", "  12:00", " +02:00", "Tnoon"})
    EXPECT_FALSE(parse_date(std::string("2024-01-05") + time)) << time;
  for (const char* zone : {"ZZ", "+", "+2", "+24:00", "+02:", "+02:60", "+02:00:00", " "})
    EXPECT_FALSE(parse_date(std::string("2024-01-05T12:00:00") + zone)) << zone;
}

}  // namespace
}  // namespace coterie::io
