// Where k-means starts: how good the centers are that each way finds in a sample, and what it does where rows are few.
#include "host/seeding_sample.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <set>

#include "tests/reference/kmeans.hpp"

namespace coterie::kmeans {
namespace {

constexpr std::int32_t kColumns = 5, kBlobs = 60;

// Rows around kBlobs far apart; row i lies around blob i % kBlobs.
SeedingSample blobs(std::int64_t n_rows) {
  std::mt19937 generator(4);
  std::normal_distribution<float> normal;
  std::vector<float> middle(kBlobs * kColumns);
  for (float& cell : middle) cell = 60 * normal(generator);
  SeedingSample sample(n_rows, kColumns);
  for (std::int64_t i = 0; i < n_rows; ++i)
    for (std::int64_t j = 0; j < kColumns; ++j)
      sample.strips[sample.place(i, j)] = middle[static_cast<std::size_t>(i % kBlobs * kColumns + j)] + normal(generator);
  std::fill(sample.weight.begin(), sample.weight.end(), 1.0);
  std::iota(sample.row.begin(), sample.row.end(), 0);
  return sample;
}

double inertia(const SeedingSample& sample, const std::vector<float>& centers) {
  double total = 0;
  for (std::int64_t i = 0; i < sample.n_rows; ++i) {
    const std::vector<float> row = sample.at(i);
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t c = 0; c < centers.size(); c += kColumns)
      least = std::min(least, reference::squared_distance(row.data(), &centers[c], kColumns));
    total += sample.weight[static_cast<std::size_t>(i)] * least;
  }
  return total;
}

using Choose = std::vector<float> (*)(Context&, const SeedingSample&, std::int32_t, std::uint64_t);
struct Way {
  const char* name;
  Choose choose;
};
class SeedingSampleWays : public ::testing::TestWithParam<Way> {
 protected:
  std::vector<float> choose(const SeedingSample& sample, std::int32_t n_clusters, std::uint64_t restart = 0, std::uint64_t seed = 1) {
    Context context({.threads = 2, .seed = seed});
    return GetParam().choose(context, sample, n_clusters, restart);
  }
};

// A center in every blob leaves 5 per row; one blob without adds thousands.
TEST_P(SeedingSampleWays, FindEveryBlob) {
  const SeedingSample sample = blobs(6000);
  for (const std::uint64_t restart : {0, 1}) {
    const std::vector<float> centers = choose(sample, kBlobs, restart);
    ASSERT_EQ(centers.size(), static_cast<std::size_t>(kBlobs * kColumns));
    EXPECT_LT(inertia(sample, centers), 6000.0 * kColumns * 2.5);
  }
}

TEST_P(SeedingSampleWays, FollowSeedAndRestart) {
  const SeedingSample sample = blobs(3000);
  const std::vector<float> centers = choose(sample, 20);
  EXPECT_EQ(centers, choose(sample, 20));
  EXPECT_NE(centers, choose(sample, 20, 1));
  EXPECT_NE(centers, choose(sample, 20, 0, 2));
}

TEST_P(SeedingSampleWays, LeaveOutRowsOfWeightZero) {
  SeedingSample sample = blobs(3000);
  for (std::size_t i = 0; i < 3000; ++i) sample.weight[i] = i % kBlobs < 10 ? 0 : 1 + static_cast<double>(i % 3);
  EXPECT_LT(inertia(sample, choose(sample, kBlobs - 10)), 6000.0 * kColumns * 2.5);
}

TEST_P(SeedingSampleWays, TakeEveryRowWhereThereAreNoMore) {
  SeedingSample sample = blobs(40);
  std::set<std::vector<float>> expected, found;
  for (std::int64_t i = 0; i < 40; ++i) expected.insert(sample.at(i));
  const std::vector<float> centers = choose(sample, 40);
  for (std::size_t c = 0; c < centers.size(); c += kColumns)
    found.emplace(centers.begin() + static_cast<std::ptrdiff_t>(c), centers.begin() + static_cast<std::ptrdiff_t>(c) + kColumns);
  EXPECT_EQ(found, expected);
}

TEST_P(SeedingSampleWays, SurviveRowsThatAreAllEqual) {
  SeedingSample sample = blobs(100);
  std::fill(sample.strips.begin(), sample.strips.end(), 3.0f);
  EXPECT_EQ(choose(sample, 7), std::vector<float>(7 * kColumns, 3.0f));
}

INSTANTIATE_TEST_SUITE_P(KMeans, SeedingSampleWays,
                         ::testing::Values(Way{"plus_plus", kmeans_plus_plus}, Way{"parallel", kmeans_parallel},
                                           Way{"mini_batch", mini_batch}),
                         [](const auto& way) { return way.param.name; });

// What a mini-batch start is for: it ends nearer to the means of the sample than the rows it began with.
TEST(SeedingSampleMiniBatch, ImprovesOnItsStart) {
  const SeedingSample sample = blobs(20000);
  Context context({.threads = 2});
  const double start = inertia(sample, kmeans_plus_plus(context, sample, kBlobs, 0));
  EXPECT_LT(inertia(sample, mini_batch(context, sample, kBlobs, 0)), 0.6 * start);
}

}  // namespace
}  // namespace coterie::kmeans
