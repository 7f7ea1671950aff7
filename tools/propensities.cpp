#include "tools/propensities.hpp"

#include <algorithm>

#include "host/error.hpp"
#include "host/passes.hpp"
#include "tools/propensity_calibration.hpp"
#include "tools/propensity_rows.hpp"
#include "tools/propensity_warnings.hpp"

namespace coterie::tools {

Propensities::Propensities(Session& session, Input& input, const PropensityOptions& options, const SegmentLabels& segments)
    : session_(session), input_(input), options_(options), segments_(segments), data_(read_data()) {
  fit();
  score();
  judge();
}

// Memory that is short is known before the first sweep.
PropensityData Propensities::read_data() {
  const Stopwatch stopwatch(seconds_.read);
  reserve_scores();
  return {session_, input_, options_, segments_};
}

void Propensities::reserve_scores() {
  MemoryLedger& ledger = session_.context().memory();
  const std::int64_t n_rows = input_.n_rows(), n_targets = std::ssize(options_.targets), n_folds = folds_needed(options_);
  constexpr std::int64_t kScore = sizeof(double), kFold = sizeof(std::int8_t), kOutcome = sizeof(std::int8_t);
  const std::int64_t predictions =
      std::max(prediction_bytes(n_rows, n_targets * (1 + n_folds), 0), prediction_bytes(n_rows, n_targets, kReasons));
  const std::int64_t weights = std::ssize(input_.weights().steps) * std::int64_t{sizeof(std::int32_t)};
  memory_ = ledger.reserve("the scores of every customer", n_rows * (n_targets * kScore + kFold) + weights + predictions);
  judging_ = ledger.reserve("the cross-fitted scores of every customer", n_rows * ((n_folds > 0 ? n_targets * kScore : 0) + kOutcome));
  ranking_ = ledger.reserve("ranking the scores", least_ranking_bytes(n_rows));
}

void Propensities::fit() {
  const Stopwatch stopwatch(seconds_.fit);
  Context& context = session_.context();
  const Targets& targets = data_.targets();
  const logistic_regression::Grid& grid = data_.grid();
  std::vector<logistic_regression::Params> params;
  for (std::int32_t t = 0; t < targets.size(); ++t) {
    logistic_regression::Params whole = options_.params;
    whole.target = t;
    whole.n_segments = segments_.effects ? segments_.size() : 0;
    params.push_back(whole);
    whole.inference = false;
    for (whole.left_out_fold = 0; whole.left_out_fold < data_.n_folds(); ++whole.left_out_fold) params.push_back(whole);
  }
  const auto moments = kmeans::measure_moments(context, data_.rows(), grid, 1);
  const bool on_cpu = options_.params.penalty == logistic_regression::Penalty::firth;
  if (on_cpu && session_.backend().name() != "cpu") session_.say("The Firth penalty is fitted on the CPU.");
  const auto pass =
      on_cpu ? logistic_regression::make_cpu_pass(context, grid, moments) : session_.backend().logistic_regression_pass(grid, moments);
  logistic_regression::Fit fit =
      logistic_regression::fit(context, on_cpu ? data_.rows() : data_.staged_rows(), grid, moments, params, *pass);
  auto model = fit.models.begin();
  for (std::int32_t t = 0; t < targets.size(); ++t) {
    logistic_regression::require_fit(*model, targets[t].name);
    Propensity result{.target = targets[t], .model = std::move(*model++)};
    result.scored = result.target.events() >= options_.min_events;
    result.in_every_fold = data_.n_folds() > 0;
    for (std::int32_t fold = 0; fold < data_.n_folds(); ++fold) {
      result.in_every_fold = result.in_every_fold && model->refusal.empty();
      fold_models_.push_back(std::move(*model++));
    }
    results_.push_back(std::move(result));
  }
}

// One sweep for all models: the log-odds of the whole fit, and those of the fold that has not seen the row.
void Propensities::score() {
  const Stopwatch stopwatch(seconds_.predict);
  Context& context = session_.context();
  const std::span<const std::int8_t> folds = data_.folds();
  const std::size_t n_targets = results_.size(), n_folds = static_cast<std::size_t>(data_.n_folds());
  log_odds_.resize(folds.size() * n_targets);
  cross_fitted_.resize(n_folds > 0 ? log_odds_.size() : 0);
  std::vector<const logistic_regression::Model*> models;
  for (std::size_t t = 0; t < n_targets; ++t) {
    models.push_back(&results_[t].model);
    for (std::size_t f = 0; f < n_folds; ++f) models.push_back(&fold_models_[t * n_folds + f]);
  }
  const auto predictor = session_.backend().logistic_regression_predictor(0);
  const auto copy = [&](std::int64_t first_row, const logistic_regression::Prediction& prediction) {
    const std::int64_t n_rows = std::ssize(prediction.log_odds) / std::ssize(models);
    context.parallel_stretches(n_rows, kBlockRows, [&](std::int64_t first, std::int64_t last) {
      for (auto row = static_cast<std::size_t>(first); row < static_cast<std::size_t>(last); ++row)
        for (std::size_t t = 0; t < n_targets; ++t) {
          const std::size_t at = static_cast<std::size_t>(first_row) + row, from = row * models.size() + t * (n_folds + 1);
          const std::size_t to = t * folds.size() + at;
          log_odds_[to] = prediction.log_odds[from];
          if (n_folds > 0) cross_fitted_[to] = prediction.log_odds[from + static_cast<std::size_t>(1 + std::max<int>(folds[at], 0))];
        }
    });
  };
  map_tiles(context, data_.staged_rows(), *predictor, std::span<const logistic_regression::Model* const>(models), copy,
            {.rows_at_once = prediction_rows(std::ssize(models), 0)});
}

void Propensities::judge() {
  const Stopwatch stopwatch(seconds_.judge);
  ranking_.release();
  std::vector<std::vector<Leak>> leaks =
      find_leaks(session_.context(), data_.survey(), data_.predictors(), data_.raw_columns(), data_.targets());
  for (std::int32_t t = 0; t < data_.targets().size(); ++t) {
    Propensity& result = results_[static_cast<std::size_t>(t)];
    result.leaks = std::move(leaks[static_cast<std::size_t>(t)]);
    calibrate(t);
    evaluate(t);
    for (const std::string& warning : warnings_about(data_, result, options_.min_events))
      session_.warn(result.target.name + ": " + warning);
  }
  cross_fitted_ = {};
  judging_.release();
}

std::span<const double> Propensities::of_target(const std::vector<double>& scores, std::int32_t t) const {
  const std::size_t n_rows = data_.folds().size();
  return std::span(scores).subspan(static_cast<std::size_t>(t) * n_rows, n_rows);
}

const logistic_regression::Model& Propensities::fold_model(std::int32_t t, std::int32_t fold) const {
  return fold_models_[static_cast<std::size_t>(t) * static_cast<std::size_t>(data_.n_folds()) + static_cast<std::size_t>(fold)];
}

void Propensities::calibrate(std::int32_t t) {
  Propensity& result = results_[static_cast<std::size_t>(t)];
  result.percentile_cuts = session_.backend().percentile_cuts(of_target(log_odds_, t));
  if (options_.calibration == CalibrationChoice::none) {
    result.calibration_reason = "none, as asked for";
    return;
  }
  if (!result.in_every_fold) {
    result.calibration_reason = data_.n_folds() == 0 ? "none: no scores were cross-fitted" : "none: a fold lacks one of the outcomes";
    if (options_.calibration != CalibrationChoice::automatic)
      session_.warn(result.target.name + ": not calibrated, because a fold lacks one of the outcomes");
    return;
  }
  const std::vector<std::int8_t> outcomes = data_.outcomes_where(t, true);
  const ScoredRows rows{of_target(cross_fitted_, t), outcomes, input_.weights().steps, {}};
  const auto ranked = session_.backend().rank_scores(rows, 0);
  ChosenCalibration chosen = choose_calibration(session_.context(), options_.calibration, ranked.front(),
                                                evaluation::effective_shares(session_.context(), rows).front().all);
  result.calibrator = std::move(chosen.calibrator);
  result.calibration_reason = std::move(chosen.reason);
}

void Propensities::evaluate(std::int32_t t) {
  Propensity& result = results_[static_cast<std::size_t>(t)];
  const bool cross_fitted = data_.judged() == Judged::cross_fitted;
  std::vector<std::int8_t> outcomes = data_.outcomes_where(t, data_.judged() != Judged::held_out);
  if (cross_fitted)  // a fold without a model has no scores
    for (std::size_t row = 0; row < outcomes.size(); ++row)
      if (!fold_model(t, data_.folds()[row]).refusal.empty()) outcomes[row] = -1;
  const ScoredRows rows{of_target(cross_fitted ? cross_fitted_ : log_odds_, t), outcomes, input_.weights().steps, segments_.labels};
  const std::vector<RankedScores> ranked = session_.backend().rank_scores(rows, segments_.size());
  const std::vector<evaluation::EffectiveShares> effective = evaluation::effective_shares(session_.context(), rows, segments_.size());
  for (std::size_t s = 0; s < ranked.size(); ++s)
    result.evaluations.push_back(evaluation::evaluate(session_.context(), ranked[s], result.calibrator, effective[s]));
}

io::PropensityModels Propensities::models() const {
  io::PropensityModels models{
      .transform = data_.transform(), .raw_columns = {}, .seed = session_.context().seed(), .where = input_.where(), .targets = {}};
  for (const io::FeatureColumn& column : data_.predictors().columns()) models.raw_columns.push_back({column.name, column.onehot_of});
  for (const Propensity& result : results_) {
    io::StoredTarget stored{.name = result.target.name, .positive = result.target.positive, .model = result.model};
    stored.C = options_.params.C;
    if (segments_.effects) stored.segment_names = segments_.names;
    stored.calibrator = result.calibrator;
    stored.percentile_cuts = result.percentile_cuts;
    stored.base_rate = result.base_rate();
    stored.events = result.target.events();
    stored.min_events = options_.min_events;
    models.targets.push_back(std::move(stored));
  }
  return models;
}

}  // namespace coterie::tools
