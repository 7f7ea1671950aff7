// The arithmetic of sweeps over a billion rows and more, without the rows: statistics of some rows, taken as often as makes a billion.
#include <gtest/gtest.h>

#include <cmath>

#include "host/backend.hpp"
#include "host/fixed_point.hpp"
#include "host/passes.hpp"
#include "host/weights.hpp"
#include "tests/support/grid_rows.hpp"

namespace coterie {
namespace {

constexpr std::int64_t kRows = 10'007;
constexpr std::int32_t kColumns = 3, kClusters = 4;

WideSums times(const WideSums& sums, std::int64_t factor) {
  WideSums result(sums.size());
  for (std::size_t i = 0; i < sums.size(); ++i) result.add(i, sums.value(i) * factor);
  return result;
}

kmeans::GridMoments times(const kmeans::GridMoments& moments, std::int64_t factor) {
  return {moments.n_rows * factor, moments.weight * factor, times(moments.sums, factor), times(moments.squares, factor), moments.sample};
}

kmeans::Statistics times(const kmeans::Statistics& statistics, std::int64_t factor) {
  kmeans::Statistics result{times(statistics.center_sums, factor), statistics.weight_in_clusters, statistics.rows_in_clusters,
                            statistics.farthest};
  for (auto* counts : {&result.weight_in_clusters, &result.rows_in_clusters})
    for (std::int64_t& count : *counts) count *= factor;
  return result;
}

// Rows of the largest values and weights that there are.
class BillionRows : public ::testing::Test {
 protected:
  BillionRows() : data_(testing::on_grid(testing::blobs(kRows, kColumns, kClusters, 1, 5), kColumns)) {
    for (std::int64_t i = 0; i < kRows; ++i) weight_.push_back(i % 3 == 0 ? kMaxWeightSteps : static_cast<std::int32_t>(i % 1000 + 1));
    MemoryTileSource rows(data_.x, kColumns);
    ZippedSource source(rows, {.weight = weight_, .label = {}});
    moments_ = kmeans::measure_moments(context_, source, data_.grid, 1);
    model_ = {.n_clusters = kClusters, .n_columns = kColumns};
    model_.cluster_centers.assign(data_.x.begin(), data_.x.begin() + kClusters * kColumns);
    const auto pass = make_cpu_backend(context_)->kmeans_pass(data_.grid, kColumns);
    const kmeans::Model* const models[] = {&model_};
    statistics_ = reduce_tiles(context_, source, *pass, std::span<const kmeans::Model* const>(models)).models.front();
  }

  // One step, and then the inertia about where it led.
  kmeans::Model settled(std::int64_t factor) {
    kmeans::Model model = model_;
    const kmeans::Statistics statistics = times(statistics_, factor);
    const kmeans::GridMoments moments = times(moments_, factor);
    kmeans::update(context_, model, statistics, data_.grid, moments, {.n_clusters = kClusters});
    model.converged = true;
    kmeans::update(context_, model, statistics, data_.grid, moments, {.n_clusters = kClusters});
    return model;
  }

  Context context_{{.threads = 1}};
  testing::GridRows data_;
  std::vector<std::int32_t> weight_;
  kmeans::GridMoments moments_;
  kmeans::Model model_;
  kmeans::Statistics statistics_;
};

TEST_F(BillionRows, HaveTheCentersOfOneShareAndItsInertiaAsOften) {
  const kmeans::Model once = settled(1), exactly = settled(1 << 17), nearly = settled(99'991);
  ASSERT_GT(once.inertia, 0);
  EXPECT_EQ(exactly.cluster_centers, once.cluster_centers);  // a power of two scales every rounding along
  EXPECT_EQ(exactly.inertia, std::ldexp(once.inertia, 17));
  EXPECT_NEAR(nearly.inertia, once.inertia * 99'991, 1e-14 * nearly.inertia);
  for (std::size_t i = 0; i < once.cluster_centers.size(); ++i) EXPECT_FLOAT_EQ(nearly.cluster_centers[i], once.cluster_centers[i]);
}

// What is cut off a sum of 10^10 rows must not add up to anything beside the row of the least weight.
TEST_F(BillionRows, CountForManyQuanta) { EXPECT_GT(1 / weight_quantum(times(moments_, 1 << 20)), 0x1p40); }

}  // namespace
}  // namespace coterie
