#include "host/profile.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "host/error.hpp"
#include "host/moments.hpp"
#include "host/profile_sweeps.hpp"

namespace coterie::profile {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Table nan_table(std::int32_t n_segments, std::int32_t n_columns) {
  const SegmentScope scope{n_segments, 0, n_columns};
  return {n_segments, n_columns, std::vector<double>(scope.n_cells(), kNan)};
}

Profile empty_profile(std::int32_t n_segments, std::int32_t n_columns) {
  Profile profile;
  profile.n_segments = n_segments;
  profile.n_columns = n_columns;
  for (Table* table :
       {&profile.missing_share, &profile.mean, &profile.std, &profile.min, &profile.max, &profile.p10, &profile.median, &profile.p90,
        &profile.share_nonzero, &profile.index, &profile.z, &profile.cohen_d, &profile.cohen_d_low, &profile.cohen_d_high})
    *table = nan_table(n_segments, n_columns);
  return profile;
}

// The groups' moments in units of the column: x = origin + mean * unit. Differences of means then keep their digits however far
// from 0 the column lies, and squares neither overflow nor vanish.
struct ColumnMoments {
  double origin = 0;
  double unit = 1;
  std::vector<Moments> groups;  // (n_groups)
};

Moments group_moments(const Findings& findings, std::size_t i, const ColumnMoments& column) {
  const Frame& frame = findings.frame;
  const auto weight = static_cast<double>(findings.counts.known_weight[i]);
  const double quantum = std::ldexp(1.0, -frame.fraction_bits[i]);
  const double sum = static_cast<double>(findings.sums.sums.value(i)) * quantum;
  const double squares = static_cast<double>(findings.sums.squares.value(i)) * quantum;
  const double to_unit = std::ldexp(1.0, frame.exponent[i]) / column.unit;
  const double offset = sum / weight;
  return {.rows = findings.counts.known_rows[i],
          .weight = weight,
          .mean = (frame.pivot[i] / column.unit - column.origin / column.unit) + offset * to_unit,
          .squares = std::max(0.0, squares - sum * offset) * to_unit * to_unit};
}

ColumnMoments column_moments(const Findings& findings, std::int32_t column) {
  const SegmentScope& scope = findings.frame.scope;
  ColumnMoments moments{.origin = 0, .unit = 1, .groups = std::vector<Moments>(scope.n_groups())};
  std::optional<std::int32_t> exponent;
  for (std::size_t group = 0; group < scope.n_groups(); ++group)
    if (const std::size_t i = scope.cell(group, column); findings.counts.known_rows[i] > 0)
      exponent = std::max(exponent.value_or(findings.frame.exponent[i]), findings.frame.exponent[i]);
  if (!exponent) return moments;  // no known cell
  moments.origin = quantiles::value(findings.search, scope.n_segments, column, Quantile::median);
  moments.unit = std::ldexp(1.0, *exponent);
  for (std::size_t group = 0; group < scope.n_groups(); ++group)
    if (const std::size_t i = scope.cell(group, column); findings.counts.known_rows[i] > 0)
      moments.groups[group] = group_moments(findings, i, moments);
  return moments;
}

// (n_groups + 1): all groups but this one, and last all of them; by prefixes and suffixes, so that nothing is ever subtracted.
std::vector<Moments> merge_others(const std::vector<Moments>& groups) {
  std::vector<Moments> others(groups.size() + 1);
  for (std::size_t group = 0; group < groups.size(); ++group) others[group + 1] = merged(others[group], groups[group]);
  Moments after;
  for (std::size_t group = groups.size(); group-- > 0;) {
    others[group] = merged(others[group], after);
    after = merged(groups[group], after);
  }
  return others;
}

void describe_moments(Profile& profile, std::int32_t target, const ColumnMoments& column) {
  const std::vector<Moments> others = merge_others(column.groups);
  const Moments& population = others.back();
  const double population_mean = column.origin + population.mean * column.unit;
  const double population_std = standard_deviation(population);
  const bool has_index = profile.min.at(profile.n_segments, target) >= 0 && population_mean != 0;
  for (std::int32_t row = 0; row <= profile.n_segments; ++row) {
    const auto group = static_cast<std::size_t>(row);
    const Moments& moments = row == profile.n_segments ? population : column.groups[group];
    if (moments.rows == 0) continue;
    const double mean = column.origin + moments.mean * column.unit;
    profile.mean.at(row, target) = mean;
    profile.std.at(row, target) = standard_deviation(moments) * column.unit;
    if (has_index) profile.index.at(row, target) = 100 * mean / population_mean;
    profile.z.at(row, target) = (moments.mean - population.mean) / population_std;
    if (row == profile.n_segments) continue;
    const EffectSize effect = cohen_d(moments, others[group]);
    profile.cohen_d.at(row, target) = effect.d;
    profile.cohen_d_low.at(row, target) = effect.low;
    profile.cohen_d_high.at(row, target) = effect.high;
  }
}

// A column of a (n_groups, n_columns) table of integers, with the population, their sum, in place of the last group.
std::vector<std::int64_t> with_population(const std::vector<std::int64_t>& groups, const SegmentScope& scope, std::int32_t column) {
  std::vector<std::int64_t> rows(scope.n_groups());
  std::int64_t population = 0;
  for (std::size_t group = 0; group < rows.size(); ++group) population += rows[group] = groups[scope.cell(group, column)];
  rows.back() = population;
  return rows;
}

void describe_rows(Profile& profile, const Counts& counts, const SegmentScope& scope, double weight_step) {
  const SegmentScope one_column{scope.n_segments, 0, 1};
  profile.n_rows = with_population(counts.rows, one_column, 0);
  const std::vector<std::int64_t> steps = with_population(counts.weight, one_column, 0);
  profile.weight.clear();
  profile.share.clear();
  for (const std::int64_t weight : steps) {
    profile.weight.push_back(static_cast<double>(weight) * weight_step);
    profile.share.push_back(static_cast<double>(weight) / static_cast<double>(steps.back()));
  }
}

void describe_counts(Profile& profile, std::int32_t target, const Findings& findings, std::int32_t column) {
  const SegmentScope& scope = findings.frame.scope;
  const SegmentScope one_column{scope.n_segments, 0, 1};
  const std::vector<std::int64_t> weight = with_population(findings.counts.weight, one_column, 0);
  const std::vector<std::int64_t> known = with_population(findings.counts.known_weight, scope, column);
  const std::vector<std::int64_t> nonzero = with_population(findings.counts.nonzero_weight, scope, column);
  for (std::int32_t row = 0; row <= scope.n_segments; ++row) {
    const auto group = static_cast<std::size_t>(row);
    profile.missing_share.at(row, target) = static_cast<double>(weight[group] - known[group]) / static_cast<double>(weight[group]);
    profile.share_nonzero.at(row, target) = static_cast<double>(nonzero[group]) / static_cast<double>(known[group]);
    profile.p10.at(row, target) = quantiles::value(findings.search, row, column, Quantile::p10);
    profile.median.at(row, target) = quantiles::value(findings.search, row, column, Quantile::median);
    profile.p90.at(row, target) = quantiles::value(findings.search, row, column, Quantile::p90);
  }
}

void describe_range(Profile& profile, std::int32_t target, const Counts& counts, const SegmentScope& scope, std::int32_t column) {
  double& population_min = profile.min.at(scope.n_segments, target);
  double& population_max = profile.max.at(scope.n_segments, target);
  for (std::int32_t group = 0; group <= scope.n_segments; ++group) {
    const std::size_t i = scope.cell(static_cast<std::size_t>(group), column);
    if (counts.known_rows[i] == 0) continue;
    const double min = counts.min[i] + 0.0, max = counts.max[i] + 0.0;  // + 0.0: -0.0 or 0.0 came first, which must not show
    if (group < scope.n_segments) {
      profile.min.at(group, target) = min;
      profile.max.at(group, target) = max;
    }
    population_min = std::fmin(population_min, min);
    population_max = std::fmax(population_max, max);
  }
}

void describe(Profile& profile, const Findings& findings, double weight_step) {
  const SegmentScope& scope = findings.frame.scope;
  describe_rows(profile, findings.counts, scope, weight_step);
  for (std::int32_t column = 0; column < scope.n_columns; ++column) {
    const std::int32_t target = scope.first_column + column;
    describe_counts(profile, target, findings, column);
    describe_range(profile, target, findings.counts, scope, column);
    describe_moments(profile, target, column_moments(findings, column));
  }
}

}  // namespace

Profile measure(Context& context, TileSource& raw, std::int32_t n_segments, double weight_step, Passes& passes) {
  if (n_segments < 0 || !(weight_step > 0)) throw ArgumentError("a profile needs n_segments >= 0 and a weight step > 0");
  Profile profile = empty_profile(n_segments, raw.n_columns());
  const std::int32_t round = columns_per_round(context, passes, n_segments, raw.n_columns());
  for (std::int32_t first = 0; first < raw.n_columns(); first += round) {
    const SegmentScope scope{n_segments, first, std::min(round, raw.n_columns() - first)};
    const Reservation statistics =
        context.memory().reserve("the statistics of a profile", scope.n_columns * column_bytes(context, n_segments));
    describe(profile, sweep_columns(context, raw, scope, passes), weight_step);
  }
  return profile;
}

Profile measure(Context& context, Backend& backend, TileSource& raw, std::int32_t n_segments, double weight_step) {
  const auto staged = backend.stage(raw);  // tiles reserve their memory first; as many columns as the rest holds share their sweeps
  Passes passes = backend.profile_passes();
  return measure(context, *staged, n_segments, weight_step, passes);
}

std::vector<Marker> markers(const Profile& profile, std::int32_t segment, std::size_t most) {
  constexpr double kSmallEffect = 0.2;  // Cohen's own lower bound of an effect worth naming
  std::vector<Marker> found;
  for (std::int32_t column = 0; column < profile.n_columns; ++column) {
    const double d = profile.cohen_d.at(segment, column);
    const bool certain = profile.cohen_d_low.at(segment, column) > 0 || profile.cohen_d_high.at(segment, column) < 0;
    if (std::abs(d) >= kSmallEffect && certain) found.push_back({column, d});
  }
  std::stable_sort(found.begin(), found.end(), [](const Marker& a, const Marker& b) { return std::abs(a.cohen_d) > std::abs(b.cohen_d); });
  found.resize(std::min(found.size(), most));
  return found;
}

}  // namespace coterie::profile
