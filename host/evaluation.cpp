#include "host/evaluation.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "host/exact_sum.hpp"
#include "host/forecasts.hpp"
#include "host/moments.hpp"
#include "host/statistics.hpp"

namespace coterie::evaluation {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr std::int32_t kTenths = 10;

double real(std::int64_t value) { return static_cast<double>(value); }
double real(int128 value) { return static_cast<double>(value); }

// Of weight and of rows, by class.
struct Classes {
  std::int64_t positive_rows = 0, negative_rows = 0, positive_weight = 0, negative_weight = 0;
  std::int64_t rows() const { return positive_rows + negative_rows; }
  std::int64_t weight() const { return positive_weight + negative_weight; }
  void add(const TiedScore& group) {
    positive_rows += group.positive_rows;
    negative_rows += group.negative_rows;
    positive_weight += group.positive_weight;
    negative_weight += group.negative_weight;
  }
};

// Calls f(group, classes with a higher score) from the highest score down.
template <class F>
void for_each_group(std::span<const TiedScore> groups, F&& f) {
  Classes above;
  for (const TiedScore& group : groups) {
    f(group, above);
    above.add(group);
  }
}

// Variance of a mean over the rows of one class, times the rows: sum of w (v - mean)^2 / sum of w * n / (n - 1) / n.
double variance_of_mean(const ExactSum& squares, std::int64_t weight, std::int64_t rows) {
  return squares.value() / real(weight) / real(rows - 1);
}

// In weight: pairs of one of each class.
struct Pairs {
  int128 all = 0;
  int128 doubled_right = 0;  // twice those ranked right, a tie counting half
  int128 tied = 0;
};

Pairs count_pairs(std::span<const TiedScore> groups, const Classes& all) {
  Pairs pairs{.all = static_cast<int128>(all.positive_weight) * all.negative_weight};
  for_each_group(groups, [&](const TiedScore& group, const Classes& above) {
    const std::int64_t below = all.negative_weight - above.negative_weight - group.negative_weight;
    pairs.doubled_right += static_cast<int128>(group.positive_weight) * (2 * below + group.negative_weight);
    pairs.tied += static_cast<int128>(group.positive_weight) * group.negative_weight;
  });
  return pairs;
}

void measure_auc(const RankedScores& ranked, const Classes& all, Evaluation& result) {
  const Pairs pairs = count_pairs(ranked.groups, all);
  result.auc = real(pairs.doubled_right) / real(2 * pairs.all);
  result.auc_error = ranked.exact ? 0.0 : real(pairs.tied) / real(2 * pairs.all);
  ExactSum of_positives, of_negatives;
  for_each_group(ranked.groups, [&](const TiedScore& group, const Classes& above) {
    const std::int64_t below = all.negative_weight - above.negative_weight - group.negative_weight;
    const double beaten = (real(2 * below + group.negative_weight)) / real(2 * all.negative_weight) - result.auc;
    const double beating = (real(2 * above.positive_weight + group.positive_weight)) / real(2 * all.positive_weight) - result.auc;
    of_positives.add(real(group.positive_weight) * beaten * beaten);
    of_negatives.add(real(group.negative_weight) * beating * beating);
  });
  result.auc_variance = variance_of_mean(of_positives, all.positive_weight, all.positive_rows) +
                        variance_of_mean(of_negatives, all.negative_weight, all.negative_rows);
  const double half = kNormal95 * std::sqrt(result.auc_variance);
  result.auc_low = std::max(0.0, result.auc - half);
  result.auc_high = std::min(1.0, result.auc + half);
}

void measure_ranking(std::span<const TiedScore> groups, const Classes& all, Evaluation& result) {
  ExactSum precision;
  double largest = 0;
  for_each_group(groups, [&](const TiedScore& group, Classes upto) {
    upto.add(group);
    precision.add(real(group.positive_weight) * (real(upto.positive_weight) / real(upto.weight())));
    const double distance = real(upto.positive_weight) / real(all.positive_weight) - real(upto.negative_weight) / real(all.negative_weight);
    largest = std::max(largest, std::abs(distance));
  });
  result.ks = largest;
  result.average_precision = precision.value() / real(all.positive_weight);
}

// A tenth on its way.
struct TenthSums {
  Classes classes;
  double lowest = 1;
  ExactSum probability;
};

std::vector<Tenth> tenths_of(std::span<const TenthSums> sums, const Classes& all) {
  std::vector<Tenth> result;
  for (std::int32_t group = 0; group < kTenths; ++group) {
    const TenthSums& sum = sums[static_cast<std::size_t>(group)];
    const Classes& in = sum.classes;
    if (in.rows() == 0) continue;
    Tenth tenth{.group = group + 1, .n_rows = in.rows(), .positive_rows = in.positive_rows};
    const double weight = real(in.weight());
    tenth.data_share = weight / real(all.weight());
    tenth.lowest_score = sum.lowest;
    tenth.mean_probability = sum.probability.value() / weight;
    tenth.response_rate = real(in.positive_weight) / weight;
    const Interval interval = wilson_interval(tenth.response_rate, in.rows());
    tenth.response_low = interval.low;
    tenth.response_high = interval.high;
    tenth.capture_rate = real(in.positive_weight) / real(all.positive_weight);
    tenth.negative_share = real(in.negative_weight) / real(all.negative_weight);
    result.push_back(tenth);
  }
  return result;
}

void decompose_brier(Evaluation& result) {
  for (const Tenth& tenth : result.tenths) {
    const double gap = tenth.mean_probability - tenth.response_rate, contrast = tenth.response_rate - result.base_rate;
    result.reliability += tenth.data_share * gap * gap;
    result.resolution += tenth.data_share * contrast * contrast;
    result.calibration_error += tenth.data_share * std::abs(gap);
  }
}

// Of probabilities: means, losses, and the tenths, all from one forecast per group.
void measure_probabilities(std::span<const TiedScore> groups, const calibration::Calibrator& calibrator, const Classes& all,
                           Evaluation& result) {
  const bool isotonic = calibrator.method == calibration::Method::isotonic;  // whose probabilities are not made of log-odds
  ExactSum probability, loss, squares;
  std::vector<TenthSums> sums(kTenths);
  std::int64_t first = 1;  // row of a group, counted from the highest score
  const auto add = [&](const TiedScore& group, double, const calibration::Forecast& at) {
    const double p = isotonic ? calibrator.probability(group.score) : at.probability;
    const double positive = real(group.positive_weight), negative = real(group.negative_weight);
    probability.add((positive + negative) * p);
    if (group.positive_weight > 0) loss.add(positive * at.loss_of_positive);
    if (group.negative_weight > 0) loss.add(negative * at.loss_of_negative);
    squares.add(positive * (1 - p) * (1 - p));
    squares.add(negative * p * p);
    // The tenth i ends with row floor(n i / 10): row r, counted from 1, is in the least i with r <= n i / 10.
    TenthSums& sum = sums[static_cast<std::size_t>((static_cast<int128>(first) * kTenths + all.rows() - 1) / all.rows() - 1)];
    sum.classes.add(group);
    sum.lowest = p;
    sum.probability.add((positive + negative) * p);
    first += group.positive_rows + group.negative_rows;
  };
  calibration::for_each_forecast(
      groups, [&](double score) { return calibrator.log_odds(score); }, 0, 1, add);
  const double weight = real(all.weight());
  result.base_rate = real(all.positive_weight) / weight;
  result.mean_probability = probability.value() / weight;
  result.log_loss = loss.value() / weight;
  result.brier = squares.value() / weight;
  result.uncertainty = result.base_rate * (1 - result.base_rate);
  result.tenths = tenths_of(sums, all);
  decompose_brier(result);
}

}  // namespace

double area_under_roc(std::span<const double> score, std::span<const std::int8_t> outcome, std::span<const std::int32_t> order) {
  std::int64_t positives = 0, negatives = 0, doubled_right = 0;  // negatives, and twice the pairs ranked right, so far from below
  for (std::size_t i = 0; i < order.size();) {
    std::int64_t tied[2] = {0, 0};
    const double of_tie = score[static_cast<std::size_t>(order[i])];
    do {
      const std::int8_t known = outcome[static_cast<std::size_t>(order[i])];
      if (known >= 0) ++tied[known];
    } while (++i < order.size() && score[static_cast<std::size_t>(order[i])] == of_tie);
    doubled_right += tied[1] * (2 * negatives + tied[0]);
    negatives += tied[0];
    positives += tied[1];
  }
  return real(doubled_right) / real(2 * positives * negatives);
}

Evaluation evaluate(Context& context, const RankedScores& ranked, const calibration::Calibrator& calibrator) {
  Classes all;
  for (const TiedScore& group : ranked.groups) all.add(group);
  const bool has_both = all.positive_rows > 0 && all.negative_rows > 0;
  Evaluation result{.n_rows = all.rows(), .positive_rows = all.positive_rows};
  if (!has_both)
    for (double* measure : {&result.auc, &result.auc_variance, &result.auc_low, &result.auc_high, &result.average_precision, &result.ks})
      *measure = kNan;
  result.recalibration = calibration::recalibrate(context, ranked.groups, calibrator);
  // None needs a field of another.
  std::vector<std::function<void()>> measures = {[&] { measure_probabilities(ranked.groups, calibrator, all, result); }};
  if (has_both) {
    measures.emplace_back([&] { measure_auc(ranked, all, result); });
    measures.emplace_back([&] { measure_ranking(ranked.groups, all, result); });
  }
  context.parallel_for(std::ssize(measures), [&](std::int64_t i, int) { measures[static_cast<std::size_t>(i)](); });
  return result;
}

}  // namespace coterie::evaluation
