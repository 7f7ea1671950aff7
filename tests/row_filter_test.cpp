#include "host/row_filter.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "host/error.hpp"

namespace coterie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

// Six customers: two numbers and a category, each with a missing cell.
const std::vector<double> kSpend{0, 1, 2, 3, kMissing, 5};
const std::vector<double> kVisits{5, kMissing, 2, 1, 7, 0};
const std::vector<std::string> kLevels{"Basic", "Gold", "O'Neil \"X\""};
const std::vector<std::int32_t> kPlan{0, 1, 1, 2, -1, 0};

// The numbers of the customers that `text` chooses.
std::vector<int> chosen(const std::string& text) {
  const RowFilter filter(text);
  std::vector<RowFilter::Cells> cells;
  for (const RowFilter::Column& column : filter.columns()) {
    if (column.name == "spend" || column.name == "1st spend")
      cells.push_back({.numbers = kSpend});
    else if (column.name == "visits")
      cells.push_back({.numbers = kVisits});
    else
      cells.push_back({.codes = kPlan, .levels = &kLevels});
  }
  const std::vector<char> rows = filter.evaluate(cells, std::ssize(kSpend));
  std::vector<int> numbers;
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows[i] != 0) numbers.push_back(static_cast<int>(i));
  return numbers;
}

std::string refusal(const std::string& text) {
  try {
    chosen(text);
  } catch (const ArgumentError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(RowFilter, ComparesNumbers) {
  EXPECT_THAT(chosen("spend == 2"), ElementsAre(2));
  EXPECT_THAT(chosen("spend != 2"), ElementsAre(0, 1, 3, 5));
  EXPECT_THAT(chosen("spend < 2"), ElementsAre(0, 1));
  EXPECT_THAT(chosen("spend <= 2"), ElementsAre(0, 1, 2));
  EXPECT_THAT(chosen("spend > 2"), ElementsAre(3, 5));
  EXPECT_THAT(chosen("spend>=2.0e0"), ElementsAre(2, 3, 5));
  EXPECT_THAT(chosen("-0.5 < spend"), ElementsAre(0, 1, 2, 3, 5));
  EXPECT_THAT(chosen("spend >= visits"), ElementsAre(2, 3, 5));
}

TEST(RowFilter, ComparesTexts) {
  EXPECT_THAT(chosen("plan == \"Gold\""), ElementsAre(1, 2));
  EXPECT_THAT(chosen("'Gold' != plan"), ElementsAre(0, 3, 5));
  EXPECT_THAT(chosen("plan == 'O''Neil \"X\"'"), ElementsAre(3));
  EXPECT_THAT(chosen("plan == \"of no customer\""), ElementsAre());
}

TEST(RowFilter, AColumnAloneIsNotZero) {
  EXPECT_THAT(chosen("spend"), ElementsAre(1, 2, 3, 5));
  EXPECT_THAT(chosen("!spend"), ElementsAre(0));
  EXPECT_THAT(chosen("`1st spend`"), ElementsAre(1, 2, 3, 5));
}

// What a user writes as 0.7 is no float32, and no float32 is what they wrote.
TEST(RowFilter, RoundsConstantsAsTheCellsTheyMeet) {
  const std::vector<double> narrow{0.6f, 0.7f, 0.8f}, wide{0.6, 0.7, 0.8};
  const auto count = [&](const std::string& text) {
    const RowFilter filter(text);
    std::vector<RowFilter::Cells> cells;
    for (const RowFilter::Column& column : filter.columns())
      cells.push_back(column.name == "narrow" ? RowFilter::Cells{.numbers = narrow, .are_narrow = true}
                                              : RowFilter::Cells{.numbers = wide});
    const std::vector<char> rows = filter.evaluate(cells, 3);
    return std::count(rows.begin(), rows.end(), 1);
  };
  EXPECT_EQ(count("narrow == 0.7"), 1);
  EXPECT_EQ(count("narrow >= 0.7"), 2);
  EXPECT_EQ(count("0.7 >= narrow"), 2);
  EXPECT_EQ(count("narrow <= 0.6"), 1);
  EXPECT_EQ(count("wide == 0.7"), 1);
  EXPECT_EQ(count("wide <= 0.6"), 1);
  EXPECT_EQ(count("wide == 0.70000001"), 0);
}

TEST(RowFilter, FindsMissingCells) {
  EXPECT_THAT(chosen("spend is missing"), ElementsAre(4));
  EXPECT_THAT(chosen("spend is not missing && plan is not missing"), ElementsAre(0, 1, 2, 3, 5));
  EXPECT_THAT(chosen("plan is missing or visits is missing"), ElementsAre(1, 4));
}

TEST(RowFilter, AndBindsTighterThanOr) {
  EXPECT_THAT(chosen("spend == 0 || spend == 1 && plan == 'Basic'"), ElementsAre(0));
  EXPECT_THAT(chosen("(spend == 0 || spend == 1) && plan == 'Basic'"), ElementsAre(0));
  EXPECT_THAT(chosen("(spend == 0 or spend == 1) and not plan == 'Basic'"), ElementsAre(1));
}

// Kleene's tables for all nine pairs: visits > 1 is true, unknown, true, false, true, false.
TEST(RowFilter, WhatDependsOnAMissingCellIsNeitherTrueNorFalse) {
  EXPECT_THAT(chosen("visits > 1"), ElementsAre(0, 2, 4));
  EXPECT_THAT(chosen("!(visits > 1)"), ElementsAre(3, 5));
  EXPECT_THAT(chosen("visits > 1 || !(visits > 1)"), ElementsAre(0, 2, 3, 4, 5));
  EXPECT_THAT(chosen("visits > 1 || spend == 1"), ElementsAre(0, 1, 2, 4));
  EXPECT_THAT(chosen("visits > 1 && spend < 9"), ElementsAre(0, 2));
  EXPECT_THAT(chosen("!(visits > 1 && spend == 9)"), ElementsAre(0, 1, 2, 3, 5));
}

TEST(RowFilter, NamesEveryColumnOnceWithItsPlaceAndLevels) {
  const RowFilter filter("a == 'x' && b < 2 || a != 'y'");
  ASSERT_EQ(filter.columns().size(), 2);
  EXPECT_EQ(filter.columns()[0].name, "a");
  EXPECT_THAT(filter.columns()[0].levels, ElementsAre("x", "y"));
  EXPECT_EQ(filter.columns()[1].position, 13);
}

TEST(RowFilter, ErrorsSayWhatAndWhere) {
  EXPECT_THAT(refusal(""), HasSubstr("character 1: expected a column, a number or a quoted text, found the end"));
  EXPECT_THAT(refusal("spend = 1"), HasSubstr("character 7: = stands alone; write =="));
  EXPECT_THAT(refusal("spend & 1"), HasSubstr("write &&"));
  EXPECT_THAT(refusal("spend == "), HasSubstr("character 10"));
  EXPECT_THAT(refusal("(spend == 1"), HasSubstr("the ) of the ( at character 1, found the end"));
  EXPECT_THAT(refusal("spend == 1 plan"), HasSubstr("character 12: expected && or ||, found plan"));
  EXPECT_THAT(refusal("spend == 1)"), HasSubstr("character 11"));
  EXPECT_THAT(refusal("plan == \"Gold"), HasSubstr("character 9: the quote \" is never closed"));
  EXPECT_THAT(refusal("plan < 'Gold'"), HasSubstr("compared with == or !="));
  EXPECT_THAT(refusal("1 == 1"), HasSubstr("one side of a comparison is a column"));
  EXPECT_THAT(refusal("1 == 'a'"), HasSubstr("a text is compared with a column"));
  EXPECT_THAT(refusal("5"), HasSubstr("expected a comparison"));
  EXPECT_THAT(refusal("plan=Gold == 1"), HasSubstr("character 5"));
  EXPECT_THAT(refusal("12months > 3"), HasSubstr("backquotes"));
  EXPECT_THAT(refusal("spend is empty"), HasSubstr("expected missing, found empty"));
  EXPECT_THAT(refusal("spend # 1"), HasSubstr("character 7: # has no meaning here"));
  EXPECT_THAT(refusal(std::string(5000, '(')), HasSubstr("parentheses"));
  std::string long_one = "spend";
  for (int i = 0; i < 3000; ++i) long_one += "||spend";
  EXPECT_THAT(refusal(long_one), HasSubstr("too long"));
  EXPECT_THAT(refusal("spend == 'Gold'"), HasSubstr("holds numbers"));
  EXPECT_THAT(refusal("plan == 3"), HasSubstr("holds texts"));
  EXPECT_THAT(refusal("plan"), HasSubstr("holds texts"));
}

}  // namespace
}  // namespace coterie
