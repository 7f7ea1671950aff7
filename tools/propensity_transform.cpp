#include "tools/propensity_transform.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "host/calibration.hpp"
#include "host/elementary.hpp"
#include "host/ranked_scores.hpp"

namespace coterie::tools {

namespace {

constexpr std::size_t kMostRows = 20000;  // of the sample: enough to see a bend that matters
constexpr double kLeastGain = 1.92;       // half of the 95 % quantile of chi-squared with one degree of freedom

// Entries of the sample whose outcomes may be looked at, in an order of their own: the sample comes in that of its threads.
std::vector<std::int64_t> chosen_entries(const ColumnSurvey& survey, std::span<const std::int8_t> fold) {
  std::vector<std::int64_t> entries;
  for (std::int64_t i = 0; i < survey.sample.size(); ++i)
    if (fold[static_cast<std::size_t>(survey.sample.row(i))] >= 0) entries.push_back(i);
  std::sort(entries.begin(), entries.end(), [&](std::int64_t a, std::int64_t b) {
    return std::pair(survey.sample.key(a), survey.sample.row(a)) < std::pair(survey.sample.key(b), survey.sample.row(b));
  });
  entries.resize(std::min(entries.size(), kMostRows));
  return entries;
}

// Known cells of a raw column, ascending, and the rows of the file they belong to.
struct SampledColumn {
  std::vector<double> cells;
  std::vector<std::size_t> rows;
};

SampledColumn sampled_column(const ColumnSurvey& survey, std::span<const std::int64_t> entries, std::int32_t column) {
  std::vector<std::pair<double, std::size_t>> known;
  for (const std::int64_t i : entries)
    if (const double cell = survey.sampled_cell(i, column); std::isfinite(cell))
      known.emplace_back(cell, static_cast<std::size_t>(survey.sample.row(i)));
  std::sort(known.begin(), known.end());
  SampledColumn sampled;
  for (const auto& [cell, row] : known) {
    sampled.cells.push_back(cell);
    sampled.rows.push_back(row);
  }
  return sampled;
}

std::vector<double> standardised(std::vector<double> values) {
  const auto n = static_cast<double>(values.size());
  double mean = 0, variance = 0;
  for (const double value : values) mean += value / n;
  for (const double value : values) variance += (value - mean) * (value - mean) / n;
  for (double& value : values) value = variance > 0 ? (value - mean) / std::sqrt(variance) : 0.0;
  return values;
}

// Of the line through one column; NaN where there is none. values: those of the column's cells, ascending as they are.
double log_likelihood(Context& context, const SampledColumn& column, const std::vector<double>& values, const Targets& targets,
                      std::int32_t t) {
  std::vector<TiedScore> groups;
  groups.reserve(values.size());
  for (std::size_t i = values.size(); i-- > 0;) {
    const std::int8_t outcome = targets.outcome(column.rows[i], t);
    if (outcome < 0) continue;
    if (groups.empty() || groups.back().score != values[i]) groups.push_back({.score = values[i]});
    TiedScore& group = groups.back();
    ++(outcome == 1 ? group.positive_rows : group.negative_rows);
    ++(outcome == 1 ? group.positive_weight : group.negative_weight);
  }
  RankedScores ranked;
  ranked.rank_again = [&groups](const RankedScores::Sink& sink) {  // chunk by chunk, which no other thread is asked to help with
    for (std::span<const TiedScore> rest(groups); !rest.empty(); rest = rest.subspan(std::min(rest.size(), kGroupsOfChunk)))
      sink(rest.first(std::min(rest.size(), kGroupsOfChunk)));
  };
  return calibration::recalibrate(context, ranked).log_likelihood;
}

// What the logarithm of a column gains, all targets together.
double gain_of_logarithm(Context& context, const SampledColumn& column, const Targets& targets) {
  std::vector<double> logarithms;
  for (const double cell : column.cells) logarithms.push_back(coterie::log1p(cell));
  const std::vector<double> bent = standardised(std::move(logarithms)), plain = standardised(column.cells);
  double gain = 0;
  for (std::int32_t t = 0; t < targets.size(); ++t) {
    const double of_target = log_likelihood(context, column, bent, targets, t) - log_likelihood(context, column, plain, targets, t);
    gain += std::isfinite(of_target) ? of_target : 0;
  }
  return gain;
}

// Raw columns whose logarithms the outcomes ask for, the same for any threads.
std::set<std::int32_t> bent_columns(Context& context, const ColumnSurvey& survey, const std::vector<ColumnTransform>& columns,
                                    const KnownOutcomes& outcomes) {
  const std::vector<std::int64_t> entries = chosen_entries(survey, outcomes.fold);
  std::vector<double> gain(columns.size());
  const auto measure = [&](std::int64_t i, int) {
    const std::int32_t column = columns[static_cast<std::size_t>(i)].source;
    if (survey.min[static_cast<std::size_t>(column)] < 0) return;
    gain[static_cast<std::size_t>(i)] = gain_of_logarithm(context, sampled_column(survey, entries, column), outcomes.targets);
  };
  constexpr std::int64_t kRowBytes = 6 * sizeof(double) + sizeof(TiedScore);  // a cell and its row twice, two values, a group
  Reservation memory;
  if (context.memory().try_reserve(context.threads() * std::ssize(entries) * kRowBytes, memory))
    context.parallel_for(std::ssize(gain), measure);
  else
    for (std::int64_t i = 0; i < std::ssize(gain); ++i) measure(i, 0);
  std::set<std::int32_t> bent;
  for (std::size_t i = 0; i < gain.size(); ++i)
    if (gain[i] > kLeastGain) bent.insert(columns[i].source);
  return bent;
}

// Columns of `chosen`, and their notes, as `other` has them where they come from `sources`.
void replace_columns(ChosenTransform& chosen, const ChosenTransform& other, const std::set<std::int32_t>& sources) {
  for (ColumnTransform& column : chosen.transform.columns)
    for (const ColumnTransform& replacement : other.transform.columns)
      if (replacement.source == column.source && sources.contains(column.source)) column = replacement;
  for (ColumnNote& note : chosen.notes)
    for (const ColumnNote& replacement : other.notes)
      if (replacement.source == note.source && sources.contains(note.source)) note = replacement;
}

}  // namespace

ChosenTransform choose_propensity_transform(Context& context, TileSource& raw, const ColumnSurvey& survey,
                                            const std::vector<RawColumn>& columns, const TransformOptions& options,
                                            const KnownOutcomes& outcomes) {
  if (options.kind != TransformKind::automatic) return choose_transform(context, raw, survey, columns, options);
  ChosenTransform chosen = choose_transform(context, raw, survey, columns, {TransformKind::zscore, options.missing});
  const std::set<std::int32_t> bent = bent_columns(context, survey, chosen.transform.columns, outcomes);
  if (!bent.empty())
    replace_columns(chosen, choose_transform(context, raw, survey, columns, {TransformKind::log1p, options.missing}), bent);
  chosen.transform.kind = TransformKind::automatic;
  return chosen;
}

}  // namespace coterie::tools
