#include "tools/propensity_data.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "host/error.hpp"
#include "tools/propensity_transform.hpp"

namespace coterie::tools {

namespace {

// Enough for a calibration of two numbers, and each model still learns from four fifths.
constexpr std::int32_t kDefaultFolds = 5;

std::vector<std::string> excluded_names(const Input& input, const PropensityOptions& options) {
  std::vector<std::string> names = input.roles().outcomes;
  names.insert(names.end(), {input.roles().value, input.roles().weight, input.roles().treatment, input.file().id_name()});
  names.insert(names.end(), input.roles().dates.begin(), input.roles().dates.end());
  for (const std::string& split : {options.split.column, options.split.found})
    if (!split.empty()) names.insert(names.end(), {split, split + "=train"});
  for (const std::string& target : options.targets) {
    names.push_back(target);
    names.push_back(target.substr(0, target.find('=')));
  }
  names.erase(std::remove(names.begin(), names.end(), ""), names.end());
  return names;
}

SplitOptions with_folds(SplitOptions options, std::int32_t folds) {
  options.folds = folds;
  return options;
}

std::vector<std::string> names_of(const Targets& targets) {
  std::vector<std::string> names;
  for (std::int32_t t = 0; t < targets.size(); ++t) names.push_back(targets[t].name);
  return names;
}

Judged judged_by(std::span<const std::int8_t> fold, std::int32_t n_folds) {
  if (std::any_of(fold.begin(), fold.end(), [](std::int8_t of_row) { return of_row < 0; })) return Judged::held_out;
  return n_folds > 0 ? Judged::cross_fitted : Judged::in_sample;
}

}  // namespace

std::string to_string(Judged judged) {
  switch (judged) {
    case Judged::held_out: return "held-out";
    case Judged::cross_fitted: return "cross-fitted";
    case Judged::in_sample: return "in-sample";
  }
  throw InternalError("an evaluation is of no kind");
}

// Cross-fitting serves a calibration that will be asked for, and an evaluation where nothing is held out.
std::int32_t folds_needed(const PropensityOptions& options) {
  const bool must_calibrate = options.calibration != CalibrationChoice::none && options.calibration != CalibrationChoice::automatic;
  if (options.split.folds == 1 && must_calibrate)
    throw ArgumentError("--folds 1 leaves no cross-fitted scores to calibrate on. Ask for two folds or more, or for --calibration none.");
  if (options.split.folds > 0) return options.split.folds > 1 ? options.split.folds : 0;
  const bool holds_out = options.split.holdout > 0 || !options.split.column.empty();
  switch (options.calibration) {
    case CalibrationChoice::none: return 0;
    case CalibrationChoice::automatic: return holds_out ? kDefaultFolds : 0;
    default: return kDefaultFolds;
  }
}

PropensityData::PropensityData(Session& session, Input& input, const PropensityOptions& options, const SegmentLabels& segments)
    : targets_(session, input, options.targets, options.positive),
      goals_(parse_goals(options.goals, names_of(targets_))),
      n_folds_(folds_needed(options)),
      fold_(split_rows(session, input, with_folds(options.split, n_folds_))),
      judged_(judged_by(fold_, n_folds_)),
      predictors_(session, input, {}, excluded_names(input, options)) {
  choose_columns(session, input, options);
  Context& context = session.context();
  rows_ = transformed(context, predictors_.source(), chosen_.transform);
  side_ = std::make_unique<ZippedSource>(*rows_, SideColumns{.weight = input.weights().steps,
                                                             .label = segments.effects ? segments.labels : std::span<const std::int32_t>(),
                                                             .target = targets_.outcomes(),
                                                             .n_targets = targets_.size(),
                                                             .fold = fold_});
  staged_ = session.backend().stage(*side_);
  grid_ = {chosen_.transform.steps(), input.weights().step};
}

void PropensityData::choose_columns(Session& session, Input& input, const PropensityOptions& options) {
  Context& context = session.context();
  const std::vector<std::string> excluded = excluded_names(input, options);
  raw_columns_ = chosen_predictors(predictors_, options.only_active, excluded);
  if (const auto barred = barred_texts(predictors_, options.only_active, excluded); !barred.empty())
    session.warn(fmt::format("sensitive text columns predict nothing (--allow-sensitive lets them): {}", fmt::join(barred, ", ")));
  survey_ = survey_columns(context, predictors_.source(), raw_columns_);
  TransformOptions imputing = options.transform;  // a mixture beside it may keep missing cells; a line needs them filled
  if (imputing.missing == MissingPolicy::keep) imputing.missing = MissingPolicy::automatic;
  chosen_ = choose_propensity_transform(context, predictors_.source(), survey_, raw_columns_, imputing, {targets_, fold_});
  for (const ColumnNote& note : chosen_.notes)
    if (note.warning) session.warn(fmt::format("column {}: {}", raw_columns_[static_cast<std::size_t>(note.source)].name, note.decision));
}

std::vector<std::int8_t> PropensityData::outcomes_where(std::int32_t t, bool fitted) const {
  std::vector<std::int8_t> outcomes(fold_.size());
  for (std::size_t row = 0; row < fold_.size(); ++row)
    outcomes[row] = (fold_[row] >= 0) == fitted ? targets_.outcome(row, t) : std::int8_t{-1};
  return outcomes;
}

const std::string& PropensityData::source_name(std::size_t i) const {
  return raw_columns_[static_cast<std::size_t>(chosen_.transform.columns[i].source)].name;
}

std::string PropensityData::text_of(const std::string& column) const {
  for (const io::FeatureColumn& made : predictors_.columns())
    if (made.name == column && !made.onehot_of.empty()) return made.onehot_of;
  return column;
}

}  // namespace coterie::tools
