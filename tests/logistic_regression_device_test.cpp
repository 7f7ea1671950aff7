// The pass of a device beside the CPU's: the same statistics of one sweep, and the same fits.
#include <gtest/gtest.h>

#include "host/error.hpp"
#include "host/logistic_regression_quanta.hpp"
#include "tests/support/outcomes.hpp"

#ifdef COTERIE_EMULATED
#include "tests/support/second_sweep.hpp"
#endif

namespace coterie::logistic_regression {
namespace {

// Sums of 10^4 doubles, and of products that err by 2^-17 (newton_gram.cuh) or are summed 256 at a time in float32; both about sums of
// magnitudes up to ten times as large.
constexpr double kDouble = 1e-12, kFloat = 1e-5;

SweepStatistics sweep(const Problem& problem, std::span<const Model* const> models, bool on_device, std::int64_t tile_rows,
                      std::int64_t gpu_memory = 0) {
  Context context({.threads = 1});
  const auto backend = on_device ? testing::make_backend(context, gpu_memory) : make_cpu_backend(context);
  MemoryTileSource rows(std::span(problem.rows.x), problem.rows.n_columns, tile_rows);
  ZippedSource source(rows, problem.side_columns());
  const GridMoments moments = kmeans::measure_moments(context, source, problem.grid(), 1);
  const auto staged = backend->stage(source);
  const auto pass = backend->logistic_regression_pass(problem.grid(), moments);
  return reduce_tiles(context, *staged, *pass, models);
}

// Rows of no segment, of three that have effects, and of one that has none.
Problem in_segments(Problem problem) {
  for (std::int64_t i = 0; i < problem.rows.n_rows; ++i) problem.label.push_back(static_cast<std::int32_t>(i % 5 - 1));
  return problem;
}

// Every way in which a model may use a sweep, at parameters off the start.
std::vector<Model> models_of(const Problem& problem) {
  Context context({.threads = 1});
  MemoryTileSource rows(std::span(problem.rows.x), problem.rows.n_columns);
  ZippedSource source(rows, problem.side_columns());
  const GridMoments moments = kmeans::measure_moments(context, source, problem.grid(), 1);
  std::vector<Model> models;
  for (std::int32_t m = 0; m < 6; ++m) {
    Model model = seed(problem.grid(), moments, {.target = m % 3, .left_out_fold = m - 1});
    if (m > 0) {
      model.n_iter = 1;
      for (std::size_t j = 0; j < model.search.parameters.size(); ++j)
        model.search.parameters[j] = 0.3 * std::cos(static_cast<double>(j) + m);
    }
    if (m % 3 != 0) model.search.effects = {0.5, -0.25, 1.0 / 3};
    model.search.precise = m % 2 == 0;
    model.search.last = m == 2;
    model.search.rows_every = m == 4 ? 2 : 1;
    model.search.hessian_every = m == 5 ? 0 : m >= 3 ? 2 : 1;
    models.push_back(model);
  }
  return models;
}

void expect_near(const WideSums& a, const WideSums& b, double relative, const char* what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  double largest = 0;
  for (std::size_t i = 0; i < b.size(); ++i) largest = std::max(largest, std::abs(static_cast<double>(b.value(i))));
  for (std::size_t i = 0; i < b.size(); ++i)
    EXPECT_NEAR(static_cast<double>(a.value(i)), static_cast<double>(b.value(i)), relative * largest) << what << " " << i;
}

TEST(LogisticRegressionDevice, GivesTheStatisticsOfTheCpu) {
  // Of 4 columns at a time, rows of one weight; wide rows come in short strips, and their Gram matrices in several panels.
  for (const auto& [n, d] : {std::pair{9001, 1}, {9001, 6}, {9001, 11}, {9001, 16}, {4500, 64}, {300, 132}, {300, 261}, {50, 1100}}) {
    const Problem problem = in_segments(d % 4 == 0 ? drawn_problem(n, d, -1, 5, 3, 0.2) : weighted_problem(n, d));
    const std::vector<Model> models = models_of(problem);
    std::vector<const Model*> pointers;
    for (const Model& model : models) pointers.push_back(&model);
    const SweepStatistics device = sweep(problem, pointers, true, kBlockRows), cpu = sweep(problem, pointers, false, kBlockRows);
    for (std::size_t m = 0; m < models.size(); ++m) {
      SCOPED_TRACE(::testing::Message() << d << " columns, model " << m);
      const Statistics &a = device.models[m], &b = cpu.models[m];
      EXPECT_EQ(a.rows, b.rows);
      EXPECT_EQ(a.weight, b.weight);
      EXPECT_NEAR(a.largest[0], b.largest[0], kDouble * (1 + b.largest[0]));
      expect_near(a.log_likelihood, b.log_likelihood, kDouble, "log-likelihood");
      expect_near(a.gradient, b.gradient, 10 * kDouble, "gradient");
      expect_near(a.curvature, b.curvature, kDouble, "curvature");
      expect_near(a.hessian_weight, b.hessian_weight, kDouble, "weight of Hessians");
      expect_near(a.hessian, b.hessian, models[m].search.precise ? kDouble : kFloat, "Hessian");
      expect_near(a.squared_scores, b.squared_scores, kDouble, "squared scores");
      expect_near(a.segment_gradient, b.segment_gradient, 10 * kDouble, "gradient of segments");
      expect_near(a.segment_curvature, b.segment_curvature, kDouble, "curvature of segments");
      expect_near(a.segment_squared, b.segment_squared, kDouble, "squared scores of segments");
    }
  }
}

constexpr std::int64_t kLittleMemory = (8 << 20) - 1;  // the rows fit, and the terms of two blocks do not fit into a sixty-fourth
constexpr std::int64_t kMemoryOfProducts = 64 << 20;   // what cuBLAS multiplies lies side by side

// The grid of blocks and the tiles decide who adds what when, and nothing else.
TEST(LogisticRegressionDevice, IgnoresTileRows) {
  // Of narrow rows, of wide ones, and of those that cuBLAS multiplies.
  for (const auto& [n, d, first, last, memory] : {std::tuple{3 * kBlockRows + 17, 3, 0, 6, kLittleMemory},
                                                  {kBlockRows + 17, 193, 0, 1, kLittleMemory},
                                                  {kBlockRows + 17, 515, 2, 3, kMemoryOfProducts}}) {
    const Problem problem = in_segments(weighted_problem(n, d));
    const std::vector<Model> models = models_of(problem);
    std::vector<const Model*> pointers;
    for (std::int32_t m = first; m < last; ++m) pointers.push_back(&models[static_cast<std::size_t>(m)]);
    const SweepStatistics expected = sweep(problem, pointers, true, kBlockRows);
    const SweepStatistics all = sweep(problem, pointers, true, 8 * kBlockRows, memory);  // wide rows go in slices of a block
    for (std::size_t m = 0; m < pointers.size(); ++m) {
      expect_near(all.models[m].gradient, expected.models[m].gradient, 0, "gradient");
      expect_near(all.models[m].hessian, expected.models[m].hessian, 0, "Hessian");
      expect_near(all.models[m].squared_scores, expected.models[m].squared_scores, 0, "squared scores");
      expect_near(all.models[m].log_likelihood, expected.models[m].log_likelihood, 0, "log-likelihood");
      expect_near(all.models[m].segment_gradient, expected.models[m].segment_gradient, 0, "gradient of segments");
      expect_near(all.models[m].segment_curvature, expected.models[m].segment_curvature, 0, "curvature of segments");
      expect_near(all.models[m].segment_squared, expected.models[m].segment_squared, 0, "squared scores of segments");
    }
  }
}

#ifdef COTERIE_EMULATED

TEST(LogisticRegressionDevice, AllocatesNothingInsideASweepAndDoesNotWait) {
  for (const std::int32_t d : {6, 132}) {  // of narrow and of wide rows
    const Problem problem = in_segments(weighted_problem(300, d));
    const std::vector<Model> models = models_of(problem);
    std::vector<const Model*> pointers;
    for (const Model& model : models) pointers.push_back(&model);
    Context context({.threads = 1});
    const auto backend = testing::make_backend(context);
    MemoryTileSource rows(std::span(problem.rows.x), problem.rows.n_columns);
    ZippedSource source(rows, problem.side_columns());
    const GridMoments moments = kmeans::measure_moments(context, source, problem.grid(), 1);
    const auto staged = backend->stage(source);
    testing::expect_no_stop_inside_a_sweep(*staged, *backend->logistic_regression_pass(problem.grid(), moments), pointers);
  }
}

#endif

TEST(LogisticRegressionDevice, FitsWhatTheCpuFits) {
  for (const auto& [n, d] : {std::pair{2000, 4}, {600, 515}}) {  // by kernels, and by cuBLAS
    Problem problem = weighted_problem(n, d);
    problem.params = {{.penalty = d < n / 100 ? Penalty::none : Penalty::l2, .tol = 1e-10},
                      {.target = 1, .left_out_fold = 2, .tol = 1e-10}};
    Context context({.threads = 1});
    const Fit expected = run_on(*make_cpu_backend(context), context, problem, kBlockRows), found = run(problem);
    for (std::size_t m = 0; m < 2; ++m)
      for (std::size_t i = 0; i <= static_cast<std::size_t>(d); ++i) {
        const Wald of_cpu = wald(expected.models[m].estimates, i), of_device = wald(found.models[m].estimates, i);
        EXPECT_NEAR(of_device.value, of_cpu.value, 1e-8 * of_cpu.std_err);
        EXPECT_NEAR(of_device.std_err, of_cpu.std_err, 1e-8 * of_cpu.std_err);
      }
  }
}

struct Scores {
  std::vector<double> log_odds, probability, contribution;
  std::vector<std::int32_t> reason;
};

Scores scores_of(const Problem& problem, std::span<const Model* const> models, bool on_device, std::int32_t n_reasons) {
  Context context({.threads = 1});
  const auto backend = on_device ? testing::make_backend(context) : make_cpu_backend(context);
  MemoryTileSource rows(std::span(problem.rows.x), problem.rows.n_columns, kBlockRows);
  ZippedSource source(rows, problem.side_columns());
  const auto staged = backend->stage(source);
  const auto predictor = backend->logistic_regression_predictor(n_reasons);
  Scores scores;
  map_tiles(context, *staged, *predictor, models, [&](std::int64_t, const Prediction& tile) {
    scores.log_odds.insert(scores.log_odds.end(), tile.log_odds.begin(), tile.log_odds.end());
    scores.probability.insert(scores.probability.end(), tile.probability.begin(), tile.probability.end());
    scores.contribution.insert(scores.contribution.end(), tile.reason_contribution.begin(), tile.reason_contribution.end());
    scores.reason.insert(scores.reason.end(), tile.reason.begin(), tile.reason.end());
  });
  return scores;
}

// exp of the device errs by an ulp, ours by two; 1 / (1 + e) and e / (1 + e) pass that on.
constexpr double kProbability = 4 * 0x1p-52;

TEST(LogisticRegressionDevice, ScoresAsTheCpuDoes) {
  for (const auto& [d, n_reasons] : {std::pair{1, 3}, {7, 0}, {130, 2}}) {
    const Problem problem = in_segments(weighted_problem(kBlockRows + 203, d));
    std::vector<Model> models(3);
    for (std::size_t m = 0; m < models.size(); ++m) {
      models[m].n_columns = d;
      models[m].at_center = 0.25 * static_cast<double>(m);
      if (m > 0) models[m].segment_effects = {0.5, -0.25, 1.0 / 3};  // the label 3 has none
      for (std::int32_t j = 0; j < d; ++j) {
        models[m].center.push_back(0.3 * j);
        models[m].coefficients.push_back(std::round(10 * std::cos(j + static_cast<double>(m))) / 7);  // some are equal, some zero
      }
    }
    const std::vector<const Model*> pointers{&models[0], &models[1], &models[2]};
    const Scores device = scores_of(problem, pointers, true, n_reasons), cpu = scores_of(problem, pointers, false, n_reasons);
    EXPECT_EQ(device.log_odds, cpu.log_odds);
    EXPECT_EQ(device.reason, cpu.reason);
    EXPECT_EQ(device.contribution, cpu.contribution);
    ASSERT_EQ(device.probability.size(), cpu.probability.size());
    for (std::size_t i = 0; i < cpu.probability.size(); ++i)
      EXPECT_NEAR(device.probability[i], cpu.probability[i], kProbability * cpu.probability[i]);
  }
}

}  // namespace
}  // namespace coterie::logistic_regression
