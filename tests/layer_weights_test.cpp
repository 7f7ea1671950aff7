#include "host/layer_weights.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "host/error.hpp"
#include "tests/reference/transform.hpp"
#include "tests/support/random_matrix.hpp"

namespace coterie {
namespace {

using ::testing::HasSubstr;
using testing::random_matrix;
using testing::Shape;

constexpr std::int64_t kRows = 5000;
constexpr std::size_t kColumns = 5;

// Values are rounded to 2^-23 of their column's largest, at most 100 deviations here: variances move by less than 1e-4 of theirs.
constexpr double kGridRounding = 1e-4;

std::vector<double> cells() {
  std::vector<double> cells = random_matrix(kRows, {{.shape = Shape::normal, .offset = 5, .scale = 2},
                                                    {.shape = Shape::normal, .offset = -3, .scale = 10},
                                                    {.shape = Shape::normal, .offset = 0, .scale = 1},
                                                    {.shape = Shape::normal, .offset = 100, .scale = 7},
                                                    {.shape = Shape::normal, .offset = 0, .scale = 1}});
  for (std::size_t row = 0; row < kRows; row += 2) cells[row * kColumns + 4] = std::nan("");  // becomes an indicator of variance 1/4
  return cells;
}

ChosenTransform choose(const std::vector<RawColumn>& columns, TransformKind kind = TransformKind::automatic) {
  const std::vector<double> all = cells();
  Context context({.threads = 2, .memory_bytes = std::int64_t{1} << 30});
  MemoryTileSource raw(std::span<const double>(all), kColumns, kBlockRows);
  return choose_transform(context, raw, survey_columns(context, raw, columns), columns, {.kind = kind});
}

// The variance of every clustering column, from the naive transform.
std::vector<double> variances(const Transform& transform) {
  const std::vector<float> rows = reference::transformed_rows(transform, cells(), kColumns);
  const std::size_t d = transform.columns.size();
  std::vector<double> variances;
  for (std::size_t j = 0; j < d; ++j) {
    double sum = 0, squares = 0;
    for (std::size_t i = j; i < rows.size(); i += d) sum += rows[i];
    const double mean = sum / kRows;
    for (std::size_t i = j; i < rows.size(); i += d) squares += (rows[i] - mean) * (rows[i] - mean);
    variances.push_back(squares / (kRows - 1));
  }
  return variances;
}

std::vector<RawColumn> layered(const std::vector<std::string>& layers) {
  std::vector<RawColumn> columns;
  for (std::size_t j = 0; j < kColumns; ++j) columns.push_back({.name = std::string(1, static_cast<char>('a' + j)), .layer = layers[j]});
  return columns;
}

TEST(LayerWeights, NamedLayersHaveEqualTotalVariance) {
  for (const TransformKind kind : {TransformKind::automatic, TransformKind::robust, TransformKind::zscore}) {
    for (const auto& layers : {std::vector<std::string>{"a", "a", "a", "b", "b"}, {"", "b", "c", "c", "c"}}) {
      const ChosenTransform chosen = choose(layered(layers), kind);
      const std::vector<double> found = variances(chosen.transform),
                                plain = variances(choose(layered({"", "", "", "", ""}), kind).transform);
      std::map<std::string, double> by_layer;
      double total = 0, before = 0;
      for (std::size_t j = 0; j < found.size(); ++j) {
        by_layer[layers[j]] += found[j];
        total += found[j];
        before += plain[j];
      }
      EXPECT_NEAR(total, before, kGridRounding * before);
      for (const auto& [layer, variance] : by_layer)
        EXPECT_NEAR(variance, total / static_cast<double>(by_layer.size()), kGridRounding * total) << layer;
    }
  }
}

TEST(LayerWeights, OneLayerForAllChangesNothing) {
  const Transform layer = choose(layered({"a", "a", "a", "a", "a"})).transform, none = choose(layered({"", "", "", "", ""})).transform;
  EXPECT_EQ(layer.steps(), none.steps());
  for (std::size_t j = 0; j < kColumns; ++j) EXPECT_EQ(layer.columns[j].scale, none.columns[j].scale);
}

TEST(LayerWeights, AGivenWeightMultipliesTheVariance) {
  std::vector<RawColumn> columns = layered({"a", "a", "b", "b", "b"});  // weights come before layers
  columns[1].weight = 4;
  columns[3].weight = 0.25;
  const ChosenTransform chosen = choose(columns);
  const std::vector<double> found = variances(chosen.transform);
  const std::vector<double> expected{1, 4, 1, 0.25, 0.25};  // the last is an indicator of weight 1
  for (std::size_t j = 0; j < kColumns; ++j) EXPECT_NEAR(found[j], expected[j], kGridRounding * expected[j] + 1e-4) << j;
  EXPECT_THAT(chosen.notes[1].decision, HasSubstr("times 2 for its weight"));
}

TEST(LayerWeights, WeightZeroLeavesAColumnOut) {
  std::vector<RawColumn> columns = layered({"", "", "", "", ""});
  columns[2].weight = 0;
  EXPECT_EQ(choose(columns).transform.columns.size(), kColumns - 1);
}

TEST(LayerWeights, StayOnTheGrid) {
  for (const ColumnTransform& column : choose(layered({"a", "b", "b", "b", "b"})).transform.columns) {
    int exponent = 0;
    EXPECT_EQ(std::frexp(column.step, &exponent), 0.5);
  }
}

TEST(LayerWeights, ValuesAsTheyAreStayAsTheyAre) {
  const std::vector<double> all = random_matrix(100, std::vector<testing::RandomColumn>(2, {.shape = Shape::normal, .scale = 3}));
  Context context({.threads = 1, .memory_bytes = std::int64_t{1} << 30});
  MemoryTileSource raw(std::span<const double>(all), 2, kBlockRows);
  const std::vector<RawColumn> columns{{.name = "a", .layer = "x", .weight = 9}, {.name = "b", .layer = "y"}};
  const ChosenTransform chosen =
      choose_transform(context, raw, survey_columns(context, raw, columns), columns, {.kind = TransformKind::none});
  EXPECT_EQ(chosen.transform.columns[0].scale, 1);
  EXPECT_TRUE(chosen.notes[0].warning);
  EXPECT_THAT(chosen.notes[0].decision, HasSubstr("weight"));
}

TEST(LayerWeights, WeightsBeyondReasonAreRefused) {
  std::vector<RawColumn> columns = layered({"", "", "", "", ""});
  columns[0].weight = 1e300;
  EXPECT_THROW(choose(columns), ContentsError);
}

}  // namespace
}  // namespace coterie
