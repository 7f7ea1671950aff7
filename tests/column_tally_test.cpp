#include "io/column_tally.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include "host/error.hpp"
#include "tests/support/csv_files.hpp"

namespace coterie::io {
namespace {

using coterie::testing::context_with_threads;
using coterie::testing::message_of;
using coterie::testing::ScratchFolder;
using coterie::testing::write_text;
using ::testing::HasSubstr;

constexpr int kRows = 40'000;  // several batches for each of four threads

std::string text_of_rows() {
  std::string text = "id,number,few,many,day,comma\n";
  for (int row = 0; row < kRows; ++row) {
    const std::string number = row == 30'000 ? "inf" : row == 20'000 ? "-0.5" : row == 12'345 ? "" : std::to_string(row % 1000);
    const std::string day = row == 25'000 ? "soon" : "2026-10-" + std::to_string(10 + row % 20);
    text += std::to_string(row / 2) + ',' + number + ",l" + std::to_string(row % 7) + ",l" + std::to_string(row / 500) + ',' + day + ",\"" +
            std::to_string(row) + ",5\"\n";
  }
  return text;
}

std::vector<ColumnTally> tallies_in(Context& context, const std::filesystem::path& path) {
  CsvTable table(context, {path}, path.parent_path(), ',');
  ColumnTallies tallies(context, table, '.', {true, false, false, false, false, false});
  table.rewind();
  for (auto batches = table.next(); !batches.empty(); batches = table.next()) tallies.add(batches);
  return tallies.finish();
}

std::vector<ColumnTally> tallies_with(int threads, const std::filesystem::path& path) {
  return tallies_in(*context_with_threads(threads), path);
}

Context::Options threads_and_memory(int threads, std::int64_t bytes) {
  Context::Options options;
  options.threads = threads;
  options.memory_bytes = bytes;
  return options;
}

// What tallies of so many columns take: of the heap (0 under a sanitizer, which has its own) and of the memory budget.
struct Taken {
  std::int64_t heap, reserved;
};
Taken taken_by_tallies(Context& context, const std::filesystem::path& path, std::size_t n_columns) {
  const auto heap = [] {
    const auto info = mallinfo2();
    return static_cast<std::int64_t>(info.uordblks + info.hblkhd);
  };
  const CsvTable table(context, {path}, path.parent_path(), ',');
  const std::int64_t heap_before = heap(), available_before = context.memory().available();
  const ColumnTallies tallies(context, table, '.', std::vector<bool>(n_columns));
  return {heap() - heap_before, available_before - context.memory().available()};
}

TEST(ColumnTallies, CountEveryCell) {
  const ScratchFolder folder;
  const std::vector<ColumnTally> tallies = tallies_with(4, write_text(folder, "t.csv", text_of_rows()));
  const ColumnTally &id = tallies[0], &number = tallies[1], &few = tallies[2], &many = tallies[3], &day = tallies[4], &comma = tallies[5];
  EXPECT_EQ(id.rows, kRows);
  EXPECT_EQ(id.repeats, kRows / 2);
  EXPECT_EQ(number.missing, 1);
  EXPECT_EQ(number.numbers, kRows - 1);
  EXPECT_EQ(number.infinite, 1);
  EXPECT_EQ(number.min, -0.5);
  EXPECT_EQ(number.whole, kRows - 2);
  EXPECT_THAT(number.first_missing.place, HasSubstr("line 12347 of"));
  EXPECT_THAT(number.first_negative.place, HasSubstr("line 20002 of"));
  EXPECT_THAT(number.first_infinite.place, HasSubstr("line 30002 of"));
  EXPECT_EQ(few.levels.size(), 7u);
  EXPECT_FALSE(many.levels.few());  // 80 in all, and no thread sees them all
  EXPECT_EQ(day.dates, kRows - 1);
  EXPECT_THAT(day.first_no_date.place, HasSubstr("line 25002 of"));
  EXPECT_THAT(day.first_no_number.place, HasSubstr("line 2 of"));
  EXPECT_EQ(comma.decimal_commas, kRows);
  EXPECT_EQ(comma.longest, 7u);
}

TEST(ColumnTallies, AreTheSameForAnyNumberOfThreads) {
  const ScratchFolder folder;
  const std::filesystem::path path = write_text(folder, "t.csv", text_of_rows());
  const std::vector<ColumnTally> one = tallies_with(1, path), four = tallies_with(4, path);
  for (std::size_t i = 0; i < one.size(); ++i) {
    const ColumnTally &a = one[i], &b = four[i];
    EXPECT_EQ(std::tie(a.rows, a.missing, a.numbers, a.whole, a.infinite, a.leading_zeros, a.dates, a.last_day, a.decimal_commas),
              std::tie(b.rows, b.missing, b.numbers, b.whole, b.infinite, b.leading_zeros, b.dates, b.last_day, b.decimal_commas));
    EXPECT_EQ(std::tie(a.min, a.max, a.fits_float32, a.longest, a.repeats), std::tie(b.min, b.max, b.fits_float32, b.longest, b.repeats));
    EXPECT_EQ(a.levels.sorted(), b.levels.sorted());
    EXPECT_EQ(a.levels.few(), b.levels.few());
    for (const auto first : {&ColumnTally::first_missing, &ColumnTally::first_infinite, &ColumnTally::first_negative,
                             &ColumnTally::first_no_number, &ColumnTally::first_no_date})
      EXPECT_EQ((a.*first).place, (b.*first).place);
  }
}

TEST(ColumnTallies, FewerThreadsHaveOneWhereTheMemoryIsSmall) {
  constexpr std::size_t kColumns = 2000;
  constexpr std::int64_t kMemory = std::int64_t{128} << 20;
  const ScratchFolder folder;
  const std::filesystem::path path = write_text(folder, "t.csv", "a,b\n1,2\n");
  Context small(threads_and_memory(8, kMemory)), large(threads_and_memory(8, 64 * kMemory)), tiny(threads_and_memory(8, kMemory / 256));
  const Taken little = taken_by_tallies(small, path, kColumns), much = taken_by_tallies(large, path, kColumns);
  EXPECT_LE(little.heap, little.reserved);
  EXPECT_LE(much.heap, much.reserved);
  EXPECT_GT(little.reserved, 0);
  EXPECT_EQ(much.reserved, 8 * little.reserved);
  EXPECT_THAT(message_of<ResourceError>([&] { taken_by_tallies(tiny, path, kColumns); }), HasSubstr("of every column"));
}

TEST(ColumnTallies, ColumnsOfManyLevelsKeepNone) {
  Levels levels;
  for (int i = 0; i < 1000; ++i) levels.add("level" + std::to_string(i));
  EXPECT_FALSE(levels.few());
  EXPECT_EQ(levels.size(), 0u);
  Levels others;
  others.add("a");
  others.merge(levels);
  EXPECT_FALSE(others.few());
  EXPECT_EQ(others.size(), 0u);
}

TEST(ColumnTallies, TheSameIdIsARepeatHoweverItIsWritten) {
  const ScratchFolder folder;
  const std::filesystem::path path =
      write_text(folder, "t.csv", "id,b,c,d,e,f\n17,1,1,1,1,1\n17.0,1,1,1,1,1\n+17,1,1,1,1,1\n017,1,1,1,1,1\n");
  EXPECT_EQ(tallies_with(2, path)[0].repeats, 2);
}

}  // namespace
}  // namespace coterie::io
