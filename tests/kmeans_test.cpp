#include "host/kmeans.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <sstream>

#include "host/error.hpp"
#include "tests/reference/kmeans.hpp"
#include "tests/support/interrupted_source.hpp"
#include "tests/support/kmeans_problem.hpp"
#include "tests/support/paths.hpp"

namespace coterie::kmeans {
namespace {

// kInertia: the reference adds n doubles of relative error 2^-53 in long double; 1e-12 is the promise.
constexpr double kInertia = 1e-12;

void expect_matches_reference(Problem problem) {
  Params& params = problem.params.front();
  params.init = Init::given;
  const std::size_t d = static_cast<std::size_t>(problem.rows.n_columns);
  if (params.given_centers.empty())
    params.given_centers.assign(problem.rows.x.begin(), problem.rows.x.begin() + params.n_clusters * problem.rows.n_columns);
  const reference::KMeans expected =
      reference::fit(problem.rows.x, problem.weight_steps(), d, params.given_centers, params.max_iter, params.tol);
  const Outcome outcome = run(problem);
  const Model& model = outcome.fit.best.front();
  EXPECT_EQ(outcome.label, expected.label);
  EXPECT_EQ(outcome.second, expected.second);
  EXPECT_EQ(model.cluster_centers, expected.centers);
  EXPECT_EQ(model.n_iter, expected.n_iter);
  EXPECT_NEAR(model.inertia, expected.inertia * problem.weights.step, kInertia * expected.inertia * problem.weights.step);
}

TEST(KMeansFit, MatchesReferenceOnBlobs) {
  expect_matches_reference(blobs_problem(20011, 7, 5, 4));
  expect_matches_reference(blobs_problem(9000, 3, 12, 0.5));
  expect_matches_reference(blobs_problem(4096, 33, 9, 1));
}

// The numbers of datasets/telco_churn, z-scored here; the eleven blank totals count as 0.
std::vector<double> telco_customers() {
  std::ifstream file(testing::source_dir() / "datasets/telco_churn/telco_churn.csv");
  constexpr std::size_t kNumbers[] = {1, 2, 3, 4, 5, 6, 16, 18, 19}, kColumns = std::size(kNumbers);
  std::vector<double> values;
  std::string line;
  for (std::getline(file, line); std::getline(file, line);) {
    std::vector<std::string> cells;
    std::istringstream stream(line + ",");
    for (std::string cell; std::getline(stream, cell, ',');) cells.push_back(cell);
    for (const std::size_t column : kNumbers) values.push_back(std::strtod(cells.at(column).c_str(), nullptr));
  }
  const double n = static_cast<double>(values.size() / kColumns);
  for (std::size_t j = 0; j < kColumns; ++j) {
    double sum = 0, squares = 0;
    for (std::size_t i = j; i < values.size(); i += kColumns) sum += values[i], squares += values[i] * values[i];
    const double deviation = std::sqrt(squares / n - sum / n * (sum / n));
    for (std::size_t i = j; i < values.size(); i += kColumns) values[i] = (values[i] - sum / n) / deviation;
  }
  return values;
}

TEST(KMeansFit, MatchesReferenceOnTheRealTable) {
  const std::vector<double> customers = telco_customers();
  ASSERT_EQ(customers.size(), 7043u * 9);
  for (const std::int32_t k : {3, 8})
    expect_matches_reference({.rows = testing::on_grid(customers, 9), .weights = {}, .params = {{.n_clusters = k}}});
}

TEST(KMeansFit, MatchesReferenceOnOffsets) {
  auto values = testing::blobs(10007, 4, 3, 1e4, 9);
  for (double& value : values) value += 1e8;
  expect_matches_reference({.rows = testing::on_grid(values, 4), .weights = {}, .params = {{.n_clusters = 3}}});
}

TEST(KMeansFit, MatchesReferenceOnExtremeScales) {
  for (const double scale : {1e-30, 1e30}) {
    auto values = testing::blobs(5003, 5, 4, 2, 11);
    for (double& value : values) value *= scale;
    expect_matches_reference({.rows = testing::on_grid(values, 5), .weights = {}, .params = {{.n_clusters = 4}}});
  }
}

TEST(KMeansFit, MatchesReferenceOnColumnsOfMixedScales) {
  auto values = testing::blobs(5003, 3, 4, 2, 12);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] *= i % 3 == 0 ? 1e-30 : i % 3 == 1 ? 1.0 : 1e15;
  expect_matches_reference({.rows = testing::on_grid(values, 3), .weights = {}, .params = {{.n_clusters = 4}}});
}

TEST(KMeansFit, MatchesReferenceOnHeavyTails) {
  expect_matches_reference(
      {.rows = testing::on_grid(testing::heavy_tails(20000, 6, 2.5), 6), .weights = {}, .params = {{.n_clusters = 8}}});
}

TEST(KMeansFit, MatchesReferenceOnIntegersFullOfTies) {
  std::mt19937 generator(2);
  std::vector<double> values;
  for (int i = 0; i < 6000 * 3; ++i) values.push_back(static_cast<double>(generator() % 4));
  expect_matches_reference({.rows = testing::on_grid(values, 3), .weights = {}, .params = {{.n_clusters = 6}}});
}

TEST(KMeansFit, MatchesReferenceWithZeroAndHugeWeights) {
  Problem problem = blobs_problem(12001, 4, 6, 1);
  std::mt19937 generator(4);
  std::vector<double> weights;
  for (std::int64_t i = 0; i < problem.rows.n_rows; ++i)
    weights.push_back(i % 5 == 0 ? 0 : i % 7 == 0 ? 1e12 : static_cast<double>(generator() % 1000) * 1e6);
  problem.weights = quantise_weights(weights);
  expect_matches_reference(problem);
}

// Three of the given centers are out of everybody's reach, so their clusters take the farthest rows.
TEST(KMeansFit, EmptyClustersTakeTheFarthestRows) {
  Problem problem = blobs_problem(5000, 2, 3, 3);
  Params& params = problem.params.front();
  params.n_clusters = 6;
  params.given_centers = {0, 0, 1, 1, -1, 2, 500, 500, 600, 600, 700, 700};
  expect_matches_reference(problem);
  const Outcome outcome = run(problem);
  const auto& sizes = outcome.fit.best.front().cluster_sizes;
  EXPECT_EQ(std::count(sizes.begin(), sizes.end(), 0), 0);
}

TEST(KMeansFit, FewerDistinctRowsThanClustersIsWarnedAbout) {
  std::vector<double> values;
  for (int i = 0; i < 300; ++i) values.push_back(i % 3);
  Problem problem{.rows = testing::on_grid(values, 1), .weights = {}, .params = {{.n_clusters = 5, .n_init = 2}}};
  const Outcome outcome = run(problem);
  EXPECT_EQ(outcome.fit.best.front().inertia, 0);
  ASSERT_EQ(outcome.fit.warnings.size(), 1u);
  EXPECT_NE(outcome.fit.warnings.front().find("ask for at most 3"), std::string::npos);
}

TEST(KMeansFit, OneClusterIsTheMean) {
  Problem problem = blobs_problem(10000, 3, 1, 1);
  const Model model = run(problem).fit.best.front();
  for (std::size_t j = 0; j < 3; ++j) {
    double sum = 0;
    for (std::size_t i = 0; i < 10000; ++i) sum += static_cast<double>(problem.rows.x[i * 3 + j]);
    EXPECT_EQ(model.cluster_centers[j], static_cast<float>(sum / 10000));
  }
}

TEST(KMeansFit, AsManyClustersAsRowsHaveNoInertia) {
  Problem problem = blobs_problem(50, 2, 3, 1);
  problem.params.front().n_clusters = 50;
  EXPECT_EQ(run(problem).fit.best.front().inertia, 0);
}

TEST(KMeansFit, RefusesMoreClustersThanRows) {
  Problem problem = blobs_problem(50, 2, 3, 1);
  problem.params.front().n_clusters = 51;
  EXPECT_THROW(run(problem), ArgumentError);
  problem.params.front().n_clusters = 0;
  EXPECT_THROW(run(problem), ArgumentError);
}

TEST(KMeansFit, StopsAtMaxIterAndSaysSo) {
  Problem problem = blobs_problem(5000, 4, 12, 0.3);
  problem.params.front().max_iter = 2;
  problem.params.front().n_init = 1;
  const Outcome outcome = run(problem);
  EXPECT_EQ(outcome.fit.best.front().n_iter, 2);
  EXPECT_FALSE(outcome.fit.best.front().converged);
  EXPECT_EQ(outcome.fit.warnings.size(), 1u);
  expect_matches_reference(problem);
}

TEST(KMeansFit, WeightTwoIsARowTwice) {
  const auto values = testing::blobs(3000, 3, 4, 1, 21);
  std::vector<double> twice, weights;
  for (std::size_t i = 0; i < 3000; ++i) {
    weights.push_back(i % 3 == 0 ? 2 : 1);
    for (std::size_t copy = 0; copy < (i % 3 == 0 ? 2 : 1); ++copy)
      twice.insert(twice.end(), values.begin() + static_cast<std::ptrdiff_t>(i * 3),
                   values.begin() + static_cast<std::ptrdiff_t>(i * 3 + 3));
  }
  Problem weighted{
      .rows = testing::on_grid(values, 3), .weights = quantise_weights(weights), .params = {{.n_clusters = 4, .init = Init::given}}};
  weighted.params.front().given_centers.assign(weighted.rows.x.begin(), weighted.rows.x.begin() + 12);
  Problem repeated{.rows = testing::on_grid(twice, 3), .weights = {}, .params = weighted.params};
  const Model a = run(weighted).fit.best.front(), b = run(repeated).fit.best.front();
  EXPECT_EQ(a.cluster_centers, b.cluster_centers);
  EXPECT_NEAR(a.inertia, b.inertia, kInertia * b.inertia);
}

TEST(KMeansFit, ZeroWeightRowCountsForNothing) {
  const auto values = testing::blobs(3000, 3, 4, 1, 22);
  std::vector<double> with_strays = values, weights(3000, 1.0);
  for (int i = 0; i < 100; ++i) with_strays.insert(with_strays.end(), {1, -1, 5.0 * i / 100}), weights.push_back(0);
  Problem clean{.rows = testing::on_grid(values, 3), .weights = {}, .params = {{.n_clusters = 4}}};
  Problem strays{.rows = testing::on_grid(with_strays, 3), .weights = quantise_weights(weights), .params = {{.n_clusters = 4}}};
  ASSERT_EQ(clean.rows.grid.steps, strays.rows.grid.steps);
  EXPECT_EQ(run(clean).fit.best.front().cluster_centers, run(strays).fit.best.front().cluster_centers);
}

// Squares of 2^46 steps in every row: unweighted and weighted rows are added in different ways, which must not show.
TEST(KMeansFit, RowsAtTheEndsOfTheGridAreAddedExactly) {
  std::vector<double> values, weights;
  for (int i = 0; i < 5000; ++i) values.insert(values.end(), {i % 3 == 0 ? -1.0 : 1.0, -1.0, 1.0}), weights.push_back(1);
  Problem clean{.rows = testing::on_grid(values, 3), .weights = {}, .params = {{.n_clusters = 1}}};
  values.insert(values.end(), {0.5, 0.25, 0.125}), weights.push_back(0);
  Problem weighted{.rows = testing::on_grid(values, 3), .weights = quantise_weights(weights), .params = clean.params};
  ASSERT_EQ(clean.rows.grid.steps, weighted.rows.grid.steps);
  const Model a = run(clean).fit.best.front(), b = run(weighted).fit.best.front();
  EXPECT_EQ(a.cluster_centers, b.cluster_centers);
  EXPECT_EQ(a.inertia, b.inertia);
  expect_matches_reference(clean);
}

TEST(KMeansFit, SweepOverKEqualsFitsOneByOne) {
  Problem sweep = blobs_problem(testing::size_for<std::int64_t>(20000, 1500), 5, 6, 1);
  sweep.params.clear();
  for (std::int32_t k = 1; k <= 9; ++k) sweep.params.push_back({.n_clusters = k, .n_init = 3});
  const Outcome together = run(sweep);
  for (const Params& params : sweep.params) {
    Problem alone = sweep;
    alone.params = {params};
    const Model model = run(alone).fit.best.front();
    EXPECT_EQ(model.cluster_centers, together.fit.best[static_cast<std::size_t>(params.n_clusters - 1)].cluster_centers);
  }
  for (std::size_t i = 1; i < 9; ++i) EXPECT_LE(together.fit.best[i].inertia, together.fit.best[i - 1].inertia);
}

TEST(KMeansInit, PlusPlusBeatsRandomOnSeparatedBlobs) {
  Problem problem = blobs_problem(20000, 4, 30, 50);
  problem.params = {{.n_clusters = 30, .n_init = 1}, {.n_clusters = 30, .n_init = 1, .init = Init::random}};
  const Fit fit = run(problem).fit;
  EXPECT_LT(fit.best[0].inertia * 2, fit.best[1].inertia);
}

TEST(KMeansQuality, OfOneSegmentIsNoSeparation) {
  Problem problem = blobs_problem(3000, 3, 1, 3);
  problem.params = {{.n_clusters = 1}};
  const auto quality = run(problem).quality.front();
  EXPECT_NEAR(quality.explained, 0, 1e-9);
  for (const double separation : {quality.silhouette, quality.davies_bouldin, quality.calinski_harabasz})
    EXPECT_TRUE(std::isnan(separation));
}

TEST(KMeansQuality, MatchesDefinitions) {
  Problem problem = blobs_problem(3000, 3, 4, 3);
  const Outcome outcome = run(problem);
  const Model& model = outcome.fit.best.front();
  double silhouette = 0;
  std::vector<double> scatter(4), count(4);
  for (std::size_t i = 0; i < outcome.label.size(); ++i) {
    double second = 0;
    reference::nearest(problem.rows.x.data() + i * 3, model.cluster_centers, 3, outcome.label[i], second);
    silhouette += 1 - std::sqrt(outcome.squared_distance[i] / second);
    scatter[static_cast<std::size_t>(outcome.label[i])] += std::sqrt(outcome.squared_distance[i]);
    count[static_cast<std::size_t>(outcome.label[i])] += 1;
  }
  double davies_bouldin = 0;
  for (std::size_t a = 0; a < 4; ++a) {
    double worst = 0;
    for (std::size_t b = 0; b < 4; ++b)
      if (a != b)
        worst =
            std::max(worst, (scatter[a] / count[a] + scatter[b] / count[b]) /
                                std::sqrt(reference::squared_distance(&model.cluster_centers[a * 3], &model.cluster_centers[b * 3], 3)));
    davies_bouldin += worst / 4;
  }
  // Rows enter the sums in steps of 2^-30, of the margin and of the longest possible distance.
  EXPECT_NEAR(outcome.quality.front().silhouette, silhouette / 3000, 0x1p-30);
  EXPECT_NEAR(outcome.quality.front().davies_bouldin, davies_bouldin, 1e-7);
  EXPECT_GT(outcome.quality.front().explained, 0.7);
}

TEST(KMeansQuality, ForgetsASweepThatWasInterrupted) {
  Problem problem = blobs_problem(9000, 3, 4, 3);
  problem.params.push_back({.n_clusters = 2});
  const Outcome outcome = run(problem);
  Context context({.threads = 2, .memory_bytes = std::int64_t{1} << 30});
  MemoryTileSource rows(problem.rows.x, 3, kBlockRows);
  testing::InterruptedSource interrupted(rows);
  const GridMoments moments = measure_moments(context, rows, problem.grid(), 4);
  const std::vector<Quality> qualities =
      measure_quality(context, interrupted, problem.grid(), moments, outcome.fit.best, [&] { return make_cpu_predictor(context); });
  EXPECT_EQ(interrupted.sweeps(), 2);
  ASSERT_EQ(qualities.size(), 2u);
  for (std::size_t m = 0; m < 2; ++m) {
    EXPECT_EQ(qualities[m].silhouette, outcome.quality[m].silhouette);
    EXPECT_EQ(qualities[m].davies_bouldin, outcome.quality[m].davies_bouldin);
  }
}

TEST(KMeansMargin, IsOneMinusTheRatioOfDistances) {
  EXPECT_EQ(margin(1, 4), 0.5);
  EXPECT_EQ(margin(0, 0), 0);
  EXPECT_EQ(margin(2, 2), 0);
  EXPECT_EQ(margin(3, std::numeric_limits<double>::infinity()), 1);
}

}  // namespace
}  // namespace coterie::kmeans
