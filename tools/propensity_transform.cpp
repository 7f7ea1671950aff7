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

// Known cells of a raw column, and the rows of the file they belong to.
struct SampledColumn {
  std::vector<double> cells;
  std::vector<std::size_t> rows;
};

SampledColumn sampled_column(const ColumnSurvey& survey, std::span<const std::int64_t> entries, std::int32_t column) {
  SampledColumn sampled;
  for (const std::int64_t i : entries) {
    const double cell = survey.sampled_cell(i, column);
    if (!std::isfinite(cell)) continue;
    sampled.cells.push_back(cell);
    sampled.rows.push_back(static_cast<std::size_t>(survey.sample.row(i)));
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

// Of the line through one column; NaN where there is none.
double log_likelihood(Context& context, const std::vector<double>& values, const std::vector<std::int8_t>& outcome) {
  return calibration::recalibrate(context, rank_scores(context, {values, outcome, {}, {}}).front()).log_likelihood;
}

// What the logarithm of a column gains, all targets together.
double gain_of_logarithm(Context& context, const SampledColumn& column, const Targets& targets) {
  std::vector<double> logarithms;
  for (const double cell : column.cells) logarithms.push_back(coterie::log1p(cell));
  const std::vector<double> bent = standardised(std::move(logarithms)), plain = standardised(column.cells);
  double gain = 0;
  for (std::int32_t t = 0; t < targets.size(); ++t) {
    std::vector<std::int8_t> outcome;
    for (const std::size_t row : column.rows) outcome.push_back(targets.outcome(row, t));
    const double of_target = log_likelihood(context, bent, outcome) - log_likelihood(context, plain, outcome);
    gain += std::isfinite(of_target) ? of_target : 0;
  }
  return gain;
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
  const std::vector<std::int64_t> entries = chosen_entries(survey, outcomes.fold);
  std::set<std::int32_t> bent;
  for (const ColumnTransform& column : chosen.transform.columns) {
    const double least = survey.min[static_cast<std::size_t>(column.source)];
    if (least < 0 || !(gain_of_logarithm(context, sampled_column(survey, entries, column.source), outcomes.targets) > kLeastGain)) continue;
    bent.insert(column.source);
  }
  if (!bent.empty())
    replace_columns(chosen, choose_transform(context, raw, survey, columns, {TransformKind::log1p, options.missing}), bent);
  chosen.transform.kind = TransformKind::automatic;
  return chosen;
}

}  // namespace coterie::tools
