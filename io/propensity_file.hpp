// The propensities of a result file: all that is needed to score new customers, and the tables about the models.
//   uns/propensity/predictors            format_version, seed, raw_columns, onehot_of (lists), transform (transform_record.hpp), and
//                                        where, if a condition chose the customers
//   uns/propensity/targets/<name>/model  positive, penalty, C, coef, center, at_center, intercept, segment_names, segment_effects,
//                                        calibration_method, calibration_intercept, calibration_slope, isotonic_scores,
//                                        isotonic_probabilities, percentile_cuts, base_rate, events, min_events
//   uns/propensity/targets/<name>/*      dataframes that the command line adds: coefficients, evaluation, gains, calibration
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "host/calibration.hpp"
#include "host/logistic_regression.hpp"
#include "host/transform.hpp"
#include "io/h5ad_writer.hpp"

namespace coterie::io {

struct PredictorColumn {
  std::string name;
  std::string onehot_of;  // the text column that this is an indicator of, or ""
  std::string level() const { return onehot_of.empty() ? "" : name.substr(onehot_of.size() + 1); }  // "plan=Gold" -> "Gold"
};

struct StoredTarget {
  std::string name, positive;
  logistic_regression::Model model;  // penalty, center, coefficients, at_center, segment_effects
  double C = 1;
  std::vector<std::string> segment_names;  // of the effects
  calibration::Calibrator calibrator;
  std::vector<double> percentile_cuts;  // (99)
  double base_rate = 0;                 // of the fitted customers
  std::int64_t events = 0;              // fitted customers of the rarer outcome
  std::int64_t min_events = 0;          // below it nobody is scored
};

struct PropensityModels {
  Transform transform;  // column.source indexes raw_columns
  std::vector<PredictorColumn> raw_columns;
  std::uint64_t seed = 0;
  std::string where = {};  // condition (host/row_filter.hpp) that chose the customers, or ""
  std::vector<StoredTarget> targets;
};

std::string target_path(const std::string& target);  // "uns/propensity/targets/churn"
void write_propensities(H5adWriter& file, const PropensityModels& models);

bool has_propensities(const std::filesystem::path& path);
// As read_model (model_file.hpp).
PropensityModels read_propensities(const std::filesystem::path& path);

}  // namespace coterie::io
