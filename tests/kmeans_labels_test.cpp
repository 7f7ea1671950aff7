// A label is the one of the definition (host/kmeans.hpp), however close the race and however wide the numbers reach: one sweep and one
// prediction against the reference, in shapes that take every fast scan to its limits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "tests/reference/kmeans.hpp"
#include "tests/support/kmeans_problem.hpp"

#if defined(COTERIE_EMULATED) || defined(COTERIE_TEST_CUDA)
#include "cuda/kmeans_pass.hpp"
#endif

namespace coterie::kmeans {
namespace {

struct Race {
  testing::GridRows rows;
  std::vector<float> centers;  // (n_clusters, n_columns)
  std::vector<std::int32_t> weight;

  std::size_t width() const { return static_cast<std::size_t>(rows.n_columns); }
  Model model() const {
    return {.n_clusters = static_cast<std::int32_t>(centers.size() / width()), .n_columns = rows.n_columns, .cluster_centers = centers};
  }
};

// Every n-th row, from the first on, is a center.
Race race_of(const std::vector<double>& values, std::int32_t n_columns, std::int32_t n_clusters) {
  Race race{.rows = testing::on_grid(values, n_columns), .centers = {}, .weight = {}};
  const std::int64_t step = race.rows.n_rows / n_clusters;
  for (std::int64_t k = 0; k < n_clusters; ++k) {
    const float* const row = race.rows.x.data() + k * step * n_columns;
    race.centers.insert(race.centers.end(), row, row + n_columns);
  }
  return race;
}

Race blobs_race(std::int64_t n_rows, std::int32_t n_columns, std::int32_t n_clusters) {
  return race_of(testing::blobs(n_rows, n_columns, n_clusters, 1, 17), n_columns, n_clusters);
}

void expect_statistics(const Statistics& found, const Race& race, const std::vector<std::int32_t>& label) {
  const std::size_t d = race.width(), k = race.centers.size() / d;
  std::vector<int128> sums(k * d);
  std::vector<std::int64_t> weight(k), rows(k);
  for (std::size_t i = 0; i < label.size(); ++i) {
    const std::int64_t w = race.weight.empty() ? 1 : race.weight[i];
    const auto cluster = static_cast<std::size_t>(label[i]);
    weight[cluster] += w;
    rows[cluster] += w > 0;
    for (std::size_t j = 0; j < d; ++j)
      sums[cluster * d + j] += static_cast<int128>(static_cast<double>(race.rows.x[i * d + j]) / race.rows.grid.steps[j]) * w;
  }
  EXPECT_EQ(found.weight_in_clusters, weight);
  EXPECT_EQ(found.rows_in_clusters, rows);
  std::size_t wrong = 0;
  for (std::size_t cell = 0; cell < sums.size(); ++cell) wrong += found.center_sums.value(cell) != sums[cell];
  EXPECT_EQ(wrong, 0u);
}

// The same race in 129 columns, most of them zeros, among centers far away, or the centers in turn until there are n_clusters of them:
// what a scan of many centers sees.
Race widened(const Race& race, std::size_t n_clusters, bool far) {
  constexpr std::size_t kColumns = 129;
  const std::size_t d = race.width(), k = race.centers.size() / d, n = static_cast<std::size_t>(race.rows.n_rows);
  Race wide{.rows = race.rows, .centers = std::vector<float>(n_clusters * kColumns), .weight = race.weight};
  wide.rows.n_columns = kColumns;
  wide.rows.grid.steps.resize(kColumns, race.rows.grid.steps.back());
  wide.rows.x.assign(n * kColumns, 0.0f);
  for (std::size_t i = 0; i < n; ++i) std::copy_n(race.rows.x.begin() + static_cast<std::ptrdiff_t>(i * d), d, &wide.rows.x[i * kColumns]);
  const float largest =
      std::abs(*std::max_element(race.centers.begin(), race.centers.end(), [](float a, float b) { return std::abs(a) < std::abs(b); }));
  for (std::size_t i = 0; i < n_clusters; ++i) {
    std::copy_n(race.centers.begin() + static_cast<std::ptrdiff_t>(i % k * d), d, &wide.centers[i * kColumns]);
    if (far && i >= k) wide.centers[i * kColumns + d + i % (kColumns - d)] = i % 2 == 0 ? largest : -largest;
  }
  return wide;
}

void expect_defined_alone(const Race& race) {
  Context context({.threads = 2, .memory_bytes = std::int64_t{1} << 30, .progress = {}});
  reference::KMeans expected{.centers = race.centers, .label = {}, .second = {}, .squared_distance = {}};
  reference::assign(race.rows.x, race.width(), expected);
  const auto backend = testing::make_backend(context);
  const Model model = race.model();
  const Model* const models[] = {&model};
  MemoryTileSource rows(race.rows.x, race.rows.n_columns);
  ZippedSource source(rows, {.weight = race.weight, .label = {}});
  const auto pass = backend->kmeans_pass(race.rows.grid, race.rows.n_columns);
  expect_statistics(reduce_tiles(context, source, *pass, std::span<const Model* const>(models)).models.front(), race, expected.label);
  const auto predictor = backend->kmeans_predictor();
  map_tiles(context, source, *predictor, model, [&](std::int64_t first, const Assignment& a) {
    const auto at = static_cast<std::ptrdiff_t>(first), last = at + static_cast<std::ptrdiff_t>(a.label.size());
    const auto of_tile = [&](const auto& all) { return std::vector(all.begin() + at, all.begin() + last); };
    EXPECT_EQ(std::vector(a.label.begin(), a.label.end()), of_tile(expected.label));
    EXPECT_EQ(std::vector(a.second.begin(), a.second.end()), of_tile(expected.second));
    EXPECT_EQ(std::vector(a.squared_distance.begin(), a.squared_distance.end()), of_tile(expected.squared_distance));
    for (std::size_t i = 0; i < a.second.size(); ++i) {
      const auto row = static_cast<std::size_t>(first) + i, second = static_cast<std::size_t>(a.second[i]);
      EXPECT_EQ(a.second_squared_distance[i], reference::squared_distance(race.rows.x.data() + row * race.width(),
                                                                          race.centers.data() + second * race.width(), race.width()));
    }
  });
}

void expect_defined(const Race& race) {
  expect_defined_alone(race);
  if (race.width() >= 128) return;
  expect_defined_alone(widened(race, 70, true));
}

TEST(KMeansLabels, MatchReferenceOnBlobsOfAnyShape) {
  expect_defined(blobs_race(300, 16, 16));
  expect_defined(blobs_race(301, 17, 33));
  expect_defined(blobs_race(257, 32, 64));
  expect_defined(blobs_race(70, 9, 40));
  expect_defined(blobs_race(40, 200, 17));
  expect_defined(blobs_race(33, 515, 16));
  expect_defined(blobs_race(300, 140, 131));
  expect_defined(blobs_race(200, 515, 129));
  expect_defined(blobs_race(130, 260, 65));
}

TEST(KMeansLabels, MatchReferenceWithWeights) {
  Race race = blobs_race(400, 20, 24);
  for (int i = 0; i < 400; ++i) race.weight.push_back(i % 7 == 0 ? 0 : i * 104729 % static_cast<int>(kMaxWeightSteps));
  expect_defined(race);
}

// Sums of 600 clusters of 200 columns fit in no block's shared memory.
TEST(KMeansLabels, MatchReferenceWhereSumsAreLarge) {
  Race race = blobs_race(650, 200, 600);
  expect_defined(race);
  for (int i = 0; i < 650; ++i) race.weight.push_back(i % 5 * 3000000);
  expect_defined(race);
}

// Rows on the middle between two centers, or one step of the grid beside it.
TEST(KMeansLabels, AreDefinedOneStepFromATie) {
  Race race = blobs_race(360, 24, 18);
  std::mt19937 generator(3);
  const std::size_t d = race.width();
  for (std::size_t i = 0; i < 360; ++i) {
    const std::size_t a = generator() % 18, b = generator() % 18, nudged = generator() % d;
    for (std::size_t j = 0; j < d; ++j) {
      const double step = race.rows.grid.steps[j];
      const double middle = (static_cast<double>(race.centers[a * d + j]) + static_cast<double>(race.centers[b * d + j])) / 2;
      race.rows.x[i * d + j] = static_cast<float>((std::nearbyint(middle / step) + (j == nudged ? static_cast<int>(i % 3) - 1 : 0)) * step);
    }
  }
  expect_defined(race);
}

// Centers that half precision holds exactly, and rows whose rounding turns the order of two of them around: of columns 0.49 and 0.49
// steps above 1 and others 0.51 and 0.45 steps above, the first are the larger sum, and the smaller one once they are rounded.
TEST(KMeansLabels, AreDefinedWhereOnlyRowsAreRounded) {
  constexpr std::size_t kPairs = 8, kColumns = 2 * kPairs;
  constexpr double kStep = 0x1p-10;  // of half precision from 1 on
  std::vector<double> values;
  for (std::size_t a = 0; a < kPairs; ++a) {
    for (std::size_t b = 0; b < kPairs; ++b) {
      if (a == b) continue;
      std::vector<double> row(kColumns);
      row[2 * a] = row[2 * a + 1] = 1 + 0.49 * kStep;
      row[2 * b] = 1 + 0.51 * kStep;
      row[2 * b + 1] = 1 + 0.45 * kStep;
      values.insert(values.end(), row.begin(), row.end());
    }
  }
  Race race{.rows = testing::on_grid(values, kColumns), .centers = std::vector<float>(2 * kPairs * kColumns), .weight = {}};
  for (std::size_t k = 0; k < 2 * kPairs; ++k) {
    for (std::size_t side = 0; side < 2; ++side) race.centers[k * kColumns + k / 2 * 2 + side] = k % 2 == 0 ? 2 : -2;
  }
  expect_defined(race);
}

TEST(KMeansLabels, OfEqualCentersAreTheLowest) {
  Race race = blobs_race(200, 16, 20);
  const std::size_t d = race.width();
  for (std::size_t k = 10; k < 20; ++k)
    std::copy_n(race.centers.begin() + static_cast<std::ptrdiff_t>((k - 10) * d), d, &race.centers[k * d]);
  expect_defined(race);
  for (std::size_t k = 1; k < 20; ++k) std::copy_n(race.centers.begin(), d, &race.centers[k * d]);
  expect_defined(race);
  expect_defined(widened(blobs_race(90, 16, 20), 80, false));
  expect_defined(widened(race, 300, false));
}

// Half precision has no difference left between 1e8 and 1e8 + 1.
TEST(KMeansLabels, IgnoreOffsets) {
  for (const double offset : {1e3, 1e6, -1e8}) {
    auto values = testing::blobs(200, 16, 16, 3, 5);
    for (double& value : values) value += offset;
    expect_defined(race_of(values, 16, 16));
  }
}

TEST(KMeansLabels, AreDefinedAtExtremeScales) {
  for (const double scale : {1e-42, 1e-30, 1e18, 1e37}) {
    auto values = testing::blobs(200, 18, 16, 2, 6);
    for (double& value : values) value *= scale;
    expect_defined(race_of(values, 18, 16));
  }
}

TEST(KMeansLabels, AreDefinedForColumnsOfMixedScales) {
  auto values = testing::blobs(300, 16, 20, 2, 7);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] *= std::pow(10.0, static_cast<double>(i % 16) * 4 - 30);
  expect_defined(race_of(values, 16, 20));
}

TEST(KMeansLabels, AreDefinedForHeavyTails) {
  std::mt19937 generator(9);
  std::normal_distribution<double> normal;
  std::vector<double> values;
  for (int i = 0; i < 300 * 16; ++i) values.push_back(std::exp(4 * normal(generator)));
  expect_defined(race_of(values, 16, 25));
}

// Beyond the reach of half precision, whose units follow the centers; and a center out of everybody's reach.
TEST(KMeansLabels, AreDefinedFarFromAllCenters) {
  Race race = blobs_race(300, 16, 16);
  const auto near = race.centers;
  for (float& value : race.centers) value *= 0x1p-16f;
  expect_defined(race);
  race.centers = near;
  race.centers[5] = 1e30f;
  expect_defined(race);
}

#if defined(COTERIE_EMULATED) || defined(COTERIE_TEST_CUDA)

// What one sweep leaves open, of rows counted once.
COTERIE_GPU::SweepTally tally_of(const Race& race) {
  COTERIE_GPU::DeviceContext device;
  device.device = COTERIE_GPU::probe().usable.front();
  using namespace COTERIE_GPU;  // of the emulated runtime, whose names are not global
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device.device.index));
  device.shared_bytes = properties.sharedMemPerBlockOptin;
  COTERIE_GPU::SweepTally tally;
  Context context({.threads = 1});
  const auto pass = COTERIE_GPU::make_kmeans_pass(context, device, race.rows.grid, race.rows.n_columns, &tally);
  const Model model = race.model();
  const Model* const models[] = {&model};
  pass->begin(models);
  pass->accumulate({.x = race.rows.x.data(), .n_rows = static_cast<std::int32_t>(race.rows.n_rows), .n_columns = race.rows.n_columns});
  (void)pass->finish();
  return tally;
}

// Studies found 0.2 to 1.3 % of rows within the error of half precision, and next to none within that of float32.
TEST(KMeansTally, FewRowsStayOpen) {
  const Race race = blobs_race(2560, 32, 64);
  const COTERIE_GPU::SweepTally tally = tally_of(race);
  RecordProperty("rechecked", std::to_string(tally.rechecked));
  EXPECT_GT(tally.rechecked, 0);
  EXPECT_LT(tally.rechecked, 2560 * 2 / 100);
  EXPECT_LE(tally.exact, 2);
  const COTERIE_GPU::SweepTally of_many = tally_of(widened(race, 80, true));
  EXPECT_GT(of_many.rechecked, 0);
  EXPECT_LT(of_many.rechecked, 2560 * 4 / 100);
  EXPECT_LE(of_many.exact, 2);
}

TEST(KMeansTally, EveryTieTakesTheDefinition) {
  Race race = blobs_race(200, 16, 16);
  for (std::size_t k = 1; k < 16; ++k) std::copy_n(race.centers.begin(), 16, &race.centers[k * 16]);
  const COTERIE_GPU::SweepTally tally = tally_of(race);
  EXPECT_EQ(tally.rechecked, 200);
  EXPECT_EQ(tally.exact, 200);
  const COTERIE_GPU::SweepTally of_many = tally_of(widened(race, 80, false));
  EXPECT_EQ(of_many.rechecked, 200);
  EXPECT_EQ(of_many.exact, 200);
}

#endif

}  // namespace
}  // namespace coterie::kmeans
