// Which calibration makes probabilities of scores.
#pragma once

#include <string>

#include "host/calibration.hpp"
#include "host/context.hpp"
#include "host/ranked_scores.hpp"
#include "tools/propensity_options.hpp"

namespace coterie::tools {

struct ChosenCalibration {
  calibration::Calibrator calibrator;
  std::string reason;  // one clause for the analyst
};

// From cross-fitted scores. `automatic` recalibrates where their line differs from the diagonal at the 5 % level (likelihood ratio, 2
// degrees of freedom). effective: the share of the rows that their weights leave, which is what a likelihood may count.
ChosenCalibration choose_calibration(Context& context, CalibrationChoice choice, const RankedScores& ranked, double effective);

}  // namespace coterie::tools
