#include "tools/table.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace coterie::tools {
namespace {

TEST(Table, AlignsByDisplayedWidth) {
  Table table;
  table.add_column("NAME", Align::left);
  table.add_column("N");
  table.add_row({"Zoë", "7"});
  table.add_row({"顧客", "1,234"});
  EXPECT_EQ(table.text(), "NAME      N\nZoë       7\n顧客  1,234\n");
}

TEST(DisplayWidth, CountsColumnsNotBytes) {
  EXPECT_EQ(display_width("abc"), 3u);
  EXPECT_EQ(display_width("é"), 1u);
  EXPECT_EQ(display_width("e\u0301"), 1u);  // a combining accent takes no column
  EXPECT_EQ(display_width("顧客"), 4u);
  EXPECT_EQ(display_width("\xff"), 1u);
}

TEST(Printable, LeavesNothingATerminalWouldObey) {
  EXPECT_EQ(printable("Zoë 顧客"), "Zoë 顧客");
  EXPECT_EQ(printable("\x1b[31mred\n"), "\\x1b[31mred\\x0a");
  EXPECT_EQ(printable("\xff"), "\\xff");
  EXPECT_EQ(printable("a\u202eb"), "a\\xe2\\x80\\xaeb");  // right-to-left override
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
}

TEST(Shortened, KeepsTheWidth) {
  EXPECT_EQ(shortened("abc", 3), "abc");
  EXPECT_EQ(shortened("abcd", 3), "ab…");
  EXPECT_EQ(display_width(shortened("顧客顧客", 5)), 5u);
}

TEST(Numbers, ReadLikePeopleWriteThem) {
  EXPECT_EQ(with_separators(0), "0");
  EXPECT_EQ(with_separators(999), "999");
  EXPECT_EQ(with_separators(-1234567), "-1,234,567");
  EXPECT_EQ(percent(0.1234), "12.3 %");
  EXPECT_EQ(percent(std::numeric_limits<double>::quiet_NaN()), "-");
  EXPECT_EQ(short_number(1234.4), "1,234");
  EXPECT_EQ(short_number(72), "72");
  EXPECT_EQ(short_number(57.26), "57.3");
  EXPECT_EQ(short_number(1.2345), "1.23");
  EXPECT_EQ(short_number(0.00012), "1.20e-04");
}

}  // namespace
}  // namespace coterie::tools
