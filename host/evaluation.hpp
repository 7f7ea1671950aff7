// How good scores are: what they rank, and whether their probabilities can be taken at their word. Counts are integers and
// sums exact, so nothing depends on the order of rows or on threads.
//
//   auc            (pairs ranked right + tied pairs / 2) / pairs, in integers; variance after DeLong et al. (1988) by
//                  mid-ranks (Sun and Xu, 2014); its interval from the shape of Hanley and McNeil (1982), as a score interval
//                  (Newcombe, 2006), where that variance says little: a perfect ranking, or fewer than ten rows in a class
//   average_precision  sum of (recall step) * precision over distinct scores
//   brier          mean (p - y)^2 = reliability - resolution + uncertainty + what varies within the ten groups (Murphy, 1973)
//   ks             the largest difference of the two classes' cumulative shares
// Weights count in every share and mean; standard errors and intervals take the effective number of rows for what is known.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "host/calibration.hpp"
#include "host/ranked_scores.hpp"

namespace coterie::evaluation {

// One tenth of the rows by descending score, 1 the highest. Equal scores stay together in the tenth of the first of them, so
// tenths can be unequal, and one without rows is left out.
struct Tenth {
  std::int32_t group = 0;
  std::int64_t n_rows = 0, positive_rows = 0;
  double data_share = 0;    // of the weight
  double lowest_score = 0;  // probability
  double mean_probability = 0;
  double response_rate = 0, response_low = 0, response_high = 0;  // with Wilson's 95 % interval
  double capture_rate = 0;                                        // share of all positives that is in here
  double negative_share = 0;                                      // share of all negatives that is in here
};

struct Evaluation {
  std::int64_t n_rows = 0, positive_rows = 0;
  double base_rate = 0, mean_probability = 0;
  // NaN where one class is missing.
  double auc = 0, auc_variance = 0, auc_low = 0, auc_high = 0;
  double average_precision = 0;
  double ks = 0;
  double log_loss = 0;
  double brier = 0, reliability = 0, resolution = 0, uncertainty = 0;
  double calibration_error = 0;  // mean |mean probability - rate| over the tenths, by weight
  // What chance gives of that where every probability is true: its mean and its standard deviation, rates being nearly normal.
  double calibration_noise = 0, calibration_noise_std = 0;
  calibration::Recalibration recalibration;
  std::vector<Tenth> tenths;
};

// score: (n_rows) finite; outcome: (n_rows) 1, 0 or -1: not to be counted; order: (n_rows) rows by ascending score, fewer than 2^31.
// NaN where one class is missing.
double area_under_roc(std::span<const double> score, std::span<const std::int8_t> outcome, std::span<const std::int32_t> order);

// Effective rows (WeightSums) per row, of each class and of both; 1 where weights are equal.
struct EffectiveShares {
  double positives = 1, negatives = 1, all = 1;
};
// (n_segments + 1) as rank_scores() ranks them.
std::vector<EffectiveShares> effective_shares(Context& context, const ScoredRows& rows, std::int32_t n_segments = 0);

// Rows of one probability, as a flat calibrator gives them, are tied, whatever their scores.
Evaluation evaluate(Context& context, const RankedScores& ranked, const calibration::Calibrator& calibrator,
                    const EffectiveShares& effective = {});

}  // namespace coterie::evaluation
