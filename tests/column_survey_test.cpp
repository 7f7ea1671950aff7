#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "host/error.hpp"
#include "host/transform.hpp"
#include "tests/support/instruction_sets.hpp"
#include "tests/support/interrupted_source.hpp"
#include "tests/support/random_matrix.hpp"
#include "tests/support/thread_communicator.hpp"

namespace coterie {
namespace {

using testing::narrowed;
using testing::random_matrix;
using testing::RandomColumn;
using testing::Shape;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class Cell>
ColumnSurvey survey_of(const std::vector<Cell>& cells, std::int32_t n_columns, int threads = 2, std::int64_t tile_rows = kBlockRows) {
  Context context({.threads = threads, .memory_bytes = std::int64_t{1} << 30, .seed = 5});
  MemoryTileSource raw(std::span<const Cell>(cells), n_columns, tile_rows);
  return survey_columns(context, raw);
}

void expect_same_rows(const FirstRows& a, const FirstRows& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::int64_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a.key(i), b.key(i));
    ASSERT_EQ(a.row(i), b.row(i));
    const auto same_bits = [](float x, float y) { return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y); };
    ASSERT_TRUE(std::equal(a.values(i).begin(), a.values(i).end(), b.values(i).begin(), b.values(i).end(), same_bits));
  }
}

void expect_same(const ColumnSurvey& a, const ColumnSurvey& b) {
  EXPECT_EQ(a.n_rows, b.n_rows);
  EXPECT_EQ(a.missing, b.missing);
  EXPECT_EQ(a.infinite, b.infinite);
  EXPECT_EQ(a.zero, b.zero);
  EXPECT_EQ(a.negative, b.negative);
  EXPECT_EQ(a.fractional, b.fractional);
  EXPECT_EQ(a.min, b.min);
  EXPECT_EQ(a.max, b.max);
  expect_same_rows(a.sample, b.sample);
  expect_same_rows(a.first_missing, b.first_missing);
  expect_same_rows(a.first_infinite, b.first_infinite);
}

std::vector<double> mixed_matrix(std::int64_t n_rows) {
  return random_matrix(n_rows, {{Shape::normal, 0.001}, {Shape::log_normal}, {Shape::counts, 0.5}, {Shape::constant}});
}

TEST(ColumnSurvey, CountsEveryKindOfCell) {
  const double largest = std::numeric_limits<float>::max();
  const std::vector<double> column = {kNaN, kInfinity, -kInfinity, 1e300, -0.0, 0.0, -1.5, 2.5, 3.0, largest, 0x1p52 + 1, -1e-300};
  const ColumnSurvey survey = survey_of(column, 1);
  EXPECT_EQ(survey.n_rows, 12);
  EXPECT_EQ(survey.missing[0], 1);
  EXPECT_EQ(survey.infinite[0], 3);
  EXPECT_EQ(survey.zero[0], 2);
  EXPECT_EQ(survey.negative[0], 2);
  EXPECT_EQ(survey.fractional[0], 3);
  EXPECT_EQ(survey.min[0], -1.5);
  EXPECT_EQ(survey.max[0], largest);
}

// Every kind of cell in every column, of which there are more than are counted together, and no whole number of vectors.
constexpr std::int32_t kManyColumns = 131;
template <class Cell>
std::vector<Cell> every_kind_everywhere(std::int64_t n_rows) {
  constexpr auto kLargest = std::numeric_limits<float>::max(), kDenormal = std::numeric_limits<float>::denorm_min();
  const std::vector<double> kinds = {kNaN, kInfinity, -kInfinity, -0.0,      0.0,       -1.5,   2.5,
                                     3.0,  kLargest,  -kLargest,  kDenormal, 8388607.5, 8388609};
  std::vector<Cell> cells;
  for (std::int64_t row = 0; row < n_rows; ++row)
    for (std::int32_t column = 0; column < kManyColumns; ++column)
      cells.push_back(static_cast<Cell>(kinds[static_cast<std::size_t>(row * row + row * column + column) % kinds.size()]));
  return cells;
}

template <class Cell>
void expect_columns_one_by_one() {
  constexpr std::int64_t kRows = 600;
  const std::vector<Cell> cells = every_kind_everywhere<Cell>(kRows);
  const ColumnSurvey all = survey_of(cells, kManyColumns);
  for (std::int32_t column = 0; column < kManyColumns; ++column) {
    std::vector<Cell> alone;
    for (std::int64_t row = 0; row < kRows; ++row) alone.push_back(cells[static_cast<std::size_t>(row * kManyColumns + column)]);
    const ColumnSurvey one = survey_of(alone, 1);
    const auto j = static_cast<std::size_t>(column);
    for (const auto field :
         {&ColumnSurvey::missing, &ColumnSurvey::infinite, &ColumnSurvey::zero, &ColumnSurvey::negative, &ColumnSurvey::fractional})
      EXPECT_EQ((all.*field)[j], (one.*field)[0]);
    EXPECT_EQ(all.min[j], one.min[0]);
    EXPECT_EQ(all.max[j], one.max[0]);
  }
}

TEST(ColumnSurvey, CountsManyColumnsAsOneByOne) {
  expect_columns_one_by_one<float>();
  expect_columns_one_by_one<double>();
}

TEST(ColumnSurvey, IgnoresInstructionSets) {
  const std::vector<float> floats = every_kind_everywhere<float>(600);
  const std::vector<double> doubles = every_kind_everywhere<double>(600);
  const ColumnSurvey of_floats = survey_of(floats, kManyColumns), of_doubles = survey_of(doubles, kManyColumns);
  testing::for_each_instruction_set([&] {
    expect_same(survey_of(floats, kManyColumns), of_floats);
    expect_same(survey_of(doubles, kManyColumns), of_doubles);
  });
}

TEST(ColumnSurvey, ColumnWithoutKnownCellsHasNoExtremes) {
  const ColumnSurvey survey = survey_of(std::vector<float>(10, static_cast<float>(kNaN)), 1);
  EXPECT_EQ(survey.missing[0], 10);
  EXPECT_EQ(survey.min[0], kInfinity);
  EXPECT_EQ(survey.max[0], -kInfinity);
  EXPECT_TRUE(survey.sampled(0).empty());
}

TEST(ColumnSurvey, IgnoresTileRowsAndThreadCount) {
  const std::vector<float> cells = narrowed(mixed_matrix(150000));  // more than the sample holds
  const ColumnSurvey expected = survey_of(cells, 4, 1);
  EXPECT_EQ(expected.sample.size(), std::int64_t{1} << 17);
  for (const std::int64_t tile_rows : {kBlockRows, 7 * kBlockRows, std::int64_t{1} << 20})
    for (const int threads : {1, 3}) expect_same(survey_of(cells, 4, threads, tile_rows), expected);
}

TEST(ColumnSurvey, ForgetsASweepThatWasInterrupted) {
  const std::vector<float> cells = narrowed(mixed_matrix(20000));
  Context context({.threads = 2, .memory_bytes = std::int64_t{1} << 30, .seed = 5});
  MemoryTileSource raw(std::span<const float>(cells), 4, kBlockRows);
  testing::InterruptedSource interrupted(raw);
  expect_same(survey_columns(context, interrupted), survey_of(cells, 4));
  EXPECT_EQ(interrupted.sweeps(), 2);
}

TEST(ColumnSurvey, IgnoresTheNumberOfRanks) {
  const std::vector<double> cells = mixed_matrix(20000);
  const ColumnSurvey expected = survey_of(cells, 4);
  testing::run_ranks(2, [&](Communicator& communicator) {
    Context context({.threads = 1, .memory_bytes = std::int64_t{1} << 30, .seed = 5, .progress = {}, .communicator = &communicator});
    const std::int64_t split = 3 * kBlockRows;
    const std::span<const double> all(cells), mine = communicator.rank() == 0 ? all.first(split * 4) : all.subspan(split * 4);
    MemoryTileSource raw(mine, 4, kBlockRows, communicator.rank() * split);
    expect_same(survey_columns(context, raw), expected);
  });
}

TEST(ColumnSurvey, FloatAndDoubleCellsOfEqualValueAgree) {
  const std::vector<double> wide = mixed_matrix(10000);
  const ColumnSurvey a = survey_of(wide, 4), b = survey_of(narrowed(wide), 4);
  EXPECT_EQ(a.missing, b.missing);
  EXPECT_EQ(a.fractional, b.fractional);
  EXPECT_EQ(a.max, b.max);
  for (int j = 0; j < 4; ++j) EXPECT_EQ(a.sampled(j), b.sampled(j));
}

TEST(ColumnSurvey, SampleOfFewRowsIsTheWholeColumnInFullPrecision) {
  std::vector<double> cells;
  for (int i = 0; i < 9000; ++i) cells.push_back(1e8 + i * 1e-3);
  std::vector<double> sample = survey_of(cells, 1).sampled(0);
  std::sort(sample.begin(), sample.end());
  EXPECT_EQ(sample, cells);
}

TEST(ColumnSurvey, SampleSizeFollowsTheShapeOnly) {
  EXPECT_EQ(survey_of(std::vector<float>(200000), 1).sample.size(), std::int64_t{1} << 17);
  EXPECT_EQ(survey_of(std::vector<float>(60000 * 100), 100).sample.size(), (std::int64_t{1} << 22) / 100);
  EXPECT_EQ(survey_of(std::vector<float>(17000 * 300), 300).sample.size(), std::int64_t{1} << 14);
}

TEST(ColumnSurvey, SampleIsSpreadEvenly) {
  std::vector<float> row_numbers(400000);
  for (std::size_t i = 0; i < row_numbers.size(); ++i) row_numbers[i] = static_cast<float>(i);
  const std::vector<double> sample = survey_of(row_numbers, 1).sampled(0);
  double sum = 0;
  for (const double row : sample) sum += row;
  const double standard_error = 400000 / std::sqrt(12.0 * static_cast<double>(sample.size()));
  EXPECT_NEAR(sum / static_cast<double>(sample.size()), 200000, 5 * standard_error);
}

TEST(ColumnSurvey, FirstBadCellsAreThoseOfActiveColumns) {
  std::vector<double> cells(3 * 10000, 1.0);
  const auto set = [&](std::size_t row, std::size_t column, double value) { cells[row * 3 + column] = value; };
  set(2, 1, kNaN);  // column 1 is not active
  set(9000, 2, kNaN);
  set(9000, 0, kNaN);
  set(5, 0, kNaN);
  set(8000, 2, -kInfinity);
  Context context({.threads = 2, .memory_bytes = std::int64_t{1} << 30});
  MemoryTileSource raw(std::span<const double>(cells), 3, kBlockRows);
  const ColumnSurvey survey = survey_columns(context, raw, {{"a", true}, {"b", false}, {"c", true}});
  ASSERT_EQ(survey.first_missing.size(), 3);
  EXPECT_EQ(survey.first_missing.key(0), 5u * 3 + 0);
  EXPECT_EQ(survey.first_missing.key(1), 9000u * 3 + 0);
  EXPECT_EQ(survey.first_missing.key(2), 9000u * 3 + 2);
  ASSERT_EQ(survey.first_infinite.size(), 1);
  EXPECT_EQ(survey.first_infinite.row(0), 8000);
  EXPECT_EQ(survey.missing, (std::vector<std::int64_t>{2, 1, 1}));
}

TEST(ColumnSurvey, RefusesTheWrongNumberOfDescriptions) {
  const std::vector<float> cells(6);
  Context context({.threads = 1, .memory_bytes = std::int64_t{1} << 20});
  MemoryTileSource raw(std::span<const float>(cells), 3);
  EXPECT_THROW(survey_columns(context, raw, {{"a", true}}), ArgumentError);
}

TEST(ColumnSurvey, SampleIsChargedToTheLedger) {
  const std::vector<float> cells(100000);
  Context context({.threads = 1, .memory_bytes = 1000000});
  MemoryTileSource raw(std::span<const float>(cells), 1);
  {
    const ColumnSurvey survey = survey_columns(context, raw);
    EXPECT_EQ(context.memory().available(), 1000000 - 400000);
  }
  EXPECT_EQ(context.memory().available(), 1000000);
  Context small({.threads = 1, .memory_bytes = 500000});
  EXPECT_THROW(survey_columns(small, raw), ResourceError);
}

}  // namespace
}  // namespace coterie
