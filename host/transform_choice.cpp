// From the survey to a transform: refuses cells that cannot be used, plans every active column, measures means and
// deviations where they are needed, and lays the grid.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/column_plan.hpp"
#include "host/error.hpp"
#include "host/layer_weights.hpp"
#include "host/transform.hpp"
#include "host/transform_cells.hpp"
#include "host/transform_moments.hpp"

namespace coterie {
namespace {

constexpr std::size_t kColumnsInMessage = 5;

// A grid step of more than this share of the interquartile range loses differences between ordinary customers.
constexpr double kCoarseStep = 1e-3;

std::string describe_cells(const std::vector<std::int64_t>& cells_by_column, const FirstRows& first,
                           const std::vector<RawColumn>& columns) {
  std::int64_t cells = 0;
  std::vector<std::string> names, places;
  std::size_t affected = 0;
  for (std::size_t j = 0; j < columns.size(); ++j) {
    if (!columns[j].active || cells_by_column[j] == 0) continue;
    cells += cells_by_column[j];
    if (++affected <= kColumnsInMessage) names.push_back(fmt::format("'{}' {}", columns[j].name, cells_by_column[j]));
  }
  if (affected > kColumnsInMessage) names.push_back(fmt::format("and {} more columns", affected - kColumnsInMessage));
  for (std::int64_t i = 0; i < first.size(); ++i) {
    const std::size_t column = first.key(i) % columns.size();
    if (columns[column].active) places.push_back(fmt::format("row {} column '{}'", first.row(i), columns[column].name));
  }
  return fmt::format("{} in active columns ({}); the first: {} (rows count from 0)", cells, fmt::join(names, ", "),
                     fmt::join(places, ", "));
}

bool any_active(const std::vector<std::int64_t>& cells_by_column, const std::vector<RawColumn>& columns) {
  for (std::size_t j = 0; j < columns.size(); ++j)
    if (columns[j].active && cells_by_column[j] > 0) return true;
  return false;
}

void refuse_unusable(const ColumnSurvey& survey, const std::vector<RawColumn>& columns, MissingPolicy missing) {
  if (survey.n_rows == 0) throw ContentsError("the matrix has no rows, so there is nothing to cluster; nothing was written");
  if (std::none_of(columns.begin(), columns.end(), [](const RawColumn& column) { return column.active; }))
    throw ContentsError(
        "no column is active, so there is nothing to cluster by; nothing was written. Give at least one column the role active");
  if (any_active(survey.infinite, columns))
    throw ContentsError(fmt::format(
        "infinite cells, or cells beyond the range of float32: {}; nothing was written. Correct them, make them missing (NaN), or "
        "give the column the role profile or ignore",
        describe_cells(survey.infinite, survey.first_infinite, columns)));
  if (missing == MissingPolicy::error && any_active(survey.missing, columns))
    throw ContentsError(fmt::format(
        "missing cells: {}; nothing was written. This transform needs every cell: fill them in, choose --missing median, or choose "
        "--transform auto, which fills them with the median",
        describe_cells(survey.missing, survey.first_missing, columns)));
}

std::vector<ColumnPlan> plan_columns(Context& context, const ColumnSurvey& survey, const std::vector<RawColumn>& columns,
                                     const TransformOptions& options, MissingPolicy missing) {
  std::vector<std::int32_t> active;
  for (std::size_t j = 0; j < columns.size(); ++j)
    if (columns[j].active) active.push_back(static_cast<std::int32_t>(j));
  std::vector<ColumnPlan> plans(active.size());
  context.parallel_for(static_cast<std::int64_t>(active.size()), [&](std::int64_t i, int) {
    const auto index = static_cast<std::size_t>(i);
    plans[index] = plan_column(survey, active[index], options.kind, missing,
                               options.missing == MissingPolicy::median || options.missing == MissingPolicy::keep);
  });
  return plans;
}

// Returns the variance of every plan in clustering units; those that need not be known are 1.
std::vector<double> standardise(Context& context, TileSource& raw, std::vector<ColumnPlan>& plans, bool need_variances) {
  std::vector<double> variances(plans.size(), 1.0);
  std::vector<std::size_t> measured;
  std::vector<UnscaledColumn> described;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    if (plans[i].dropped || !(plans[i].standardise || need_variances)) continue;
    measured.push_back(i);
    described.push_back({plans[i].column, plans[i].min, plans[i].max});
  }
  if (measured.empty()) return variances;
  const std::vector<PreparedMoments> moments = measure_prepared(context, raw, described);
  for (std::size_t i = 0; i < measured.size(); ++i) {
    ColumnPlan& plan = plans[measured[i]];
    const double deviation = moments[i].standard_deviation;
    if (plan.standardise) {
      plan.column.center = moments[i].mean;
      plan.column.scale = deviation > 0 ? deviation : 1.0;  // log1p may fold values that are next to each other into one
    }
    variances[measured[i]] = deviation / plan.column.scale * (deviation / plan.column.scale);
  }
  return variances;
}

// Values as they are have no scale that a weight could change.
void leave_weights_aside(const std::vector<RawColumn>& columns, std::vector<ColumnPlan>& plans) {
  for (ColumnPlan& plan : plans) {
    if (columns[static_cast<std::size_t>(plan.column.source)].weight.value_or(1.0) == 1.0) continue;
    plan.note.decision += ", its weight left aside";
    plan.note.warning = true;
  }
}

// step = 2^(e-23) with the smallest e such that 2^e >= largest; at least 2^-149, the smallest float32.
double grid_step(double largest) {
  if (largest == 0) return 1;
  int exponent = 0;
  if (std::frexp(largest, &exponent) == 0.5) --exponent;
  return std::ldexp(1.0, std::max(exponent - 23, -149));
}

void lay_grid(ColumnPlan& plan) {
  ColumnTransform& column = plan.column;
  if (column.answered) {
    column.step = grid_step(1.0 / column.scale);
    return;
  }
  const double low = clustering_value(column, prepared(column, plan.min)), high = clustering_value(column, prepared(column, plan.max));
  column.step = grid_step(std::max(std::abs(low), std::abs(high)));
  const double interquartile_range = kNormalQuartileWidth * plan.robust_width / column.scale;
  if (plan.robust_width > 0 && column.step > kCoarseStep * interquartile_range) {
    plan.note.warning = true;
    plan.note.decision +=
        ", but most values lie within 1000 grid steps of each other: consider zscore where the column is far from 0, log1p where its tail "
        "is long";
  }
}

ChosenTransform assemble(TransformKind kind, const std::vector<RawColumn>& columns, std::vector<ColumnPlan> plans) {
  ChosenTransform chosen;
  chosen.transform.kind = kind;
  for (ColumnPlan& plan : plans) {
    const std::string& name = columns[static_cast<std::size_t>(plan.column.source)].name;
    if (!plan.dropped) {
      chosen.transform.columns.push_back(plan.column);
      chosen.transform.names.push_back(plan.column.answered ? name + " answered" : name);
    }
    if (plan.moved_to_profile) chosen.moved_to_profile.push_back(plan.column.source);
    chosen.notes.push_back(std::move(plan.note));
  }
  if (chosen.transform.columns.empty())
    throw ContentsError(
        "every active column is constant or empty, so there is nothing to cluster by; nothing was written. Give other columns the role "
        "active");
  return chosen;
}

}  // namespace

ChosenTransform choose_transform(Context& context, TileSource& raw, const ColumnSurvey& survey, const std::vector<RawColumn>& columns,
                                 const TransformOptions& options) {
  if (columns.size() != survey.min.size() || raw.n_columns() != static_cast<std::int32_t>(columns.size()))
    throw ArgumentError(fmt::format("{} columns are described, {} were surveyed, and the matrix has {}", columns.size(), survey.min.size(),
                                    raw.n_columns()));
  MissingPolicy missing = options.missing;
  if (missing == MissingPolicy::automatic) missing = options.kind == TransformKind::none ? MissingPolicy::error : MissingPolicy::median;
  refuse_unusable(survey, columns, missing);
  std::vector<ColumnPlan> plans = plan_columns(context, survey, columns, options, missing);
  const bool weighted = options.kind != TransformKind::none && has_layer_weights(columns);
  const std::vector<double> variances = standardise(context, raw, plans, weighted);
  if (weighted) apply_layer_weights(columns, variances, plans);
  if (options.kind == TransformKind::none) leave_weights_aside(columns, plans);
  for (ColumnPlan& plan : plans)
    if (!plan.dropped) lay_grid(plan);
  ChosenTransform chosen = assemble(options.kind, columns, std::move(plans));
  chosen.transform.keep_missing = missing == MissingPolicy::keep;
  return chosen;
}

}  // namespace coterie
