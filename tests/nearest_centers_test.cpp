#include "host/nearest_centers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/reference/kmeans.hpp"
#include "tests/support/grid_rows.hpp"
#include "tests/support/instruction_sets.hpp"

namespace coterie::nearest {
namespace {

struct Case {
  std::int64_t n_rows;
  std::int32_t n_columns, n_clusters;
  double separation;
};

class NearestCenters : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const Case& c = GetParam();
    rows_ = testing::on_grid(testing::blobs(c.n_rows, c.n_columns, 5, c.separation, 7), c.n_columns);
    const auto centers = testing::on_grid(testing::blobs(c.n_clusters, c.n_columns, c.n_clusters, c.separation, 8), c.n_columns);
    expected_.centers = centers.x;
    reference::assign(rows_.x, static_cast<std::size_t>(c.n_columns), expected_);
    centers_ = Centers(centers.x, c.n_clusters, c.n_columns);
  }
  testing::GridRows rows_;
  reference::KMeans expected_;
  Centers centers_;
};

TEST_P(NearestCenters, ExactScanMatchesTheDefinitionBitForBit) {
  std::vector<std::int32_t> all(static_cast<std::size_t>(rows_.n_rows));
  std::iota(all.begin(), all.end(), 0);
  testing::for_each_instruction_set([&] {
    Exact exact;
    scan_exact(rows_.x.data(), all, centers_, exact);
    EXPECT_EQ(exact.label, expected_.label);
    EXPECT_EQ(exact.second, expected_.second);
    EXPECT_EQ(exact.squared_distance, expected_.squared_distance);
  });
}

TEST_P(NearestCenters, PairsMatchTheDefinitionBitForBit) {
  std::vector<Pair> pairs;
  for (std::int32_t row = 0; row < rows_.n_rows; ++row) pairs.push_back({row, expected_.label[static_cast<std::size_t>(row)]});
  testing::for_each_instruction_set([&] {
    std::vector<double> distance(pairs.size());
    squared_distances_of_pairs(rows_.x.data(), expected_.centers.data(), rows_.n_columns, pairs, distance.data());
    EXPECT_EQ(distance, expected_.squared_distance);
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, NearestCenters,
                         ::testing::Values(Case{1, 1, 1, 1}, Case{1000, 1, 3, 4}, Case{1003, 2, 7, 1}, Case{997, 5, 8, 1},
                                           Case{2000, 13, 9, 1}, Case{500, 16, 16, 0.3}, Case{333, 33, 65, 1}, Case{300, 130, 100, 0.5}));

// Centers are taken by fours, twos and one.
TEST_P(NearestCenters, StripsMatchTheDefinitionBitForBit) {
  const auto d = static_cast<std::size_t>(rows_.n_columns), strip_rows = static_cast<std::size_t>(kColumnStrip);
  const std::size_t n_rows = std::min(strip_rows, static_cast<std::size_t>(rows_.n_rows));
  std::vector<float> strip(d * strip_rows);
  for (std::size_t i = 0; i < n_rows; ++i)
    for (std::size_t j = 0; j < d; ++j) strip[j * strip_rows + i] = rows_.x[i * d + j];
  testing::for_each_instruction_set([&] {
    for (std::size_t n_centers = 1; n_centers <= std::min<std::size_t>(7, expected_.centers.size() / d); ++n_centers) {
      std::vector<double> centers, found(n_centers * strip_rows);
      for (std::size_t j = 0; j < d; ++j)
        for (std::size_t c = 0; c < n_centers; ++c) centers.push_back(static_cast<double>(expected_.centers[c * d + j]));
      squared_distances(strip.data(), rows_.n_columns, centers.data(), n_centers, found.data());
      for (std::size_t c = 0; c < n_centers; ++c)
        for (std::size_t i = 0; i < n_rows; ++i)
          ASSERT_EQ(found[c * strip_rows + i], reference::squared_distance(&rows_.x[i * d], &expected_.centers[c * d], d));
    }
  });
}

TEST(NearestCentersTies, GoToTheLowestCenter) {
  const std::vector<float> x = {0, 0, 5, 5}, centers = {9, 9, 1, 0, 0, 1, -1, 0};
  testing::for_each_instruction_set([&] {
    Exact exact;
    scan_exact(x.data(), std::vector<std::int32_t>{0, 1}, Centers(centers, 4, 2), exact);
    EXPECT_EQ(exact.label, (std::vector<std::int32_t>{1, 0}));
    EXPECT_EQ(exact.second[0], 2);
    EXPECT_EQ(exact.second[1], 1);
  });
}

TEST(NearestCentersOne, CenterHasNoSecond) {
  const std::vector<float> x = {3, 4};
  Exact exact;
  scan_exact(x.data(), std::vector<std::int32_t>{0}, Centers(std::vector<float>{0, 0}, 1, 2), exact);
  EXPECT_EQ(exact.label[0], 0);
  EXPECT_EQ(exact.second[0], -1);
  EXPECT_EQ(exact.squared_distance[0], 25.0);
  EXPECT_TRUE(std::isinf(exact.second_squared_distance[0]));
}

}  // namespace
}  // namespace coterie::nearest
