// The options of propensities, which `propensity` and `run` share.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "host/logistic_regression.hpp"
#include "tools/options.hpp"
#include "tools/targets.hpp"

namespace coterie::tools {

enum class CalibrationChoice { automatic, none, platt, isotonic };

// Fewer events than this say too little about single customers; fewer than the second are worth a warning.
inline constexpr std::int64_t kFewestEvents = 100;
inline constexpr std::int64_t kFewEvents = 500;

struct Goal {  // what a contact costs and what a success is worth; NaN where nobody said
  std::string name;
  double cost = std::numeric_limits<double>::quiet_NaN(), value = std::numeric_limits<double>::quiet_NaN();
};

struct PropensityOptions {
  std::vector<std::string> targets;    // NAME or NAME=LEVEL
  std::string positive;                // LEVEL of targets without one
  logistic_regression::Params params;  // penalty, C, max_iter, tol
  SplitOptions split;
  CalibrationChoice calibration = CalibrationChoice::automatic;
  std::int64_t min_events = kFewestEvents;
  std::vector<std::string> goals;  // NAME[:COST[:VALUE]]
  bool only_active = false;        // --active was given: indicators of text columns are not added
  TransformOptions transform;      // `auto` means propensity_transform.hpp
};

// --target --positive --penalty --C --holdout --split --folds --calibration --min-events --goal
void add_propensity_options(CLI::App& app, PropensityOptions& options);
void add_newton_options(CLI::App& app, PropensityOptions& options);  // --tol --max-iter

// Goals by the names of targets; every target is one, at cost 0 and value 1 where not said. ArgumentError: no such target.
std::vector<Goal> parse_goals(const std::vector<std::string>& texts, const std::vector<std::string>& targets);

}  // namespace coterie::tools
