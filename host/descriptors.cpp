// What segments are like beyond the matrix: levels of categories, outcomes and the value column. Sums are integers or exact.
#include "host/descriptors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "host/error.hpp"
#include "host/exact_sum.hpp"
#include "host/moments.hpp"
#include "host/per_worker.hpp"
#include "host/row_blocks.hpp"

namespace coterie::profile {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double ratio(std::int64_t part, std::int64_t whole) { return static_cast<double>(part) / static_cast<double>(whole); }  // NaN for 0 / 0

void check_sizes(std::size_t n_rows, std::span<const std::int32_t> labels, const Weights& weights) {
  if (labels.size() != n_rows || (!weights.steps.empty() && weights.steps.size() != n_rows))
    throw ArgumentError(fmt::format("a descriptor of {} rows came with {} labels and {} weights; all must have one entry per row", n_rows,
                                    labels.size(), weights.steps.size()));
}

// What the rows of each segment add up to and, last, those of the population: add(sums, row, weight) for every row but those of label -1 or
// weight 0, which are absent. Sums begin as `none`, and merge by their own add(); the order of rows must not matter to them.
template <class Sums, class Add>
std::vector<Sums> sum_by_segment(Context& context, std::span<const std::int32_t> labels, const Weights& weights, std::int32_t n_segments,
                                 const Sums& none, Add&& add) {
  PerWorker<std::vector<Sums>> gathered(context, [&] { return std::vector<Sums>(static_cast<std::size_t>(n_segments) + 1, none); });
  for_each_block(context, std::ssize(labels), [&](std::int64_t first, std::int64_t last, std::size_t worker) {
    std::vector<Sums>& sums = gathered.of(worker);
    for (auto row = static_cast<std::size_t>(first); row < static_cast<std::size_t>(last); ++row) {
      const std::int32_t weight = weights.steps.empty() ? 1 : weights.steps[row];
      if (labels[row] >= 0 && weight != 0) add(sums[static_cast<std::size_t>(std::min(labels[row], n_segments))], row, weight);
    }
  });
  std::vector<Sums> sums = added_up(std::move(gathered));
  for (std::size_t segment = 0; segment + 1 < sums.size(); ++segment) sums.back().add(sums[segment]);
  return sums;
}

// How many rows a segment's known cells, weights unequal, are worth where a share of their weight is missing.
double known_rows(const WeightSums& sums, double missing_weight) {
  return sums.effective_rows() * (1 - missing_weight / static_cast<double>(sums.weight));
}

}  // namespace

void widen_effects(Context& context, Profile& profile, std::span<const std::int32_t> labels, const Weights& weights) {
  if (weights.steps.empty()) return;
  check_sizes(labels.size(), labels, weights);
  const std::vector<WeightSums> sums = sum_by_segment(context, labels, weights, profile.n_segments, WeightSums(),
                                                      [](WeightSums& of, std::size_t, std::int32_t weight) { of.add(weight); });
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

namespace {

struct LevelWeights {  // steps
  std::int64_t total = 0, known = 0;
  std::vector<std::int64_t> at_level;
  void add(const LevelWeights& other) {
    total += other.total;
    known += other.known;
    std::transform(at_level.begin(), at_level.end(), other.at_level.begin(), at_level.begin(), std::plus<>());
  }
};

struct OutcomeSums {
  WeightSums known;
  std::int64_t positive = 0, positive_weight = 0;  // rows, steps
  void add(const OutcomeSums& other) {
    known.add(other.known);
    positive += other.positive;
    positive_weight += other.positive_weight;
  }
};

struct ValueSums {
  ExactSum sum;
  std::int64_t known_weight = 0;  // steps
  void add(const ValueSums& other) {
    sum.add(other.sum);
    known_weight += other.known_weight;
  }
};

}  // namespace

LevelProfile measure_levels(Context& context, std::string name, std::vector<std::string> levels, std::span<const std::int32_t> codes,
                            std::span<const std::int32_t> labels, const Weights& weights, std::int32_t n_segments) {
  check_sizes(codes.size(), labels, weights);
  const std::size_t n_levels = levels.size();
  const std::vector<LevelWeights> sums =
      sum_by_segment(context, labels, weights, n_segments, LevelWeights{0, 0, std::vector<std::int64_t>(n_levels)},
                     [&](LevelWeights& of, std::size_t row, std::int32_t weight) {
                       of.total += weight;
                       if (codes[row] < 0 || static_cast<std::size_t>(codes[row]) >= n_levels) return;
                       of.known += weight;
                       of.at_level[static_cast<std::size_t>(codes[row])] += weight;
                     });
  LevelProfile profile{std::move(name), std::move(levels), {}, {}, {}};
  for (const LevelWeights& of : sums) {
    profile.missing_share.push_back(ratio(of.total - of.known, of.total));
    for (std::size_t level = 0; level < n_levels; ++level) {
      const double population = ratio(sums.back().at_level[level], sums.back().known);
      profile.share.push_back(ratio(of.at_level[level], of.known));
      profile.index.push_back(100 * profile.share.back() / population);
    }
  }
  return profile;
}

OutcomeProfile measure_outcome(Context& context, std::string name, std::span<const double> outcome, std::span<const std::int32_t> labels,
                               const Weights& weights, std::int32_t n_segments) {
  check_sizes(outcome.size(), labels, weights);
  const auto add = [&](OutcomeSums& of, std::size_t row, std::int32_t weight) {
    if (std::isnan(outcome[row])) return;
    if (outcome[row] != 0 && outcome[row] != 1)
      throw ContentsError(
          fmt::format("outcome '{}' is neither 0, 1 nor missing at row {}; nothing was written. Code it as 0 and 1", name, row));
    of.known.add(weight);
    of.positive += outcome[row] == 1 ? 1 : 0;
    of.positive_weight += outcome[row] == 1 ? weight : 0;
  };
  const std::vector<OutcomeSums> sums = sum_by_segment(context, labels, weights, n_segments, OutcomeSums(), add);
  OutcomeProfile profile{.name = std::move(name), .rate = {}, .rate_low = {}, .rate_high = {}, .known = {}, .positive = {}};
  for (const OutcomeSums& of : sums) {
    const double rate = ratio(of.positive_weight, of.known.weight);
    const Interval interval = wilson_interval(rate, of.known.effective_rows());
    profile.known.push_back(of.known.rows);
    profile.positive.push_back(of.positive);
    profile.rate.push_back(rate);
    profile.rate_low.push_back(interval.low);
    profile.rate_high.push_back(interval.high);
  }
  return profile;
}

// Of a loss that hides gains, segments have no share: what they added and what they cost cannot be told from its sign.
ValueProfile measure_value(Context& context, std::string name, std::span<const double> value, std::span<const std::int32_t> labels,
                           const Weights& weights, std::int32_t n_segments) {
  check_sizes(value.size(), labels, weights);
  const auto add = [&](ValueSums& of, std::size_t row, std::int32_t weight) {
    if (std::isnan(value[row])) return;
    if (std::isinf(value[row]))
      throw ContentsError(fmt::format("value '{}' is infinite at row {}; nothing was written. Correct it or leave it empty", name, row));
    of.sum.add(value[row], weight);
    of.known_weight += weight;
  };
  const std::vector<ValueSums> sums = sum_by_segment(context, labels, weights, n_segments, ValueSums(), add);
  ValueProfile profile{.name = std::move(name), .sum = {}, .share = {}, .mean = {}};
  const double population = sums.back().sum.value();
  const auto is_no_gain = [](const ValueSums& of) { return of.sum.value() <= 0; };
  const bool has_shares = population > 0 || (population < 0 && std::all_of(sums.begin(), sums.end(), is_no_gain));
  for (const ValueSums& of : sums) {
    const double sum = of.sum.value();
    profile.sum.push_back(sum * weights.step);
    profile.share.push_back(has_shares ? sum / population + 0.0 : kNan);  // no -0.0 of an empty segment
    profile.mean.push_back(sum / static_cast<double>(of.known_weight));
  }
  return profile;
}

}  // namespace coterie::profile
