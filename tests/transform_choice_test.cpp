// What choose_transform decides for which column, and how it says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "host/error.hpp"
#include "host/transform.hpp"
#include "tests/support/counting_source.hpp"
#include "tests/support/interrupted_source.hpp"
#include "tests/support/random_matrix.hpp"
#include "tests/support/transformed_rows.hpp"

namespace coterie {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::named_columns;
using testing::random_matrix;
using testing::RandomColumn;
using testing::Shape;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kRows = 20000;

ChosenTransform choose(const std::vector<double>& cells, const std::vector<RawColumn>& columns, const TransformOptions& options = {}) {
  Context context({.threads = 2, .memory_bytes = std::int64_t{1} << 30, .seed = 1});
  MemoryTileSource raw(std::span<const double>(cells), static_cast<std::int32_t>(columns.size()), kBlockRows);
  return choose_transform(context, raw, survey_columns(context, raw, columns), columns, options);
}

// One column of one shape.
struct Decision {
  ColumnTransform column;
  ColumnNote note;
};
Decision decide(const std::vector<double>& cells, const TransformOptions& options = {}) {
  ChosenTransform chosen = choose(cells, named_columns(1), options);
  return {chosen.transform.columns.at(0), chosen.notes.at(0)};
}
Decision decide(const RandomColumn& shape, const TransformOptions& options = {}) { return decide(random_matrix(kRows, {shape}), options); }

std::string refusal_of(const std::vector<double>& cells, const std::vector<RawColumn>& columns, const TransformOptions& options = {}) {
  try {
    choose(cells, columns, options);
  } catch (const ContentsError& error) {
    return error.what();
  }
  return "nothing was refused";
}

bool winsorises(const ColumnTransform& column) { return column.lower > -kInfinity || column.upper < kInfinity; }

TEST(TransformChoice, NormalDataAreOnlyStandardised) {
  const Decision decision = decide(RandomColumn{.shape = Shape::normal, .offset = 5, .scale = 2});
  EXPECT_EQ(decision.note.decision, "z-score");
  EXPECT_FALSE(decision.note.warning);
  EXPECT_NEAR(decision.column.center, 5, 5 * 2 / std::sqrt(kRows));
  EXPECT_NEAR(decision.column.scale, 2, 5 * 2 / std::sqrt(2.0 * kRows));
  EXPECT_FALSE(winsorises(decision.column));
}

TEST(TransformChoice, HeavyTailsWithoutNegativeValuesAreLogged) {
  for (const Shape shape : {Shape::log_normal, Shape::exponential}) {
    const Decision decision = decide(RandomColumn{.shape = shape});
    EXPECT_TRUE(decision.column.log1p);
    EXPECT_EQ(decision.note.decision, "log1p, z-score");
  }
}

TEST(TransformChoice, PointMassesAreLogged) { EXPECT_TRUE(decide(RandomColumn{.shape = Shape::counts}).column.log1p); }

TEST(TransformChoice, ARareThirdValueMakesAColumnMoreThanTwoValued) {
  std::vector<double> cells(kRows, 0.0);
  for (std::size_t i = 0; i < cells.size(); i += 100) cells[i] = i % 200 == 0 ? 1 : 50;
  EXPECT_TRUE(decide(cells).column.log1p);
}

// (q99 - q50) / (q50 - q01) is 1 for u, 2.9 for u^2 and 6.8 for u^3, with u spread evenly over [0, 1].
TEST(TransformChoice, LogsWhereTheUpperTailIsFourTimesTheLower) {
  const auto decision_for = [](int power) {
    std::vector<double> cells;
    for (int i = 0; i < kRows; ++i) cells.push_back(std::pow(static_cast<double>(i) / kRows, power));
    return decide(cells).note.decision;
  };
  EXPECT_EQ(decision_for(1), "z-score");
  EXPECT_EQ(decision_for(2), "z-score");
  EXPECT_EQ(decision_for(3), "log1p, z-score");
}

TEST(TransformChoice, TwoValuedColumnsAreOnlyStandardised) {
  for (const double scale : {1.0, 0.1, 1e6}) {
    const Decision decision = decide(RandomColumn{.shape = Shape::flag, .scale = scale});
    EXPECT_EQ(decision.note.decision, "z-score");
    EXPECT_FALSE(decision.column.log1p || winsorises(decision.column));
  }
}

TEST(TransformChoice, RareFlagsAreTwoValuedThoughTheSampleHoldsNone) {
  std::vector<double> cells(300000, 0.0);
  cells[299999] = 1;
  EXPECT_EQ(decide(cells).note.decision, "z-score");
}

TEST(TransformChoice, HeavyTailsWithNegativeValuesAreScaledRobustly) {
  const Decision decision = decide(RandomColumn{.shape = Shape::cauchy, .offset = 10});
  EXPECT_FALSE(decision.column.log1p);
  EXPECT_THAT(decision.note.decision, HasSubstr("robust scale"));
  // The median of n Cauchy values has a standard error of pi / (2 sqrt(n)), each quartile pi / sqrt(n).
  EXPECT_NEAR(decision.column.center, 10, 5 * 1.6 / std::sqrt(kRows));
  EXPECT_NEAR(decision.column.scale, 2 / 1.349, 5 * 4.5 / 1.349 / std::sqrt(kRows));
}

TEST(TransformChoice, FarExtremesAreWinsorisedOnTheirSideOnly) {
  std::vector<double> cells = random_matrix(kRows, {{Shape::normal}});
  cells[7] = -1000;
  const Decision below = decide(cells);
  EXPECT_THAT(below.note.decision, HasSubstr("winsorised at the 0.1 % quantile"));
  EXPECT_EQ(below.column.upper, kInfinity);
  EXPECT_NEAR(below.column.lower, -3.09, 0.3);
  cells[8] = 1000;
  const Decision both = decide(cells);
  EXPECT_THAT(both.note.decision, HasSubstr("winsorised at the 0.1 % and 99.9 % quantile"));
  EXPECT_NEAR(both.column.upper, 3.09, 0.3);
}

// The 99.9 % quantile lies at 3.1 and the robust width is 1, give or take 10 % for this many rows.
TEST(TransformChoice, ExtremesCountAsFarFromFiveWidthsOn) {
  std::vector<double> cells = random_matrix(kRows, {{Shape::normal}});
  cells[7] = 3.1 + 4;
  EXPECT_FALSE(winsorises(decide(cells).column));
  cells[7] = 3.1 + 6;
  EXPECT_TRUE(winsorises(decide(cells).column));
}

TEST(TransformChoice, WinsorisingNeverMakesAColumnConstant) {
  std::vector<double> cells(kRows, 3.0);
  cells[5] = 1e6;
  cells[6] = 17;
  const Decision decision = decide(cells);
  EXPECT_FALSE(winsorises(decision.column));
  EXPECT_GT(decision.column.scale, 0);
}

TEST(TransformChoice, ExplicitKindsNeverWinsorise) {
  std::vector<double> cells = random_matrix(kRows, {{Shape::log_normal}});
  cells[7] = 1e12;
  for (const TransformKind kind : {TransformKind::none, TransformKind::zscore, TransformKind::log1p, TransformKind::robust}) {
    const ColumnTransform column = decide(cells, {.kind = kind}).column;
    EXPECT_FALSE(winsorises(column));
    EXPECT_EQ(column.log1p, kind == TransformKind::log1p);
  }
}

TEST(TransformChoice, Log1pLeavesColumnsWithNegativeValuesToTheZScore) {
  EXPECT_EQ(decide(RandomColumn{.shape = Shape::normal}, {.kind = TransformKind::log1p}).note.decision, "z-score");
}

// Interpolated between the ranks of a sorted column.
double quantile_of(const std::vector<double>& sorted, double share) {
  const double rank = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(rank);
  const double above = sorted[std::min(below + 1, sorted.size() - 1)];
  return sorted[below] + (rank - static_cast<double>(below)) * (above - sorted[below]);
}

TEST(TransformChoice, RobustScaleIsThatOfTheSortedColumn) {
  std::vector<std::vector<double>> columns = {{1, 2}, {3, 1, 2}, {-1, 4, -2, 8, -3}};
  for (const Shape shape : {Shape::normal, Shape::log_normal, Shape::exponential, Shape::counts, Shape::cauchy})
    columns.push_back(random_matrix(kRows + 1, {{.shape = shape, .offset = -0.25}}));
  for (const std::vector<double>& cells : columns) {
    std::vector<double> sorted = cells;
    std::sort(sorted.begin(), sorted.end());
    const ColumnTransform column = decide(cells, {.kind = TransformKind::robust}).column;
    EXPECT_EQ(column.fill, quantile_of(sorted, 0.5));
    EXPECT_EQ(column.center, quantile_of(sorted, 0.5));
    EXPECT_EQ(column.scale, (quantile_of(sorted, 0.75) - quantile_of(sorted, 0.25)) / 1.349);
  }
}

TEST(TransformChoice, RobustFallsBackWhereTheQuartilesCoincide) {
  const Decision decision = decide(RandomColumn{.shape = Shape::flag, .offset = 0}, {.kind = TransformKind::robust});
  EXPECT_THAT(decision.note.decision, HasSubstr("robust scale"));  // 30 % ones: the upper quartile is 1
  std::vector<double> cells(kRows, 0.0);
  for (std::size_t i = 0; i < cells.size(); i += 10) cells[i] = 1;
  EXPECT_EQ(decide(cells, {.kind = TransformKind::robust}).note.decision, "z-score");
}

TEST(TransformChoice, MostlyMissingColumnsBecomeAnIndicator) {
  const std::vector<double> cells = random_matrix(kRows, {{Shape::normal}, {Shape::normal, 0.4}, {Shape::normal, 0.2}});
  const ChosenTransform chosen = choose(cells, named_columns(3));
  EXPECT_THAT(chosen.transform.names, ElementsAre("c0", "c1 answered", "c2"));
  EXPECT_THAT(chosen.moved_to_profile, ElementsAre(1));
  EXPECT_TRUE(chosen.transform.columns[1].answered);
  EXPECT_TRUE(chosen.notes[1].warning);
  EXPECT_THAT(chosen.notes[1].decision, AllOf(HasSubstr("% missing"), HasSubstr("moved to the profile columns")));
  EXPECT_THAT(chosen.notes[2].decision, HasSubstr("filled with the median"));
  EXPECT_FALSE(chosen.notes[2].warning);
}

TEST(TransformChoice, AskingForTheMedianFillsEvenMostlyMissingColumns) {
  const Decision decision = decide(RandomColumn{.shape = Shape::normal, .missing_share = 0.6}, {.missing = MissingPolicy::median});
  EXPECT_FALSE(decision.column.answered);
  EXPECT_NEAR(decision.column.fill, 0, 0.1);
}

TEST(TransformChoice, ThirtyPercentMissingIsStillFilled) {
  std::vector<double> cells = random_matrix(1000, {{Shape::normal}});
  for (std::size_t i = 0; i < 300; ++i) cells[i] = kNaN;
  EXPECT_FALSE(decide(cells).column.answered);
  cells[300] = kNaN;
  EXPECT_TRUE(decide(cells).column.answered);
}

TEST(TransformChoice, FillIsTheMedianOfKnownCells) { EXPECT_EQ(decide({5, 1, kNaN, 3, 100, 4, 4.5}).column.fill, 4.25); }

TEST(TransformChoice, ConstantColumnsAreDroppedAndNamed) {
  const std::vector<double> cells = random_matrix(kRows, {{Shape::constant}, {Shape::normal}});
  for (const TransformKind kind : {TransformKind::automatic, TransformKind::zscore, TransformKind::robust, TransformKind::log1p}) {
    const ChosenTransform chosen = choose(cells, named_columns(2), {.kind = kind});
    EXPECT_THAT(chosen.transform.names, ElementsAre("c1"));
    ASSERT_EQ(chosen.notes.size(), 2u);
    EXPECT_EQ(chosen.notes[0].source, 0);
    EXPECT_EQ(chosen.notes[0].decision, "constant, dropped");
    EXPECT_TRUE(chosen.notes[0].warning);
  }
}

TEST(TransformChoice, NoneKeepsConstantColumns) {
  const ChosenTransform chosen = choose({0, 5, 1, 0, 5, 2}, named_columns(3), {.kind = TransformKind::none});
  EXPECT_THAT(chosen.transform.names, ElementsAre("c0", "c1", "c2"));
  EXPECT_THAT(chosen.transform.steps(), ElementsAre(1.0, 0x1p-20, 0x1p-22));
}

TEST(TransformChoice, OneKnownValueBecomesAnIndicator) {
  std::vector<double> cells(1000, 1.0);
  for (std::size_t i = 0; i < 100; ++i) cells[i] = kNaN;
  const Decision decision = decide(cells);
  EXPECT_TRUE(decision.column.answered);
  EXPECT_TRUE(choose(cells, named_columns(1)).moved_to_profile.empty());
}

TEST(TransformChoice, ColumnsWithoutAnyKnownValueAreDropped) {
  std::vector<double> cells = random_matrix(kRows, {{Shape::normal}, {Shape::normal, 1.1}});
  const ChosenTransform chosen = choose(cells, named_columns(2));
  EXPECT_THAT(chosen.transform.names, ElementsAre("c0"));
  EXPECT_THAT(chosen.notes[1].decision, HasSubstr("no known value"));
  EXPECT_TRUE(chosen.moved_to_profile.empty());
}

TEST(TransformChoice, InactiveColumnsPlayNoPart) {
  std::vector<double> cells = random_matrix(kRows, {{Shape::normal}, {Shape::normal}});
  cells[1] = kInfinity;
  const ChosenTransform chosen = choose(cells, {{"a", true}, {"b", false}});
  EXPECT_THAT(chosen.transform.names, ElementsAre("a"));
  EXPECT_EQ(chosen.notes.size(), 1u);
}

TEST(TransformChoice, InfiniteCellsAreRefusedWithCountAndPlaces) {
  std::vector<double> cells = random_matrix(kRows, {{Shape::normal}, {Shape::normal}});
  cells[2 * 10 + 1] = -kInfinity;
  cells[2 * 9000] = 1e39;
  for (const TransformKind kind : {TransformKind::automatic, TransformKind::none})
    EXPECT_THAT(
        refusal_of(cells, {{"spend", true}, {"visits", true}}, {.kind = kind}),
        AllOf(HasSubstr("2 in active columns ('spend' 1, 'visits' 1)"), HasSubstr("row 10 column 'visits', row 9000 column 'spend'"),
              HasSubstr("infinite"), HasSubstr("nothing was written")));
}

TEST(TransformChoice, NoneRefusesMissingCellsWithCountPlacesAndAdvice) {
  const std::vector<double> cells = random_matrix(kRows, {{Shape::normal, 0.01}, {Shape::normal, 0.02}, {Shape::normal, 0.5}});
  std::int64_t missing = 0;
  for (std::size_t i = 0; i < cells.size(); ++i) missing += i % 3 != 2 && std::isnan(cells[i]);
  std::size_t first = 0;
  while (first % 3 == 2 || !std::isnan(cells[first])) ++first;
  const std::string row = std::to_string(first / 3), column = first % 3 == 0 ? "spend" : "visits";
  const std::string place = std::string("the first: row ").append(row).append(" column '").append(column).append("'");
  EXPECT_THAT(refusal_of(cells, {{"spend", true}, {"visits", true}, {"income", false}}, {.kind = TransformKind::none}),
              AllOf(HasSubstr(std::to_string(missing).append(" in active columns")), HasSubstr(place), HasSubstr("--missing median"),
                    HasSubstr("--transform auto")));
}

TEST(TransformChoice, LongListsOfColumnsAreCutShort) {
  const std::vector<double> cells(2 * 9, kNaN);
  EXPECT_THAT(refusal_of(cells, named_columns(9), {.kind = TransformKind::none}),
              AllOf(HasSubstr("18 in active"), HasSubstr("and 4 more columns")));
}

TEST(TransformChoice, MissingErrorHoldsForEveryKind) {
  const std::vector<double> cells = random_matrix(kRows, {{Shape::normal, 0.01}});
  EXPECT_THAT(refusal_of(cells, named_columns(1), {.missing = MissingPolicy::error}), HasSubstr("missing cells"));
}

TEST(TransformChoice, NothingToClusterByIsRefused) {
  EXPECT_THAT(refusal_of({1, 1, 1}, named_columns(1)), HasSubstr("constant or empty"));
  EXPECT_THAT(refusal_of({1, 2, 3}, {{"a", false}}), HasSubstr("no column is active"));
  EXPECT_THAT(refusal_of({}, named_columns(1)), HasSubstr("no rows"));
}

TEST(TransformChoice, ACoarseGridIsReported) {
  std::vector<double> cells = random_matrix(kRows, {{Shape::exponential}});
  cells[3] = 1e6;
  const Decision raw = decide(cells, {.kind = TransformKind::none});
  EXPECT_TRUE(raw.note.warning);
  EXPECT_THAT(raw.note.decision, HasSubstr("log1p"));
  EXPECT_FALSE(decide(cells, {.kind = TransformKind::log1p}).note.warning);
}

TEST(TransformChoice, StepIsTheSmallestPowerOfTwoThatReachesTheLargestValue) {
  const auto step_for = [](double largest) { return decide({0, largest, -largest / 3}, {.kind = TransformKind::none}).column.step; };
  EXPECT_EQ(step_for(1), 0x1p-23);
  EXPECT_EQ(step_for(1.5), 0x1p-22);
  EXPECT_EQ(step_for(2), 0x1p-22);
  EXPECT_EQ(step_for(1e-40), 0x1p-149);
}

TEST(TransformChoice, ReadsRawOnceMoreOnlyWhereMeansAreNeeded) {
  const std::vector<double> cells = random_matrix(kRows, {{Shape::normal}});
  Context context({.threads = 1, .memory_bytes = std::int64_t{1} << 30});
  MemoryTileSource memory(std::span<const double>(cells), 1);
  for (const TransformKind kind : {TransformKind::none, TransformKind::robust, TransformKind::zscore}) {
    testing::CountingSource raw(memory);
    testing::survey_and_choose(context, raw, {.kind = kind});
    EXPECT_EQ(raw.sweeps(), kind == TransformKind::zscore ? 2 : 1);
  }
}

TEST(TransformChoice, ForgetsASweepThatWasInterrupted) {
  const std::vector<double> cells = random_matrix(3 * kBlockRows, {{Shape::normal}, {Shape::log_normal}});
  Context context({.threads = 2, .memory_bytes = std::int64_t{1} << 30});
  MemoryTileSource raw(std::span<const double>(cells), 2, kBlockRows);
  const ColumnSurvey survey = survey_columns(context, raw);
  testing::InterruptedSource interrupted(raw);
  const auto columns_of = [&](TileSource& source) {
    return choose_transform(context, source, survey, named_columns(2), {.kind = TransformKind::zscore}).transform.columns;
  };
  EXPECT_EQ(columns_of(interrupted), columns_of(raw));
  EXPECT_EQ(interrupted.sweeps(), 2);
}

TEST(TransformChoice, RefusesDescriptionsThatDoNotFitTheSurvey) {
  const std::vector<double> cells(6);
  Context context({.threads = 1, .memory_bytes = std::int64_t{1} << 30});
  MemoryTileSource raw(std::span<const double>(cells), 2);
  const ColumnSurvey survey = survey_columns(context, raw);
  EXPECT_THROW(choose_transform(context, raw, survey, named_columns(3), {}), ArgumentError);
}

}  // namespace
}  // namespace coterie
