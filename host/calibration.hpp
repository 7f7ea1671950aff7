// From scores to probabilities that can be taken at their word. A calibrator is fitted on scores of rows that the scoring
// model has not seen; it never reverses the order of two customers.
//
//   platt     logistic(intercept + slope * score), on targets (n1 + 1) / (n1 + 2) and 1 / (n0 + 2) (J. Platt, 1999)
//   isotonic  the non-decreasing step function of least squares, by pool-adjacent-violators (Ayer et al., 1955), with
//             straight lines between its blocks
#pragma once

#include <cstdint>
#include <vector>

#include "host/context.hpp"
#include "host/ranked_scores.hpp"

namespace coterie::calibration {

double logistic(double log_odds);     // 1 / (1 + exp(-x)), without overflow
double log_odds(double probability);  // log(p / (1 - p))

// What log-odds foretell.
struct Forecast {
  double probability;                         // logistic(log_odds)
  double loss_of_positive, loss_of_negative;  // -log(probability), -log(1 - probability)
};
Forecast forecast(double log_odds);

enum class Method { none, platt, isotonic };

struct Calibrator {
  Method method = Method::none;
  double intercept = 0, slope = 1;            // platt; none is the identity
  std::vector<double> scores, probabilities;  // isotonic: knots, ascending; probabilities within [least, 1 - least] below
  double log_odds(double score) const;
  double probability(double score) const;
  bool is_flat() const;  // everybody has one probability, and nobody ranks before another
};

// Maximum likelihood of P(positive) = logistic(intercept + slope * score) over weighted rows, by Newton's method with
// step halving. Cox's recalibration (D. R. Cox, 1958) when the scores are log-odds of predictions: 0 and 1 where they are calibrated.
struct Recalibration {
  double intercept = 0, slope = 1;                         // NaN where no finite maximum exists: one class only, or separated
  double intercept_std_err = 0, slope_std_err = 0;         // of a unit of weight per row, whatever the scale of the weights
  double log_likelihood = 0, identity_log_likelihood = 0;  // at the maximum, and at intercept 0 and slope 1; in rows
};
Recalibration recalibrate(Context& context, const RankedScores& ranked);
// The same with the log-odds that `calibrator` gives to the scores.
Recalibration recalibrate(Context& context, const RankedScores& ranked, const Calibrator& calibrator);

// Both: ArgumentError unless both classes have a row. Slope 0 and the rate where scores rank no better than chance.
Calibrator fit_platt(Context& context, const RankedScores& ranked);
// Values are kept 1 / (n + 2) away from 0 and 1, n = rows: no finite sample says never or always.
Calibrator fit_isotonic(const RankedScores& ranked);

}  // namespace coterie::calibration
