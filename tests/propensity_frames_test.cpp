#include "tools/propensity_frames.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace coterie::tools {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Judged {
  double auc, slope, slope_std_err, calibration_error;
  double calibration_noise = 0, calibration_noise_std = 0;
  std::int64_t n_rows = 1000, positive_rows = 500;
};

std::string verdict_of(const Judged& judged) {
  evaluation::Evaluation evaluation;
  evaluation.auc = judged.auc;
  evaluation.recalibration.slope = judged.slope;
  evaluation.recalibration.slope_std_err = judged.slope_std_err;
  evaluation.calibration_error = judged.calibration_error;
  evaluation.calibration_noise = judged.calibration_noise;
  evaluation.calibration_noise_std = judged.calibration_noise_std;
  evaluation.n_rows = judged.n_rows;
  evaluation.positive_rows = judged.positive_rows;
  return verdict(evaluation);
}

TEST(Verdict, GoesByTheArea) {
  EXPECT_EQ(verdict_of({0.3, 1, 0.1, 0.01}), "poor");
  EXPECT_EQ(verdict_of({0.6499, 1, 0.1, 0.01}), "poor");
  EXPECT_EQ(verdict_of({0.65, 1, 0.1, 0.01}), "fair");
  EXPECT_EQ(verdict_of({0.7499, 1, 0.1, 0.01}), "fair");
  EXPECT_EQ(verdict_of({0.75, 1, 0.1, 0.01}), "good");
  EXPECT_EQ(verdict_of({0.8499, 1, 0.1, 0.01}), "good");
  EXPECT_EQ(verdict_of({0.85, 1, 0.1, 0.01}), "excellent");
}

TEST(Verdict, FallsByOneWhereProbabilitiesAreOff) {
  EXPECT_EQ(verdict_of({0.9, 1, 0.1, 0.05}), "excellent");
  EXPECT_EQ(verdict_of({0.9, 1, 0.1, 0.0501}), "good");
  EXPECT_EQ(verdict_of({0.7, 1, 0.1, 0.2}), "poor");
  EXPECT_EQ(verdict_of({0.5, 1, 0.1, 0.2}), "poor");
}

TEST(Verdict, ForgivesWhatChanceDoes) {
  EXPECT_EQ(verdict_of({0.9, 1, 0.1, 0.1, 0.06, 0.01}), "excellent");
  EXPECT_EQ(verdict_of({0.9, 1, 0.1, 0.12, 0.06, 0.01}), "good");
  EXPECT_EQ(verdict_of({0.9, 1, 0.1, 0.12, 0.06, 0.04}), "excellent");  // within two standard errors of its mean
}

TEST(Verdict, IsUnknownBelowTenOfTheRarerOutcome) {
  for (const std::int64_t positives : {1, 9, 991, 999})
    EXPECT_EQ(verdict_of({0.8, 1, 0.1, 0, 0, 0, 1000, positives}), "unknown") << positives;
  for (const std::int64_t positives : {10, 990}) EXPECT_EQ(verdict_of({0.8, 1, 0.1, 0, 0, 0, 1000, positives}), "good") << positives;
}

TEST(Verdict, FallsByOneForASlopeBeyondItsErrors) {
  for (const double slope : {0.79, 0.3, -1.0, 1.26, 3.0}) EXPECT_EQ(verdict_of({0.9, slope, 0.01, 0.01}), "good") << slope;
  for (const double slope : {0.8, 1.0, 1.25}) EXPECT_EQ(verdict_of({0.9, slope, 0.01, 0.01}), "excellent") << slope;
  EXPECT_EQ(verdict_of({0.9, 0.7, 0.16, 0.01}), "excellent");  // within two standard errors of 1
  EXPECT_EQ(verdict_of({0.9, 0.7, 0.14, 0.01}), "good");
  EXPECT_EQ(verdict_of({0.9, 1.5, 0.2, 0.06}), "good");  // for two reasons, by one all the same
}

TEST(Verdict, IsUnknownWithoutBothOutcomesAndGoesByTheRestWithoutASlope) {
  EXPECT_EQ(verdict_of({kNan, 1, 0.1, 0.01, 0, 0, 1000, 0}), "unknown");
  EXPECT_EQ(verdict_of({kNan, kNan, kNan, kNan, kNan, kNan, 0, 0}), "unknown");
  EXPECT_EQ(verdict_of({0.9, kNan, kNan, 0.01}), "excellent");
}

}  // namespace
}  // namespace coterie::tools
