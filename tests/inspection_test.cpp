#include "host/inspection.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "host/random.hpp"
#include "tests/support/csv_files.hpp"

namespace coterie {
namespace {

using coterie::testing::context_with_threads;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

struct Column {
  std::string name;
  std::vector<float> cells;
  bool active = true;
};

Inspection inspect_columns(const std::vector<Column>& columns, int threads = 1, std::int64_t tile_rows = kBlockRows) {
  const std::size_t n = columns.front().cells.size(), d = columns.size();
  std::vector<float> x(n * d);
  std::vector<RawColumn> names;
  for (std::size_t j = 0; j < d; ++j) {
    names.push_back({columns[j].name, columns[j].active});
    for (std::size_t i = 0; i < n; ++i) x[i * d + j] = columns[j].cells.at(i);
  }
  const auto context = context_with_threads(threads);
  MemoryTileSource source(x, static_cast<std::int32_t>(d), tile_rows);
  return inspect(*context, source, names);
}

ColumnHealth inspect_column(std::vector<float> cells, const std::string& name = "x") {
  return inspect_columns({{name, std::move(cells)}}).columns.front();
}

// n uniform draws in [0, 1), other ones for every stream.
std::vector<float> draws(std::size_t n, std::uint64_t stream) {
  std::vector<float> cells;
  for (std::size_t i = 0; i < n; ++i) cells.push_back(static_cast<float>(random_uniform(1, Purpose::bootstrap, i, stream)));
  return cells;
}

std::vector<float> changed(std::vector<float> cells, auto change) {
  for (std::size_t i = 0; i < cells.size(); ++i) cells[i] = change(i, cells[i]);
  return cells;
}

TEST(Inspection, TellsTypesOfValues) {
  EXPECT_EQ(inspect_column({kMissing, kMissing}).type, ValueType::empty);
  EXPECT_EQ(inspect_column({std::numeric_limits<float>::infinity(), kMissing}).type, ValueType::empty);
  EXPECT_EQ(inspect_column({3, 3, kMissing}).type, ValueType::constant);
  EXPECT_EQ(inspect_column({0, 1, 1, 0, kMissing}).type, ValueType::two_valued);
  EXPECT_EQ(inspect_column({0.5, 2.5, 2.5}).type, ValueType::two_valued);
  EXPECT_EQ(inspect_column({1, 2, -3}).type, ValueType::whole);
  EXPECT_EQ(inspect_column({1, 2, 2.5}).type, ValueType::real);
}

TEST(Inspection, CountsAndExtremesAreExact) {
  const ColumnHealth health = inspect_column({5, kMissing, 0, -2, 0, std::numeric_limits<float>::infinity(), 7});
  EXPECT_EQ(health.missing, 1);
  EXPECT_EQ(health.infinite, 1);
  EXPECT_EQ(health.zero, 2);
  EXPECT_EQ(health.negative, 1);
  EXPECT_EQ(health.min, -2);
  EXPECT_EQ(health.median, 0);
  EXPECT_EQ(health.max, 7);
  EXPECT_TRUE(std::isnan(inspect_column({kMissing, kMissing}).median));
}

TEST(Inspection, SpikeIsTheValueOfEveryFifthRow) {
  const auto spiked = [](std::size_t every) {
    return inspect_column(changed(draws(1000, 0), [&](std::size_t i, float x) { return i % every == 0 ? 0.25f : x; }));
  };
  EXPECT_EQ(spiked(4).spike, 0.25);
  EXPECT_EQ(spiked(4).spike_share, 0.25);
  EXPECT_THAT(spiked(4).findings, Contains("25 % of the rows share one value"));
  EXPECT_EQ(spiked(6).spike_share, 0);
  EXPECT_EQ(inspect_column({0, 1, 1, 0}).spike_share, 0);  // two values are no spike
}

TEST(Inspection, SharesOfSpikesAreOfAllRows) {
  const ColumnHealth health = inspect_column(changed(draws(1000, 0), [](std::size_t i, float x) {
    return i % 2 == 0 ? kMissing : i % 4 == 1 ? 3.0f : x;
  }));
  EXPECT_EQ(health.spike_share, 0.25);
}

TEST(Inspection, HeavyTailsAndOutliersAreNamed) {
  const ColumnHealth spend = inspect_column(changed(draws(5000, 0), [](std::size_t, float u) { return 1 / (1 - u) - 1; }));
  EXPECT_TRUE(spend.heavy_tail);
  EXPECT_THAT(spend.transform, HasSubstr("log1p"));
  const ColumnHealth outlier = inspect_column(changed(draws(5000, 0), [](std::size_t i, float u) { return i == 7 ? 666666 : u; }));
  EXPECT_TRUE(outlier.outliers);
  const ColumnHealth tame = inspect_column(draws(5000, 0));
  EXPECT_FALSE(tame.heavy_tail);
  EXPECT_FALSE(tame.outliers);
  EXPECT_THAT(tame.findings, IsEmpty());
  EXPECT_EQ(tame.advice, Advice::keep);
}

TEST(Inspection, MostlyMissingColumnsShouldDescribe) {
  const auto with_gaps = [](std::size_t every) {
    return inspect_column(changed(draws(1000, 0), [&](std::size_t i, float x) { return i % every == 0 ? kMissing : x; }));
  };
  EXPECT_EQ(with_gaps(3).advice, Advice::profile);
  EXPECT_THAT(with_gaps(3).findings, Contains("33.4 % missing"));
  EXPECT_EQ(with_gaps(10).advice, Advice::keep);
}

TEST(Inspection, UselessColumnsShouldBeIgnored) {
  EXPECT_EQ(inspect_column({kMissing, kMissing, kMissing}).advice, Advice::ignore);
  EXPECT_EQ(inspect_column({3, 3, 3}).advice, Advice::ignore);
  EXPECT_EQ(inspect_column({1, 2, std::numeric_limits<float>::infinity()}).advice, Advice::ignore);
}

TEST(Inspection, CodesLookLikeNumbers) {
  for (const char* name : {"zip", "store_id", "customer_id", "phone number"}) {
    const ColumnHealth health = inspect_column({10115, 80331, 20095, 50667}, name);
    EXPECT_TRUE(health.looks_like_code) << name;
    EXPECT_EQ(health.advice, Advice::ignore) << name;
  }
  EXPECT_FALSE(inspect_column({10, 80, 20}, "store_visits").looks_like_code);
  EXPECT_FALSE(inspect_column({0, 1, 1}, "phone").looks_like_code);
  EXPECT_FALSE(inspect_column({0.5, 1, 2}, "zip").looks_like_code);
}

TEST(Inspection, NearDuplicatesFollowTheFirstColumn) {
  const std::vector<float> a = draws(2000, 0), b = draws(2000, 1);
  const auto noisy = changed(a, [&](std::size_t i, float x) { return -2 * x + 0.01f * b[i]; });  // correlation -0.99999
  const auto related = changed(a, [&](std::size_t i, float x) { return x + 0.2f * b[i]; });      // correlation 0.98
  const Inspection inspection = inspect_columns({{"a", a}, {"b", b}, {"noisy", noisy}, {"related", related}, {"b2", b}});
  EXPECT_EQ(inspection.columns[0].near_duplicate_of, -1);
  EXPECT_EQ(inspection.columns[1].near_duplicate_of, -1);
  EXPECT_EQ(inspection.columns[2].near_duplicate_of, 0);
  EXPECT_LT(inspection.columns[2].correlation, -0.999);
  EXPECT_EQ(inspection.columns[3].near_duplicate_of, -1);
  EXPECT_EQ(inspection.columns[4].near_duplicate_of, 1);
  EXPECT_EQ(inspection.columns[4].advice, Advice::ignore);
  EXPECT_THAT(inspection.columns[4].findings, ElementsAre("follows b (correlation 1.0000)"));
}

TEST(Inspection, ColumnsThatDoNotDriveAreNotJudged) {
  const std::vector<float> a = draws(2000, 0);
  const Inspection inspection = inspect_columns({{"a", a}, {"copy", a, false}, {"same", std::vector<float>(2000, 1.0f), false}});
  EXPECT_EQ(inspection.columns[1].near_duplicate_of, -1);
  EXPECT_EQ(inspection.columns[2].advice, Advice::keep);
  EXPECT_THAT(inspection.columns[2].findings, ElementsAre("constant"));
  EXPECT_EQ(inspection.columns[1].transform, "");
  EXPECT_EQ(inspection.resident_bytes, 2000 * 4);
}

TEST(Inspection, IgnoresThreadsAndTiles) {
  std::vector<Column> columns;
  for (std::uint64_t j = 0; j < 6; ++j) columns.push_back({std::string(1, static_cast<char>('a' + j)), draws(50'000, j)});
  columns.push_back({"copy", changed(columns[2].cells, [](std::size_t i, float x) { return i % 9 == 0 ? kMissing : x; })});
  const Inspection one = inspect_columns(columns, 1), other = inspect_columns(columns, 3, 3 * kBlockRows);
  for (std::size_t j = 0; j < columns.size(); ++j) {
    EXPECT_EQ(one.columns[j].median, other.columns[j].median);
    EXPECT_EQ(one.columns[j].correlation, other.columns[j].correlation);
    EXPECT_EQ(one.columns[j].findings, other.columns[j].findings);
  }
  EXPECT_EQ(one.repeated_rows.rows, other.repeated_rows.rows);
}

}  // namespace
}  // namespace coterie
