#include "host/calibration.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "host/error.hpp"
#include "host/forecasts.hpp"
#include "host/random.hpp"
#include "tests/reference/evaluation.hpp"
#include "tests/support/instruction_sets.hpp"

namespace coterie::calibration {
namespace {

using reference::ScoredRow;

constexpr double kRounding = 1e-13;

Context& two_threads() {
  static Context context({.threads = 2});
  return context;
}

RankedScores ranked(std::vector<ScoredRow> rows) {
  RankedScores result;
  for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
    const auto weight = static_cast<std::int64_t>(row->weight);
    result.groups.push_back({row->score, row->outcome, 1 - row->outcome, row->outcome * weight, (1 - row->outcome) * weight});
  }
  return result;
}

// Ascending scores whose outcomes follow logistic(intercept + slope * score).
std::vector<ScoredRow> drawn(std::size_t n, double intercept, double slope) {
  std::vector<ScoredRow> rows;
  for (std::size_t i = 0; i < n; ++i) {
    const double score = -4 + 8 * static_cast<double>(i) / static_cast<double>(n);
    const double uniform = random_uniform(3, Purpose::bootstrap, i);
    rows.push_back({score, uniform < reference::probability(intercept + slope * score) ? 1 : 0, 1 + static_cast<double>(i % 3)});
  }
  return rows;
}

TEST(Logistic, IsSmoothFarOut) {
  EXPECT_NEAR(logistic(1.5), 1 / (1 + std::exp(-1.5)), kRounding);
  EXPECT_EQ(logistic(800), 1);
  EXPECT_EQ(logistic(-800), 0);
  EXPECT_EQ(forecast(-800).loss_of_positive, 800);
  EXPECT_NEAR(forecast(0.3).loss_of_positive, -std::log(reference::probability(0.3)), kRounding);
  EXPECT_NEAR(log_odds(logistic(-7.25)), -7.25, 1e-12);
}

TEST(Logistic, ForecastsOfManyHaveTheBitsOfOne) {
  testing::for_each_instruction_set([] {
    std::vector<double> z = {0, -0.0, 800, -800, 37.5, 1e-300};
    for (int i = 0; i < 1001; ++i) z.push_back(0.04 * (i - 500));
    std::vector<double> probability(z.size()), of_positive(z.size()), of_negative(z.size()), alone(z.size());
    fill_forecasts(z, {probability, of_positive, of_negative});
    fill_probabilities(z, alone);
    for (std::size_t i = 0; i < z.size(); ++i) {
      const Forecast expected = forecast(z[i]);
      ASSERT_EQ(probability[i], expected.probability) << z[i];
      ASSERT_EQ(alone[i], logistic(z[i])) << z[i];
      ASSERT_EQ(of_positive[i], expected.loss_of_positive) << z[i];
      ASSERT_EQ(of_negative[i], expected.loss_of_negative) << z[i];
    }
  });
}

TEST(Recalibration, FindsThePlantedLine) {
  const Recalibration found = recalibrate(two_threads(), ranked(drawn(40000, -0.7, 0.6)));
  EXPECT_NEAR(found.intercept, -0.7, 4 * found.intercept_std_err);
  EXPECT_NEAR(found.slope, 0.6, 4 * found.slope_std_err);
  EXPECT_LT(found.slope_std_err, 0.02);
  EXPECT_GT(found.log_likelihood, found.identity_log_likelihood);
}

TEST(Recalibration, IgnoresThreadCount) {
  const RankedScores scores = ranked(drawn(40000, 0.3, 1.2));  // more than a thread takes at a time
  Context one({.threads = 1}), three({.threads = 3});
  const Recalibration a = recalibrate(one, scores), b = recalibrate(three, scores);
  EXPECT_EQ(a.slope, b.slope);
  EXPECT_EQ(a.intercept, b.intercept);
  EXPECT_EQ(a.log_likelihood, b.log_likelihood);
}

TEST(Recalibration, IgnoresTheScaleOfTheWeights) {
  std::vector<ScoredRow> rows = drawn(500, 0.2, 1.1);
  const Recalibration one = recalibrate(two_threads(), ranked(rows));
  for (ScoredRow& row : rows) row.weight *= 1024;
  const Recalibration many = recalibrate(two_threads(), ranked(rows));
  EXPECT_EQ(one.slope, many.slope);
  EXPECT_EQ(one.slope_std_err, many.slope_std_err);
  EXPECT_EQ(one.log_likelihood, many.log_likelihood);
}

TEST(Recalibration, OfSeparatedScoresIsUnknown) {
  const Recalibration found = recalibrate(two_threads(), ranked({{-1, 0, 1}, {0, 0, 1}, {1, 1, 1}, {2, 1, 1}}));
  EXPECT_TRUE(std::isnan(found.slope));
  EXPECT_FALSE(std::isnan(found.identity_log_likelihood));
}

TEST(Platt, StaysFiniteWhereScoresSeparate) {
  const Calibrator platt = fit_platt(two_threads(), ranked({{-1, 0, 1}, {0, 0, 1}, {1, 1, 1}, {2, 1, 1}}));
  EXPECT_GT(platt.probability(2), 0.5);
  EXPECT_LT(platt.probability(2), 0.9);  // the targets are 3/4 and 1/4
}

TEST(Platt, GivesTheRateWhereScoresRankBackwards) {
  const Calibrator platt = fit_platt(two_threads(), ranked({{-2, 1, 1}, {-1, 1, 1}, {0, 1, 1}, {1, 0, 1}, {2, 0, 1}, {3, 0, 1}}));
  EXPECT_EQ(platt.slope, 0);
  EXPECT_TRUE(platt.is_flat());
  EXPECT_FALSE(Calibrator{}.is_flat());
  EXPECT_NEAR(platt.probability(9), 0.5, kRounding);
}

TEST(Isotonic, MatchesReference) {
  const std::vector<ScoredRow> rows = drawn(120, 0, 1);
  const std::vector<double> expected = reference::isotonic(rows);
  const Calibrator isotonic = fit_isotonic(ranked(rows));
  const double least = 1.0 / 122;
  for (std::size_t i = 0; i < rows.size(); ++i)
    EXPECT_NEAR(isotonic.probability(rows[i].score), std::min(std::max(expected[i], least), 1 - least), kRounding) << i;
}

TEST(Isotonic, IsFlatWhereScoresRankBackwards) {
  EXPECT_TRUE(fit_isotonic(ranked({{-2, 1, 1}, {-1, 1, 1}, {1, 0, 1}, {2, 0, 1}})).is_flat());
  EXPECT_FALSE(fit_isotonic(ranked(drawn(120, 0, 1))).is_flat());
}

TEST(Isotonic, NeverFallsAndNeverIsCertain) {
  const Calibrator isotonic = fit_isotonic(ranked(drawn(300, 0, 1)));
  double before = 0;
  for (double score = -6; score < 6; score += 0.01) {
    const double p = isotonic.probability(score);
    EXPECT_GE(p, before);
    EXPECT_GT(p, 0);
    EXPECT_LT(p, 1);
    before = p;
  }
}

TEST(Calibration, NeedsBothOutcomes) {
  EXPECT_THROW(fit_platt(two_threads(), ranked({{0, 1, 1}})), ArgumentError);
  EXPECT_THROW(fit_isotonic(ranked({{0, 0, 1}})), ArgumentError);
}

}  // namespace
}  // namespace coterie::calibration
