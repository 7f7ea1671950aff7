#include "io/column_tally.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/csv_files.hpp"

namespace coterie::io {
namespace {

using coterie::testing::context_with_threads;
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

std::vector<ColumnTally> tallies_with(int threads, const std::filesystem::path& path) {
  const auto context = context_with_threads(threads);
  CsvTable table(*context, {path}, path.parent_path(), ',');
  ColumnTallies tallies(*context, table, '.', {true, false, false, false, false, false});
  table.rewind();
  for (auto batches = table.next(); !batches.empty(); batches = table.next()) tallies.add(batches);
  return tallies.finish();
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

}  // namespace
}  // namespace coterie::io
