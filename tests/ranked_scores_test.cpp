// The order of scores on every backend: groups of equal scores, of the population and of each segment, and percentiles.
#include "host/ranked_scores.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "host/error.hpp"
#include "host/random.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/scored_columns.hpp"

namespace coterie {
namespace {

using Columns = testing::ScoredColumns;

constexpr std::int32_t kSegments = 5;  // segment 3 holds nobody

// A third of the scores stand alone, the others tie, some at both zeros; outcomes unknown, weights 0 and rows of no segment among them.
Columns drawn(std::int64_t n_rows) {
  Columns columns;
  for (std::uint64_t row = 0; row < static_cast<std::uint64_t>(n_rows); ++row) {
    const auto draw = [&](std::uint64_t stream) { return random_uniform(11, Purpose::bootstrap, row, stream); };
    const double score = std::floor(40 * draw(0)) / 4 - 5;
    columns.score.push_back(draw(1) < 0.3 ? score + draw(2) : (score == 0 && draw(2) < 0.5 ? -0.0 : score));
    columns.outcome.push_back(static_cast<std::int8_t>(std::floor(3 * draw(3)) - 1));
    columns.weight.push_back(static_cast<std::int32_t>(4 * draw(4)) << 20);
    columns.label.push_back(static_cast<std::int32_t>(6 * draw(5)) - 1);
    if (columns.label.back() == 3) columns.label.back() = -1;
  }
  return columns;
}

// More than is ranked at a time, with ties that alone are more, and as many scores that only their last bits tell apart.
Columns crowded(std::int64_t n_rows) {
  Columns columns = drawn(n_rows);
  for (std::size_t row = 0; row < columns.score.size(); ++row) {
    const double draw = random_uniform(13, Purpose::bootstrap, row);
    if (draw < 0.45)
      columns.score[row] = row % 2 == 0 ? 0.0 : -0.0;
    else if (draw < 0.9)
      columns.score[row] = 1 + std::floor(draw * 0x1p16) * 0x1p-52;
  }
  return columns;
}

std::vector<TiedScore> all_groups(const RankedScores& ranked) {
  std::vector<TiedScore> groups;
  ranked.for_each_group([&](const TiedScore& group) { groups.push_back(group); });
  return groups;
}

// Of one segment, or with -1 of everybody; straight from the words of the header.
std::vector<TiedScore> expected_groups(const ScoredRows& rows, std::int32_t segment) {
  std::map<double, TiedScore, std::greater<>> groups;  // -0.0 and 0.0 are one key
  for (std::size_t row = 0; row < rows.score.size(); ++row) {
    const std::int32_t weight = rows.weight.empty() ? 1 : rows.weight[row];
    if (rows.outcome[row] < 0 || weight == 0 || (segment >= 0 && rows.label[row] != segment)) continue;
    TiedScore& group = groups[rows.score[row]];
    (rows.outcome[row] == 1 ? group.positive_rows : group.negative_rows) += 1;
    (rows.outcome[row] == 1 ? group.positive_weight : group.negative_weight) += weight;
  }
  std::vector<TiedScore> result;
  for (auto& [score, group] : groups) {
    group.score = score;
    result.push_back(group);
  }
  return result;
}

void expect_groups(const RankedScores& found, const std::vector<TiedScore>& expected) {
  const std::vector<TiedScore> groups = all_groups(found);
  ASSERT_EQ(groups.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(groups[i].score, expected[i].score) << i;
    ASSERT_EQ(groups[i].positive_rows, expected[i].positive_rows) << i;
    ASSERT_EQ(groups[i].negative_rows, expected[i].negative_rows) << i;
    ASSERT_EQ(groups[i].positive_weight, expected[i].positive_weight) << i;
    ASSERT_EQ(groups[i].negative_weight, expected[i].negative_weight) << i;
  }
}

class RankedScoresTest : public ::testing::Test {
 protected:
  Context context_{{.threads = 2, .memory_bytes = std::int64_t{1} << 30}};
  std::unique_ptr<Backend> backend_ = testing::make_backend(context_);
};

TEST_F(RankedScoresTest, MatchesReference) {
  const Columns columns = drawn(4000);
  const auto ranked = backend_->rank_scores(columns.rows(), kSegments);
  ASSERT_EQ(ranked.size(), kSegments + 1u);
  expect_groups(ranked.back(), expected_groups(columns.rows(), -1));
  for (std::int32_t segment = 0; segment < kSegments; ++segment)
    expect_groups(ranked[static_cast<std::size_t>(segment)], expected_groups(columns.rows(), segment));
}

// Without weights the device moves a byte beside a score, as far as that names segments.
TEST_F(RankedScoresTest, MatchesReferenceWithoutWeights) {
  for (const std::int32_t n_segments : {kSegments, 127, 128, 300}) {
    Columns columns = drawn(3000);
    columns.weight.clear();
    for (std::size_t row = 0; row < columns.label.size(); row += 2) columns.label[row] = static_cast<std::int32_t>(row) % n_segments;
    const auto ranked = backend_->rank_scores(columns.rows(), n_segments);
    ASSERT_EQ(ranked.size(), static_cast<std::size_t>(n_segments) + 1);
    expect_groups(ranked.back(), expected_groups(columns.rows(), -1));
    for (std::int32_t segment = 0; segment < n_segments; ++segment)
      expect_groups(ranked[static_cast<std::size_t>(segment)], expected_groups(columns.rows(), segment));
  }
}

TEST_F(RankedScoresTest, AddsTheLargestWeights) {
  Columns columns = drawn(5000);
  columns.weight.assign(5000, std::numeric_limits<std::int32_t>::max());
  columns.score.assign(5000, -3.5);
  const auto ranked = backend_->rank_scores(columns.rows(), kSegments);
  ASSERT_EQ(ranked.back().groups.size(), 1u);
  expect_groups(ranked.back(), expected_groups(columns.rows(), -1));
}

// More than two strips of pinned memory, and pieces of which no row counts.
TEST_F(RankedScoresTest, RanksRowsOfManyStrips) {
  Columns columns = drawn(16);
  constexpr std::size_t kRows = 700001;
  for (std::size_t row = 16; row < kRows; ++row) {
    const std::uint64_t bits = random_bits(12, Purpose::bootstrap, row);
    columns.score.push_back(std::ldexp(static_cast<double>(bits >> 44) - 0x1p19, bits % 3 == 0 ? -9 : 900));
    columns.outcome.push_back(row / kRowsOfPiece % 5 == 1 ? -1 : static_cast<std::int8_t>(bits & 1));
    columns.label.push_back(static_cast<std::int32_t>(bits >> 1 & 7) % kSegments);
    columns.weight.push_back(static_cast<std::int32_t>(bits >> 8 & 3));
  }
  for (const bool weighted : {true, false}) {
    if (!weighted) columns.weight.clear();
    const auto ranked = backend_->rank_scores(columns.rows(), kSegments);
    expect_groups(ranked.back(), expected_groups(columns.rows(), -1));
    expect_groups(ranked.front(), expected_groups(columns.rows(), 0));
  }
}

TEST_F(RankedScoresTest, BringsZerosWithoutASign) {
  const Columns columns{.score = {-0.0, 0.0, -0.0, 1}, .outcome = {1, 0, 1, 0}, .weight = {}, .label = {}};
  const auto ranked = backend_->rank_scores(columns.rows(), 0);
  ASSERT_EQ(ranked.front().groups.size(), 2u);
  EXPECT_FALSE(std::signbit(ranked.front().groups.back().score));
  EXPECT_EQ(ranked.front().groups.back().positive_rows, 2);
  for (const double cut : backend_->percentile_cuts(std::vector<double>(200, -0.0))) EXPECT_FALSE(std::signbit(cut));
}

TEST_F(RankedScoresTest, NeedsNeitherWeightsNorSegments) {
  Columns columns = drawn(777);
  columns.weight.clear();
  columns.label.clear();
  const auto ranked = backend_->rank_scores(columns.rows(), 0);
  ASSERT_EQ(ranked.size(), 1u);
  expect_groups(ranked.front(), expected_groups(columns.rows(), -1));
}

TEST_F(RankedScoresTest, OfNobodyHasNoGroups) {
  Columns columns = drawn(20);
  columns.outcome.assign(20, -1);
  for (const ScoredRows& nobody : {columns.rows(), ScoredRows{}}) {
    const auto ranked = backend_->rank_scores(nobody, 2);
    ASSERT_EQ(ranked.size(), 3u);
    for (const RankedScores& of_segment : ranked) EXPECT_TRUE(all_groups(of_segment).empty());
  }
}

TEST_F(RankedScoresTest, RefusesInfiniteScores) {
  Columns columns = drawn(20);
  columns.outcome[7] = columns.weight[7] = 1;
  for (const double bad : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    columns.score[7] = bad;
    EXPECT_THROW(backend_->rank_scores(columns.rows(), kSegments), ArgumentError);
  }
}

TEST_F(RankedScoresTest, TakesAnyScoreOfRowsThatDoNotCount) {
  Columns columns = drawn(300);
  for (std::size_t row = 0; row < 300; row += 3) {
    (row % 2 == 0 ? columns.outcome[row] = -1 : columns.weight[row] = 0);
    columns.score[row] = row % 4 == 0 ? std::numeric_limits<double>::quiet_NaN() : -std::numeric_limits<double>::infinity();
  }
  Columns clean = columns;
  for (double& score : clean.score) score = std::isfinite(score) ? score : 7;
  expect_groups(backend_->rank_scores(columns.rows(), kSegments).back(), expected_groups(clean.rows(), -1));
}

TEST_F(RankedScoresTest, IgnoresMemory) {
  const Columns columns = crowded(400'000);
  const auto expected = backend_->rank_scores(columns.rows(), kSegments);
  const auto cuts = backend_->percentile_cuts(columns.score);
  EXPECT_FALSE(expected.back().rank_again);
  const std::int64_t least = least_ranking_bytes(std::ssize(columns.score));
  for (const auto& [threads, bytes] : {std::pair(1, least), std::pair(3, least + 1'000'000), std::pair(2, 2 * least)}) {
    Context tight({.threads = threads, .memory_bytes = bytes});
    const auto backend = testing::make_backend(tight);
    const auto found = backend->rank_scores(columns.rows(), kSegments);
    ASSERT_EQ(found.size(), expected.size());
    EXPECT_TRUE(found.back().rank_again) << "memory for all rows";
    for (std::size_t i = 0; i < found.size(); ++i) expect_groups(found[i], all_groups(expected[i]));
    const Reservation others = tight.memory().reserve("what leaves room for a fifth of the scores", bytes - 3'400'000);
    EXPECT_EQ(backend->percentile_cuts(columns.score), cuts);
    EXPECT_EQ(tight.memory().available(), 3'400'000);
  }
}

TEST_F(RankedScoresTest, PartsAreWholeChunks) {
  const Columns columns = drawn(400'000);
  Context tight({.threads = 2, .memory_bytes = least_ranking_bytes(std::ssize(columns.score))});
  std::vector<std::size_t> sizes;
  rank_scores(tight, columns.rows()).front().for_each_part([&](std::span<const TiedScore> part) { sizes.push_back(part.size()); });
  ASSERT_GT(sizes.size(), 2u);
  sizes.pop_back();
  for (const std::size_t size : sizes) EXPECT_EQ(size % kGroupsOfChunk, 0u);
}

TEST_F(RankedScoresTest, RefusesTooLittleMemory) {
  const Columns columns = drawn(1000);
  Context none({.threads = 1, .memory_bytes = 10'000});
  EXPECT_THROW(rank_scores(none, columns.rows()).front().for_each_group([](const TiedScore&) {}), ResourceError);
  EXPECT_THROW(percentile_cuts(none, columns.score), ResourceError);
}

TEST_F(RankedScoresTest, IgnoresGpuMemory) {
  const Columns columns = drawn(2000);
  const auto small = testing::make_backend(context_, 4096);  // less than the rows take: the host sorts
  expect_groups(small->rank_scores(columns.rows(), kSegments).back(), expected_groups(columns.rows(), -1));
  EXPECT_EQ(small->percentile_cuts(columns.score), backend_->percentile_cuts(columns.score));
}

TEST_F(RankedScoresTest, CutsAreOrderStatistics) {
  for (const std::int64_t n : {1, 2, 60, 99, 100, 101, 5000, 300000}) {
    const std::vector<double> score = drawn(n).score;
    std::vector<double> sorted = score;
    std::sort(sorted.begin(), sorted.end());
    const std::vector<double> cuts = backend_->percentile_cuts(score);
    ASSERT_EQ(cuts.size(), 99u);
    for (std::int64_t p = 1; p < 100; ++p) {
      const std::int64_t rank = n * p / 100;
      EXPECT_EQ(cuts[static_cast<std::size_t>(p - 1)],
                rank == 0 ? -std::numeric_limits<double>::infinity() : sorted[static_cast<std::size_t>(rank - 1)])
          << n << " " << p;
    }
  }
}

}  // namespace
}  // namespace coterie
