#include "host/evaluation.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "host/error.hpp"
#include "host/moments.hpp"
#include "host/random.hpp"
#include "tests/reference/evaluation.hpp"
#include "tests/support/fixtures.hpp"
#include "tests/support/scored_columns.hpp"

namespace coterie {
namespace {

using Columns = testing::ScoredColumns;
using evaluation::Evaluation;
using reference::ScoredRow;

// Sums of some hundred terms below 1, in another order.
constexpr double kRounding = 1e-13;

// Scores on a coarse grid, so that many tie.
Columns coarse_scores(std::int64_t n_rows) {
  Columns columns;
  for (std::int64_t row = 0; row < n_rows; ++row) {
    const auto index = static_cast<std::uint64_t>(row);
    const auto draw = [&](std::uint64_t stream) { return random_uniform(5, Purpose::bootstrap, index, stream); };
    columns.score.push_back(std::floor(12 * draw(0)) / 2 - 3);
    columns.outcome.push_back(draw(1) < 0.05 ? std::int8_t{-1}
                                             : static_cast<std::int8_t>(draw(2) < reference::probability(columns.score.back())));
    columns.weight.push_back(static_cast<std::int32_t>(4 * draw(3)));
    columns.label.push_back(static_cast<std::int32_t>(4 * draw(4)) - 1);
  }
  return columns;
}

std::vector<ScoredRow> reference_rows(const Columns& columns, std::int32_t segment = -1) {
  std::vector<ScoredRow> rows;
  for (std::size_t row = 0; row < columns.score.size(); ++row)
    if (columns.outcome[row] >= 0 && columns.weight[row] > 0 && (segment < 0 || columns.label[row] == segment))
      rows.push_back({columns.score[row], columns.outcome[row], static_cast<double>(columns.weight[row])});
  return rows;
}

void expect_reference(const Evaluation& measured, const std::vector<ScoredRow>& rows) {
  const auto auc = reference::auc(rows);
  EXPECT_EQ(measured.n_rows, std::ssize(rows));
  EXPECT_NEAR(measured.auc, auc.auc, kRounding);
  EXPECT_NEAR(measured.auc_variance, auc.variance, kRounding);
  EXPECT_NEAR(measured.average_precision, reference::average_precision(rows), kRounding);
  EXPECT_NEAR(measured.ks, reference::ks(rows), kRounding);
  EXPECT_NEAR(measured.log_loss, reference::log_loss(rows), kRounding);
  EXPECT_NEAR(measured.brier, reference::brier(rows), kRounding);
}

// To the last bit.
void expect_same(const Evaluation& a, const Evaluation& b) {
  EXPECT_EQ(a.n_rows, b.n_rows);
  for (const auto measure : {&Evaluation::base_rate, &Evaluation::mean_probability, &Evaluation::auc, &Evaluation::auc_variance,
                             &Evaluation::average_precision, &Evaluation::ks, &Evaluation::log_loss, &Evaluation::brier,
                             &Evaluation::reliability, &Evaluation::resolution, &Evaluation::calibration_error})
    EXPECT_EQ(a.*measure, b.*measure);
  EXPECT_EQ(a.recalibration.slope, b.recalibration.slope);
  EXPECT_EQ(a.recalibration.intercept, b.recalibration.intercept);
  EXPECT_EQ(a.recalibration.log_likelihood, b.recalibration.log_likelihood);
  ASSERT_EQ(a.tenths.size(), b.tenths.size());
  for (std::size_t i = 0; i < a.tenths.size(); ++i) {
    EXPECT_EQ(a.tenths[i].n_rows, b.tenths[i].n_rows);
    EXPECT_EQ(a.tenths[i].lowest_score, b.tenths[i].lowest_score);
    EXPECT_EQ(a.tenths[i].mean_probability, b.tenths[i].mean_probability);
  }
}

Context::Options threads(int n) { return {.threads = n, .memory_bytes = std::int64_t{1} << 30}; }

Context& two_threads() {
  static Context context(threads(2));
  return context;
}

TEST(Evaluation, MatchesReferenceUnderTiesWeightsAndUnknownOutcomes) {
  Context context(threads(2));
  const Columns columns = coarse_scores(500);
  const auto ranked = rank_scores(context, columns.rows(), 3);
  ASSERT_EQ(ranked.size(), 4u);
  const auto effective = evaluation::effective_shares(two_threads(), columns.rows(), 3);
  ASSERT_EQ(effective.size(), 4u);
  expect_reference(evaluation::evaluate(context, ranked.back(), {}, effective.back()), reference_rows(columns));
  for (std::size_t segment = 0; segment < 3; ++segment)
    expect_reference(evaluation::evaluate(context, ranked[segment], {}, effective[segment]),
                     reference_rows(columns, static_cast<std::int32_t>(segment)));
}

TEST(Evaluation, UnequalWeightsWidenEveryInterval) {
  Context context(threads(1));
  Columns columns = coarse_scores(500);
  const RankedScores ranked = std::move(rank_scores(context, columns.rows()).front());
  const evaluation::EffectiveShares effective = evaluation::effective_shares(two_threads(), columns.rows()).front();
  const Evaluation as_rows = evaluation::evaluate(context, ranked, {}), weighted = evaluation::evaluate(context, ranked, {}, effective);
  double weight = 0, squares = 0;
  for (const ScoredRow& row : reference_rows(columns)) {
    weight += row.weight;
    squares += row.weight * row.weight;
  }
  const double share = weight * weight / squares / static_cast<double>(weighted.n_rows);
  EXPECT_NEAR(effective.all, share, kRounding);
  EXPECT_LT(share, 0.95);
  EXPECT_NEAR(weighted.recalibration.slope_std_err, as_rows.recalibration.slope_std_err / std::sqrt(share), kRounding);
  EXPECT_LT(weighted.auc_low, as_rows.auc_low);
  for (const evaluation::Tenth& tenth : weighted.tenths) {
    const Interval interval = wilson_interval(tenth.response_rate, static_cast<double>(tenth.n_rows) * share);
    EXPECT_NEAR(tenth.response_low, interval.low, kRounding);
    EXPECT_NEAR(tenth.response_high, interval.high, kRounding);
  }
  for (std::int32_t& of_row : columns.weight) of_row = 7;
  const evaluation::EffectiveShares equal = evaluation::effective_shares(two_threads(), columns.rows()).front();
  EXPECT_EQ(equal.positives, 1);
  EXPECT_EQ(equal.negatives, 1);
  EXPECT_EQ(equal.all, 1);
}

Evaluation of_outcomes(const std::vector<std::int8_t>& by_ascending_score, const calibration::Calibrator& calibrator = {}) {
  Context context(threads(1));
  Columns columns{.score = {}, .outcome = by_ascending_score, .weight = {}, .label = {}};
  for (std::size_t row = 0; row < by_ascending_score.size(); ++row) columns.score.push_back(0.1 * static_cast<double>(row));
  return evaluation::evaluate(context, rank_scores(context, columns.rows()).front(), calibrator);
}

// How far an area lies from what was found, in the standard errors that Hanley and McNeil (1982) give it.
double standard_errors_away(double area, double found, double positives, double negatives) {
  const double both_positives = area / (2 - area), both_negatives = 2 * area * area / (1 + area);
  const double variance =
      (area * (1 - area) + (positives - 1) * (both_positives - area * area) + (negatives - 1) * (both_negatives - area * area)) /
      (positives * negatives);
  return std::abs(area - found) / std::sqrt(variance);
}

TEST(Evaluation, PerfectRankingsAreUncertainToo) {
  const Evaluation perfect = of_outcomes({0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1}),
                   reversed = of_outcomes({1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0});
  EXPECT_EQ(perfect.auc, 1);
  EXPECT_EQ(perfect.auc_variance, 0);
  EXPECT_EQ(perfect.auc_high, 1);
  EXPECT_NEAR(standard_errors_away(perfect.auc_low, 1, 5, 7), kNormal95, 1e-9);
  EXPECT_GT(perfect.auc_low, 0.5);
  EXPECT_LT(perfect.auc_low, 0.9);
  EXPECT_EQ(reversed.auc_low, 0);
  EXPECT_NEAR(standard_errors_away(reversed.auc_high, 0, 5, 7), kNormal95, 1e-9);
}

TEST(Evaluation, OneRowOfAClassLeavesAnInterval) {
  const Evaluation one = of_outcomes({0, 0, 1, 0});
  EXPECT_NEAR(standard_errors_away(one.auc_low, 2.0 / 3, 1, 3), kNormal95, 1e-9);
  EXPECT_NEAR(standard_errors_away(one.auc_high, 2.0 / 3, 1, 3), kNormal95, 1e-9);
  EXPECT_GT(one.auc_low, 0);
  EXPECT_LT(one.auc_high, 1);
}

TEST(Evaluation, FewRowsOfAClassLeaveTheIntervalOfTheArea) {
  std::vector<std::int8_t> outcomes(40, 0);
  for (const std::size_t row : {19, 21, 24, 26, 29, 31, 34, 36, 39}) outcomes[row] = 1;
  const Evaluation nine = of_outcomes(outcomes);
  EXPECT_NEAR(standard_errors_away(nine.auc_low, nine.auc, 9, 31), kNormal95, 1e-9);
  EXPECT_NEAR(standard_errors_away(nine.auc_high, nine.auc, 9, 31), kNormal95, 1e-9);
  outcomes[14] = 1;
  const Evaluation ten = of_outcomes(outcomes);
  EXPECT_NEAR(ten.auc - ten.auc_low, kNormal95 * std::sqrt(ten.auc_variance), kRounding);
}

TEST(Evaluation, EqualProbabilitiesRankEqual) {
  const calibration::Calibrator flat{.method = calibration::Method::platt, .intercept = -1, .slope = 0, .scores = {}, .probabilities = {}};
  const Evaluation measured = of_outcomes({1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0}, flat);
  EXPECT_EQ(measured.auc, 0.5);
  EXPECT_EQ(measured.ks, 0);
  EXPECT_EQ(measured.average_precision, 0.25);
  ASSERT_EQ(measured.tenths.size(), 1u);
  EXPECT_EQ(measured.tenths[0].n_rows, 12);
  EXPECT_NEAR(measured.mean_probability, reference::probability(-1), kRounding);
  EXPECT_NEAR(measured.log_loss, -(3 * std::log(reference::probability(-1)) + 9 * std::log(reference::probability(1))) / 12, kRounding);
}

// Scores that are true, drawn anew and anew: what chance makes of their error is foretold.
TEST(Evaluation, CalibrationNoiseIsTheErrorOfTrueProbabilities) {
  Context context(threads(1));
  for (const std::size_t n_rows : {150, 3000}) {
    constexpr int kSamples = 200;
    double error = 0, noise = 0, squares = 0, spread = 0;
    for (std::uint64_t sample = 0; sample < kSamples; ++sample) {
      Columns columns;
      for (std::size_t row = 0; row < n_rows; ++row) {
        columns.score.push_back(4 * random_uniform(7, Purpose::bootstrap, row, 2 * sample) - 3);
        columns.outcome.push_back(random_uniform(7, Purpose::bootstrap, row, 2 * sample + 1) <
                                  reference::probability(columns.score.back()));
      }
      const Evaluation measured = evaluation::evaluate(context, rank_scores(context, columns.rows()).front(), {});
      error += measured.calibration_error / kSamples;
      noise += measured.calibration_noise / kSamples;
      squares += std::pow(measured.calibration_error - measured.calibration_noise, 2) / kSamples;
      spread += measured.calibration_noise_std / kSamples;
    }
    EXPECT_NEAR(error / noise, 1, 0.06) << n_rows;  // spread 0.3 of the mean in each of 200 samples: 0.02
    EXPECT_NEAR(std::sqrt(squares) / spread, 1, 0.15) << n_rows;
  }
}

TEST(Evaluation, AreaOfRowsInOrderIsThatOfTheirPairs) {
  Columns columns = coarse_scores(300);
  columns.weight.assign(300, 1);
  std::vector<std::int32_t> order(300);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return columns.score[static_cast<std::size_t>(a)] < columns.score[static_cast<std::size_t>(b)];
  });
  EXPECT_NEAR(evaluation::area_under_roc(columns.score, columns.outcome, order), reference::auc(reference_rows(columns)).auc, kRounding);
  for (std::int8_t& outcome : columns.outcome) outcome = std::min(outcome, std::int8_t{0});
  EXPECT_TRUE(std::isnan(evaluation::area_under_roc(columns.score, columns.outcome, order)));
}

TEST(Evaluation, IgnoresThreadCountAndOrderOfRows) {
  Context one(threads(1)), three(threads(3));
  Columns columns = coarse_scores(9000);
  const Evaluation a = evaluation::evaluate(one, rank_scores(one, columns.rows())[0], {});
  for (auto* column : {&columns.weight, &columns.label}) std::reverse(column->begin(), column->end());
  std::reverse(columns.score.begin(), columns.score.end());
  std::reverse(columns.outcome.begin(), columns.outcome.end());
  const Evaluation b = evaluation::evaluate(three, rank_scores(three, columns.rows())[0], {});
  expect_same(a, b);
}

TEST(Evaluation, OfOneClassHasNoRanking) {
  Context context(threads(1));
  const Columns columns{{0.5, 1.5}, {1, 1}, {}, {}};
  const Evaluation measured = evaluation::evaluate(context, rank_scores(context, columns.rows())[0], {});
  EXPECT_TRUE(std::isnan(measured.auc));
  EXPECT_TRUE(std::isnan(measured.recalibration.slope));
  EXPECT_EQ(measured.base_rate, 1);
}

// Hardly any ties, so that sums of chunks would show where the parts of a ranking begin.
TEST(Evaluation, IgnoresMemory) {
  Columns columns = coarse_scores(300'000);
  for (std::size_t row = 0; row < columns.score.size(); ++row) columns.score[row] += random_uniform(6, Purpose::bootstrap, row);
  const std::int64_t least = least_ranking_bytes(std::ssize(columns.score));
  Context large(threads(2));
  const auto expected = rank_scores(large, columns.rows(), 3);
  for (const std::int64_t bytes : {least, least + 1'234'567}) {
    Context small({.threads = 3, .memory_bytes = bytes});
    const auto ranked = rank_scores(small, columns.rows(), 3);
    for (std::size_t i = 0; i < ranked.size(); ++i) {
      EXPECT_TRUE(ranked[i].rank_again);
      const calibration::Calibrator a = calibration::fit_isotonic(expected[i]), b = calibration::fit_isotonic(ranked[i]);
      EXPECT_EQ(a.scores, b.scores);
      EXPECT_EQ(a.probabilities, b.probabilities);
      EXPECT_EQ(calibration::fit_platt(large, expected[i]).slope, calibration::fit_platt(small, ranked[i]).slope);
      expect_same(evaluation::evaluate(large, expected[i], a), evaluation::evaluate(small, ranked[i], b));
    }
  }
}

TEST(PercentileCuts, PartRowsEvenlyAndKeepTiesTogether) {
  Context context(threads(1));
  std::vector<double> score(1000);
  for (std::size_t row = 0; row < score.size(); ++row) score[row] = static_cast<double>((row * 617) % 1000);
  const std::vector<double> cuts = percentile_cuts(context, score);
  ASSERT_EQ(cuts.size(), 99u);
  std::vector<int> rows(101);
  for (const double s : score) ++rows[static_cast<std::size_t>(percentile(cuts, s))];
  for (std::size_t p = 1; p <= 100; ++p) EXPECT_EQ(rows[p], 10) << p;
  EXPECT_EQ(percentile(cuts, 999), 100);
  EXPECT_EQ(percentile(cuts, 0), 1);
  EXPECT_EQ(percentile(percentile_cuts(context, std::vector<double>(50, 2.0)), 2.0), 2);  // the first that has a row
}

// The model of Pima.tr applied to Pima.te: golden values printed by R (pROC, PresenceAbsence-style tables by hand).
class PimaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::has_shared()) GTEST_SKIP() << "no ../shared";
    const std::vector<double> cells = testing::read_columns(testing::fixture("pima_te.csv"), {0, 1, 2, 3, 4, 5, 6, 7});
    constexpr double kCoefficients[] = {.103183427319110, .032116822893157,  -.004767541974991, -.001916631746926,
                                        .083623912054650, 1.820410367452339, .041183528816391};
    for (std::size_t row = 0; row < cells.size(); row += 8) {
      double score = -9.773061532912324;
      for (std::size_t j = 0; j < 7; ++j) score += kCoefficients[j] * cells[row + j];
      columns_.score.push_back(score);
      columns_.outcome.push_back(static_cast<std::int8_t>(cells[row + 7]));
    }
    ranked_ = rank_scores(context_, columns_.rows())[0];
    measured_ = evaluation::evaluate(context_, ranked_, {});
  }

  Context context_{threads(1)};
  Columns columns_;
  RankedScores ranked_;
  Evaluation measured_;
};

// Half a unit of the last digit printed, and for what depends on coefficients of 15 digits times cells of some hundred.
constexpr double kPrinted = 1e-11;

TEST_F(PimaTest, RanksAndLosesAsPublished) {
  EXPECT_EQ(measured_.n_rows, 332);
  EXPECT_EQ(measured_.positive_rows, 109);
  EXPECT_NEAR(measured_.auc, .86588225614, 5e-12);
  EXPECT_NEAR(measured_.auc_variance, .000406712847996, 5e-16);
  EXPECT_NEAR(measured_.auc_low, .82635542, 5e-9);
  EXPECT_NEAR(measured_.auc_high, .90540909, 5e-9);
  EXPECT_NEAR(measured_.brier, .139310593981, kPrinted);
  EXPECT_NEAR(measured_.log_loss, .440698584138, kPrinted);
  EXPECT_NEAR(measured_.ks, .5849755215, 5e-11);
}

TEST_F(PimaTest, PartsTenthsAsPublished) {
  constexpr std::int64_t kRows[] = {33, 33, 33, 33, 34, 33, 33, 33, 33, 34}, kPositives[] = {29, 24, 18, 13, 13, 4, 6, 1, 1, 0};
  constexpr double kMeans[] = {.903402, .737307, .553876, .402958, .277960, .191321, .136190, .094431, .057430, .028932};
  constexpr double kLift[] = {2.676675, 2.215179, 1.661384, 1.199889, 1.164598, .369197, .553795, .092299, .092299, 0};
  ASSERT_EQ(measured_.tenths.size(), 10u);
  for (std::size_t i = 0; i < 10; ++i) {
    const evaluation::Tenth& tenth = measured_.tenths[i];
    EXPECT_EQ(tenth.n_rows, kRows[i]);
    EXPECT_EQ(tenth.positive_rows, kPositives[i]);
    EXPECT_NEAR(tenth.mean_probability, kMeans[i], 5e-7);
    EXPECT_NEAR(tenth.response_rate / measured_.base_rate, kLift[i], 5e-7);
    EXPECT_LE(tenth.response_low, tenth.response_rate);
    EXPECT_GE(tenth.response_high, tenth.response_rate);
  }
}

TEST_F(PimaTest, RecalibratesAsPublished) {
  EXPECT_NEAR(measured_.recalibration.intercept, -.0881742545334, kPrinted);
  EXPECT_NEAR(measured_.recalibration.slope, .9533818773467, kPrinted);
  const calibration::Calibrator platt = calibration::fit_platt(context_, ranked_);
  EXPECT_NEAR(platt.intercept, -.101481899630, kPrinted);
  EXPECT_NEAR(platt.slope, .927041319804, kPrinted);
}

TEST_F(PimaTest, FitsTheIsotonicBlocksAsPublished) {
  const calibration::Calibrator isotonic = calibration::fit_isotonic(ranked_);
  std::vector<double> values = isotonic.probabilities;
  values.erase(std::unique(values.begin(), values.end()), values.end());
  EXPECT_EQ(values.size(), 12u);
  double squares = 0;
  for (std::size_t row = 0; row < columns_.score.size(); ++row) {
    double p = isotonic.probability(columns_.score[row]);
    if (p == values.front()) p = 0;  // published without the distance from 0 and 1
    if (p == values.back()) p = 1;
    squares += std::pow(p - columns_.outcome[row], 2);
  }
  EXPECT_NEAR(squares, 43.3266893489, 1e-10);
}

// Exactly: what the three terms leave is the variance of probabilities within the tenths, less twice their covariance with outcomes.
TEST_F(PimaTest, DecomposesBrierUpToTheSpreadWithinTenths) {
  std::vector<ScoredRow> rows = reference_rows({columns_.score, columns_.outcome, std::vector<std::int32_t>(columns_.score.size(), 1), {}});
  std::sort(rows.begin(), rows.end(), [](const ScoredRow& a, const ScoredRow& b) { return a.score > b.score; });
  double reliability = 0, resolution = 0, within = 0;
  for (std::size_t i = 0; i < 10; ++i) {
    const std::size_t first = rows.size() * i / 10, last = rows.size() * (i + 1) / 10;
    const auto n = static_cast<double>(last - first), share = n / static_cast<double>(rows.size());
    double p = 0, y = 0, pp = 0, py = 0;  // means
    for (std::size_t row = first; row < last; ++row) {
      const double of_row = reference::probability(rows[row].score);
      p += of_row / n;
      y += rows[row].outcome / n;
      pp += of_row * of_row / n;
      py += of_row * rows[row].outcome / n;
    }
    reliability += share * (p - y) * (p - y);
    resolution += share * std::pow(y - 109.0 / 332, 2);
    within += share * (pp - p * p - 2 * (py - p * y));
  }
  EXPECT_NEAR(measured_.reliability, reliability, kRounding);
  EXPECT_NEAR(measured_.resolution, resolution, kRounding);
  EXPECT_NEAR(measured_.uncertainty, 109.0 / 332 * 223 / 332, kRounding);
  EXPECT_NEAR(measured_.brier, reliability - resolution + measured_.uncertainty + within, kRounding);
}

}  // namespace
}  // namespace coterie
