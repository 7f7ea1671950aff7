#include "host/column_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <span>

#include "host/ordered_key.hpp"
#include "host/transform_cells.hpp"

namespace coterie {
namespace {

// Puts the values of the listed ranks (ascending) where sorting would put them.
void select_ranks(std::span<std::uint64_t> keys, std::size_t first_rank, std::span<const std::size_t> ranks) {
  if (ranks.empty() || keys.size() < 2) return;
  const std::size_t middle = ranks.size() / 2, at = ranks[middle] - first_rank;
  std::nth_element(keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(at), keys.end());
  select_ranks(keys.first(at), first_rank, ranks.first(middle));
  select_ranks(keys.subspan(at + 1), first_rank + at + 1, ranks.subspan(middle + 1));
}

// The values of the listed ranks (ascending, each once, below values.size()): first by the number of values that begin with the same sign,
// exponent and 4 bits, so that only the few that share these with one of a listed rank are looked at again.
std::vector<double> values_at(std::span<const double> values, std::span<const std::size_t> ranks) {
  constexpr int kShift = 48;
  std::vector<std::uint32_t> counts(std::size_t{1} << (64 - kShift));
  for (const double x : values) ++counts[ordered_key(x) >> kShift];
  std::vector<std::size_t> kept_ranks;  // of the listed values among those that are kept
  std::vector<char> kept(counts.size());
  std::size_t below = 0, kept_below = 0, next = 0;
  for (std::size_t bucket = 0; next < ranks.size(); below += counts[bucket++]) {
    for (; next < ranks.size() && ranks[next] < below + counts[bucket]; ++next) {
      kept_ranks.push_back(ranks[next] - below + kept_below);
      kept[bucket] = 1;
    }
    kept_below += kept[bucket] != 0 ? counts[bucket] : 0;
  }
  std::vector<std::uint64_t> keys(kept_below + 1);  // and room for one that is not kept
  std::size_t n = 0;
  for (const double x : values) {
    keys[n] = ordered_key(x);
    n += kept[keys[n] >> kShift] != 0 ? 1 : 0;
  }
  select_ranks(std::span(keys).first(n), 0, kept_ranks);
  std::vector<double> found;
  for (const std::size_t rank : kept_ranks) found.push_back(from_ordered_key<double>(keys[rank]));
  return found;
}

// Quantiles of the raw values in percent, interpolated between neighbouring ranks (the default of numpy and R); exact
// when the sample holds every row.
struct Quantiles {
  double p0_1, p1, p25, p50, p75, p99, p99_9;
};

Quantiles quantiles_of(std::span<const double> values) {  // not empty
  constexpr std::array<double, 7> kShares{0.001, 0.01, 0.25, 0.5, 0.75, 0.99, 0.999};
  const auto last = values.size() - 1;
  std::set<std::size_t> wanted;
  for (const double share : kShares) {
    const auto below = static_cast<std::size_t>(share * static_cast<double>(last));
    wanted.insert({below, std::min(below + 1, last)});
  }
  const std::vector<std::size_t> ranks(wanted.begin(), wanted.end());
  const std::vector<double> of_ranks = values_at(values, ranks);
  const auto at = [&](std::size_t rank) {
    return of_ranks[static_cast<std::size_t>(std::lower_bound(ranks.begin(), ranks.end(), rank) - ranks.begin())];
  };
  std::array<double, 7> found;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double rank = kShares[i] * static_cast<double>(last);
    const auto below = static_cast<std::size_t>(rank);
    found[i] = at(below) + (rank - static_cast<double>(below)) * (at(std::min(below + 1, last)) - at(below));
  }
  return {found[0], found[1], found[2], found[3], found[4], found[5], found[6]};
}

class Planner {
 public:
  Planner(const ColumnSurvey& survey, std::int32_t source) : survey_(survey), j_(static_cast<std::size_t>(source)) {
    plan_.column.source = source;
    plan_.min = survey.min[j_];
    plan_.max = survey.max[j_];
    plan_.note.source = source;
  }

  ColumnPlan plan(TransformKind kind, MissingPolicy missing, bool fill_any_share) && {
    if (kind == TransformKind::automatic && mostly_missing() && !fill_any_share) return answered();
    const std::vector<double> sample = survey_.sampled(plan_.column.source);
    if (sample.empty()) return drop("no known value in the sample, dropped");
    const Quantiles q = quantiles_of(sample);
    if (missing != MissingPolicy::error) fill(q, missing);
    if (kind == TransformKind::none)
      say("as it is");
    else if (plan_.min == plan_.max)
      return constant(kind);
    else
      choose_shape(kind, q, kind == TransformKind::automatic && two_valued(sample));
    plan_.robust_width = robust_width(q);
    plan_.note.decision = fmt::format("{}", fmt::join(clauses_, ", "));
    return std::move(plan_);
  }

 private:
  bool mostly_missing() const { return 10 * survey_.missing[j_] > 3 * survey_.n_rows; }

  void say(std::string clause) { clauses_.push_back(std::move(clause)); }

  ColumnPlan drop(std::string why) {
    plan_.dropped = true;
    plan_.note.decision = std::move(why);
    plan_.note.warning = true;
    return std::move(plan_);
  }

  ColumnPlan answered() {
    if (survey_.missing[j_] == survey_.n_rows) return drop("no known value, dropped");
    plan_.column.answered = true;
    plan_.moved_to_profile = mostly_missing();
    plan_.note.warning = true;
    const double percent = 100.0 * static_cast<double>(survey_.missing[j_]) / static_cast<double>(survey_.n_rows);
    plan_.note.decision = fmt::format("{:.1f} % missing{}, replaced by whether it is answered{}", percent,
                                      plan_.moved_to_profile ? "" : " and constant where known",
                                      plan_.moved_to_profile ? ", moved to the profile columns" : "");
    return std::move(plan_);
  }

  ColumnPlan constant(TransformKind kind) {
    return kind == TransformKind::automatic && survey_.missing[j_] > 0 ? answered() : drop("constant, dropped");
  }

  void fill(const Quantiles& q, MissingPolicy missing) {
    plan_.column.fill = q.p50;
    if (const std::int64_t cells = survey_.missing[j_]; cells > 0)
      say(fmt::format("{} missing {} {}", cells, cells == 1 ? "cell" : "cells",
                      missing == MissingPolicy::keep ? "left out as missing at random" : "filled with the median"));
  }

  // Certain for whole numbers that differ by one; otherwise as far as the sample shows.
  bool two_valued(const std::vector<double>& sample) const {
    if (survey_.fractional[j_] == 0 && plan_.max - plan_.min == 1) return true;
    const auto is_extreme = [&](double x) { return x == plan_.min || x == plan_.max; };
    const auto [least, most] = std::minmax_element(sample.begin(), sample.end());
    return *least < *most && std::all_of(sample.begin(), sample.end(), is_extreme);
  }

  void choose_shape(TransformKind kind, const Quantiles& q, bool two_valued) {
    const bool decide = kind == TransformKind::automatic && !two_valued;
    const bool negative = plan_.min < 0;
    if ((kind == TransformKind::log1p && !negative) || (decide && !negative && heavy_upper_tail(q))) {
      plan_.column.log1p = true;
      say("log1p");
    }
    if (decide) winsorise(q);
    if ((kind == TransformKind::robust || (decide && negative && heavy_tail(q))) && scale_robustly(q)) return;
    plan_.standardise = true;
    say("z-score");
  }

  // Also where the 1 % quantile is the median: a point mass with something above it.
  bool heavy_upper_tail(const Quantiles& q) const { return q.p1 == q.p50 ? plan_.max > q.p50 : q.p99 - q.p50 > 4 * (q.p50 - q.p1); }

  // The longer tail against the shorter one and the quartiles: 1.7 for normal, 2.8 for Laplace, 16 for Cauchy data.
  static bool heavy_tail(const Quantiles& q) {
    const double up = q.p99 - q.p50, down = q.p50 - q.p1;
    return std::max(up, down) > 4 * std::min({up, down, q.p75 - q.p25});
  }

  double width_between(double low, double high) const { return prepared(plan_.column, high) - prepared(plan_.column, low); }

  double robust_width(const Quantiles& q) const {
    const double quartiles = width_between(q.p25, q.p75);
    return quartiles > 0 ? quartiles / kNormalQuartileWidth : width_between(q.p1, q.p99) / kNormalPercentileWidth;
  }

  // Five widths beyond the 99.9 % quantile lie 8 standard deviations from the middle: normal data never reach them.
  void winsorise(const Quantiles& q) {
    const double limit = 5 * robust_width(q);
    const bool above = limit > 0 && width_between(q.p99_9, plan_.max) > limit;
    const bool below = limit > 0 && width_between(plan_.min, q.p0_1) > limit;
    const double lower = below ? q.p0_1 : plan_.min, upper = above ? q.p99_9 : plan_.max;
    if (!(lower < upper)) return;  // it would become constant
    if (below) plan_.column.lower = lower;
    if (above) plan_.column.upper = upper;
    if (above || below) say(fmt::format("winsorised at the {} quantile", !below ? "99.9 %" : !above ? "0.1 %" : "0.1 % and 99.9 %"));
  }

  // False where the quartiles coincide or lie so close that the extremes would leave the range of float32.
  bool scale_robustly(const Quantiles& q) {
    const double scale = (q.p75 - q.p25) / kNormalQuartileWidth;
    const double reach = std::max(width_between(plan_.min, q.p50), width_between(q.p50, plan_.max));
    if (!(scale > 0) || !(reach / scale <= kLargestCell)) return false;
    plan_.column.center = q.p50;
    plan_.column.scale = scale;
    say("robust scale");
    return true;
  }

  const ColumnSurvey& survey_;
  std::size_t j_;  // the raw column
  ColumnPlan plan_;
  std::vector<std::string> clauses_;
};

}  // namespace

ColumnPlan plan_column(const ColumnSurvey& survey, std::int32_t source, TransformKind kind, MissingPolicy missing, bool fill_any_share) {
  return Planner(survey, source).plan(kind, missing, fill_any_share);
}

}  // namespace coterie
