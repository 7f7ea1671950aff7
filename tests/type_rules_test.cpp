#include "io/type_rules.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/column_names.hpp"
#include "host/error.hpp"
#include "tests/support/csv_files.hpp"

namespace coterie::io {
namespace {

using coterie::testing::context_with_threads;
using coterie::testing::message_of;
using coterie::testing::ScratchFolder;
using coterie::testing::write_text;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<ImportedColumn> decide_text(const std::string& text, const ImportOptions& options = {}) {
  const ScratchFolder folder;
  const auto context = context_with_threads(2);
  CsvTable table(*context, {write_text(folder, "t.csv", text)}, folder.path(), options.delimiter);
  check(options, table.header());
  std::vector<bool> may_be_id;
  for (const std::string& name : table.header()) may_be_id.push_back(options.id == name || id_rank(name) > 0);
  ColumnTallies tallies(*context, table, options.decimal, may_be_id);
  table.rewind();
  for (auto batches = table.next(); !batches.empty(); batches = table.next()) tallies.add(batches);
  return decide_columns(options, table.header(), tallies.finish());
}

// The column "x" alone, with a second one that is of no interest.
ImportedColumn decide_cells(const std::vector<std::string>& cells, const ImportOptions& options = {}, const std::string& name = "x") {
  std::string text = name + ",other\n";
  for (const std::string& cell : cells) text += '"' + cell + "\",1\n";
  return decide_text(text, options).front();
}

template <class E>
std::string refusal(const std::vector<std::string>& cells, const ImportOptions& options = {}, const std::string& name = "x") {
  return message_of<E>([&] { decide_cells(cells, options, name); });
}

std::vector<std::string> numbered(const std::string& prefix, int n) {
  std::vector<std::string> cells;
  for (int i = 0; i < n; ++i) cells.push_back(prefix + std::to_string(i));
  return cells;
}

ImportOptions with(auto set) {
  ImportOptions options;
  set(options);
  return options;
}

MATCHER_P2(Is, kind, use, "") { return arg.kind == kind && arg.use == use; }

TEST(TypeRules, NumbersAreActive) {
  const ImportedColumn column = decide_cells({"1", "2.5", "-3", " 4 ", "1e3"});
  EXPECT_THAT(column, Is(ColumnKind::number, ColumnUse::active));
  EXPECT_FALSE(column.warning);
  EXPECT_TRUE(column.fits_float32);
}

TEST(TypeRules, BlanksLeaveANumberANumber) {
  const ImportedColumn column = decide_cells({"29.85", " ", "", "NA", "1889.5"});
  EXPECT_THAT(column, Is(ColumnKind::number, ColumnUse::active));
  EXPECT_EQ(column.missing, 3);
}

TEST(TypeRules, ManyDigitsNeedFloat64) {
  EXPECT_FALSE(decide_cells({"1", "1700000001"}).fits_float32);
  EXPECT_FALSE(decide_cells({"1", "0.12345678901"}).fits_float32);
}

TEST(TypeRules, InfiniteNumbersAreRefused) {
  EXPECT_THAT(refusal<ContentsError>({"1", "inf", "1e999"}), AllOf(HasSubstr("'x'"), HasSubstr("2 numbers"), HasSubstr("line 3")));
  EXPECT_THAT(decide_cells({"1", "inf"}, with([](auto& o) { o.ignore = {"x"}; })), Is(ColumnKind::number, ColumnUse::ignore));
}

TEST(TypeRules, TwoLevelsThatSayYesOrNoAreOne) {
  for (const auto& [yes, no] : {std::pair("Yes", "No"), {"true", "false"}, {"TRUE", "FALSE"}, {"y", "n"}, {"T", "F"}, {"on", "off"}}) {
    const ImportedColumn column = decide_cells({yes, no, "", no});
    EXPECT_THAT(column, Is(ColumnKind::two_valued, ColumnUse::active)) << yes;
    EXPECT_EQ(column.positive, yes);
    EXPECT_EQ(column.missing, 1);
  }
}

TEST(TypeRules, ASplitDrivesNothing) {
  for (const char* other : {"test", "valid", "held-out"}) {
    const ImportedColumn column = decide_cells({"train", other, "train"});
    EXPECT_THAT(column, Is(ColumnKind::two_valued, ColumnUse::profile)) << other;
    EXPECT_EQ(column.positive, "train");
  }
  EXPECT_THAT(decide_cells({"car", "train"}), Is(ColumnKind::two_valued, ColumnUse::active));
}

TEST(TypeRules, OfOtherPairsTheLaterLevelIsOne) {
  EXPECT_EQ(decide_cells({"M", "F"}).positive, "M");
  EXPECT_EQ(decide_cells({"F", "M"}).positive, "M");
  EXPECT_EQ(decide_cells({"Yes", "Never"}).positive, "Yes");
}

TEST(TypeRules, FewLevelsAreAProfileCategory) {
  const ImportedColumn column = decide_cells({"b", "a", "c", "", "a "});
  EXPECT_THAT(column, Is(ColumnKind::category, ColumnUse::profile));
  EXPECT_THAT(column.levels, ElementsAre("a", "b", "c"));
  EXPECT_THAT(decide_cells(numbered("level ", 50)).levels.size(), 50);
}

TEST(TypeRules, ManyLevelsAreIgnored) {
  const ImportedColumn column = decide_cells(numbered("level ", 51));
  EXPECT_THAT(column, Is(ColumnKind::text, ColumnUse::ignore));
  EXPECT_TRUE(column.warning);
  EXPECT_THAT(column.levels, IsEmpty());
  EXPECT_THAT(decide_cells({"short", std::string(300, 'x'), "other"}), Is(ColumnKind::text, ColumnUse::ignore));
}

TEST(TypeRules, TextThatIsAlmostNumbersSaysWhereItIsNot) {
  std::vector<std::string> cells = numbered("", 60);
  cells.push_back("n.a.");
  EXPECT_THAT(decide_cells(cells).reason, AllOf(HasSubstr("60 of 61"), HasSubstr("numbers"), HasSubstr("line 62"), Not(HasSubstr("n.a."))));
  EXPECT_THAT(decide_cells({"2026-01-01", "2026-01-02", "2026-01-03", "soon"}).reason, AllOf(HasSubstr("3 of 4"), HasSubstr("dates")));
}

TEST(TypeRules, DecimalCommasAreNoticedAndReadOnRequest) {
  EXPECT_THAT(decide_cells({"1,5", "2", "3,25"}).reason, HasSubstr("--decimal ,"));
  EXPECT_THAT(decide_cells({"1,5", "2", "3,25"}, with([](auto& o) { o.decimal = ','; })), Is(ColumnKind::number, ColumnUse::active));
}

TEST(TypeRules, OneLevelAndNothingAreIgnored) {
  EXPECT_THAT(decide_cells({"a", "a"}), Is(ColumnKind::constant, ColumnUse::ignore));
  EXPECT_THAT(decide_cells({"Yes", ""}).reason, HasSubstr("empty cells"));
  EXPECT_THAT(decide_cells({"", "NA"}), Is(ColumnKind::empty, ColumnUse::ignore));
}

TEST(TypeRules, WholeNumbersWithACodesNameAreIgnored) {
  for (const char* name : {"zip", "ZIP Code", "postcode", "phone", "phone_number", "storeId", "store", "area_code"})
    EXPECT_THAT(decide_cells({"10", "20", "30"}, {}, name), Is(ColumnKind::code, ColumnUse::ignore)) << name;
  for (const char* name : {"store_visits", "phone_calls", "paid", "number", "codes", "zipped"})
    EXPECT_THAT(decide_cells({"10", "20", "30"}, {}, name), Is(ColumnKind::number, ColumnUse::active)) << name;
}

TEST(TypeRules, FlagsAndAmountsWithACodesNameStayNumbers) {
  EXPECT_THAT(decide_cells({"0", "1", "1"}, {}, "phone"), Is(ColumnKind::number, ColumnUse::active));
  EXPECT_THAT(decide_cells({"0.5", "1", "2"}, {}, "store"), Is(ColumnKind::number, ColumnUse::active));
  EXPECT_THAT(decide_cells({"-1", "1", "2"}, {}, "store"), Is(ColumnKind::number, ColumnUse::active));
}

TEST(TypeRules, LeadingZerosMakeACode) { EXPECT_THAT(decide_cells({"00501", "10115", "99999"}), Is(ColumnKind::code, ColumnUse::ignore)); }

TEST(TypeRules, CodesCanBeTaken) {
  const std::vector<std::string> cells = {"10", "20", "30"};
  EXPECT_THAT(decide_cells(cells, with([](auto& o) { o.active = {"zip"}; }), "zip"), Is(ColumnKind::number, ColumnUse::active));
  const ImportedColumn profile = decide_cells(cells, with([](auto& o) { o.profile = {"zip"}; }), "zip");
  EXPECT_THAT(profile, Is(ColumnKind::category, ColumnUse::profile));
  EXPECT_THAT(profile.levels, ElementsAre("10", "20", "30"));
}

TEST(TypeRules, DatesCountBeforeADay) {
  const std::vector<std::string> cells = {"2026-10-30", "", "2025-01-01T10:00"};
  EXPECT_THAT(decide_cells(cells), Is(ColumnKind::date, ColumnUse::ignore));
  EXPECT_THAT(decide_cells(cells).reason, HasSubstr("--as-of"));
  const ImportedColumn column = decide_cells(cells, with([](auto& o) { o.as_of = "2026-10-31"; }));
  EXPECT_THAT(column, Is(ColumnKind::date, ColumnUse::active));
  EXPECT_FALSE(column.warning);
  EXPECT_TRUE(decide_cells(cells, with([](auto& o) { o.as_of = "2026-10-29"; })).warning);
  EXPECT_THAT(refusal<ArgumentError>(cells, with([](auto& o) { o.as_of = "31.10.2026"; })), HasSubstr("--as-of"));
}

TEST(TypeRules, OptionsChangeRoles) {
  EXPECT_THAT(decide_cells({"1", "2", "3"}, with([](auto& o) { o.profile = {"x"}; })), Is(ColumnKind::number, ColumnUse::profile));
  EXPECT_THAT(decide_cells({"a", "b", "c"}, with([](auto& o) { o.active = {"x"}; })), Is(ColumnKind::category, ColumnUse::active));
  EXPECT_THAT(decide_cells({"a", "b"}, with([](auto& o) { o.ignore = {"x"}; })), Is(ColumnKind::two_valued, ColumnUse::ignore));
  EXPECT_THAT(refusal<ContentsError>(numbered("t", 60), with([](auto& o) { o.active = {"x"}; })), HasSubstr("cannot be active"));
}

TEST(TypeRules, NamesInOptionsMustExistAndPlayOnePart) {
  EXPECT_THAT(refusal<ArgumentError>({"1"}, with([](auto& o) { o.ignore = {"y"}; })),
              AllOf(HasSubstr("--ignore"), HasSubstr("'y'"), HasSubstr("'x', 'other'")));
  EXPECT_THAT(refusal<ArgumentError>({"1"}, with([](auto& o) { o.active = {"x"}, o.value = "x"; })),
              AllOf(HasSubstr("--value"), HasSubstr("--active")));
}

TEST(TypeRules, IdIsAUniqueColumnOfAnIdsName) {
  const std::string rows = "1,9,5\n2,8,6\n3,7,7\n4,6,5\n";
  EXPECT_EQ(decide_text("a,customer_id,b\n" + rows).at(1).use, ColumnUse::id);
  EXPECT_EQ(decide_text("id,CustomerID,b\n" + rows).at(0).use, ColumnUse::ignore);
  EXPECT_EQ(decide_text("id,CustomerID,b\n" + rows).at(1).use, ColumnUse::id);
  EXPECT_EQ(decide_text("a,b,id\n" + rows).at(2).use, ColumnUse::ignore);  // repeats
  EXPECT_THAT(decide_text("a,b,id\n" + rows).at(2).reason, HasSubstr("1 rows repeat"));
  EXPECT_THAT(decide_text("id,b\n1,2\n,3\n4,5\n9,9\n").at(0).reason, HasSubstr("1 cells are empty"));
}

TEST(TypeRules, NamedIdMayRepeatButNotBeEmpty) {
  const ImportOptions options = with([](auto& o) { o.id = "x"; });
  const ImportedColumn column = decide_cells({"a", "b", "a"}, options);
  EXPECT_EQ(column.use, ColumnUse::id);
  EXPECT_THAT(column.reason, HasSubstr("1 rows repeat"));
  EXPECT_TRUE(column.warning);
  EXPECT_THAT(refusal<ContentsError>({"a", "", "b"}, options), AllOf(HasSubstr("1 of its cells"), HasSubstr("line 3")));
}

TEST(TypeRules, IntegerIdsAreWholeWithoutLeadingZeros) {
  const ImportOptions options = with([](auto& o) { o.id = "x"; });
  EXPECT_TRUE(decide_cells({"17850.0", "-3", "9007199254740991"}, options).is_integer);
  EXPECT_FALSE(decide_cells({"1", "9007199254740993"}, options).is_integer);  // whose nearest float64 is another id
  EXPECT_FALSE(decide_cells({"1", "007"}, options).is_integer);
  EXPECT_FALSE(decide_cells({"1", "9007199254740993000"}, options).is_integer);
  EXPECT_FALSE(decide_cells({"1", "A2"}, options).is_integer);
}

ImportOptions outcome(const std::string& level = {}, const std::string& positive = {}) {
  return with([&](auto& o) { o.outcomes = {{"x", level}}, o.positive = positive; });
}

TEST(TypeRules, OutcomesNameTheirPositiveLevel) {
  EXPECT_EQ(decide_cells({"Yes", "No"}, outcome()).positive, "Yes");
  EXPECT_EQ(decide_cells({"Yes", "No"}, outcome("No")).positive, "No");
  EXPECT_EQ(decide_cells({"left", "stayed"}, outcome("", "left")).positive, "left");
  EXPECT_EQ(decide_cells({"0", "1", "1.0"}, outcome()).positive, "1");
  EXPECT_EQ(decide_cells({"1", "2"}, outcome()).positive, "2");
  EXPECT_EQ(decide_cells({"0", "0"}, outcome()).positive, "1");
  EXPECT_EQ(decide_cells({"1", "2", "3"}, outcome("3")).positive, "3");
  EXPECT_EQ(decide_cells({"a", "b", "c"}, outcome("b")).positive, "b");
}

TEST(TypeRules, OutcomesWithoutAPositiveLevelAreDescribed) {
  EXPECT_THAT(decide_cells({"1", "2", "3"}, outcome()), Is(ColumnKind::category, ColumnUse::outcome));
  const ImportedColumn column = decide_cells({"setosa", "versicolor", "virginica"}, outcome());
  EXPECT_THAT(column, Is(ColumnKind::category, ColumnUse::outcome));
  EXPECT_EQ(column.positive, "");
  EXPECT_THAT(column.reason, HasSubstr("described"));
}

TEST(TypeRules, OutcomesThatAreNotClearAreRefused) {
  EXPECT_THAT(refusal<ArgumentError>({"left", "stayed"}, outcome()), HasSubstr("neither of which says yes"));
  EXPECT_THAT(refusal<ArgumentError>(numbered("", 60), outcome()), HasSubstr("more than two values"));
  EXPECT_THAT(refusal<ArgumentError>({"Yes", "No"}, outcome("Maybe")), HasSubstr("does not have the level"));
  EXPECT_THAT(refusal<ArgumentError>({"0", "1"}, outcome("2")), HasSubstr("does not have the level"));
  EXPECT_THAT(refusal<ContentsError>(numbered("t", 60), outcome()), HasSubstr("more than 50 levels"));
  EXPECT_THAT(refusal<ContentsError>({"", ""}, outcome()), HasSubstr("without a known value"));
}

TEST(TypeRules, ValueAndWeightAreNumbers) {
  const ImportOptions value = with([](auto&o) { o.value = "x"; }), weight = with([](auto&o) { o.weight = "x"; });
  EXPECT_THAT(decide_cells({"1", "", "-2"}, value), Is(ColumnKind::number, ColumnUse::value));
  EXPECT_THAT(decide_cells({"1", "0", "2.5"}, weight), Is(ColumnKind::number, ColumnUse::weight));
  EXPECT_THAT(refusal<ContentsError>({"1", "much"}, value), AllOf(HasSubstr("line 3"), Not(HasSubstr("much"))));
  EXPECT_THAT(refusal<ContentsError>({"1", ""}, weight), AllOf(HasSubstr("empty"), HasSubstr("line 3")));
  EXPECT_THAT(refusal<ContentsError>({"1", "-1"}, weight), AllOf(HasSubstr("negative"), HasSubstr("line 3")));
}

}  // namespace
}  // namespace coterie::io
