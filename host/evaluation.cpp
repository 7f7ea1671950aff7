#include "host/evaluation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "host/exact_sum.hpp"
#include "host/forecasts.hpp"
#include "host/moments.hpp"
#include "host/per_worker.hpp"
#include "host/statistics.hpp"

namespace coterie::evaluation {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr std::int32_t kTenths = 10;

constexpr double kFewestForNormal = 10;  // of a class: an area found on fewer is too skewed for the normal interval (Newcombe, 2006)

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

// Variance of a mean over the rows of one class: sum of w (v - mean)^2 / sum of w * n / (n - 1) / n, n the effective rows.
double variance_of_mean(const ExactSum& squares, std::int64_t weight, double n) { return squares.value() / real(weight) / (n - 1); }

// The least area that lies within kNormal95 of its own standard errors from the one found, between so many positives and negatives.
double least_area(double auc, double positives, double negatives) {
  const auto distance = [&](double area) {  // in standard errors, squared and times the variance
    const double of_positives = (positives - 1) * area * (1 - area) * (1 - area) / (2 - area);
    const double of_negatives = (negatives - 1) * area * area * (1 - area) / (1 + area);
    const double variance = (area * (1 - area) + of_positives + of_negatives) / (positives * negatives);
    return (auc - area) * (auc - area) - kNormal95 * kNormal95 * variance;
  };
  double low = 0, high = auc;  // beyond the bound, and within
  for (double middle = auc / 2; low < middle && middle < high; middle = low + (high - low) / 2)
    (distance(middle) > 0 ? low : high) = middle;
  return low;
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
  AucVariance(const Overview& overview, const EffectiveShares& effective)
      : all_(overview.all),
        auc_(overview.auc()),
        positives_(real(all_.positive_rows) * effective.positives),
        negatives_(real(all_.negative_rows) * effective.negatives) {}

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
    result.auc_variance = variance_of_mean(of_positives_, all_.positive_weight, positives_) +
                          variance_of_mean(of_negatives_, all_.negative_weight, negatives_);
    if (std::min(positives_, negatives_) < kFewestForNormal || !(result.auc_variance > 0)) {
      result.auc_low = least_area(auc_, positives_, negatives_);
      result.auc_high = 1 - least_area(1 - auc_, negatives_, positives_);
      return;
    }
    const double half = kNormal95 * std::sqrt(result.auc_variance);
    result.auc_low = std::max(0.0, result.auc - half);
    result.auc_high = std::min(1.0, result.auc + half);
  }

 private:
  const Classes& all_;
  double auc_;
  double positives_, negatives_;  // effective rows
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

std::vector<Tenth> tenths_of(std::span<const TenthSums> sums, const Classes& all, double effective) {
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
    const Interval interval = wilson_interval(tenth.response_rate, real(in.rows()) * effective);
    tenth.response_low = interval.low;
    tenth.response_high = interval.high;
    tenth.capture_rate = real(in.positive_weight) / real(all.positive_weight);
    tenth.negative_share = real(in.negative_weight) / real(all.negative_weight);
    result.push_back(tenth);
  }
  return result;
}

// Of |rate - p| for a rate of n rows, near normal: mean sqrt(2 / pi) s and variance (1 - 2 / pi) s^2 with s^2 = p (1 - p) / n.
void expect_noise(Evaluation& result, double effective) {
  constexpr double kShape = 2 / std::numbers::pi;
  double variance = 0;
  for (const Tenth& tenth : result.tenths) {
    const double p = tenth.mean_probability, of_rate = p * (1 - p) / (real(tenth.n_rows) * effective);
    result.calibration_noise += tenth.data_share * std::sqrt(kShape * of_rate);
    variance += tenth.data_share * tenth.data_share * (1 - kShape) * of_rate;
  }
  result.calibration_noise_std = std::sqrt(variance);
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

  void write_to(Evaluation& result, double effective) const {
    const double weight = real(all_.weight());
    result.base_rate = real(all_.positive_weight) / weight;
    result.mean_probability = probability_.value() / weight;
    result.log_loss = loss_.value() / weight;
    result.brier = squares_.value() / weight;
    result.uncertainty = result.base_rate * (1 - result.base_rate);
    result.tenths = tenths_of(tenths_, all_, effective);
    decompose_brier(result);
    expect_noise(result, effective);
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

RankedScores all_tied(const Classes& all) {
  RankedScores ranked;
  if (all.rows() == 0) return ranked;
  ranked.groups.push_back({.score = 0,
                           .positive_rows = all.positive_rows,
                           .negative_rows = all.negative_rows,
                           .positive_weight = all.positive_weight,
                           .negative_weight = all.negative_weight});
  return ranked;
}

struct ClassWeights {
  WeightSums positives, negatives;
  void add(const ClassWeights& other) {
    positives.add(other.positives);
    negatives.add(other.negatives);
  }
};

double per_row(const WeightSums& sums) { return sums.rows > 0 ? sums.effective_rows() / real(sums.rows) : 1; }

}  // namespace

std::vector<EffectiveShares> effective_shares(Context& context, const ScoredRows& rows, std::int32_t n_segments) {
  std::vector<EffectiveShares> shares(static_cast<std::size_t>(n_segments) + 1);
  if (rows.weight.empty()) return shares;
  PerWorker<std::vector<ClassWeights>> gathered(context, [&] { return std::vector<ClassWeights>(shares.size()); });
  context.parallel_for((std::ssize(rows.score) + kRowsOfPiece - 1) / kRowsOfPiece, [&](std::int64_t piece, int worker) {
    std::vector<ClassWeights>& weights = gathered.of(static_cast<std::size_t>(worker));
    for_each_counted(rows, piece, n_segments, [&](double, std::int32_t steps, std::int32_t segment, bool positive) {
      ClassWeights& of = weights[static_cast<std::size_t>(segment)];
      (positive ? of.positives : of.negatives).add(steps);
    });
  });
  std::vector<ClassWeights> weights = added_up(std::move(gathered));
  for (std::size_t segment = 0; segment + 1 < weights.size(); ++segment) weights.back().add(weights[segment]);
  std::transform(weights.begin(), weights.end(), shares.begin(), [](const ClassWeights& of) {
    WeightSums all = of.positives;
    all.add(of.negatives);
    return EffectiveShares{per_row(of.positives), per_row(of.negatives), per_row(all)};
  });
  return shares;
}

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

Evaluation evaluate(Context& context, const RankedScores& by_score, const calibration::Calibrator& calibrator,
                    const EffectiveShares& effective) {
  const RankedScores tied = calibrator.is_flat() ? all_tied(survey(by_score).all) : RankedScores{};
  const RankedScores& ranked = calibrator.is_flat() ? tied : by_score;
  const Overview overview = survey(ranked);
  const Classes& all = overview.all;
  const bool has_both = all.positive_rows > 0 && all.negative_rows > 0;
  Evaluation result{.n_rows = all.rows(), .positive_rows = all.positive_rows};
  result.recalibration = calibration::recalibrate(context, ranked, calibrator);
  for (double* std_err : {&result.recalibration.intercept_std_err, &result.recalibration.slope_std_err})
    *std_err /= std::sqrt(effective.all);
  Probabilities probabilities(all, calibrator);
  AucVariance auc(overview, effective);
  Ranking ranking(all);
  // None needs what another has found; the longest comes first.
  ranked.for_each_part([&](std::span<const TiedScore> groups) {
    context.parallel_for(has_both ? 3 : 1, [&](std::int64_t i, int) {
      if (i == 0) probabilities.add(groups);
      if (i == 1) auc.add(groups);
      if (i == 2) ranking.add(groups);
    });
  });
  probabilities.write_to(result, effective.all);
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
