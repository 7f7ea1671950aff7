#include "io/csv_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <optional>
#include <thread>

#include "host/error.hpp"
#include "host/random.hpp"
#include "io/text.hpp"
#include "tests/support/csv_files.hpp"
#include "tests/support/files.hpp"
#include "tests/support/gzip_files.hpp"

namespace coterie::io {
namespace {

using coterie::testing::context_with_threads;
using coterie::testing::message_of;
using coterie::testing::ScratchFolder;
using coterie::testing::write_gzip;
using coterie::testing::write_text;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Rows = std::vector<std::vector<std::string>>;

struct Table {
  std::vector<std::string> header;
  Rows rows;
  std::vector<std::string> places;
};

Table read_table(CsvTable& csv) {
  Table table{csv.header(), {}, {}};
  csv.rewind();
  for (auto batches = csv.next(); !batches.empty(); batches = csv.next())
    for (const CsvBatch& batch : batches) {
      EXPECT_EQ(batch.first_row(), std::ssize(table.rows));
      for (std::int64_t row = 0; row < batch.n_rows(); ++row) {
        std::vector<std::string>& cells = table.rows.emplace_back();
        for (std::size_t column = 0; column < table.header.size(); ++column) cells.emplace_back(batch.cell(row, column));
        table.places.push_back(csv.place(batch, row));
      }
    }
  return table;
}

Table read_files(const std::vector<std::filesystem::path>& paths, char delimiter = 0, int threads = 2) {
  const auto context = context_with_threads(threads);
  CsvTable csv(*context, paths, paths.front().parent_path(), delimiter);
  return read_table(csv);
}

Table read_file(const std::filesystem::path& path, char delimiter = 0) { return read_files({path}, delimiter); }

// Of places in one file.
std::vector<std::int64_t> lines_of(const Table& table) {
  std::vector<std::int64_t> lines;
  for (const std::string& place : table.places) lines.push_back(std::stoll(place.substr(std::string_view("line ").size())));
  return lines;
}

Table read_text(std::string_view text, char delimiter = 0) {
  const ScratchFolder folder;
  return read_file(write_text(folder, "t.csv", text), delimiter);
}

template <class E>
std::string refusal(std::string_view text) {
  return message_of<E>([&] { read_text(text); });
}

TEST(CsvTable, ReadsHeaderAndRows) {
  const Table table = read_text("a,b\n1,x\n2,y\n");
  EXPECT_THAT(table.header, ElementsAre("a", "b"));
  EXPECT_EQ(table.rows, (Rows{{"1", "x"}, {"2", "y"}}));
  EXPECT_THAT(lines_of(table), ElementsAre(2, 3));
}

TEST(CsvTable, LastLineNeedsNoLineEnd) { EXPECT_EQ(read_text("a,b\n1,x").rows, (Rows{{"1", "x"}})); }

TEST(CsvTable, LineEndsAreLfCrlfOrCr) {
  for (const std::string end : {"\n", "\r\n", "\r"}) {
    const Table table = read_text("a,b" + end + "1," + end + ",2" + end);
    EXPECT_EQ(table.rows, (Rows{{"1", ""}, {"", "2"}}));
    EXPECT_THAT(lines_of(table), ElementsAre(2, 3));
  }
}

TEST(CsvTable, QuotedCellsHoldDelimitersQuotesAndLineBreaks) {
  const Table table = read_text("a,b,c\n\"1,2\",\"say \"\"hi\"\"\",\"two\r\nlines\"\n\"\",\"\"\"\",x\n");
  EXPECT_EQ(table.rows, (Rows{{"1,2", "say \"hi\"", "two\r\nlines"}, {"", "\"", "x"}}));
  EXPECT_THAT(lines_of(table), ElementsAre(2, 4));
}

TEST(CsvTable, QuoteInsideAPlainCellIsText) { EXPECT_EQ(read_text("a,b\n5\" pipe,x\n").rows, (Rows{{"5\" pipe", "x"}})); }

TEST(CsvTable, ByteOrderMarkBelongsToNoName) { EXPECT_THAT(read_text("\xef\xbb\xbf\"a\",b\n1,2\n").header, ElementsAre("a", "b")); }

TEST(CsvTable, HeaderNamesAreTrimmed) { EXPECT_THAT(read_text(" a ,b\t,c d\n1,2,3\n").header, ElementsAre("a", "b", "c d")); }

TEST(CsvTable, EmptyLinesAreNoRows) {
  const Table table = read_text("\n\na,b\n\n1,2\r\n\r\n3,4\n\n");
  EXPECT_EQ(table.rows, (Rows{{"1", "2"}, {"3", "4"}}));
  EXPECT_THAT(lines_of(table), ElementsAre(5, 7));
}

TEST(CsvTable, EmptyLinesOfASingleColumnAreEmptyCells) { EXPECT_EQ(read_text("a\n1\n\n2\n").rows, (Rows{{"1"}, {""}, {"2"}})); }

TEST(CsvTable, DetectsTheDelimiter) {
  for (const char delimiter : {',', ';', '\t', '|'}) {
    const std::string d(1, delimiter);
    const Table table = read_text("a" + d + "b" + d + "c\n1" + d + "\"x,y;z\"" + d + "2\n");
    EXPECT_THAT(table.rows.at(0), ElementsAre("1", "x,y;z", "2")) << delimiter;
  }
}

TEST(DetectDelimiter, PrefersTheOneThatSplitsEveryLineAlike) {
  EXPECT_EQ(detect_delimiter("name, first; spend\nx;1\ny, z;2\n"), ';');
  EXPECT_EQ(detect_delimiter("a;b,c,d\n1;2,5,6\n"), ',');
  EXPECT_EQ(detect_delimiter("alone\n1\n"), ',');
  EXPECT_EQ(detect_delimiter(""), ',');
}

TEST(CsvTable, GivenDelimiterIsTaken) {
  EXPECT_THAT(read_text("a,b;c\n1,2;3\n", ';').header, ElementsAre("a,b", "c"));
  EXPECT_THROW(read_text("a,b\n1,2\n", '"'), ArgumentError);
}

TEST(CsvTable, ReadsGzip) {
  const ScratchFolder folder;
  write_gzip(folder / "t.csv.gz", "a,b\n1,2\n");
  EXPECT_EQ(read_file(folder / "t.csv.gz").rows, (Rows{{"1", "2"}}));
}

TEST(CsvTable, ReadsGzipOfSeveralMembersAndPassesOverWhatFollows) {
  const ScratchFolder folder;
  write_gzip(folder / "t.csv.gz", "a,b\n1,2");
  write_gzip(folder / "t.csv.gz", "", "ab");
  write_gzip(folder / "t.csv.gz", "3\n4,5\n", "ab9");
  std::ofstream(folder / "t.csv.gz", std::ios::binary | std::ios::app) << std::string(600, '\0');
  EXPECT_EQ(read_file(folder / "t.csv.gz").rows, (Rows{{"1", "23"}, {"4", "5"}}));
}

TEST(CsvTable, RefusesDamagedGzip) {
  const ScratchFolder folder;
  const std::string text = "a,b\n1,2\n3,4\n5,6\n1,2\n3,4\n";
  write_gzip(folder / "t.csv.gz", text);
  const std::string whole = coterie::testing::read_file(folder / "t.csv.gz");
  const Rows rows = read_file(folder / "t.csv.gz").rows;
  constexpr std::size_t kHeader = 10;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] ^= 0x11;
    const auto path = write_text(folder, "d.csv.gz", damaged);
    std::optional<Rows> read;
    EXPECT_THAT(message_of<Error>([&] { read = read_file(path).rows; }), Not(HasSubstr("another exception"))) << i;
    EXPECT_EQ(read.value_or(rows), rows) << i;
    if (i < kHeader) continue;
    EXPECT_FALSE(read) << i;
    const auto cut = write_text(folder, "c.csv.gz", whole.substr(0, i));
    EXPECT_THAT(message_of<InputError>([&] { read_file(cut); }), HasSubstr("cut off")) << i;
  }
}

TEST(CsvTable, RefusesTruncatedGzip) {
  const ScratchFolder folder;
  std::string text = "a,b\n";
  for (int i = 0; i < 10000; ++i) text += std::to_string(mix64(static_cast<std::uint64_t>(i))) + ",2\n";
  write_gzip(folder / "t.csv.gz", text);
  const auto size = std::filesystem::file_size(folder / "t.csv.gz");
  for (const auto cut : {size - 1, size / 2, std::uintmax_t{20}}) {
    std::filesystem::resize_file(folder / "t.csv.gz", cut);
    EXPECT_THAT(message_of<InputError>([&] { read_file(folder / "t.csv.gz"); }), HasSubstr("cut off")) << cut;
  }
}

TEST(CsvTable, ReadsAPipeAndLeavesNothingBehind) {
  const ScratchFolder folder;
  const std::filesystem::path pipe = folder / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  std::thread writer([&] { write_text(folder, "pipe", "a,b\n1,2\n"); });
  EXPECT_EQ(read_file(pipe).rows, (Rows{{"1", "2"}}));
  writer.join();
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(CsvTable, ReadsAgainAfterRewind) {
  const ScratchFolder folder;
  const auto context = context_with_threads(1);
  CsvTable csv(*context, {write_text(folder, "t.csv", "a,b\n1,2\n")}, folder.path(), 0);
  for (int pass = 0; pass < 2; ++pass) EXPECT_EQ(read_table(csv).rows, (Rows{{"1", "2"}}));
}

TEST(CsvTable, RefusesRaggedRows) {
  EXPECT_THAT(refusal<InputError>("a,b\n1,2\n1,2,3\n"), AllOf(HasSubstr("line 3"), HasSubstr("3 cells"), HasSubstr("2 columns")));
  EXPECT_THAT(refusal<InputError>("a,b\n\"x\ny\",2\n1\n"), AllOf(HasSubstr("line 4"), HasSubstr("1 cells")));
}

TEST(CsvTable, RefusesAQuoteThatIsNeverClosed) {
  EXPECT_THAT(refusal<InputError>("a,b\n1,2\n3,\"x\n5,6\n"),
              AllOf(HasSubstr("line 3"), HasSubstr("column 2 ('b')"), HasSubstr("never closed")));
}

TEST(CsvTable, RefusesTextAfterAClosingQuote) {
  EXPECT_THAT(refusal<InputError>("a,b\n\"x\"y,2\n"), AllOf(HasSubstr("line 2"), HasSubstr("column 1 ('a')")));
}

TEST(CsvTable, RefusesNulBytes) {
  EXPECT_THAT(refusal<InputError>({"a,b\n1,x\0y\n", 10}), AllOf(HasSubstr("NUL"), HasSubstr("line 2"), HasSubstr("column 2 ('b')")));
  EXPECT_THAT(refusal<InputError>({"a,b\n1,\"x\0\"\n", 11}), AllOf(HasSubstr("NUL"), HasSubstr("line 2"), HasSubstr("column 2 ('b')")));
}

TEST(CsvTable, RefusesInvalidUtf8) {
  for (const std::string bytes : {"\xe4", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82"})
    EXPECT_THAT(refusal<InputError>("a,b\n1,2\n3," + bytes + "\n"), AllOf(HasSubstr("line 3"), HasSubstr("UTF-8"), HasSubstr("iconv")));
  EXPECT_EQ(read_text("a,b\n\xc3\xa4,\xe2\x82\xac\xf0\x9f\x98\x80\n").rows, (Rows{{"\xc3\xa4", "\xe2\x82\xac\xf0\x9f\x98\x80"}}));
}

TEST(CsvTable, NamesOtherFormats) {
  EXPECT_THAT(refusal<InputError>("\x89HDF\r\n\x1a\n...."), HasSubstr("HDF5"));
  EXPECT_THAT(refusal<InputError>("PK\x03\x04...."), HasSubstr("Excel"));
  EXPECT_THAT(refusal<InputError>("PAR1...."), HasSubstr("Parquet"));
  EXPECT_THAT(refusal<InputError>({"\xff\xfe\x61\x00", 4}), HasSubstr("UTF-16"));
}

TEST(CsvTable, RefusesNamesThatAreNoNames) {
  EXPECT_THAT(refusal<ContentsError>("a,,b\n1,2,3\n"), AllOf(HasSubstr("column 2 has no name"), HasSubstr("index=False")));
  EXPECT_THAT(refusal<ContentsError>("a,b, a\n1,2,3\n"), AllOf(HasSubstr("columns 1 and 3"), HasSubstr("'a'")));
  EXPECT_THAT(refusal<ContentsError>("5.1,3.5\n4.9,3.0\n"), HasSubstr("row of data"));
  EXPECT_THAT(refusal<InputError>("\n\n"), HasSubstr("is empty"));
}

TEST(CsvTable, NamesInMessagesCannotSteerATerminal) {
  EXPECT_THAT(refusal<ContentsError>("\x1b[31mred,\x1b[31mred\n1,2\n"), AllOf(HasSubstr("\\x1b[31mred"), Not(HasSubstr("\x1b"))));
}

TEST(CsvTable, ReadsCellsLargerThanItsBuffer) {
  std::string huge(3'000'000, 'x');
  for (std::size_t i = 0; i < huge.size(); i += 1000) huge[i] = '\n';
  const Table table = read_text("a,b\n1,\"" + huge + "\"\n2," + std::string(2'000'000, 'y') + "\n");
  EXPECT_TRUE(table.rows.at(0).at(1) == huge);
  EXPECT_EQ(table.rows.at(1).at(1).size(), 2'000'000u);
  EXPECT_THAT(lines_of(table), ElementsAre(2, 3 + 3000));
}

TEST(CsvTable, RefusesRowsWithoutEnd) {
  EXPECT_THAT(refusal<InputError>("a,b\n1,\"" + std::string((std::size_t{1} << 26) + 10, 'x')),
              AllOf(HasSubstr("line 2"), HasSubstr("64 MiB")));
}

// Cells of hostile pieces, written with quotes where RFC 4180 demands them and sometimes where it does not.
TEST(CsvTable, GivesBackWhatWasWritten) {
  constexpr std::string_view kPieces[] = {"",  "a", "\"",       ",",   "\n",        "\r\n", "\r",
                                          " ", ";", "\xc3\xa9", "0.5", "-\x0b\x0e", "\"\"", "long enough to cross a buffer"};
  constexpr std::uint64_t kRows = 60'000;  // some 3 MB: several buffers
  std::uint64_t draw = 0;
  const auto random = [&](std::uint64_t below) { return mix64(draw++) % below; };
  std::string text = "c1,c2,c3\n";
  Rows rows;
  for (std::uint64_t row = 0; row < kRows; ++row) {
    rows.emplace_back();
    for (int column = 0; column < 3; ++column) {
      std::string cell, quoted = "\"";
      for (std::uint64_t pieces = random(4); pieces > 0; --pieces) cell += kPieces[random(std::size(kPieces))];
      for (const char c : cell) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
      const bool must = cell.find_first_of("\",\r\n") != std::string::npos;
      text += (must || random(4) == 0 ? quoted + '"' : cell) + (column < 2 ? "," : random(2) == 0 ? "\n" : "\r\n");
      rows.back().emplace_back(trimmed(cell));
    }
  }
  EXPECT_TRUE(read_text(text, ',').rows == rows);
}

// Byte by byte, as RFC 4180 says; `failed` is the line of the first row, or cell, that is none.
struct Reference {
  Rows rows;
  std::vector<std::int64_t> lines;
  std::int64_t failed = 0;
};

Reference reference(const std::string& text, std::size_t n_columns) {
  Reference all;
  std::int64_t line = 1;
  for (std::size_t i = 0; i < text.size();) {
    const auto at = [&](std::size_t place) { return place < text.size() ? text[place] : '\n'; };
    const auto end_line = [&] {
      i += at(i) == '\r' && i + 1 < text.size() && text[i + 1] == '\n' ? 2 : 1;
      ++line;
    };
    if (at(i) == '\n' || at(i) == '\r') {
      end_line();
      continue;
    }
    const std::size_t begin = i;
    const std::int64_t row_line = line;
    std::vector<std::string> row;
    for (bool more = true; more;) {
      std::string cell;
      if (i < text.size() && text[i] == '"') {
        const std::int64_t opened = line;
        for (++i; i < text.size() && (text[i] != '"' || (i + 1 < text.size() && text[i + 1] == '"')); ++i) {
          if (text[i] == '\0') return {{}, {}, line};
          if (text[i] == '\n') ++line;
          if (text[i] == '"') ++i;
          cell += text[i];
        }
        if (i == text.size()) return {{}, {}, opened};
        ++i;
        if (at(i) != ',' && at(i) != '\n' && at(i) != '\r') return {{}, {}, line};
      } else {
        for (; at(i) != ',' && at(i) != '\n' && at(i) != '\r'; ++i) {
          if (text[i] == '\0') return {{}, {}, line};
          cell += text[i];
        }
      }
      row.push_back(cell);
      more = at(i) == ',';
      if (more) ++i;
    }
    if (i < text.size()) end_line();
    if (row.size() != n_columns || text.substr(begin, i - begin).find('\xff') != std::string::npos) return {{}, {}, row_line};
    all.rows.push_back(row);
    all.lines.push_back(row_line);
  }
  return all;
}

// Of some 40 bytes each, with quotes now and then, and line ends of one kind in most places.
std::string hostile_rows(std::uint64_t seed, int n_rows) {
  std::uint64_t draw = seed << 32;
  const auto random = [&](std::uint64_t below) { return mix64(draw++) % below; };
  const std::string_view ends[] = {"\n", "\r\n", "\r"};
  const std::uint64_t usual = random(3), quotes = random(3);
  std::string text;
  for (int row = 0; row < n_rows; ++row) {
    for (int column = 0; column < 3; ++column) {
      const bool quoted = quotes > 0 && random(quotes == 1 ? 2000 : 3) == 0;
      text += quoted ? "\"" : "";
      for (std::uint64_t pieces = random(6); pieces > 0; --pieces) text += std::to_string(random(1000));
      if (quoted && random(3) == 0) text += ends[random(3)];
      if (quoted) text += random(4) == 0 ? "\"\",\"" : "\"";
      if (!quoted && random(50) == 0) text += "5\"";
      text += column < 2 ? "," : ends[random(100) == 0 ? random(3) : usual];
    }
  }
  return text;
}

TEST(CsvTable, ReadsWhatAByteByByteReaderReads) {
  constexpr int kRows = 12'000;  // more than one block for each of three threads
  const ScratchFolder folder;
  for (std::uint64_t seed = 0; seed < 24; ++seed) {
    const std::string text = "a,b,c\n" + hostile_rows(seed, kRows);
    const Reference expected = reference(text, 3);
    ASSERT_EQ(expected.rows.size(), kRows + 1u) << seed;
    const Table table = read_files({write_text(folder, "t.csv", text)}, ',', 1 + static_cast<int>(seed % 3));
    ASSERT_TRUE(table.rows == Rows(expected.rows.begin() + 1, expected.rows.end())) << seed;
    ASSERT_TRUE(lines_of(table) == std::vector<std::int64_t>(expected.lines.begin() + 1, expected.lines.end())) << seed;
  }
}

TEST(CsvTable, FailsWhereAByteByByteReaderFails) {
  const ScratchFolder folder;
  int failed = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    std::string text = "a,b,c\n" + hostile_rows(seed, 6'000);
    constexpr char kBad[] = {'"', '\0', ',', '\xff', '\n'};
    for (std::uint64_t i = 0; i < 2; ++i) text.insert(6 + mix64(2 * seed + i) % (text.size() - 6), 1, kBad[(seed + i) % std::size(kBad)]);
    const Reference expected = reference(text, 3);
    if (expected.failed == 0) continue;
    ++failed;
    const std::string place = "line " + std::to_string(expected.failed) + ":";
    ASSERT_THAT(message_of<InputError>([&] { read_files({write_text(folder, "t.csv", text)}, ',', 3); }), HasSubstr(place)) << seed;
  }
  EXPECT_GT(failed, 40);
}

TEST(CsvTable, ReadsShardsOneBehindTheOther) {
  const ScratchFolder folder;
  const Table table = read_files({write_text(folder, "a.csv", "a,b\n1,x\n"), write_text(folder, "b.csv", "\xef\xbb\xbf\n\na;b\n2;\"y\"\n"),
                                  write_text(folder, "c.csv", "a,b"), write_text(folder, "d.csv", "a,b\r3,z")});
  EXPECT_EQ(table.rows, (Rows{{"1", "x"}, {"2", "y"}, {"3", "z"}}));
  EXPECT_THAT(table.places.at(1), AllOf(HasSubstr("line 4"), HasSubstr("b.csv")));
  EXPECT_THAT(table.places.at(2), AllOf(HasSubstr("line 2"), HasSubstr("d.csv")));
}

}  // namespace
}  // namespace coterie::io
