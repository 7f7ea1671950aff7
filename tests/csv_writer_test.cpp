#include "io/csv_writer.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <locale>
#include <sstream>

#include "host/error.hpp"
#include "tests/support/files.hpp"
#include "tests/support/scratch_folder.hpp"

namespace coterie::io {
namespace {

using coterie::testing::names_in;
using coterie::testing::read_file;
using coterie::testing::ScratchFolder;
using ::testing::IsEmpty;

std::string written(const std::function<void(CsvWriter&)>& cells) {
  std::ostringstream stream;
  CsvWriter csv(stream);
  cells(csv);
  csv.end_row();
  csv.finish();
  return stream.str();
}

std::string text_cell(const std::string& text) {
  return written([&](CsvWriter& csv) { csv.text(text); });
}

TEST(CsvWriter, QuotesOnlyWhatNeedsIt) {
  EXPECT_EQ(text_cell("plain text"), "plain text\n");
  EXPECT_EQ(text_cell("a,b"), "\"a,b\"\n");
  EXPECT_EQ(text_cell("say \"yes\""), "\"say \"\"yes\"\"\"\n");
  EXPECT_EQ(text_cell("two\nlines"), "\"two\nlines\"\n");
  EXPECT_EQ(text_cell("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f\n");
}

TEST(CsvWriter, DefusesFormulas) {
  for (const std::string start : {"=", "+", "-", "@", "\t"})
    EXPECT_EQ(text_cell(start + "cmd|' /C calc'!A0"), "'" + start + "cmd|' /C calc'!A0\n");
  EXPECT_EQ(text_cell("\rx"), "\"'\rx\"\n");
  EXPECT_EQ(text_cell("=SUM(A1,A2)"), "\"'=SUM(A1,A2)\"\n");
  EXPECT_EQ(text_cell("=\"x\""), "\"'=\"\"x\"\"\"\n");
  EXPECT_EQ(text_cell("a=b"), "a=b\n");
}

TEST(CsvWriter, NumbersAreNumbersAndReadBackExactly) {
  EXPECT_EQ(written([](CsvWriter& csv) { csv.number(std::int64_t{-5}); }), "-5\n");
  EXPECT_EQ(written([](CsvWriter& csv) { csv.number(-0.1); }), "-0.1\n");
  EXPECT_EQ(written([](CsvWriter& csv) { csv.number(0.1f); }), "0.1\n");
  EXPECT_EQ(written([](CsvWriter& csv) { csv.number(std::numeric_limits<std::int64_t>::min()); }), "-9223372036854775808\n");
  for (const double value : {1.0 / 3, 1e300, 5e-324, -123456789.125}) {
    const std::string cell = written([&](CsvWriter& csv) { csv.number(value); });
    EXPECT_EQ(std::strtod(cell.c_str(), nullptr), value);
  }
}

struct DecimalComma : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
};

TEST(CsvWriter, IgnoresTheLocale) {
  std::ostringstream stream;
  stream.imbue(std::locale(std::locale(), new DecimalComma));
  CsvWriter csv(stream);
  csv.number(1234.5);
  csv.number(0.5f);
  csv.end_row();
  csv.finish();
  EXPECT_EQ(stream.str(), "1234.5,0.5\n");
}

TEST(CsvWriter, MissingCellsAreEmptyAndRowsAreNot) {
  EXPECT_EQ(written([](CsvWriter& csv) {
              csv.number(std::numeric_limits<double>::quiet_NaN());
              csv.missing();
              csv.number(std::numeric_limits<float>::quiet_NaN());
              csv.boolean(true);
            }),
            ",,,True\n");
  EXPECT_EQ(written([](CsvWriter& csv) { csv.missing(); }), "\"\"\n");
}

TEST(CsvWriter, WritesFramesAndRows) {
  const DataFrame frame{.index_name = "segment",
                        .index = {"A", "=B"},
                        .columns = {{"n", std::vector<std::int64_t>{3, 4}},
                                    {"share", std::vector<double>{0.5, 0.25}},
                                    {"note", std::vector<std::string>{"x,y", ""}},
                                    {"flag", std::vector<bool>{true, false}}}};
  std::ostringstream stream;
  CsvWriter csv(stream);
  write_csv(csv, frame);
  const std::vector<RowColumn> columns = {{.name = "id", .type = CellType::int64},
                                          {.name = "segment", .type = CellType::int32, .categories = {"A", "B"}},
                                          {.name = "segment_id", .type = CellType::int32}};
  const std::vector<std::int64_t> ids = {7, 8};
  const std::vector<std::int32_t> codes = {1, -1};
  const std::vector<Cells> cells = {std::span<const std::int64_t>(ids), std::span<const std::int32_t>(codes),
                                    std::span<const std::int32_t>(codes)};
  write_csv_header(csv, columns);
  Context context({.threads = 2});
  csv.rows(context, columns, cells);
  csv.finish();
  EXPECT_EQ(stream.str(),
            "segment,n,share,note,flag\nA,3,0.5,\"x,y\",True\n'=B,4,0.25,,False\n"
            "id,segment,segment_id\n7,B,1\n8,,-1\n");
}

TEST(CsvWriter, RowsIgnoreThreadCount) {
  const std::vector<RowColumn> columns = {{.name = "id", .type = CellType::int64}, {.name = "share", .type = CellType::float64}};
  std::vector<std::int64_t> ids(100'000);
  std::vector<double> shares(ids.size());
  std::string expected;
  for (std::size_t row = 0; row < ids.size(); ++row) {
    ids[row] = static_cast<std::int64_t>(row);
    shares[row] = row % 3 == 0 ? std::nan("") : static_cast<double>(row) / 4;
    expected += std::to_string(row) + "," + (row % 3 == 0 ? "" : fmt::format("{}", shares[row])) + "\n";
  }
  const std::vector<Cells> cells = {std::span<const std::int64_t>(ids), std::span<const double>(shares)};
  for (const int threads : {1, 3}) {
    Context context({.threads = threads});
    std::ostringstream stream;
    CsvWriter csv(stream);
    csv.rows(context, columns, cells);
    csv.finish();
    EXPECT_TRUE(stream.str() == expected) << threads;
  }
}

TEST(CsvWriter, AFileAppearsWholeOrNotAtAll) {
  const ScratchFolder folder;
  {
    AtomicOutput output({.path = folder / "t.csv"});
    CsvWriter csv(output);
    for (int i = 0; i < 400'000; ++i) {
      csv.number(std::int64_t{i});
      csv.end_row();
    }
    EXPECT_FALSE(std::filesystem::exists(folder / "t.csv"));
  }
  EXPECT_THAT(names_in(folder.path()), IsEmpty());
  AtomicOutput output({.path = folder / "t.csv"});
  CsvWriter csv(output);
  csv.text("a");
  csv.end_row();
  csv.finish();
  EXPECT_EQ(read_file(folder / "t.csv"), "a\n");
}

TEST(CsvWriter, AStreamThatFailsIsAnOutputError) {
  std::ofstream full("/dev/full");
  CsvWriter csv(full);
  csv.text("a");
  csv.end_row();
  EXPECT_THROW(csv.finish(), OutputError);
}

}  // namespace
}  // namespace coterie::io
