#include "host/calibration.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "host/elementary.hpp"
#include "host/error.hpp"
#include "host/forecasts.hpp"

namespace coterie::calibration {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr int kMostSteps = 100;
constexpr int kMostHalvings = 40;
constexpr double kDecrement = 1e-24;  // of the log-likelihood per row: the parameters stand still to the last digits
constexpr double kQuadratic = 1e-9;   // below this decrement Newton's steps need no check, and rounding would disturb it

struct Totals {
  std::int64_t positive_rows = 0, negative_rows = 0;
  std::int64_t weight = 0;
  std::int64_t rows() const { return positive_rows + negative_rows; }
};

Totals total(const RankedScores& ranked) {
  Totals totals;
  ranked.for_each_group([&](const TiedScore& group) {
    totals.positive_rows += group.positive_rows;
    totals.negative_rows += group.negative_rows;
    totals.weight += group.positive_weight + group.negative_weight;
  });
  return totals;
}

struct Targets {
  double positive = 1, negative = 0;
};

struct Line {
  double intercept, slope;
};

// Per unit of weight.
struct Derivatives {
  double log_likelihood = 0;
  double by_intercept = 0, by_slope = 0;
  double h00 = 0, h01 = 0, h11 = 0;  // of minus the second derivative
};

template <class LogOdds>
Derivatives derivatives_of_chunk(std::span<const TiedScore> groups, const LogOdds& log_odds_of, const Targets& targets, const Line& line,
                                 double weight) {
  Derivatives sums;
  for_each_forecast(groups, log_odds_of, line.intercept, line.slope, [&](const TiedScore& group, double x, const Forecast& at) {
    const auto positive = static_cast<double>(group.positive_weight) / weight,
               negative = static_cast<double>(group.negative_weight) / weight;
    const double hits = positive * targets.positive + negative * targets.negative;
    const double both = positive + negative;
    sums.log_likelihood -= hits * at.loss_of_positive + (both - hits) * at.loss_of_negative;
    const double residual = hits - both * at.probability;
    sums.by_intercept += residual;
    sums.by_slope += residual * x;
    const double v = both * at.probability * (1 - at.probability);
    sums.h00 += v;
    sums.h01 += v * x;
    sums.h11 += v * x * x;
  });
  return sums;
}

// Sums of chunks, some 0.3 ms each, then the sum of these in their order: the same bits for any threads and parts.
template <class LogOdds>
Derivatives derivatives(Context& context, const RankedScores& ranked, const LogOdds& log_odds_of, const Targets& targets, const Line& line,
                        double weight) {
  Derivatives sums;
  ranked.for_each_part([&](std::span<const TiedScore> groups) {
    std::vector<Derivatives> chunks((groups.size() + kGroupsOfChunk - 1) / kGroupsOfChunk);
    context.parallel_for(std::ssize(chunks), [&](std::int64_t chunk, int) {
      const std::size_t first = static_cast<std::size_t>(chunk) * kGroupsOfChunk, count = std::min(kGroupsOfChunk, groups.size() - first);
      chunks[static_cast<std::size_t>(chunk)] = derivatives_of_chunk(groups.subspan(first, count), log_odds_of, targets, line, weight);
    });
    for (const Derivatives& chunk : chunks)
      for (double Derivatives::*sum : {&Derivatives::log_likelihood, &Derivatives::by_intercept, &Derivatives::by_slope, &Derivatives::h00,
                                       &Derivatives::h01, &Derivatives::h11})
        sums.*sum += chunk.*sum;
  });
  return sums;
}

struct Fit {
  Line line;
  Derivatives at;
  bool converged = false;
};

// evaluate(line): the derivatives there; identity: those at intercept 0 and slope 1.
template <class Evaluate>
Fit maximise(const Evaluate& evaluate, const Derivatives& identity) {
  Fit fit{.line = {0, 1}, .at = identity};
  for (int step = 0; step < kMostSteps; ++step) {
    const Derivatives& d = fit.at;
    const double determinant = d.h00 * d.h11 - d.h01 * d.h01;
    if (!(determinant > 0)) return fit;
    const Line direction{(d.h11 * d.by_intercept - d.h01 * d.by_slope) / determinant,
                         (d.h00 * d.by_slope - d.h01 * d.by_intercept) / determinant};
    const double decrement = direction.intercept * d.by_intercept + direction.slope * d.by_slope;
    double length = 1;
    Line moved{};
    Derivatives there;
    for (int halving = 0;; ++halving, length /= 2) {
      moved = {fit.line.intercept + length * direction.intercept, fit.line.slope + length * direction.slope};
      there = evaluate(moved);
      if (there.log_likelihood >= d.log_likelihood || decrement < kQuadratic) break;
      if (halving == kMostHalvings) return fit;
    }
    fit.line = moved;
    fit.at = there;
    if (decrement < kDecrement) {
      fit.converged = true;
      return fit;
    }
  }
  return fit;
}

// Then the likelihood grows with the slope for ever.
template <class LogOdds>
bool is_separated(const RankedScores& ranked, const LogOdds& log_odds_of) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double low[2] = {kInfinity, kInfinity}, high[2] = {-kInfinity, -kInfinity};
  ranked.for_each_group([&](const TiedScore& group) {
    for (const int outcome : {0, 1}) {
      if ((outcome == 1 ? group.positive_rows : group.negative_rows) == 0) continue;
      low[outcome] = std::min(low[outcome], log_odds_of(group.score));
      high[outcome] = std::max(high[outcome], log_odds_of(group.score));
    }
  });
  return low[1] >= high[0] || low[0] >= high[1];  // also where one class is missing
}

template <class LogOdds>
Recalibration recalibrate_scores(Context& context, const RankedScores& ranked, const LogOdds& log_odds_of) {
  const Totals totals = total(ranked);
  const auto rows = static_cast<double>(totals.rows());
  Recalibration result{kNan, kNan, kNan, kNan, kNan, kNan};
  if (totals.rows() == 0) return result;
  const auto evaluate = [&](const Line& line) {
    return derivatives(context, ranked, log_odds_of, Targets{}, line, static_cast<double>(totals.weight));
  };
  const Derivatives identity = evaluate({0, 1});
  result.identity_log_likelihood = rows * identity.log_likelihood;
  if (is_separated(ranked, log_odds_of)) return result;
  const Fit fit = maximise(evaluate, identity);
  if (!fit.converged) return result;
  result.intercept = fit.line.intercept;
  result.slope = fit.line.slope;
  const double determinant = (fit.at.h00 * fit.at.h11 - fit.at.h01 * fit.at.h01) * rows;
  result.intercept_std_err = std::sqrt(fit.at.h11 / determinant);
  result.slope_std_err = std::sqrt(fit.at.h00 / determinant);
  result.log_likelihood = rows * fit.at.log_likelihood;
  return result;
}

void require_both(const Totals& totals) {
  if (totals.positive_rows == 0 || totals.negative_rows == 0) throw ArgumentError("a calibration needs rows with and without the outcome");
}

struct Block {  // of pooled scores
  double low, high;
  int128 positive, weight;
  bool likelier_than(const Block& other) const { return positive * other.weight >= other.positive * weight; }
};

// By ascending score.
std::vector<Block> pool_adjacent_violators(const RankedScores& ranked) {
  std::vector<Block> blocks;
  ranked.for_each_group([&](const TiedScore& group) {
    Block block{group.score, group.score, group.positive_weight, int128{group.positive_weight} + group.negative_weight};
    for (; !blocks.empty() && block.likelier_than(blocks.back()); blocks.pop_back())
      block = {block.low, blocks.back().high, blocks.back().positive + block.positive, blocks.back().weight + block.weight};
    blocks.push_back(block);
  });
  std::reverse(blocks.begin(), blocks.end());
  return blocks;
}

}  // namespace

double logistic(double log_odds) {
  const double small = exp(-magnitude(log_odds)), likelier = 1 / (1 + small);
  return log_odds > 0 ? likelier : small * likelier;
}

Forecast forecast(double log_odds) {
  const double least_loss = log1p(exp(-magnitude(log_odds)));
  return {.probability = logistic(log_odds),
          .loss_of_positive = least_loss + (log_odds < 0 ? -log_odds : 0.0),
          .loss_of_negative = least_loss + (log_odds > 0 ? log_odds : 0.0)};
}

double log_odds(double probability) { return log(probability) - log1p(-probability); }

double Calibrator::probability(double score) const {
  if (method != Method::isotonic) return logistic(log_odds(score));
  const auto above = std::lower_bound(scores.begin(), scores.end(), score) - scores.begin();
  const auto i = static_cast<std::size_t>(above);
  if (i == 0) return probabilities.front();
  if (i == scores.size()) return probabilities.back();
  const double share = (score - scores[i - 1]) / (scores[i] - scores[i - 1]);
  return probabilities[i - 1] + share * (probabilities[i] - probabilities[i - 1]);
}

bool Calibrator::is_flat() const {
  return method == Method::isotonic ? probabilities.front() == probabilities.back() : method == Method::platt && slope == 0;
}

double Calibrator::log_odds(double score) const {
  if (method == Method::isotonic) return calibration::log_odds(probability(score));
  return intercept + slope * score;
}

Recalibration recalibrate(Context& context, const RankedScores& ranked) {
  return recalibrate_scores(context, ranked, [](double score) { return score; });
}

Recalibration recalibrate(Context& context, const RankedScores& ranked, const Calibrator& calibrator) {
  return recalibrate_scores(context, ranked, [&](double score) { return calibrator.log_odds(score); });
}

Calibrator fit_platt(Context& context, const RankedScores& ranked) {
  const Totals totals = total(ranked);
  require_both(totals);
  const auto smoothed = [](std::int64_t rows) { return 1.0 / (static_cast<double>(rows) + 2); };
  const Targets targets{1 - smoothed(totals.positive_rows), smoothed(totals.negative_rows)};
  const auto evaluate = [&](const Line& tried) {
    return derivatives(
        context, ranked, [](double score) { return score; }, targets, tried, static_cast<double>(totals.weight));
  };
  Line line = maximise(evaluate, evaluate({0, 1})).line;
  if (!(line.slope > 0)) {  // scores that rank no better than chance: everybody gets the rate
    double hits = 0;
    ranked.for_each_group([&](const TiedScore& group) {
      hits += static_cast<double>(group.positive_weight) * targets.positive + static_cast<double>(group.negative_weight) * targets.negative;
    });
    line = {log_odds(hits / static_cast<double>(totals.weight)), 0};
  }
  return {.method = Method::platt, .intercept = line.intercept, .slope = line.slope, .scores = {}, .probabilities = {}};
}

Calibrator fit_isotonic(const RankedScores& ranked) {
  const Totals totals = total(ranked);
  require_both(totals);
  const double least = 1.0 / (static_cast<double>(totals.rows()) + 2);
  Calibrator calibrator{.method = Method::isotonic, .scores = {}, .probabilities = {}};
  for (const Block& block : pool_adjacent_violators(ranked)) {
    const double rate = std::clamp(static_cast<double>(block.positive) / static_cast<double>(block.weight), least, 1 - least);
    for (const double end : {block.low, block.high}) {
      if (!calibrator.scores.empty() && calibrator.scores.back() == end) continue;
      calibrator.scores.push_back(end);
      calibrator.probabilities.push_back(rate);
    }
  }
  return calibrator;
}

}  // namespace coterie::calibration
