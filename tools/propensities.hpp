// Propensities from input to probabilities: outcomes, split, predictors, fit with its cross-fitted folds in shared sweeps, scores,
// calibration, and an evaluation on customers that the fit has not seen: held-out ones, whom the calibration has not seen either, or by
// cross-fitting. Where that is not to be had, a warning says so.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "host/evaluation.hpp"
#include "host/logistic_regression.hpp"
#include "io/propensity_file.hpp"
#include "tools/predictors.hpp"
#include "tools/propensity_options.hpp"
#include "tools/stopwatch.hpp"
#include "tools/targets.hpp"

namespace coterie::tools {

// Segments that customers belong to, for evaluation and effects inside each.
struct SegmentLabels {
  std::vector<std::string> names;        // (n_segments); empty: none
  std::span<const std::int32_t> labels;  // (n_rows), -1 for customers in none
  bool effects = false;                  // fit one effect per segment, shrunk to the population
  std::int32_t size() const { return static_cast<std::int32_t>(names.size()); }
};

// Which customers an evaluation is about.
enum class Judged { held_out, cross_fitted, in_sample };
std::string to_string(Judged judged);  // "held-out", ...

struct Propensity {  // of one target
  Target target;
  logistic_regression::Model model;
  calibration::Calibrator calibrator;
  std::string calibration_reason;  // one clause for the analyst
  std::vector<double> percentile_cuts;
  std::vector<evaluation::Evaluation> evaluations;  // (n_segments + 1) the last is everybody
  std::vector<Leak> leaks;
  bool scored = true;  // enough events to score customers

  const evaluation::Evaluation& everybody() const { return evaluations.back(); }
  double base_rate() const { return model.weight[1] / (model.weight[0] + model.weight[1]); }
};

class Propensities {
 public:
  // Everything up to the evaluation. Errors as Targets, choose_transform, logistic_regression::require_fit.
  Propensities(Session& session, Input& input, const PropensityOptions& options, const SegmentLabels& segments);

  const std::vector<Propensity>& results() const { return results_; }
  const SegmentLabels& segments() const { return segments_; }
  const Seconds& seconds() const { return seconds_; }        // all but write
  const std::vector<Goal>& goals() const { return goals_; }  // one per target
  const Transform& transform() const { return chosen_.transform; }
  Judged judged() const { return judged_; }
  std::span<const std::int8_t> folds() const { return fold_; }

  // Log-odds of a target's model before calibration: (n_rows).
  std::span<const double> log_odds(std::int32_t t) const { return of_target(log_odds_, t); }
  io::PropensityModels models() const;
  // Clustering units, with labels where the models have segment effects; where the backend wants them.
  TileSource& rows() { return *staged_; }

 private:
  void reserve_scores();
  void choose_columns(const PropensityOptions& options);
  void fit(const PropensityOptions& options);
  void score();
  void calibrate(const PropensityOptions& options, std::int32_t t);
  void evaluate(std::int32_t t);
  std::vector<std::int8_t> outcomes_where(std::int32_t t, bool fitted) const;  // -1 for the other rows
  std::span<const double> of_target(const std::vector<double>& scores, std::int32_t t) const;
  const logistic_regression::Model& fold_model(std::int32_t t, std::int32_t fold) const;
  bool has_every_fold(std::int32_t t) const;  // a model that is fitted
  void warn_about(std::int32_t t, std::int64_t min_events);
  void warn_about_leaks(const Propensity& result);

  Session& session_;
  Input& input_;
  const SegmentLabels& segments_;
  Seconds seconds_;
  Targets targets_;
  std::vector<Goal> goals_;
  std::int32_t n_folds_;  // 0: no cross-fitting
  std::vector<std::int8_t> fold_;
  Predictors predictors_;
  ColumnSurvey survey_;
  ChosenTransform chosen_;
  std::vector<RawColumn> raw_columns_;
  std::unique_ptr<TileSource> rows_, side_, staged_;
  logistic_regression::Grid grid_;
  std::vector<Propensity> results_;
  std::vector<logistic_regression::Model> fold_models_;  // (n_targets, n_folds)
  std::vector<double> log_odds_, cross_fitted_;          // (n_targets, n_rows)
  Reservation memory_;                                   // of what every customer takes, and of predictions on their way
  Reservation judging_;                                  // of what every customer takes until the models are judged
  Reservation ranking_;                                  // lent to the backend then
  Judged judged_ = Judged::held_out;
  double C_ = 1;
  std::int64_t min_events_ = 0;
};

}  // namespace coterie::tools
