#include "tools/propensity_frames.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "host/exact_sum.hpp"
#include "host/per_worker.hpp"
#include "host/row_blocks.hpp"
#include "tools/frames.hpp"
#include "tools/propensity_rows.hpp"
#include "tools/table.hpp"

namespace coterie::tools {

namespace {

using evaluation::Evaluation;
using evaluation::Tenth;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr char kEverybody[] = "everybody";

std::vector<std::string> with_everybody(std::vector<std::string> segments) {
  segments.emplace_back(kEverybody);
  return segments;
}

// Appends a column whose entries are value_of(item).
template <class Items, class F>
void add(io::DataFrame& frame, const std::string& name, const Items& items, F&& value_of) {
  std::vector<std::decay_t<decltype(value_of(*items.begin()))>> values;
  for (const auto& item : items) values.push_back(value_of(item));
  frame.columns.emplace_back(name, std::move(values));
}

struct SegmentTenth {
  std::string segment;
  const Evaluation* whole;
  Tenth tenth, upto;  // upto: this and all higher tenths
};

std::vector<SegmentTenth> segment_tenths(const Propensity& propensity, const std::vector<std::string>& segments) {
  const std::vector<std::string> names = with_everybody(segments);
  std::vector<SegmentTenth> rows;
  const std::size_t first = propensity.evaluations.size() - names.size();  // everybody comes last
  for (std::size_t s = 0; s < names.size(); ++s) {
    const Evaluation& whole = propensity.evaluations[first + s];
    Tenth upto;
    for (const Tenth& tenth : whole.tenths) {
      const double share = upto.data_share + tenth.data_share;
      upto.mean_probability = (upto.mean_probability * upto.data_share + tenth.mean_probability * tenth.data_share) / share;
      upto.response_rate = (upto.response_rate * upto.data_share + tenth.response_rate * tenth.data_share) / share;
      upto.data_share = share;
      upto.capture_rate += tenth.capture_rate;
      upto.negative_share += tenth.negative_share;
      if (tenth.group == whole.tenths.back().group)  // not the rounding of ten sums
        for (double* all : {&upto.capture_rate, &upto.negative_share}) *all = std::isnan(*all) ? *all : 1;
      rows.push_back({names[s], &whole, tenth, upto});
    }
  }
  return rows;
}

double lift(const SegmentTenth& row, double rate) { return rate / row.whole->base_rate; }

struct GoalCell {
  std::string segment, goal;
  std::int64_t n = 0;
  double mean_probability = kNan, expected = 0;
  double break_even = kNan, worthwhile = kNan, profit = kNan;  // NaN without a cost and a value
};

// Of the customers of one segment, or of everybody.
struct GoalTally {
  std::int64_t n = 0, weight = 0, worthwhile = 0;
  ExactSum expected, profit;

  void count(double probability, std::int32_t steps, const Goal& goal, double break_even) {
    ++n;
    weight += steps;
    expected.add(probability, steps);
    if (!(probability > break_even)) return;
    ++worthwhile;
    profit.add(probability * goal.value - goal.cost, steps);
  }
  void add(const GoalTally& other) {
    n += other.n;
    weight += other.weight;
    worthwhile += other.worthwhile;
    expected.add(other.expected);
    profit.add(other.profit);
  }
};

// NaN where no probability pays.
double break_even_of(const Goal& goal) { return goal.value > 0 ? goal.cost / goal.value : kNan; }

// (n_segments + 1) of one goal
std::vector<GoalTally> tally_goal(Context& context, const Propensities& propensities, const Goal& goal, std::size_t t,
                                  const Weights& weights) {
  const auto n_segments = static_cast<std::size_t>(propensities.segments().size());
  const auto labels = propensities.segments().labels;
  const calibration::Calibrator& calibrator = propensities.results()[t].calibrator;
  const std::span<const double> log_odds = propensities.log_odds(static_cast<std::int32_t>(t));
  const double break_even = break_even_of(goal);
  PerWorker<std::vector<GoalTally>> workers(context, [n_segments] { return std::vector<GoalTally>(n_segments + 1); });
  for_each_block(context, std::ssize(log_odds), [&](std::int64_t first, std::int64_t last, std::size_t worker) {
    std::vector<GoalTally>& tallies = workers.of(worker);
    for (auto row = static_cast<std::size_t>(first); row < static_cast<std::size_t>(last); ++row) {
      const std::int32_t steps = weights.steps.empty() ? 1 : weights.steps[row], label = labels.empty() ? -1 : labels[row];
      const double probability = calibrator.probability(log_odds[row]);
      const auto count = [&](GoalTally& tally) { tally.count(probability, steps, goal, break_even); };
      count(tallies.back());
      if (label >= 0 && static_cast<std::size_t>(label) < n_segments) count(tallies[static_cast<std::size_t>(label)]);
    }
  });
  return added_up(std::move(workers));
}

// Of one goal, for every segment and everybody.
std::vector<GoalCell> goal_cells(Context& context, const Propensities& propensities, const Goal& goal, std::size_t t,
                                 const Weights& weights) {
  const std::vector<std::string> names = with_everybody(propensities.segments().names);
  const std::vector<GoalTally> tallies = tally_goal(context, propensities, goal, t, weights);
  std::vector<GoalCell> cells;
  for (std::size_t s = 0; s < names.size(); ++s) {
    const GoalTally& tally = tallies[s];
    GoalCell& cell = cells.emplace_back(GoalCell{.segment = names[s], .goal = goal.name, .n = tally.n, .break_even = break_even_of(goal)});
    cell.mean_probability = tally.expected.value() / static_cast<double>(tally.weight);
    cell.expected = tally.expected.value() * weights.step;
    if (std::isnan(goal.cost) || std::isnan(goal.value)) continue;
    cell.worthwhile = static_cast<double>(tally.worthwhile);
    cell.profit = tally.profit.value() * weights.step;
  }
  return cells;
}

struct Coefficient {
  logistic_regression::Wald plain, robust, raw;
};

std::vector<Coefficient> coefficients(const Propensity& propensity, const Transform& transform) {
  const auto raw = logistic_regression::in_raw_units(propensity.model.estimates, transform);
  std::vector<Coefficient> rows;
  for (std::size_t i = 0; i < propensity.model.estimates.values.size(); ++i)
    rows.push_back({logistic_regression::wald(propensity.model.estimates, i),
                    logistic_regression::wald(propensity.model.estimates, i, true),
                    raw ? logistic_regression::wald(*raw, i) : logistic_regression::Wald{kNan, kNan, kNan, kNan, kNan, kNan}});
  return rows;
}

// No grade comes of an area that one or two customers could move across all of them.
constexpr std::int64_t kFewestJudged = 10;

bool has_too_few(const Evaluation& evaluation) {
  return std::min(evaluation.positive_rows, evaluation.n_rows - evaluation.positive_rows) < kFewestJudged;
}

nlohmann::ordered_json number(double value) { return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(); }

}  // namespace

io::DataFrame coefficients_frame(const Propensity& propensity, const Transform& transform) {
  io::DataFrame frame{"feature", transform.names, {}};
  frame.index.emplace_back("(intercept)");
  const std::vector<Coefficient> rows = coefficients(propensity, transform);
  add(frame, "coef", rows, [](const Coefficient& c) { return c.plain.value; });
  add(frame, "std_err", rows, [](const Coefficient& c) { return c.plain.std_err; });
  add(frame, "z", rows, [](const Coefficient& c) { return c.plain.z; });
  add(frame, "p_value", rows, [](const Coefficient& c) { return c.plain.p_value; });
  add(frame, "low", rows, [](const Coefficient& c) { return c.plain.low; });
  add(frame, "high", rows, [](const Coefficient& c) { return c.plain.high; });
  add(frame, "odds_ratio", rows, [](const Coefficient& c) { return std::exp(c.plain.value); });
  add(frame, "robust_std_err", rows, [](const Coefficient& c) { return c.robust.std_err; });
  add(frame, "robust_p_value", rows, [](const Coefficient& c) { return c.robust.p_value; });
  add(frame, "raw_coef", rows, [](const Coefficient& c) { return c.raw.value; });
  add(frame, "raw_std_err", rows, [](const Coefficient& c) { return c.raw.std_err; });
  return frame;
}

io::DataFrame reasons_frame(const Transform& transform) {
  std::vector<std::string> labels, features, directions;
  std::vector<std::int64_t> codes;
  for (const Reason& reason : reasons_of(transform.names)) {
    codes.push_back(std::ssize(codes));
    labels.push_back(reason.label());
    features.push_back(reason.feature);
    directions.push_back(reason.direction);
  }
  return {"reason", std::move(labels), {{"code", codes}, {"feature", features}, {"direction", directions}}};
}

io::DataFrame effects_frame(const Propensity& propensity, const std::vector<std::string>& segments) {
  return {"segment", segments, {{"effect", propensity.model.segment_effects}, {"std_err", propensity.model.segment_std_errs}}};
}

io::DataFrame evaluation_frame(const Propensity& propensity, const std::vector<std::string>& segments) {
  io::DataFrame frame{"segment", with_everybody(segments), {}};
  const std::vector<Evaluation>& rows = propensity.evaluations;
  add(frame, "n", rows, [](const Evaluation& e) { return e.n_rows; });
  add(frame, "positives", rows, [](const Evaluation& e) { return e.positive_rows; });
  add(frame, "base_rate", rows, [](const Evaluation& e) { return e.base_rate; });
  add(frame, "auc_std_err", rows, [](const Evaluation& e) { return std::sqrt(e.auc_variance); });
  const std::pair<const char*, double Evaluation::*> measures[] = {{"mean_probability", &Evaluation::mean_probability},
                                                                   {"auc", &Evaluation::auc},
                                                                   {"auc_variance", &Evaluation::auc_variance},
                                                                   {"auc_low", &Evaluation::auc_low},
                                                                   {"auc_high", &Evaluation::auc_high},
                                                                   {"average_precision", &Evaluation::average_precision},
                                                                   {"ks", &Evaluation::ks},
                                                                   {"log_loss", &Evaluation::log_loss},
                                                                   {"brier", &Evaluation::brier},
                                                                   {"reliability", &Evaluation::reliability},
                                                                   {"resolution", &Evaluation::resolution},
                                                                   {"uncertainty", &Evaluation::uncertainty},
                                                                   {"calibration_error", &Evaluation::calibration_error},
                                                                   {"calibration_noise", &Evaluation::calibration_noise}};
  for (const auto& [name, measure] : measures) add(frame, name, rows, [field = measure](const Evaluation& e) { return e.*field; });
  add(frame, "calibration_intercept", rows, [](const Evaluation& e) { return e.recalibration.intercept; });
  add(frame, "calibration_slope", rows, [](const Evaluation& e) { return e.recalibration.slope; });
  add(frame, "calibration_slope_std_err", rows, [](const Evaluation& e) { return e.recalibration.slope_std_err; });
  add(frame, "verdict", rows, [](const Evaluation& e) { return verdict(e); });
  return frame;
}

io::DataFrame gains_frame(const Propensity& propensity, const std::vector<std::string>& segments) {
  io::DataFrame frame;
  const std::vector<SegmentTenth> rows = segment_tenths(propensity, segments);
  add(frame, "segment", rows, [](const SegmentTenth& r) { return r.segment; });
  add(frame, "group", rows, [](const SegmentTenth& r) { return std::int64_t{r.tenth.group}; });
  add(frame, "n", rows, [](const SegmentTenth& r) { return r.tenth.n_rows; });
  add(frame, "positives", rows, [](const SegmentTenth& r) { return r.tenth.positive_rows; });
  add(frame, "cumulative_data_fraction", rows, [](const SegmentTenth& r) { return r.upto.data_share; });
  add(frame, "lower_threshold", rows, [](const SegmentTenth& r) { return r.tenth.lowest_score; });
  add(frame, "lift", rows, [](const SegmentTenth& r) { return lift(r, r.tenth.response_rate); });
  add(frame, "cumulative_lift", rows, [](const SegmentTenth& r) { return lift(r, r.upto.response_rate); });
  add(frame, "response_rate", rows, [](const SegmentTenth& r) { return r.tenth.response_rate; });
  add(frame, "score", rows, [](const SegmentTenth& r) { return r.tenth.mean_probability; });
  add(frame, "cumulative_response_rate", rows, [](const SegmentTenth& r) { return r.upto.response_rate; });
  add(frame, "cumulative_score", rows, [](const SegmentTenth& r) { return r.upto.mean_probability; });
  add(frame, "capture_rate", rows, [](const SegmentTenth& r) { return r.tenth.capture_rate; });
  add(frame, "cumulative_capture_rate", rows, [](const SegmentTenth& r) { return r.upto.capture_rate; });
  add(frame, "gain", rows, [](const SegmentTenth& r) { return 100 * (lift(r, r.tenth.response_rate) - 1); });
  add(frame, "cumulative_gain", rows, [](const SegmentTenth& r) { return 100 * (lift(r, r.upto.response_rate) - 1); });
  add(frame, "kolmogorov_smirnov", rows, [](const SegmentTenth& r) { return r.upto.capture_rate - r.upto.negative_share; });
  return frame;
}

io::DataFrame calibration_frame(const Propensity& propensity, const std::vector<std::string>& segments) {
  io::DataFrame frame;
  const std::vector<SegmentTenth> rows = segment_tenths(propensity, segments);
  add(frame, "segment", rows, [](const SegmentTenth& r) { return r.segment; });
  add(frame, "bin", rows, [](const SegmentTenth& r) { return std::int64_t{r.tenth.group}; });
  add(frame, "n", rows, [](const SegmentTenth& r) { return r.tenth.n_rows; });
  add(frame, "mean_pred", rows, [](const SegmentTenth& r) { return r.tenth.mean_probability; });
  add(frame, "observed", rows, [](const SegmentTenth& r) { return r.tenth.response_rate; });
  add(frame, "lo", rows, [](const SegmentTenth& r) { return r.tenth.response_low; });
  add(frame, "hi", rows, [](const SegmentTenth& r) { return r.tenth.response_high; });
  return frame;
}

io::DataFrame goals_frame(Context& context, const Propensities& propensities, const Weights& weights) {
  const std::vector<Goal>& goals = propensities.data().goals();
  std::vector<GoalCell> cells;
  std::vector<double> everybody;
  for (std::size_t t = 0; t < goals.size(); ++t) {
    const std::vector<GoalCell> of_goal = goal_cells(context, propensities, goals[t], t, weights);
    cells.insert(cells.end(), of_goal.begin(), of_goal.end());
    everybody.insert(everybody.end(), of_goal.size(), of_goal.back().mean_probability);
  }
  io::DataFrame frame;
  add(frame, "segment", cells, [](const GoalCell& c) { return c.segment; });
  add(frame, "goal", cells, [](const GoalCell& c) { return c.goal; });
  add(frame, "n", cells, [](const GoalCell& c) { return c.n; });
  add(frame, "mean_probability", cells, [](const GoalCell& c) { return c.mean_probability; });
  std::vector<double> index;
  for (std::size_t i = 0; i < cells.size(); ++i) index.push_back(100 * cells[i].mean_probability / everybody[i]);
  frame.columns.emplace_back("index", std::move(index));
  add(frame, "expected", cells, [](const GoalCell& c) { return c.expected; });
  add(frame, "break_even", cells, [](const GoalCell& c) { return c.break_even; });
  add(frame, "worthwhile", cells, [](const GoalCell& c) { return c.worthwhile; });
  add(frame, "expected_profit", cells, [](const GoalCell& c) { return c.profit; });
  return frame;
}

std::string verdict(const Evaluation& evaluation) {
  constexpr double kFair = 0.65, kGood = 0.75, kExcellent = 0.85, kOff = 0.05;
  if (has_too_few(evaluation)) return "unknown";
  const auto& line = evaluation.recalibration;
  const double excess = evaluation.calibration_error - evaluation.calibration_noise;
  const bool is_off = excess > kOff && excess > 2 * evaluation.calibration_noise_std;
  const bool is_steep = (line.slope < 0.8 || line.slope > 1.25) && std::abs(line.slope - 1) > 2 * line.slope_std_err;
  int grade = (evaluation.auc >= kFair) + (evaluation.auc >= kGood) + (evaluation.auc >= kExcellent);
  if (grade > 0 && (is_steep || is_off)) --grade;
  return std::vector<std::string>{"poor", "fair", "good", "excellent"}[static_cast<std::size_t>(grade)];
}

std::string summary(const Propensity& propensity, Judged judged) {
  const Evaluation& all = propensity.everybody();
  std::string text = fmt::format("{} ({}): {}. ", printable(propensity.target.name), printable(propensity.target.positive), verdict(all));
  if (all.n_rows == 0) return text + "No customer was left to judge it.";
  if (has_too_few(all)) text += fmt::format("Fewer than {} customers of the rarer outcome give no grade. ", kFewestJudged);
  text += fmt::format("AUC {:.3f} ({:.3f} to {:.3f}) on {} {} customers, {} of them positive.", all.auc, all.auc_low, all.auc_high,
                      with_separators(all.n_rows), to_string(judged), with_separators(all.positive_rows));
  const Tenth& best = all.tenths.front();
  text += fmt::format(" The likeliest {} hold {} of all positives;", percent(best.data_share), percent(best.capture_rate));
  text += fmt::format(" probabilities of tenths are {:.1f} points off on average, where chance alone makes {:.1f}; calibration {}.",
                      100 * all.calibration_error, 100 * all.calibration_noise, propensity.calibration_reason);
  return text;
}

void write_propensity_tables(io::H5adWriter& file, const Propensities& propensities, const io::DataFrame& goals) {
  const std::vector<std::string>& segments = propensities.segments().names;
  for (const Propensity& propensity : propensities.results()) {
    const std::string root = io::target_path(propensity.target.name) + "/";
    file.write_frame(root + "coefficients", coefficients_frame(propensity, propensities.data().transform()));
    file.write_frame(root + "reasons", reasons_frame(propensities.data().transform()));
    if (!propensity.model.segment_effects.empty()) file.write_frame(root + "segment_effects", effects_frame(propensity, segments));
    file.write_frame(root + "evaluation", evaluation_frame(propensity, segments));
    file.write_table(root + "gains", gains_frame(propensity, segments));
    file.write_table(root + "calibration", calibration_frame(propensity, segments));
    file.write_value(root + "judged", to_string(propensities.data().judged()));
    file.write_value(root + "calibration_reason", propensity.calibration_reason);
    file.write_value(root + "log_likelihood", propensity.model.log_likelihood);
    file.write_value(root + "deviance", propensity.model.deviance());
    file.write_value(root + "null_deviance", propensity.model.null_deviance());
    file.write_value(root + "n_iter", std::int64_t{propensity.model.n_iter});
    file.write_value(root + "converged", propensity.model.converged);
  }
  file.write_table("uns/propensity/segment_goals", goals);
}

nlohmann::ordered_json propensity_json(const Propensities& propensities, const Propensity& propensity) {
  const logistic_regression::Model& model = propensity.model;
  const Evaluation& all = propensity.everybody();
  nlohmann::ordered_json json{{"target", propensity.target.name}, {"positive", propensity.target.positive}};
  json["features"] = propensities.data().transform().names;
  json["coef"] = model.coefficients;
  json["intercept"] = model.intercept();
  const std::vector<Coefficient> rows = coefficients(propensity, propensities.data().transform());
  json["std_err"] = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i + 1 < rows.size(); ++i) json["std_err"].push_back(number(rows[i].plain.std_err));
  json["intercept_std_err"] = number(rows.back().plain.std_err);
  json["log_likelihood"] = model.log_likelihood;
  json["deviance"] = model.deviance();
  json["null_deviance"] = model.null_deviance();
  json["aic"] = model.aic();
  json["n_parameters"] = model.n_parameters();
  json["n_iter"] = model.n_iter;
  json["converged"] = model.converged;
  json["n_fit"] = model.rows[0] + model.rows[1];
  json["n_judged"] = all.n_rows;
  json["judged"] = to_string(propensities.data().judged());
  json["auc"] = number(all.auc);
  json["auc_variance"] = number(all.auc_variance);
  json["auc_interval"] = {number(all.auc_low), number(all.auc_high)};
  json["average_precision"] = number(all.average_precision);
  json["ks"] = number(all.ks);
  json["log_loss"] = number(all.log_loss);
  json["brier"] = number(all.brier);
  json["calibration_slope"] = number(all.recalibration.slope);
  json["calibration_intercept"] = number(all.recalibration.intercept);
  json["calibration_error"] = number(all.calibration_error);
  json["calibration"] = propensity.calibration_reason;
  json["verdict"] = verdict(all);
  json["scored"] = propensity.scored;
  json["coefficients"] = frame_json(coefficients_frame(propensity, propensities.data().transform()));
  json["evaluation"] = frame_json(evaluation_frame(propensity, propensities.segments().names));
  json["gains"] = frame_json(gains_frame(propensity, propensities.segments().names));
  return json;
}

}  // namespace coterie::tools
