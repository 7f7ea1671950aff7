// What propensities are asked for, fitted on and judged by: outcomes, split, predictors, and the rows as clustering units.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "host/logistic_regression.hpp"
#include "tools/predictors.hpp"
#include "tools/propensity_options.hpp"
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

// How many folds are cross-fitted; 0: none. ArgumentError where a calibration is asked for that lacks them.
std::int32_t folds_needed(const PropensityOptions& options);

class PropensityData {
 public:
  // Sweeps over the rows to choose the transform. Errors as Targets, parse_goals, Predictors, choose_propensity_transform.
  PropensityData(Session& session, Input& input, const PropensityOptions& options, const SegmentLabels& segments);

  const Targets& targets() const { return targets_; }
  const std::vector<Goal>& goals() const { return goals_; }  // one per target
  std::int32_t n_folds() const { return n_folds_; }
  std::span<const std::int8_t> folds() const { return fold_; }  // (n_rows) -1: held out
  Judged judged() const { return judged_; }
  // (n_rows) of the rows that are fitted, or of those held out; -1 for the others.
  std::vector<std::int8_t> outcomes_where(std::int32_t t, bool fitted) const;

  const Predictors& predictors() const { return predictors_; }
  const ColumnSurvey& survey() const { return survey_; }
  const Transform& transform() const { return chosen_.transform; }
  const std::vector<RawColumn>& raw_columns() const { return raw_columns_; }
  // The column of the input that column i of the transform is made of.
  const std::string& source_name(std::size_t i) const;
  // The text that a column was made from, all of whose levels tell what one of them tells; of others, the column.
  std::string text_of(const std::string& column) const;

  const logistic_regression::Grid& grid() const { return grid_; }
  // Clustering units with outcomes, folds and weights beside them, and labels where segments have effects.
  TileSource& rows() { return *side_; }
  TileSource& staged_rows() { return *staged_; }  // where the backend wants them

 private:
  void choose_columns(Session& session, Input& input, const PropensityOptions& options);

  Targets targets_;
  std::vector<Goal> goals_;
  std::int32_t n_folds_;
  std::vector<std::int8_t> fold_;
  Judged judged_;
  Predictors predictors_;
  ColumnSurvey survey_;
  ChosenTransform chosen_;
  std::vector<RawColumn> raw_columns_;
  std::unique_ptr<TileSource> rows_, side_, staged_;
  logistic_regression::Grid grid_;
};

}  // namespace coterie::tools
