#include "tools/propensity_calibration.hpp"

#include <fmt/format.h>

#include <cmath>

namespace coterie::tools {

namespace {

constexpr double kCalibrationLevel = 0.05;

ChosenCalibration automatic_calibration(Context& context, const RankedScores& ranked, double effective) {
  const calibration::Recalibration line = calibration::recalibrate(context, ranked);
  if (std::isnan(line.log_likelihood))
    return {{}, "none: no line fits the cross-fitted scores, so whether they are calibrated could not be tested"};
  const double p = std::exp((line.identity_log_likelihood - line.log_likelihood) * effective);  // of chi-squared with 2 degrees of freedom
  if (!(p < kCalibrationLevel)) return {{}, "none: cross-fitted scores are calibrated as they are"};
  return {calibration::fit_platt(context, ranked), fmt::format("platt: the slope of cross-fitted scores was {:.2f}", line.slope)};
}

}  // namespace

ChosenCalibration choose_calibration(Context& context, CalibrationChoice choice, const RankedScores& ranked, double effective) {
  switch (choice) {
    case CalibrationChoice::platt: return {calibration::fit_platt(context, ranked), "platt, as asked for"};
    case CalibrationChoice::isotonic: return {calibration::fit_isotonic(ranked), "isotonic, as asked for"};
    default: return automatic_calibration(context, ranked, effective);
  }
}

}  // namespace coterie::tools
