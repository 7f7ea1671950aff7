#include "host/descriptors.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "host/error.hpp"
#include "host/moments.hpp"
#include "host/random.hpp"

namespace coterie::profile {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
const Weights kUnweighted;

Context& two_threads() {
  static Context context({.threads = 2});
  return context;
}

// Blocks of rows on several threads against one loop: rows of no segment count for the population only, absent ones for nobody.
TEST(Descriptors, OfManyRowsAreTheSumsOfALoop) {
  constexpr std::int32_t kSegments = 3;
  constexpr std::size_t kRows = 5 * 4096 + 77;
  std::vector<std::int32_t> labels(kRows), codes(kRows), steps(kRows);
  std::vector<double> outcome(kRows), value(kRows);
  std::int64_t weight[kSegments + 1] = {}, at_level[kSegments + 1] = {}, positive[kSegments + 1] = {};
  double sum[kSegments + 1] = {};
  for (std::size_t row = 0; row < kRows; ++row) {
    const auto draw = [&](std::uint64_t stream, std::int32_t n) {
      return static_cast<std::int32_t>(random_uniform(1, Purpose::split, row, stream) * n);
    };
    labels[row] = draw(0, kSegments + 2) - 1;
    codes[row] = draw(1, 2);
    steps[row] = draw(2, 3);
    outcome[row] = draw(3, 2);
    value[row] = draw(4, 100) - 20;
    if (labels[row] < 0) continue;
    for (std::int32_t target : {labels[row], kSegments}) {
      weight[target] += steps[row];
      at_level[target] += codes[row] == 1 ? steps[row] : 0;
      positive[target] += outcome[row] == 1 ? steps[row] : 0;
      sum[target] += value[row] * steps[row];
      if (labels[row] == kSegments) break;
    }
  }
  const Weights weights{.steps = steps, .step = 1};
  const LevelProfile levels = measure_levels(two_threads(), "plan", {"free", "paid"}, codes, labels, weights, kSegments);
  const OutcomeProfile churn = measure_outcome(two_threads(), "churn", outcome, labels, weights, kSegments);
  const ValueProfile revenue = measure_value(two_threads(), "revenue", value, labels, weights, kSegments);
  for (std::size_t target = 0; target <= kSegments; ++target) {
    const auto of_all = static_cast<double>(weight[target]);
    EXPECT_EQ(levels.share[2 * target + 1], static_cast<double>(at_level[target]) / of_all);
    EXPECT_EQ(churn.rate[target], static_cast<double>(positive[target]) / of_all);
    EXPECT_EQ(revenue.sum[target], sum[target]);
  }
}

TEST(Levels, ShareAndIndexOfKnownRows) {
  const std::vector<std::int32_t> codes = {0, 1, 1, -1, 0, 0, 1, 0}, labels = {0, 0, 0, 0, 1, 1, 7, -1};
  const LevelProfile profile = measure_levels(two_threads(), "plan", {"free", "paid"}, codes, labels, kUnweighted, 2);
  EXPECT_EQ(profile.name, "plan");
  EXPECT_EQ(profile.levels, (std::vector<std::string>{"free", "paid"}));
  EXPECT_EQ(profile.share, (std::vector<double>{1.0 / 3, 2.0 / 3, 1, 0, 0.5, 0.5}));
  EXPECT_EQ(profile.index, (std::vector<double>{100 * (1.0 / 3) / 0.5, 100 * (2.0 / 3) / 0.5, 200, 0, 100, 100}));
  EXPECT_EQ(profile.missing_share, (std::vector<double>{0.25, 0, 1.0 / 7}));
}

TEST(Levels, OfAnEmptySegmentAreUnknown) {
  const std::vector<std::int32_t> codes = {0, 1}, labels = {0, 0};
  const LevelProfile profile = measure_levels(two_threads(), "plan", {"free", "paid", "never"}, codes, labels, kUnweighted, 2);
  for (std::size_t level = 0; level < 3; ++level) EXPECT_TRUE(std::isnan(profile.share[3 + level]));
  EXPECT_TRUE(std::isnan(profile.missing_share[1]));
  EXPECT_EQ(profile.share[2], 0);
  EXPECT_TRUE(std::isnan(profile.index[2]));  // nobody is at this level
}

TEST(Levels, CodesBeyondTheLevelsAreMissing) {
  const std::vector<std::int32_t> codes = {0, 9}, labels = {0, 0};
  EXPECT_EQ(measure_levels(two_threads(), "plan", {"free"}, codes, labels, kUnweighted, 1).missing_share[0], 0.5);
}

TEST(Levels, WeightNEqualsRowRepeatedNTimes) {
  const std::vector<std::int32_t> codes = {0, 1, -1, 1}, labels = {0, 0, 0, 1};
  const std::vector<std::int32_t> codes_repeated = {0, 0, 0, 1, -1, -1}, labels_repeated = {0, 0, 0, 0, 0, 0};
  const LevelProfile a = measure_levels(two_threads(), "plan", {"free", "paid"}, codes, labels, {.steps = {3, 1, 2, 0}, .step = 1}, 1);
  const LevelProfile b = measure_levels(two_threads(), "plan", {"free", "paid"}, codes_repeated, labels_repeated, kUnweighted, 1);
  EXPECT_EQ(a.share, b.share);
  EXPECT_EQ(a.missing_share, b.missing_share);
}

TEST(Outcome, RateOfKnownRowsWithWilsonInterval) {
  const std::vector<double> outcome = {1, 0, 0, kUnknown, 1, 1, 0, 1};
  const std::vector<std::int32_t> labels = {0, 0, 0, 0, 1, 1, 5, -1};
  const OutcomeProfile profile = measure_outcome(two_threads(), "churn", outcome, labels, kUnweighted, 2);
  EXPECT_EQ(profile.known, (std::vector<std::int64_t>{3, 2, 6}));
  EXPECT_EQ(profile.positive, (std::vector<std::int64_t>{1, 2, 3}));
  EXPECT_EQ(profile.rate, (std::vector<double>{1.0 / 3, 1, 0.5}));
  // The bounds are the shares p at which the observed rate lies z standard errors away: (rate - p)^2 = z^2 p (1 - p) / n.
  constexpr double kSquare = 1.959963984540054 * 1.959963984540054;
  for (std::size_t row = 0; row < 3; ++row) {
    const auto n = static_cast<double>(profile.known[row]);
    for (const double p : {profile.rate_low[row], profile.rate_high[row]})
      EXPECT_NEAR(std::pow(profile.rate[row] - p, 2), kSquare * p * (1 - p) / n, 1e-14);
    EXPECT_LT(profile.rate_low[row], profile.rate[row]);
    EXPECT_GE(profile.rate_high[row], profile.rate[row]);
  }
  // Published: 8 of 10 gives (0.4902, 0.9433).
  const OutcomeProfile ten = measure_outcome(two_threads(), "churn", std::vector<double>{1, 1, 1, 1, 1, 1, 1, 1, 0, 0},
                                             std::vector<std::int32_t>(10, 0), kUnweighted, 1);
  EXPECT_NEAR(ten.rate_low[0], 0.4902, 5e-5);
  EXPECT_NEAR(ten.rate_high[0], 0.9433, 5e-5);
}

TEST(Outcome, WithoutKnownRowsIsUnknown) {
  const OutcomeProfile profile =
      measure_outcome(two_threads(), "churn", std::vector<double>{kUnknown, 1}, std::vector<std::int32_t>{0, 1}, kUnweighted, 3);
  for (const std::size_t row : {0, 2}) {
    EXPECT_EQ(profile.known[row], 0);
    EXPECT_TRUE(std::isnan(profile.rate[row]) && std::isnan(profile.rate_low[row]) && std::isnan(profile.rate_high[row]));
  }
}

TEST(Outcome, WeightsMoveTheRateButNotTheRows) {
  const std::vector<std::int32_t> labels = {0, 0, 0};
  const OutcomeProfile profile =
      measure_outcome(two_threads(), "churn", std::vector<double>{1, 0, 1}, labels, {.steps = {6, 2, 0}, .step = 0.5}, 1);
  EXPECT_EQ(profile.rate[0], 0.75);
  EXPECT_EQ(profile.known[0], 2);
  EXPECT_EQ(profile.positive[0], 1);
}

TEST(Outcome, UnequalWeightsWidenTheInterval) {
  const std::vector<std::int32_t> labels = {0, 0, 0, 0, 1};
  const OutcomeProfile profile = measure_outcome(two_threads(), "churn", std::vector<double>{1, 0, 0, kUnknown, 1}, labels,
                                                 {.steps = {6, 2, 2, 9, 4}, .step = 0.5}, 2);
  const Interval first = wilson_interval(0.6, 100.0 / 44), all = wilson_interval(10.0 / 14, 196.0 / 60);
  EXPECT_EQ(profile.rate_low[0], first.low);
  EXPECT_EQ(profile.rate_high[0], first.high);
  EXPECT_EQ(profile.rate_low[1], wilson_interval(1, 1).low);
  EXPECT_EQ(profile.rate_low[2], all.low);
}

// Weights of lognormal(0, 1), which leave some e^-1 of the rows: an interval of all rows covers 77 in 100.
TEST(Outcome, TheIntervalOfWeightedRowsCoversTheRate) {
  constexpr std::size_t kRows = 400, kSamples = 600;
  constexpr double kRate = 0.2;
  const std::vector<std::int32_t> labels(kRows, 0);
  std::size_t covered = 0;
  for (std::uint64_t sample = 0; sample < kSamples; ++sample) {
    std::vector<double> outcome, weights;
    for (std::size_t row = 0; row < kRows; ++row) {
      const auto draw = [&](std::uint64_t stream) { return random_uniform(9, Purpose::bootstrap, row, 3 * sample + stream); };
      outcome.push_back(draw(0) < kRate ? 1 : 0);
      weights.push_back(std::exp(std::sqrt(-2 * std::log1p(-draw(1))) * std::cos(2 * std::numbers::pi * draw(2))));
    }
    const OutcomeProfile profile = measure_outcome(two_threads(), "churn", outcome, labels, quantise_weights(weights), 1);
    covered += profile.rate_low[0] <= kRate && kRate <= profile.rate_high[0];
  }
  EXPECT_GT(covered, kSamples * 92 / 100);
}

TEST(Outcome, RefusesOtherValues) {
  EXPECT_THROW(measure_outcome(two_threads(), "churn", std::vector<double>{0, 2}, std::vector<std::int32_t>{0, 0}, kUnweighted, 1),
               ContentsError);
}

TEST(Value, SumsAreExact) {
  const std::vector<double> value = {1e16, 1, -1e16, 0.25, kUnknown, 3};
  const std::vector<std::int32_t> labels = {0, 0, 0, 1, 1, -1};
  const ValueProfile profile = measure_value(two_threads(), "revenue", value, labels, kUnweighted, 2);
  EXPECT_EQ(profile.sum, (std::vector<double>{1, 0.25, 1.25}));
  EXPECT_EQ(profile.share, (std::vector<double>{0.8, 0.2, 1}));
  EXPECT_EQ(profile.mean, (std::vector<double>{1.0 / 3, 0.25, 0.3125}));
}

TEST(Value, IsWeighted) {
  const ValueProfile profile = measure_value(two_threads(), "revenue", std::vector<double>{2, 3, 100}, std::vector<std::int32_t>{0, 0, 0},
                                             {.steps = {4, 2, 0}, .step = 0.5}, 1);
  EXPECT_EQ(profile.sum[0], 7);
  EXPECT_EQ(profile.mean[0], 14.0 / 6);
}

TEST(Value, ShareOfNothingIsUnknown) {
  const ValueProfile profile =
      measure_value(two_threads(), "revenue", std::vector<double>{2, -2}, std::vector<std::int32_t>{0, 1}, kUnweighted, 3);
  for (const double share : profile.share) EXPECT_TRUE(std::isnan(share));
  EXPECT_EQ(profile.sum[2], 0);
  EXPECT_TRUE(std::isnan(profile.mean[2]));
}

TEST(Value, ALossThatHidesGainsHasNoShares) {
  const auto shares = [](const std::vector<double>& value) {
    return measure_value(two_threads(), "profit", value, std::vector<std::int32_t>{0, 1, 2}, kUnweighted, 4).share;
  };
  for (const double share : shares({-246, 110, 36})) EXPECT_TRUE(std::isnan(share));
  EXPECT_EQ(shares({-3, -1, 0}), (std::vector<double>{0.75, 0.25, 0, 0, 1}));
  EXPECT_EQ(shares({5, -1, 0}), (std::vector<double>{1.25, -0.25, 0, 0, 1}));
  for (const std::size_t of_nothing : {2, 3}) EXPECT_FALSE(std::signbit(shares({-3, -1, 0})[of_nothing]));
}

TEST(Value, RefusesInfinity) {
  EXPECT_THROW(measure_value(two_threads(), "revenue", std::vector<double>{HUGE_VAL}, std::vector<std::int32_t>{0}, kUnweighted, 1),
               ContentsError);
}

Profile profile_of(std::int32_t n_segments, double effect, double missing) {
  Profile profile;
  profile.n_segments = n_segments;
  profile.n_columns = 1;
  for (Table* table : {&profile.cohen_d, &profile.cohen_d_low, &profile.cohen_d_high, &profile.missing_share})
    *table = {n_segments, 1, std::vector<double>(static_cast<std::size_t>(n_segments) + 1, kUnknown)};
  profile.cohen_d.values.assign(profile.cohen_d.values.size(), effect);
  profile.missing_share.values.assign(profile.missing_share.values.size(), missing);
  return profile;
}

TEST(Effects, UnequalWeightsWidenTheirIntervals) {
  // Of weights 3 and 1: 16 / 10 rows; of 2, 2, 1: 25 / 9; one row is in no segment, one is absent.
  const std::vector<std::int32_t> labels = {0, 0, 1, 1, 5, -1};
  const Weights weights{.steps = {3, 1, 2, 2, 1, 9}, .step = 1};
  for (const double missing : {0.0, 0.25}) {
    Profile profile = profile_of(2, 0.7, missing);
    widen_effects(two_threads(), profile, labels, weights);
    const EffectSize first = effect_of_rows(0.7, (1 - missing) * 16 / 10, (1 - missing) * 25 / 9);
    EXPECT_NEAR(profile.cohen_d_low.at(0, 0), first.low, 1e-14);
    EXPECT_NEAR(profile.cohen_d_high.at(0, 0), first.high, 1e-14);
    const EffectSize second = effect_of_rows(0.7, (1 - missing) * 2, (1 - missing) * 25 / 11);
    EXPECT_NEAR(profile.cohen_d_low.at(1, 0), second.low, 1e-14);
    EXPECT_EQ(profile.cohen_d.at(1, 0), 0.7);
  }
}

TEST(Effects, WithoutWeightsStayAsMeasured) {
  Profile profile = profile_of(1, 0.7, 0);
  profile.cohen_d_low.values[0] = 0.125;
  widen_effects(two_threads(), profile, std::vector<std::int32_t>{0, 0}, kUnweighted);
  EXPECT_EQ(profile.cohen_d_low.values[0], 0.125);
}

TEST(Descriptors, RefuseColumnsOfDifferentLengths) {
  const std::vector<std::int32_t> labels = {0, 0};
  EXPECT_THROW(measure_levels(two_threads(), "plan", {"free"}, std::vector<std::int32_t>{0}, labels, kUnweighted, 1), ArgumentError);
  EXPECT_THROW(measure_outcome(two_threads(), "churn", std::vector<double>{0, 1}, labels, {.steps = {1}, .step = 1}, 1), ArgumentError);
  EXPECT_THROW(measure_value(two_threads(), "revenue", std::vector<double>{0}, labels, kUnweighted, 1), ArgumentError);
}

}  // namespace
}  // namespace coterie::profile
