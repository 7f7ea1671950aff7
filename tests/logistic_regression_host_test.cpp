// What only the CPU does: Firth's penalty, predictions; and its pass on every instruction set.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/elementary.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/instruction_sets.hpp"
#include "tests/support/logistic_reference.hpp"

namespace coterie::logistic_regression {
namespace {

TEST(LogisticRegressionOnTheCpu, MatchesReferenceOnEveryInstructionSet) {
  testing::for_each_instruction_set([] { expect_matches_reference(mixed_problem(1500, 7)); });
}

TEST(LogisticRegressionFirth, ConvergesWhereAColumnSeparates) {
  Problem problem = drawn_problem(600, 3, 0);
  problem.params.front().penalty = Penalty::firth;
  for (std::size_t i = 0; i < 600; ++i) problem.target[i] = problem.rows.x[i * 3 + 1] > 1 ? 1 : 0;
  EXPECT_TRUE(fit_one(problem).converged);
}

// brglm2 on a table whose first column separates.
TEST(LogisticRegressionFirth, MatchesThePublishedFitOfEndometrial) {
  if (!testing::has_shared()) GTEST_SKIP() << "no ../shared";
  const auto columns = [](const std::vector<std::size_t>& which) {
    return testing::read_columns(testing::fixture("endometrial.csv"), which);
  };
  Problem problem{.rows = testing::on_grid(columns({0, 1, 2}), 3), .target = {}, .params = {{.penalty = Penalty::firth, .tol = 1e-12}}};
  for (const double outcome : columns({3})) problem.target.push_back(outcome == 1);
  const Model model = fit_one(problem);
  EXPECT_TRUE(model.converged);
  EXPECT_TRUE(model.separating.empty());
  const double values[] = {2.92927335319712, -.03475175987044, -2.60416392529368, 3.77455971364710};
  const double std_errs[] = {1.55076372945305, .03957814734776, .77601764250157, 1.48869166343567};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(model.estimates.values[i], values[i], 1e-3 * std_errs[i]) << "parameter " << i;
    EXPECT_NEAR(wald(model.estimates, i).std_err, std_errs[i], 1e-4 * std_errs[i]) << "parameter " << i;
  }
}

// Of 11 rows, which fill no vector: as many reasons as there are columns, of equals the lower column.
TEST(LogisticRegressionPredictor, NamesAsManyReasonsAsThereAre) {
  Model model;
  model.coefficients = {1, -1, 2};
  model.center = {0, 0, 0};
  std::vector<float> x;
  for (int i = 0; i < 11; ++i) x.insert(x.end(), {static_cast<float>(i), static_cast<float>(-i), static_cast<float>(i % 2)});
  Context context({.threads = 1});
  MemoryTileSource rows(x, 3, kBlockRows);
  const Model* const models[] = {&model};
  const auto predictor = make_cpu_predictor(context, kMostReasons);
  const auto check = [&](std::int64_t, const Prediction& prediction) {
    for (std::size_t i = 0; i < 11; ++i) {
      const auto value = static_cast<double>(i), last = static_cast<double>(2 * (i % 2));
      const auto column = prediction.reason.subspan(i * kMostReasons, kMostReasons);
      const auto contribution = prediction.reason_contribution.subspan(i * kMostReasons, kMostReasons);
      if (last > value)
        EXPECT_THAT(column, ::testing::ElementsAre(2, 0, 1, -1));
      else
        EXPECT_THAT(column, ::testing::ElementsAre(0, 1, 2, -1));
      EXPECT_EQ(contribution[0], std::max(value, last));
      EXPECT_EQ(contribution[3], 0);
    }
  };
  testing::for_each_instruction_set([&] { map_tiles(context, rows, *predictor, std::span<const Model* const>(models), check); });
  EXPECT_THROW(make_cpu_predictor(context, kMostReasons + 1), InternalError);
}

TEST(LogisticRegressionPredictor, SumsContributionsAndNamesTheLargest) {
  Problem problem = drawn_problem(5000, 6, -1, 3, 2);
  for (std::int32_t i = 0; i < 5000; ++i) problem.label.push_back(i % 3 - 1);
  problem.params = {{.target = 0}, {.target = 1, .n_segments = 2}};
  const Fit fit = run(problem);
  Context context({.threads = 2});
  MemoryTileSource rows(std::span(problem.rows.x), 6, kBlockRows);
  ZippedSource source(rows, problem.side_columns());
  const Model* models[] = {&fit.models[0], &fit.models[1]};
  const auto predictor = make_cpu_predictor(context, 3);
  const auto check = [&](std::int64_t first, const Prediction& prediction) {
    for (std::size_t i = 0; i * 2 < prediction.log_odds.size(); ++i)
      for (std::size_t m = 0; m < 2; ++m) {
        const std::size_t row = static_cast<std::size_t>(first) + i, cell = i * 2 + m;
        std::vector<std::pair<double, std::int32_t>> terms;
        double eta = models[m]->at_center;
        for (std::size_t j = 0; j < 6; ++j) {
          const double term = models[m]->coefficients[j] * (static_cast<double>(problem.rows.x[row * 6 + j]) - models[m]->center[j]);
          terms.emplace_back(-std::abs(term), static_cast<std::int32_t>(j));
          eta += term;
        }
        if (m == 1 && problem.label[row] >= 0) eta += models[m]->segment_effects[static_cast<std::size_t>(problem.label[row])];
        ASSERT_EQ(prediction.log_odds[cell], eta);
        const double e = coterie::exp(-std::abs(eta)), q = 1 / (1 + e);
        ASSERT_EQ(prediction.probability[cell], eta > 0 ? q : e * q);
        std::sort(terms.begin(), terms.end());
        for (std::size_t reason = 0; reason < 3; ++reason) {
          ASSERT_EQ(prediction.reason[cell * 3 + reason], terms[reason].second);
          ASSERT_EQ(std::abs(prediction.reason_contribution[cell * 3 + reason]), -terms[reason].first);
        }
      }
  };
  testing::for_each_instruction_set([&] { map_tiles(context, source, *predictor, std::span<const Model* const>(models), check); });
}

}  // namespace
}  // namespace coterie::logistic_regression
