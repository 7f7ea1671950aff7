#include "host/evaluation.hpp"

#include <algorithm>
#include <cmath>
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

// Variance of a mean over the rows of one class, times the rows: sum of w (v - mean)^2 / sum of w * n / (n - 1) / n.
double variance_of_mean(const ExactSum& squares, std::int64_t weight, std::int64_t rows) {
  return squares.value() / real(weight) / real(rows - 1);
}

// What the first pass over the groups finds.
struct Overview {
  Classes all;
  int128 doubled_wrong = 0;  // in weight: twice the pairs of a positive and a likelier negative, a tie counting half

  double auc() const {
    const int128 doubled = 2 * static_cast<int128>(all.positive_weight) * all.negative_weight;
    return real(doubled - doubled_wrong) / real(doubled);
  }
};

Overview survey(const RankedScores& ranked) {
  Overview overview;
  ranked.for_each_group([&](const TiedScore& group) {
    overview.doubled_wrong += static_cast<int128>(group.positive_weight) * (2 * overview.all.negative_weight + group.negative_weight);
    overview.all.add(group);
  });
  return overview;
}

// What the second pass adds up. Groups come from the highest score down.
class AucVariance {
 public:
  explicit AucVariance(const Overview& overview) : all_(overview.all), auc_(overview.auc()) {}

  void add(std::span<const TiedScore> groups) {
    for (const TiedScore& group : groups) {
      const std::int64_t below = all_.negative_weight - above_.negative_weight - group.negative_weight;
      const double beaten = (real(2 * below + group.negative_weight)) / real(2 * all_.negative_weight) - auc_;
      const double beating = (real(2 * above_.positive_weight + group.positive_weight)) / real(2 * all_.positive_weight) - auc_;
      of_positives_.add(real(group.positive_weight) * beaten * beaten);
      of_negatives_.add(real(group.negative_weight) * beating * beating);
      above_.add(group);
    }
  }

  void write_to(Evaluation& result) const {
    result.auc = auc_;
    result.auc_variance = variance_of_mean(of_positives_, all_.positive_weight, all_.positive_rows) +
                          variance_of_mean(of_negatives_, all_.negative_weight, all_.negative_rows);
    const double half = kNormal95 * std::sqrt(result.auc_variance);
    result.auc_low = std::max(0.0, result.auc - half);
    result.auc_high = std::min(1.0, result.auc + half);
  }

 private:
  const Classes& all_;
  double auc_;
  Classes above_;
  ExactSum of_positives_, of_negatives_;
};

class Ranking {
 public:
  explicit Ranking(const Classes& all) : all_(all) {}

  void add(std::span<const TiedScore> groups) {
    for (const TiedScore& group : groups) {
      upto_.add(group);
      precision_.add(real(group.positive_weight) * (real(upto_.positive_weight) / real(upto_.weight())));
      const double distance =
          real(upto_.positive_weight) / real(all_.positive_weight) - real(upto_.negative_weight) / real(all_.negative_weight);
      largest_ = std::max(largest_, std::abs(distance));
    }
  }

  void write_to(Evaluation& result) const {
    result.ks = largest_;
    result.average_precision = precision_.value() / real(all_.positive_weight);
  }

 private:
  const Classes& all_;
  Classes upto_;
  ExactSum precision_;
  double largest_ = 0;
};

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
class Probabilities {
 public:
  Probabilities(const Classes& all, const calibration::Calibrator& calibrator)
      : all_(all), calibrator_(calibrator), is_isotonic_(calibrator.method == calibration::Method::isotonic) {}

  void add(std::span<const TiedScore> groups) {
    calibration::for_each_forecast(
        groups, [&](double score) { return calibrator_.log_odds(score); }, 0, 1,
        [&](const TiedScore& group, double, const calibration::Forecast& at) { add(group, at); });
  }

  void write_to(Evaluation& result) const {
    const double weight = real(all_.weight());
    result.base_rate = real(all_.positive_weight) / weight;
    result.mean_probability = probability_.value() / weight;
    result.log_loss = loss_.value() / weight;
    result.brier = squares_.value() / weight;
    result.uncertainty = result.base_rate * (1 - result.base_rate);
    result.tenths = tenths_of(tenths_, all_);
    decompose_brier(result);
  }

 private:
  void add(const TiedScore& group, const calibration::Forecast& at) {
    const double p = is_isotonic_ ? calibrator_.probability(group.score) : at.probability;
    const double positive = real(group.positive_weight), negative = real(group.negative_weight);
    probability_.add((positive + negative) * p);
    if (group.positive_weight > 0) loss_.add(positive * at.loss_of_positive);
    if (group.negative_weight > 0) loss_.add(negative * at.loss_of_negative);
    squares_.add(positive * (1 - p) * (1 - p));
    squares_.add(negative * p * p);
    // The tenth i ends with row floor(n i / 10): row r, counted from 1, is in the least i with r <= n i / 10.
    TenthSums& sum = tenths_[static_cast<std::size_t>((static_cast<int128>(first_) * kTenths + all_.rows() - 1) / all_.rows() - 1)];
    sum.classes.add(group);
    sum.lowest = p;
    sum.probability.add((positive + negative) * p);
    first_ += group.positive_rows + group.negative_rows;
  }

  const Classes& all_;
  const calibration::Calibrator& calibrator_;
  const bool is_isotonic_;  // whose probabilities are not made of log-odds
  ExactSum probability_, loss_, squares_;
  std::vector<TenthSums> tenths_ = std::vector<TenthSums>(kTenths);
  std::int64_t first_ = 1;  // row of a group, counted from the highest score
};

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
  const Overview overview = survey(ranked);
  const Classes& all = overview.all;
  const bool has_both = all.positive_rows > 0 && all.negative_rows > 0;
  Evaluation result{.n_rows = all.rows(), .positive_rows = all.positive_rows};
  result.recalibration = calibration::recalibrate(context, ranked, calibrator);
  Probabilities probabilities(all, calibrator);
  AucVariance auc(overview);
  Ranking ranking(all);
  // None needs what another has found; the longest comes first.
  ranked.for_each_part([&](std::span<const TiedScore> groups) {
    context.parallel_for(has_both ? 3 : 1, [&](std::int64_t i, int) {
      if (i == 0) probabilities.add(groups);
      if (i == 1) auc.add(groups);
      if (i == 2) ranking.add(groups);
    });
  });
  probabilities.write_to(result);
  if (has_both) {
    auc.write_to(result);
    ranking.write_to(result);
  } else {
    for (double* measure : {&result.auc, &result.auc_variance, &result.auc_low, &result.auc_high, &result.average_precision, &result.ks})
      *measure = kNan;
  }
  return result;
}

}  // namespace coterie::evaluation
