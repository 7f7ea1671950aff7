#include "tools/propensities.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "host/error.hpp"
#include "host/passes.hpp"
#include "tools/propensity_rows.hpp"
#include "tools/propensity_transform.hpp"
#include "tools/table.hpp"

namespace coterie::tools {

namespace {

using calibration::Calibrator;

// Enough for a calibration of two numbers, and each model still learns from four fifths.
constexpr std::int32_t kDefaultFolds = 5;
// Scores are recalibrated where their line differs from the diagonal at this level (likelihood ratio, 2 degrees of freedom).
constexpr double kCalibrationLevel = 0.05;

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

// The text that a column was made from, all of whose levels tell what one of them tells; of others, the column.
std::string text_of(const Predictors& predictors, const std::string& name) {
  for (const io::FeatureColumn& column : predictors.columns())
    if (column.name == name && !column.onehot_of.empty()) return column.onehot_of;
  return name;
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

SplitOptions with_folds(SplitOptions options, std::int32_t folds) {
  options.folds = folds;
  return options;
}

struct ChosenCalibration {
  Calibrator calibrator;
  std::string reason;
};

// effective: the share of the rows that their weights leave, which is what a likelihood may count.
ChosenCalibration automatic_calibration(Context& context, const RankedScores& ranked, double effective) {
  const calibration::Recalibration line = calibration::recalibrate(context, ranked);
  if (std::isnan(line.log_likelihood))
    return {{}, "none: no line fits the cross-fitted scores, so whether they are calibrated could not be tested"};
  const double p = std::exp((line.identity_log_likelihood - line.log_likelihood) * effective);  // of chi-squared with 2 degrees of freedom
  if (!(p < kCalibrationLevel)) return {{}, "none: cross-fitted scores are calibrated as they are"};
  return {calibration::fit_platt(context, ranked), fmt::format("platt: the slope of cross-fitted scores was {:.2f}", line.slope)};
}

ChosenCalibration choose_calibration(Context& context, CalibrationChoice choice, const RankedScores& ranked, double effective) {
  switch (choice) {
    case CalibrationChoice::platt: return {calibration::fit_platt(context, ranked), "platt, as asked for"};
    case CalibrationChoice::isotonic: return {calibration::fit_isotonic(ranked), "isotonic, as asked for"};
    default: return automatic_calibration(context, ranked, effective);
  }
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

Propensities::Propensities(Session& session, Input& input, const PropensityOptions& options, const SegmentLabels& segments)
    : session_(session),
      input_(input),
      segments_(segments),
      targets_(session, input, options.targets, options.positive),
      n_folds_(folds_needed(options)),
      fold_(split_rows(session, input, with_folds(options.split, n_folds_))),
      predictors_(session, input, {}, excluded_names(input, options)),
      C_(options.params.C),
      min_events_(options.min_events) {
  std::vector<std::string> names;
  for (std::int32_t t = 0; t < targets_.size(); ++t) names.push_back(targets_[t].name);
  goals_ = parse_goals(options.goals, names);
  const bool holds_out = std::any_of(fold_.begin(), fold_.end(), [](std::int8_t fold) { return fold < 0; });
  judged_ = holds_out ? Judged::held_out : (n_folds_ > 0 ? Judged::cross_fitted : Judged::in_sample);
  reserve_scores();
  choose_columns(options);
  fit(options);
  score();
  const Stopwatch stopwatch(seconds_.judge);
  ranking_.release();
  std::vector<std::vector<Leak>> leaks = find_leaks(session_.context(), survey_, predictors_, raw_columns_, targets_);
  for (std::int32_t t = 0; t < targets_.size(); ++t) {
    results_[static_cast<std::size_t>(t)].leaks = std::move(leaks[static_cast<std::size_t>(t)]);
    calibrate(options, t);
    evaluate(t);
    warn_about(t, options.min_events);
  }
  cross_fitted_ = {};
  judging_.release();
}

// Before the first sweep, so that memory that is short is known before the fit.
void Propensities::reserve_scores() {
  MemoryLedger& ledger = session_.context().memory();
  const std::int64_t n_rows = input_.n_rows(), n_targets = targets_.size();
  constexpr std::int64_t kScore = sizeof(double), kFold = sizeof(std::int8_t), kOutcome = sizeof(std::int8_t);
  const std::int64_t predictions =
      std::max(prediction_bytes(n_rows, n_targets * (1 + n_folds_), 0), prediction_bytes(n_rows, n_targets, kReasons));
  const std::int64_t weights = std::ssize(input_.weights().steps) * std::int64_t{sizeof(std::int32_t)};
  memory_ = ledger.reserve("the scores of every customer", n_rows * (n_targets * kScore + kFold) + weights + predictions);
  judging_ = ledger.reserve("the cross-fitted scores of every customer", n_rows * ((n_folds_ > 0 ? n_targets * kScore : 0) + kOutcome));
  ranking_ = ledger.reserve("ranking the scores", least_ranking_bytes(n_rows));
}

void Propensities::choose_columns(const PropensityOptions& options) {
  const Stopwatch stopwatch(seconds_.read);
  Context& context = session_.context();
  const std::vector<std::string> excluded = excluded_names(input_, options);
  raw_columns_ = chosen_predictors(predictors_, options.only_active, excluded);
  if (const auto barred = barred_texts(predictors_, options.only_active, excluded); !barred.empty())
    session_.warn(fmt::format("sensitive text columns predict nothing (--allow-sensitive lets them): {}", fmt::join(barred, ", ")));
  survey_ = survey_columns(context, predictors_.source(), raw_columns_);
  TransformOptions imputing = options.transform;  // a mixture beside it may keep missing cells; a line needs them filled
  if (imputing.missing == MissingPolicy::keep) imputing.missing = MissingPolicy::automatic;
  chosen_ = choose_propensity_transform(context, predictors_.source(), survey_, raw_columns_, imputing, {targets_, fold_});
  for (const ColumnNote& note : chosen_.notes)
    if (note.warning) session_.warn(fmt::format("column {}: {}", raw_columns_[static_cast<std::size_t>(note.source)].name, note.decision));
  rows_ = transformed(context, predictors_.source(), chosen_.transform);
  side_ =
      std::make_unique<ZippedSource>(*rows_, SideColumns{.weight = input_.weights().steps,
                                                         .label = segments_.effects ? segments_.labels : std::span<const std::int32_t>(),
                                                         .target = targets_.outcomes(),
                                                         .n_targets = targets_.size(),
                                                         .fold = fold_});
  staged_ = session_.backend().stage(*side_);
  grid_ = {chosen_.transform.steps(), input_.weights().step};
}

void Propensities::fit(const PropensityOptions& options) {
  const Stopwatch stopwatch(seconds_.fit);
  Context& context = session_.context();
  std::vector<logistic_regression::Params> params;
  for (std::int32_t t = 0; t < targets_.size(); ++t) {
    logistic_regression::Params whole = options.params;
    whole.target = t;
    whole.n_segments = segments_.effects ? segments_.size() : 0;
    params.push_back(whole);
    whole.inference = false;
    for (whole.left_out_fold = 0; whole.left_out_fold < n_folds_; ++whole.left_out_fold) params.push_back(whole);
  }
  const auto moments = kmeans::measure_moments(context, *side_, grid_, 1);
  const bool on_cpu = options.params.penalty == logistic_regression::Penalty::firth;
  if (on_cpu && session_.backend().name() != "cpu") session_.say("The Firth penalty is fitted on the CPU.");
  const auto pass =
      on_cpu ? logistic_regression::make_cpu_pass(context, grid_, moments) : session_.backend().logistic_regression_pass(grid_, moments);
  logistic_regression::Fit fit = logistic_regression::fit(context, on_cpu ? *side_ : *staged_, grid_, moments, params, *pass);
  auto model = fit.models.begin();
  for (std::int32_t t = 0; t < targets_.size(); ++t) {
    logistic_regression::require_fit(*model, targets_[t].name);
    results_.push_back({.target = targets_[t],
                        .model = std::move(*model++),
                        .calibrator = {},
                        .calibration_reason = {},
                        .percentile_cuts = {},
                        .evaluations = {},
                        .leaks = {}});
    for (std::int32_t f = 0; f < n_folds_; ++f) fold_models_.push_back(std::move(*model++));
  }
}

// One sweep for all models: the log-odds of the whole fit, and those of the fold that has not seen the row.
void Propensities::score() {
  const Stopwatch stopwatch(seconds_.predict);
  const auto n_targets = static_cast<std::size_t>(targets_.size()), n_folds = static_cast<std::size_t>(n_folds_);
  const std::size_t n_cells = static_cast<std::size_t>(input_.n_rows()) * n_targets;
  log_odds_.resize(n_cells);
  cross_fitted_.resize(n_folds > 0 ? n_cells : 0);
  std::vector<const logistic_regression::Model*> models;
  for (std::size_t t = 0; t < n_targets; ++t) {
    models.push_back(&results_[t].model);
    for (std::size_t f = 0; f < n_folds; ++f) models.push_back(&fold_models_[t * n_folds + f]);
  }
  const auto predictor = session_.backend().logistic_regression_predictor(0);
  const auto copy = [&](std::int64_t first_row, const logistic_regression::Prediction& prediction) {
    const std::size_t n_rows = prediction.log_odds.size() / models.size();
    for (std::size_t row = 0; row < n_rows; ++row)
      for (std::size_t t = 0; t < n_targets; ++t) {
        const std::size_t at = static_cast<std::size_t>(first_row) + row, from = row * models.size() + t * (n_folds + 1);
        const std::size_t to = t * fold_.size() + at;
        log_odds_[to] = prediction.log_odds[from];
        if (n_folds > 0) cross_fitted_[to] = prediction.log_odds[from + static_cast<std::size_t>(1 + std::max<int>(fold_[at], 0))];
      }
  };
  map_tiles(session_.context(), *staged_, *predictor, std::span<const logistic_regression::Model* const>(models), copy,
            {.rows_at_once = prediction_rows(std::ssize(models), 0)});
}

std::vector<std::int8_t> Propensities::outcomes_where(std::int32_t t, bool fitted) const {
  std::vector<std::int8_t> outcomes(fold_.size());
  for (std::size_t row = 0; row < fold_.size(); ++row)
    outcomes[row] = (fold_[row] >= 0) == fitted ? targets_.outcome(row, t) : std::int8_t{-1};
  return outcomes;
}

std::span<const double> Propensities::of_target(const std::vector<double>& scores, std::int32_t t) const {
  return std::span(scores).subspan(static_cast<std::size_t>(t) * fold_.size(), fold_.size());
}

const logistic_regression::Model& Propensities::fold_model(std::int32_t t, std::int32_t fold) const {
  return fold_models_[static_cast<std::size_t>(t) * static_cast<std::size_t>(n_folds_) + static_cast<std::size_t>(fold)];
}

bool Propensities::has_every_fold(std::int32_t t) const {
  for (std::int32_t fold = 0; fold < n_folds_; ++fold)
    if (!fold_model(t, fold).refusal.empty()) return false;
  return n_folds_ > 0;
}

void Propensities::calibrate(const PropensityOptions& options, std::int32_t t) {
  Propensity& result = results_[static_cast<std::size_t>(t)];
  result.percentile_cuts = session_.backend().percentile_cuts(of_target(log_odds_, t));
  if (options.calibration == CalibrationChoice::none) {
    result.calibration_reason = "none, as asked for";
    return;
  }
  if (!has_every_fold(t)) {
    result.calibration_reason = n_folds_ == 0 ? "none: no scores were cross-fitted" : "none: a fold lacks one of the outcomes";
    if (options.calibration != CalibrationChoice::automatic)
      session_.warn(fmt::format("{}: not calibrated, because a fold lacks one of the outcomes", result.target.name));
    return;
  }
  const std::vector<std::int8_t> outcomes = outcomes_where(t, true);
  const ScoredRows rows{of_target(cross_fitted_, t), outcomes, input_.weights().steps, {}};
  const auto ranked = session_.backend().rank_scores(rows, 0);
  ChosenCalibration chosen =
      choose_calibration(session_.context(), options.calibration, ranked.front(), evaluation::effective_shares(rows).front().all);
  result.calibrator = std::move(chosen.calibrator);
  result.calibration_reason = std::move(chosen.reason);
}

void Propensities::evaluate(std::int32_t t) {
  Propensity& result = results_[static_cast<std::size_t>(t)];
  std::vector<std::int8_t> outcomes = outcomes_where(t, judged_ != Judged::held_out);
  if (judged_ == Judged::cross_fitted)  // a fold without a model has no scores
    for (std::size_t row = 0; row < outcomes.size(); ++row)
      if (!fold_model(t, fold_[row]).refusal.empty()) outcomes[row] = -1;
  const std::span<const double> scores = of_target(judged_ == Judged::cross_fitted ? cross_fitted_ : log_odds_, t);
  const ScoredRows rows{scores, outcomes, input_.weights().steps, segments_.labels};
  const std::vector<RankedScores> ranked = session_.backend().rank_scores(rows, segments_.size());
  const std::vector<evaluation::EffectiveShares> effective = evaluation::effective_shares(rows, segments_.size());
  for (std::size_t s = 0; s < ranked.size(); ++s)
    result.evaluations.push_back(evaluation::evaluate(session_.context(), ranked[s], result.calibrator, effective[s]));
}

void Propensities::warn_about_leaks(const Propensity& result) {
  const auto warn = [&](const std::string& what, const std::string& column) {
    session_.warn(fmt::format("{}: {}; if it is known only afterwards, leave it out: --ignore {}", result.target.name, what, column));
  };
  std::set<std::string> named;  // once, whatever the levels of a text
  for (const Leak& leak : result.leaks) {
    const std::string text = text_of(predictors_, leak.column);
    if (!named.insert(text).second) continue;
    if (leak.by_area())
      warn(fmt::format("column {} alone tells the outcomes apart (AUC {:.3f})", leak.column, std::max(leak.auc, 1 - leak.auc)), text);
    else
      warn(fmt::format("one end of column {} holds {} of one outcome and {} of the other", leak.column, percent(leak.share),
                       percent(leak.other_share)),
           text);
  }
  if (!(result.everybody().auc >= kLeakAuc)) return;
  std::size_t most = 0;
  double largest = 0;
  for (std::size_t i = 0; i < chosen_.transform.columns.size(); ++i)
    if (const double z = std::abs(logistic_regression::wald(result.model.estimates, i).z); z > largest) {
      largest = z;
      most = i;
    }
  if (largest == 0) return;
  const std::string& column = raw_columns_[static_cast<std::size_t>(chosen_.transform.columns[most].source)].name;
  warn(fmt::format("an AUC of {:.3f} is hardly ever had from what is known beforehand; column {} tells most", result.everybody().auc,
                   column),
       text_of(predictors_, column));
}

void Propensities::warn_about(std::int32_t t, std::int64_t min_events) {
  Propensity& result = results_[static_cast<std::size_t>(t)];
  const std::string& name = result.target.name;
  const auto warn = [&](const std::string& text) { session_.warn(name + ": " + text); };
  for (const std::string& warning : logistic_regression::warnings_about(result.model, chosen_.transform.names)) warn(warning);
  warn_about_leaks(result);
  const std::int64_t events = result.target.events();
  result.scored = events >= min_events;
  if (!result.scored)
    warn(
        fmt::format("{} customers of the rarer outcome are too few to score single customers ({} are needed): models and tables only. "
                    "--min-events {} scores them all the same",
                    events, min_events, events));
  else if (events < kFewEvents)
    warn(fmt::format("only {} customers of the rarer outcome; fewer than {} leave scores uncertain", with_separators(events), kFewEvents));
  if (judged_ == Judged::cross_fitted && !has_every_fold(t))
    warn("not judged on every fold, because without some folds one of the outcomes is missing; ask for fewer with --folds");
  if (judged_ == Judged::cross_fitted && result.calibrator.method != calibration::Method::none)
    warn("its calibration is judged on the customers it was fitted on, which flatters it; --holdout judges on others");
  if (judged_ == Judged::in_sample) warn("judged in sample, on the customers it was fitted on, which flatters it");
  if (judged_ == Judged::held_out && std::isnan(result.everybody().auc))
    warn("the customers held out are all of one outcome, so nothing could be judged");
}

io::PropensityModels Propensities::models() const {
  io::PropensityModels models{
      .transform = chosen_.transform, .raw_columns = {}, .seed = session_.context().seed(), .where = input_.where(), .targets = {}};
  for (const io::FeatureColumn& column : predictors_.columns()) models.raw_columns.push_back({column.name, column.onehot_of});
  for (const Propensity& result : results_) {
    io::StoredTarget stored{.name = result.target.name, .positive = result.target.positive, .model = result.model};
    stored.C = C_;
    if (segments_.effects) stored.segment_names = segments_.names;
    stored.calibrator = result.calibrator;
    stored.percentile_cuts = result.percentile_cuts;
    stored.base_rate = result.base_rate();
    stored.events = result.target.events();
    stored.min_events = min_events_;
    models.targets.push_back(std::move(stored));
  }
  return models;
}

}  // namespace coterie::tools
