#include "host/nearest_centers.hpp"

#include <gtest/gtest.h>

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

TEST_P(NearestCenters, FastScanNeverCertifiesAWrongLabel) {
  testing::for_each_instruction_set([&] {
    Panel panel;
    std::vector<std::int32_t> label(static_cast<std::size_t>(rows_.n_rows));
    pack(rows_.x.data(), rows_.n_rows, rows_.n_columns, panel);
    scan_fast(panel, centers_, label.data());
    std::int64_t certain = 0;
    for (std::size_t i = 0; i < label.size(); ++i) {
      if (label[i] < 0) continue;
      ++certain;
      ASSERT_EQ(label[i], expected_.label[i]) << "row " << i;
    }
    EXPECT_GE(certain, rows_.n_rows * 99 / 100);
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, NearestCenters,
                         ::testing::Values(Case{1, 1, 1, 1}, Case{1000, 1, 3, 4}, Case{1003, 2, 7, 1}, Case{997, 5, 8, 1},
                                           Case{2000, 13, 9, 1}, Case{500, 16, 16, 0.3}, Case{333, 33, 65, 1}, Case{300, 130, 100, 0.5}));

TEST(NearestCentersTies, AreAmbiguousForTheFastScanAndGoToTheLowestCenter) {
  const std::vector<float> x = {0, 0, 5, 5}, centers = {9, 9, 1, 0, 0, 1, -1, 0};
  testing::for_each_instruction_set([&] {
    const Centers packed(centers, 4, 2);
    Panel panel;
    std::int32_t label[2];
    pack(x.data(), 2, 2, panel);
    scan_fast(panel, packed, label);
    EXPECT_EQ(label[0], -1);
    Exact exact;
    scan_exact(x.data(), std::vector<std::int32_t>{0, 1}, packed, exact);
    EXPECT_EQ(exact.label, (std::vector<std::int32_t>{1, 0}));
    EXPECT_EQ(exact.second[0], 2);
    EXPECT_EQ(exact.second[1], 1);
  });
}

TEST(NearestCentersRange, OverflowAndUnderflowOfFloatAreAmbiguous) {
  const std::vector<float> x = {1e30f, 1e-30f, 3e-30f, -1e30f}, centers = {2e30f, 0, -2e30f, 0, 0, 2e-30f};
  testing::for_each_instruction_set([&] {
    Panel panel;
    std::int32_t label[4];
    pack(x.data(), 4, 1, panel);
    scan_fast(panel, Centers(std::vector<float>{2e30f, -2e30f, 0, 2e-30f}, 4, 1), label);
    for (const std::int32_t l : label) EXPECT_EQ(l, -1);
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
