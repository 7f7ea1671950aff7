// From raw rows to clustering rows: arithmetic, bits and memory. What is chosen for which column: transform_choice_test.
#include "host/transform.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "host/error.hpp"
#include "host/transform_cells.hpp"
#include "host/transform_strip.hpp"
#include "tests/reference/transform.hpp"
#include "tests/support/counting_source.hpp"
#include "tests/support/instruction_sets.hpp"
#include "tests/support/random_matrix.hpp"
#include "tests/support/thread_communicator.hpp"
#include "tests/support/transformed_rows.hpp"

namespace coterie {
namespace {

using testing::CountingSource;
using ::testing::HasSubstr;
using testing::narrowed;
using testing::random_matrix;
using testing::rows_of;
using testing::Shape;
using testing::survey_and_choose;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kPlenty = std::int64_t{1} << 30;

struct Setting {
  int threads = 2;
  std::int64_t memory = kPlenty;
  std::int64_t tile_rows = kBlockRows;
};

// Every kind of column that `automatic` treats differently.
constexpr std::int32_t kMixedColumns = 8;
std::vector<double> mixed_matrix(std::int64_t n_rows) {
  return random_matrix(n_rows, {{Shape::normal, 0.01},
                                {Shape::log_normal, 0.02},
                                {Shape::counts},
                                {Shape::flag},
                                {Shape::cauchy},
                                {Shape::exponential, 0.6},
                                {Shape::normal, 0, 1e4, 3},
                                {Shape::constant}});
}

struct Outcome {
  Transform transform;
  std::vector<float> rows;
};

template <class Cell>
Outcome transform_rows(const std::vector<Cell>& cells, std::int32_t n_columns, const TransformOptions& options,
                       const Setting& setting = {}) {
  Context context({.threads = setting.threads, .memory_bytes = kPlenty, .seed = 3});
  MemoryTileSource raw(std::span<const Cell>(cells), n_columns, setting.tile_rows);
  Outcome outcome{survey_and_choose(context, raw, options).transform, {}};
  Context frugal({.threads = setting.threads, .memory_bytes = setting.memory});
  outcome.rows = rows_of(*transformed(frugal, raw, outcome.transform));
  return outcome;
}

void expect_same(const Outcome& a, const Outcome& b) {
  EXPECT_EQ(a.transform.columns, b.transform.columns);
  EXPECT_EQ(a.transform.names, b.transform.names);
  EXPECT_EQ(a.rows, b.rows);
}

// A transform of one raw column that leaves values alone, on a grid fit for |x| <= largest_power_of_two.
Transform identity(double largest_power_of_two) {
  return {.kind = TransformKind::none, .columns = {{.source = 0, .step = std::ldexp(largest_power_of_two, -23)}}, .names = {"amount"}};
}

std::vector<float> applied(const Transform& transform, const std::vector<double>& cells, const Setting& setting = {}) {
  Context context({.threads = setting.threads, .memory_bytes = setting.memory});
  MemoryTileSource raw(std::span<const double>(cells), 1, setting.tile_rows);
  return rows_of(*transformed(context, raw, transform));
}

std::string refusal_of(const Transform& transform, const std::vector<double>& cells, const Setting& setting = {}) {
  try {
    applied(transform, cells, setting);
  } catch (const ContentsError& error) {
    return error.what();
  }
  return "nothing was refused";
}

std::string kind_name(const ::testing::TestParamInfo<TransformKind>& tested) {
  constexpr const char* kNames[] = {"none", "zscore", "log1p", "robust", "automatic"};
  return kNames[static_cast<int>(tested.param)];
}

class EveryKind : public ::testing::TestWithParam<TransformKind> {};
constexpr TransformKind kEveryKind[] = {TransformKind::none, TransformKind::zscore, TransformKind::log1p, TransformKind::robust,
                                        TransformKind::automatic};
INSTANTIATE_TEST_SUITE_P(Transform, EveryKind, ::testing::ValuesIn(kEveryKind), kind_name);

TEST_P(EveryKind, MatchesReference) {
  const std::vector<double> cells = mixed_matrix(10000);
  const Outcome outcome = transform_rows(cells, kMixedColumns, {.kind = GetParam(), .missing = MissingPolicy::median});
  EXPECT_EQ(outcome.rows, reference::transformed_rows(outcome.transform, cells, kMixedColumns));
}

TEST_P(EveryKind, IgnoresTileRowsThreadsAndMemory) {
  const std::vector<float> cells = narrowed(mixed_matrix(30000));
  const TransformOptions options{.kind = GetParam(), .missing = MissingPolicy::median};
  const Outcome expected = transform_rows(cells, kMixedColumns, options, {.threads = 1});
  const std::int64_t one_block = kBlockRows * kMixedColumns * std::int64_t{sizeof(float)};
  for (const Setting& setting : {Setting{.tile_rows = 3 * kBlockRows}, Setting{.threads = 3, .tile_rows = 1 << 20},
                                 Setting{.memory = one_block}, Setting{.memory = 2 * one_block, .tile_rows = 1 << 20}})
    expect_same(transform_rows(cells, kMixedColumns, options, setting), expected);
}

TEST_P(EveryKind, FloatAndDoubleCellsOfEqualValueAgree) {
  const std::vector<double> wide = mixed_matrix(5000);
  const TransformOptions options{.kind = GetParam(), .missing = MissingPolicy::median};
  expect_same(transform_rows(wide, kMixedColumns, options), transform_rows(narrowed(wide), kMixedColumns, options));
}

TEST_P(EveryKind, PutsEveryValueOnTheGrid) {
  const Outcome outcome = transform_rows(mixed_matrix(5000), kMixedColumns, {.kind = GetParam(), .missing = MissingPolicy::median});
  const std::vector<double> steps = outcome.transform.steps();
  std::vector<double> most(steps.size());
  for (std::size_t i = 0; i < outcome.rows.size(); ++i) {
    const double count = outcome.rows[i] / steps[i % steps.size()];
    ASSERT_EQ(count, std::nearbyint(count));
    most[i % steps.size()] = std::max(most[i % steps.size()], std::abs(count));
  }
  for (std::size_t j = 0; j < steps.size(); ++j) {
    int exponent = 0;
    EXPECT_EQ(std::frexp(steps[j], &exponent), 0.5) << "a step is a power of two";
    EXPECT_LE(most[j], 0x1p23);
    EXPECT_GE(most[j], 0x1p22) << "a smaller power of two would do";
  }
}

TEST_P(EveryKind, RanksAgreeWithOneProcess) {
  const std::vector<double> cells = mixed_matrix(20000);
  const TransformOptions options{.kind = GetParam(), .missing = MissingPolicy::median};
  const Outcome expected = transform_rows(cells, kMixedColumns, options);
  testing::run_ranks(2, [&](Communicator& communicator) {
    Context context({.threads = 1, .memory_bytes = kPlenty, .seed = 3, .communicator = &communicator});
    const std::int64_t first_row = communicator.rank() * 2 * kBlockRows, split = 2 * kBlockRows * kMixedColumns;
    const std::span<const double> all(cells);
    MemoryTileSource raw(communicator.rank() == 0 ? all.first(split) : all.subspan(split), kMixedColumns, kBlockRows, first_row);
    const Transform transform = survey_and_choose(context, raw, options).transform;
    EXPECT_EQ(transform.columns, expected.transform.columns);
    const std::vector<float> rows = rows_of(*transformed(context, raw, transform));
    const auto mine = expected.rows.begin() + first_row * static_cast<std::int64_t>(transform.columns.size());
    EXPECT_TRUE(std::equal(rows.begin(), rows.end(), mine));
  });
}

// Each value is rounded by at most 2^-39 of half the range, and so is the mean; the deviation of a column that is not
// degenerate moves by less than twice that. Double arithmetic on the way adds a few 2^-53 of the value.
void expect_standardised(const ColumnTransform& column, const std::vector<double>& cells) {
  double low = kInfinity, high = -kInfinity;
  for (std::size_t i = static_cast<std::size_t>(column.source); i < cells.size(); i += kMixedColumns) {
    const double value = reference::before_centring(column, cells[i]);
    low = std::min(low, value);
    high = std::max(high, value);
  }
  const double tolerance = 0x1p-38 * (high - low) + 0x1p-50 * std::max(std::abs(low), std::abs(high));
  const reference::Moments moments = reference::moments_before_centring(column, cells, kMixedColumns);
  EXPECT_NEAR(column.center, static_cast<double>(moments.mean), tolerance);
  EXPECT_NEAR(column.scale, static_cast<double>(moments.deviation), tolerance);
}

TEST(Transform, CentersAndScalesByMeanAndDeviation) {
  const std::vector<double> cells = mixed_matrix(10000);
  for (const TransformKind kind : {TransformKind::zscore, TransformKind::log1p, TransformKind::automatic}) {
    const Transform transform = transform_rows(cells, kMixedColumns, {.kind = kind}).transform;
    int standardised = 0;
    for (const ColumnTransform& column : transform.columns) {
      if (column.answered || column.center == column.fill) continue;  // a robust scale sits on the median
      expect_standardised(column, cells);
      ++standardised;
    }
    EXPECT_EQ(standardised, kind == TransformKind::automatic ? 5 : 7);
  }
}

// Reference: the formulas of transform_cells.hpp, one cell after the other.
std::vector<float> transformed_by_cell(const ColumnTransform& column, bool keep_missing, const std::vector<double>& raw) {
  std::vector<float> values;
  for (const double x : raw) {
    const double value = clustering_value(column, prepared(column, x));
    const bool keeps = keep_missing && !column.answered && !is_known(x);
    values.push_back(keeps ? std::numeric_limits<float>::quiet_NaN()
                           : on_grid(value, column.step, 1 / column.step, most_steps(column.step)));
  }
  return values;
}

// As bits, because missing cells are no numbers.
std::vector<std::uint32_t> bits_of(const std::vector<float>& values) {
  std::vector<std::uint32_t> bits;
  for (const float value : values) bits.push_back(std::bit_cast<std::uint32_t>(value));
  return bits;
}

TEST(TransformStrip, HasTheSameBitsOnEveryInstructionSet) {
  std::vector<double> raw = random_matrix(kStripRows - 4, {{Shape::log_normal, 0.1}});
  raw.insert(raw.end(), {0.0, 1e-300, -7.0, 3e38});
  ASSERT_GT(std::count_if(raw.begin(), raw.end(), [](double x) { return !is_known(x); }), 0);
  const ColumnTransform logged{
      .source = 0, .log1p = true, .lower = -9, .upper = 1e30, .fill = 0.5, .center = 0.3, .scale = 1.7, .step = 0x1p-20};
  ColumnTransform plain = logged, answered = logged;
  plain.log1p = false;
  answered.answered = true;
  for (const ColumnTransform& column : {logged, plain, answered}) {
    for (const bool keep_missing : {false, true}) {
      const std::vector<std::uint32_t> expected = bits_of(transformed_by_cell(column, keep_missing, raw));
      testing::for_each_instruction_set([&] {
        std::vector<double> strip = raw;
        std::vector<float> out(raw.size(), -1.0f);
        EXPECT_TRUE(transform_strip(column, keep_missing, strip, out.data()));
        EXPECT_EQ(bits_of(out), expected);
        strip = raw;
        strip.back() = kInfinity;
        EXPECT_FALSE(transform_strip(column, keep_missing, strip, out.data()));
      });
    }
  }
}

TEST(Transform, ReadsRawOnceWhenEveryRowFits) {
  const std::vector<double> cells = random_matrix(20000, {{Shape::normal}});
  MemoryTileSource memory(std::span<const double>(cells), 1, kBlockRows);
  const auto sweeps_for = [&](std::int64_t budget) {
    CountingSource raw(memory);
    Context context({.threads = 1, .memory_bytes = budget});
    const auto source = transformed(context, raw, identity(8));
    const std::vector<float> first = rows_of(*source);
    EXPECT_EQ(rows_of(*source), first);
    EXPECT_EQ(rows_of(*source), first);
    return raw.sweeps();
  };
  EXPECT_EQ(sweeps_for(kPlenty), 1);
  EXPECT_EQ(sweeps_for(50000), 3);
}

TEST(Transform, StartsAgainAfterASweepThatWasLeft) {
  const std::vector<double> cells = random_matrix(20000, {{Shape::normal}});
  for (const std::int64_t budget : {kPlenty, std::int64_t{20000}}) {  // rows are kept; or one block at a time
    Context context({.threads = 1, .memory_bytes = budget});
    MemoryTileSource raw(std::span<const double>(cells), 1, 2 * kBlockRows);
    const auto source = transformed(context, raw, identity(8));
    source->rewind();
    source->next();
    raw.rewind();  // somebody else reads the raw rows in between
    raw.next();
    raw.next();
    EXPECT_EQ(rows_of(*source), applied(identity(8), cells));
  }
}

TEST(Transform, LeavesMemoryForWhatFollowsAndGivesItBack) {
  const std::vector<double> cells(100000, 1.0);
  Context context({.threads = 1, .memory_bytes = 500000});  // 400000 bytes of rows are more than three quarters
  MemoryTileSource raw(std::span<const double>(cells), 1);
  {
    const auto source = transformed(context, raw, identity(8));
    EXPECT_EQ(rows_of(*source).size(), cells.size());
    EXPECT_GT(context.memory().available(), 0);
  }
  EXPECT_EQ(context.memory().available(), 500000);
  Context tiny({.threads = 1, .memory_bytes = 1000});
  EXPECT_THROW(transformed(tiny, raw, identity(8)), ResourceError);
}

TEST(Transform, NoneKeepsOrderAndValuesThatFitTheGrid) {
  std::vector<float> cells;
  for (int row = 0; row < 5000; ++row)
    for (const int value : {row, -row, 7, row % 2}) cells.push_back(static_cast<float>(value));
  EXPECT_EQ(transform_rows(cells, 4, {.kind = TransformKind::none}).rows, cells);
}

TEST(Transform, FoldsMinusZero) {
  for (const float value : applied(identity(1), {-0.0, 1e-9, -1e-9})) {
    EXPECT_EQ(value, 0.0f);
    EXPECT_FALSE(std::signbit(value));
  }
}

TEST(Transform, RoundsTiesToEvenAndFollowsOtherRowsBeyondTheGrid) {
  Transform transform = identity(0x1p23);  // steps of one
  EXPECT_EQ(applied(transform, {0.5, 1.5, 2.5, -0.5, -1.5, 1e10, -1e10}), (std::vector<float>{0, 2, 2, 0, -2, 1e10f, -1e10f}));
  transform.columns.front().log1p = true;  // of rows that were not negative
  EXPECT_EQ(applied(transform, {-0.5, -1, -5, -3e38}), std::vector<float>(4, 0.0f));
}

TEST(Transform, LargestFloatsStayFinite) {
  const float largest = std::numeric_limits<float>::max();
  const Outcome outcome = transform_rows(std::vector<float>{largest, -largest, 0}, 1, {.kind = TransformKind::none});
  EXPECT_EQ(outcome.transform.columns[0].step, 0x1p105);
  EXPECT_EQ(outcome.rows[0], static_cast<float>(0x1p128 - 0x1p105));
  EXPECT_EQ(outcome.rows[1], -outcome.rows[0]);
}

TEST(Transform, SmallestFloatsKeepARepresentableStep) {
  const float smallest = std::numeric_limits<float>::denorm_min();
  const Outcome outcome = transform_rows(std::vector<float>{smallest, 3 * smallest, 0}, 1, {.kind = TransformKind::none});
  EXPECT_EQ(outcome.transform.columns[0].step, 0x1p-149);
  EXPECT_EQ(outcome.rows, (std::vector<float>{smallest, 3 * smallest, 0}));
}

// Standardised columns of any scale give the same rows up to one step: the scale is the only difference.
TEST(Transform, StandardisesTinyAndHugeScales) {
  for (const double scale : {1e-30, 1e-10, 1e10, 1e30}) {
    const std::vector<double> cells = random_matrix(5000, {{Shape::normal}, {Shape::normal, 0, 0, scale}});
    const Outcome outcome = transform_rows(cells, 2, {.kind = TransformKind::zscore});
    double sum = 0, squares = 0;
    for (std::size_t i = 1; i < outcome.rows.size(); i += 2) {
      ASSERT_TRUE(std::isfinite(outcome.rows[i]));
      sum += outcome.rows[i];
      squares += static_cast<double>(outcome.rows[i]) * outcome.rows[i];
    }
    constexpr double kStep = 0x1p-20;  // |z| < 8
    EXPECT_NEAR(sum / 5000, 0, kStep);
    EXPECT_NEAR(squares / 4999, 1, 8 * kStep);
  }
}

TEST(Transform, KeepsTheSpreadBesideALargeOffset) {
  std::vector<double> cells;
  const std::vector<double> noise = random_matrix(5000, {{Shape::normal}});
  for (const double value : noise) cells.push_back(1e8 + value);
  const Outcome shifted = transform_rows(cells, 1, {}), plain = transform_rows(noise, 1, {});
  constexpr double kOffsetRounding = 1e8 * 0x1p-52, kStep = 0x1p-20;
  for (std::size_t i = 0; i < noise.size(); ++i) EXPECT_NEAR(shifted.rows[i], plain.rows[i], 4 * kOffsetRounding + 2 * kStep);
}

TEST(Transform, RawUnitsComeBack) {
  const std::vector<double> cells = mixed_matrix(5000);
  const Outcome outcome = transform_rows(cells, kMixedColumns, {});
  const std::size_t n_columns = outcome.transform.columns.size();
  for (std::size_t i = 0; i < outcome.rows.size(); ++i) {
    const ColumnTransform& column = outcome.transform.columns[i % n_columns];
    const double raw = cells[i / n_columns * kMixedColumns + static_cast<std::size_t>(column.source)];
    if (column.answered) {
      EXPECT_EQ(to_raw_units(column, outcome.rows[i]), std::isnan(raw) ? 0 : 1);
      continue;
    }
    const double expected = std::clamp(std::isnan(raw) ? column.fill : raw, column.lower, column.upper);
    const double slope = column.log1p ? 1 + expected : 1;  // of the inverse
    EXPECT_NEAR(to_raw_units(column, outcome.rows[i]), expected, slope * column.scale * column.step + 1e-14 * std::abs(expected));
  }
}

TEST(Transform, NamesTheFirstInfiniteCellWhateverTheTiles) {
  std::vector<double> cells(30000, 1.0);
  cells[20001] = kInfinity;
  cells[20000] = 1e39;
  cells[29000] = kNaN;
  for (const Setting& setting : {Setting{}, Setting{.threads = 3, .tile_rows = 1 << 20}, Setting{.memory = 40000}}) {
    const std::string refusal = refusal_of(identity(8), cells, setting);
    EXPECT_THAT(refusal, HasSubstr("row 20000 "));
    EXPECT_THAT(refusal, HasSubstr("column 'amount'"));
    EXPECT_THAT(refusal, HasSubstr("infinite"));
  }
}

TEST(Transform, NamesTheFirstMissingCellThatHasNoFillValue) {
  std::vector<double> cells(9000, 1.0);
  cells[8000] = kNaN;
  const std::string refusal = refusal_of(identity(8), cells);
  EXPECT_THAT(refusal, HasSubstr("row 8000 "));
  EXPECT_THAT(refusal, HasSubstr("missing"));
  Transform filling = identity(8);
  filling.columns[0].fill = 2;
  EXPECT_EQ(applied(filling, cells)[8000], 2.0f);
}

TEST(Transform, AnsweredColumnsTakeMissingCellsButNoInfiniteOnes) {
  Transform transform = identity(1);
  transform.columns[0].answered = true;
  EXPECT_EQ(applied(transform, {kNaN, 3, 0}), (std::vector<float>{0, 1, 1}));
  EXPECT_THAT(refusal_of(transform, {3, kNaN, kInfinity}), HasSubstr("row 2 "));
}

TEST(Transform, RefusesColumnsThatTheMatrixDoesNotHave) {
  Context context({.threads = 1, .memory_bytes = kPlenty});
  const std::vector<double> cells(4);
  MemoryTileSource raw(std::span<const double>(cells), 1);
  Transform transform = identity(1);
  transform.columns[0].source = 1;
  EXPECT_THROW(transformed(context, raw, transform), ArgumentError);
  EXPECT_THROW(transformed(context, raw, Transform{}), ArgumentError);
}

}  // namespace
}  // namespace coterie
