// The tables about propensities, for the result file, people and programs.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "io/data_frame.hpp"
#include "io/h5ad_writer.hpp"
#include "tools/propensities.hpp"

namespace coterie::tools {

// Per column and, last, (intercept): coef (log-odds per clustering unit), std_err, z, p_value, low, high (95 %), odds_ratio,
// robust_std_err, robust_p_value; raw_coef and raw_std_err per raw unit, NaN unless all columns were only shifted and scaled.
io::DataFrame coefficients_frame(const Propensity& propensity, const Transform& transform);
// What the codes of T_reason1, ... stand for: reason, code, feature, direction.
io::DataFrame reasons_frame(const Transform& transform);
// Shrunk to the population: segment, effect (log-odds), std_err.
io::DataFrame effects_frame(const Propensity& propensity, const std::vector<std::string>& segments);
// One row per segment, then `everybody`.
io::DataFrame evaluation_frame(const Propensity& propensity, const std::vector<std::string>& segments);
// In long form by segment and tenth; the columns are H2O's.
io::DataFrame gains_frame(const Propensity& propensity, const std::vector<std::string>& segments);
// segment, bin, n, mean_pred, observed, lo, hi
io::DataFrame calibration_frame(const Propensity& propensity, const std::vector<std::string>& segments);
// In long form by segment and goal: what contacts there are worth; break_even (the probability that pays for a contact), worthwhile
// (customers above it) and expected_profit (of contacting these) are NaN for goals without a cost and a value.
io::DataFrame goals_frame(Context& context, const Propensities& propensities, const Weights& weights);

// poor, fair, good or excellent: by the AUC (below 0.65, 0.75, 0.85), one less where probabilities are not to be taken at their
// word: the tenths are off by 5 points and two standard errors more than chance makes them on average, or the calibration slope is beyond
// 0.8 to 1.25 and two standard errors. unknown below 10 customers of the rarer outcome.
std::string verdict(const evaluation::Evaluation& evaluation);
std::string summary(const Propensity& propensity, Judged judged);  // one paragraph for people

void write_propensity_tables(io::H5adWriter& file, const Propensities& propensities, const io::DataFrame& goals);
nlohmann::ordered_json propensity_json(const Propensities& propensities, const Propensity& propensity);

}  // namespace coterie::tools
