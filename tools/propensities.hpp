// Propensities from input to probabilities: outcomes, split, predictors, fit with its cross-fitted folds in shared sweeps, scores,
// calibration, and an evaluation on customers that the fit has not seen: held-out ones, whom the calibration has not seen either, or by
// cross-fitting. Where that is not to be had, a warning says so.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "host/evaluation.hpp"
#include "host/logistic_regression.hpp"
#include "io/propensity_file.hpp"
#include "tools/propensity_data.hpp"
#include "tools/stopwatch.hpp"

namespace coterie::tools {

struct Propensity {  // of one target
  Target target;
  logistic_regression::Model model;
  calibration::Calibrator calibrator;
  std::string calibration_reason;  // one clause for the analyst
  std::vector<double> percentile_cuts;
  std::vector<evaluation::Evaluation> evaluations;  // (n_segments + 1) the last is everybody
  std::vector<Leak> leaks;
  bool in_every_fold = false;  // a model could be fitted without each of the folds, and there are some
  bool scored = true;          // enough events to score customers

  const evaluation::Evaluation& everybody() const { return evaluations.back(); }
  double base_rate() const { return model.weight[1] / (model.weight[0] + model.weight[1]); }
};

class Propensities {
 public:
  // Everything up to the evaluation. `options` and `segments` must outlive this object. Errors as PropensityData,
  // logistic_regression::require_fit.
  Propensities(Session& session, Input& input, const PropensityOptions& options, const SegmentLabels& segments);

  const PropensityData& data() const { return data_; }
  TileSource& rows() { return data_.staged_rows(); }
  const std::vector<Propensity>& results() const { return results_; }
  const SegmentLabels& segments() const { return segments_; }
  const Seconds& seconds() const { return seconds_; }  // all but write

  // Log-odds of a target's model before calibration: (n_rows).
  std::span<const double> log_odds(std::int32_t t) const { return of_target(log_odds_, t); }
  io::PropensityModels models() const;

 private:
  void reserve_scores();
  PropensityData read_data();
  void fit();
  void score();
  void judge();
  void calibrate(std::int32_t t);
  void evaluate(std::int32_t t);
  std::span<const double> of_target(const std::vector<double>& scores, std::int32_t t) const;
  const logistic_regression::Model& fold_model(std::int32_t t, std::int32_t fold) const;

  Session& session_;
  Input& input_;
  const PropensityOptions& options_;
  const SegmentLabels& segments_;
  Seconds seconds_;
  Reservation memory_;   // of what every customer takes, and of predictions on their way
  Reservation judging_;  // of what every customer takes until the models are judged
  Reservation ranking_;  // lent to the backend then
  PropensityData data_;
  std::vector<Propensity> results_;
  std::vector<logistic_regression::Model> fold_models_;  // (n_targets, n_folds)
  std::vector<double> log_odds_, cross_fitted_;          // (n_targets, n_rows)
};

}  // namespace coterie::tools
