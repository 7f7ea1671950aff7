// What segments are like beyond the matrix: levels of categories, outcomes and the value column. Sums are integers or exact.
#include "host/descriptors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "host/error.hpp"
#include "host/exact_sum.hpp"
#include "host/moments.hpp"

namespace coterie::profile {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double ratio(std::int64_t part, std::int64_t whole) { return static_cast<double>(part) / static_cast<double>(whole); }  // NaN for 0 / 0

void check_sizes(std::size_t n_rows, std::span<const std::int32_t> labels, const Weights& weights) {
  if (labels.size() != n_rows || (!weights.steps.empty() && weights.steps.size() != n_rows))
    throw ArgumentError(fmt::format("a descriptor of {} rows came with {} labels and {} weights; all must have one entry per row", n_rows,
                                    labels.size(), weights.steps.size()));
}

// Calls f(row, target, weight) once for the row's segment and once for the population, target n_segments. Rows of label -1 or
// weight 0 are absent.
template <class F>
void for_each_target(std::span<const std::int32_t> labels, const Weights& weights, std::int32_t n_segments, F&& f) {
  for (std::size_t row = 0; row < labels.size(); ++row) {
    const std::int32_t weight = weights.steps.empty() ? 1 : weights.steps[row];
    if (labels[row] < 0 || weight == 0) continue;
    if (labels[row] < n_segments) f(row, static_cast<std::size_t>(labels[row]), weight);
    f(row, static_cast<std::size_t>(n_segments), weight);
  }
}

// How many rows a segment's known cells, weights unequal, are worth where a share of their weight is missing.
double known_rows(const WeightSums& sums, double missing_weight) {
  return sums.effective_rows() * (1 - missing_weight / static_cast<double>(sums.weight));
}

}  // namespace

void widen_effects(Profile& profile, std::span<const std::int32_t> labels, const Weights& weights) {
  if (weights.steps.empty()) return;
  check_sizes(labels.size(), labels, weights);
  std::vector<WeightSums> sums(static_cast<std::size_t>(profile.n_segments) + 1);
  for_each_target(labels, weights, profile.n_segments,
                  [&](std::size_t, std::size_t target, std::int32_t weight) { sums[target].add(weight); });
  const WeightSums& all = sums.back();
  for (std::int32_t segment = 0; segment < profile.n_segments; ++segment) {
    const WeightSums& in = sums[static_cast<std::size_t>(segment)];
    for (std::int32_t column = 0; column < profile.n_columns; ++column) {
      const double missing = profile.missing_share.at(segment, column) * static_cast<double>(in.weight);
      const double missing_of_all = profile.missing_share.at(profile.n_segments, column) * static_cast<double>(all.weight);
      const EffectSize effect =
          effect_of_rows(profile.cohen_d.at(segment, column), known_rows(in, missing), known_rows(all - in, missing_of_all - missing));
      profile.cohen_d_low.at(segment, column) = effect.low;
      profile.cohen_d_high.at(segment, column) = effect.high;
    }
  }
}

LevelProfile measure_levels(std::string name, std::vector<std::string> levels, std::span<const std::int32_t> codes,
                            std::span<const std::int32_t> labels, const Weights& weights, std::int32_t n_segments) {
  check_sizes(codes.size(), labels, weights);
  const std::size_t n_levels = levels.size(), n_rows = static_cast<std::size_t>(n_segments) + 1;
  std::vector<std::int64_t> at_level(n_rows * n_levels), known(n_rows), total(n_rows);  // weight steps
  for_each_target(labels, weights, n_segments, [&](std::size_t row, std::size_t target, std::int32_t weight) {
    total[target] += weight;
    if (codes[row] < 0 || static_cast<std::size_t>(codes[row]) >= n_levels) return;
    known[target] += weight;
    at_level[target * n_levels + static_cast<std::size_t>(codes[row])] += weight;
  });
  LevelProfile profile{std::move(name), std::move(levels), {}, {}, {}};
  for (std::size_t target = 0; target < n_rows; ++target) {
    profile.missing_share.push_back(ratio(total[target] - known[target], total[target]));
    for (std::size_t level = 0; level < n_levels; ++level) {
      const double population = ratio(at_level[(n_rows - 1) * n_levels + level], known.back());
      profile.share.push_back(ratio(at_level[target * n_levels + level], known[target]));
      profile.index.push_back(100 * profile.share.back() / population);
    }
  }
  return profile;
}

OutcomeProfile measure_outcome(std::string name, std::span<const double> outcome, std::span<const std::int32_t> labels,
                               const Weights& weights, std::int32_t n_segments) {
  check_sizes(outcome.size(), labels, weights);
  const std::size_t n_rows = static_cast<std::size_t>(n_segments) + 1;
  OutcomeProfile profile{.name = std::move(name), .rate = {}, .rate_low = {}, .rate_high = {}, .known = {}, .positive = {}};
  profile.known.resize(n_rows);
  profile.positive.resize(n_rows);
  std::vector<WeightSums> known(n_rows);
  std::vector<std::int64_t> positive_weight(n_rows);  // steps
  for_each_target(labels, weights, n_segments, [&](std::size_t row, std::size_t target, std::int32_t weight) {
    if (std::isnan(outcome[row])) return;
    if (outcome[row] != 0 && outcome[row] != 1)
      throw ContentsError(
          fmt::format("outcome '{}' is neither 0, 1 nor missing at row {}; nothing was written. Code it as 0 and 1", profile.name, row));
    const bool positive = outcome[row] == 1;
    known[target].add(weight);
    profile.positive[target] += positive ? 1 : 0;
    positive_weight[target] += positive ? weight : 0;
  });
  for (std::size_t target = 0; target < n_rows; ++target) {
    const double rate = ratio(positive_weight[target], known[target].weight);
    const Interval interval = wilson_interval(rate, known[target].effective_rows());
    profile.known[target] = known[target].rows;
    profile.rate.push_back(rate);
    profile.rate_low.push_back(interval.low);
    profile.rate_high.push_back(interval.high);
  }
  return profile;
}

// Of a loss that hides gains, segments have no share: what they added and what they cost cannot be told from its sign.
ValueProfile measure_value(std::string name, std::span<const double> value, std::span<const std::int32_t> labels, const Weights& weights,
                           std::int32_t n_segments) {
  check_sizes(value.size(), labels, weights);
  const std::size_t n_rows = static_cast<std::size_t>(n_segments) + 1;
  std::vector<ExactSum> sums(n_rows);
  std::vector<std::int64_t> known_weight(n_rows);  // steps
  for_each_target(labels, weights, n_segments, [&](std::size_t row, std::size_t target, std::int32_t weight) {
    if (std::isnan(value[row])) return;
    if (std::isinf(value[row]))
      throw ContentsError(fmt::format("value '{}' is infinite at row {}; nothing was written. Correct it or leave it empty", name, row));
    sums[target].add(value[row], weight);
    known_weight[target] += weight;
  });
  ValueProfile profile{.name = std::move(name), .sum = {}, .share = {}, .mean = {}};
  const double population = sums.back().value();
  const bool has_shares =
      population > 0 || (population < 0 && std::all_of(sums.begin(), sums.end(), [](const ExactSum& sum) { return sum.value() <= 0; }));
  for (std::size_t target = 0; target < n_rows; ++target) {
    const double sum = sums[target].value();
    profile.sum.push_back(sum * weights.step);
    profile.share.push_back(has_shares ? sum / population + 0.0 : kNan);  // no -0.0 of an empty segment
    profile.mean.push_back(sum / static_cast<double>(known_weight[target]));
  }
  return profile;
}

}  // namespace coterie::profile
