#include "tools/propensity_options.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/error.hpp"

namespace coterie::tools {

namespace {

using logistic_regression::Penalty;

Goal parse_goal(const std::string& text) {
  constexpr double kMost = 1e15;
  const std::vector<std::string> parts = CLI::detail::split(text, ':');
  Goal goal{.name = parts.front()};
  if (parts.size() > 1 && !parts[1].empty()) goal.cost = parse_number<double>(parts[1], "--goal " + goal.name, 0.0, kMost);
  if (parts.size() > 2) goal.value = parse_number<double>(parts[2], "--goal " + goal.name, 0.0, kMost);
  if (parts.size() > 3) throw ArgumentError(fmt::format("--goal {}: expected NAME, NAME:COST or NAME:COST:VALUE.", text));
  return goal;
}

}  // namespace

void add_propensity_options(CLI::App& app, PropensityOptions& options) {
  app.add_option("--target", options.targets, "Outcome columns to predict, NAME or NAME=LEVEL where LEVEL is what counts as 1")
      ->delimiter(',');
  app.add_option("--positive", options.positive, "The level that counts as 1 in targets without one of their own");
  add_choice<Penalty>(app, "--penalty", options.params.penalty, {{"l2", Penalty::l2}, {"none", Penalty::none}, {"firth", Penalty::firth}},
                      "l2, none, or firth (finite estimates where a column separates the outcomes)");
  add_number(app, "--C", options.params.C, 1e-12, 1e12,
             "Inverse strength of the l2 penalty, of columns as --transform leaves them: standardised, but as they are with none");
  add_number(app, "--holdout", options.split.holdout, 0.0, 0.9,
             "Share of the customers, by a hash of seed and id, that no fit sees and that judge it; 0: judged in sample, which flatters");
  app.add_option("--split", options.split.column,
                 "Column with a given split: fitted where it says train, held out elsewhere; a column `split` is taken without it unless "
                 "--holdout is 0");
  add_number(app, "--folds", options.split.folds, 0, 100,
             "Folds of cross-fitting; 0: 5 where a calibration needs them, 1: none. With --holdout 0 they judge the fit");
  add_choice<CalibrationChoice>(app, "--calibration", options.calibration,
                                {{"auto", CalibrationChoice::automatic},
                                 {"none", CalibrationChoice::none},
                                 {"platt", CalibrationChoice::platt},
                                 {"isotonic", CalibrationChoice::isotonic}},
                                "Of probabilities, on cross-fitted scores: none, platt, isotonic, or auto (platt where it is needed)");
  add_number<std::int64_t>(app, "--min-events", options.min_events, 1, std::int64_t{1} << 40,
                           "Customers of the rarer outcome that scores of single customers need; below it models and tables only");
  app.add_option("--goal", options.goals,
                 "What a contact costs and a success is worth, NAME:COST:VALUE, for break-even and profit in the segment x goal table")
      ->delimiter(',');
}

void add_newton_options(CLI::App& app, PropensityOptions& options) {
  add_number(app, "--tol", options.params.tol, 1e-30, 1.0, "Stop when the next step is shorter: squared, in standard errors");
  add_number(app, "--max-iter", options.params.max_iter, 1, 100000, "Newton steps at most");
}

std::vector<Goal> parse_goals(const std::vector<std::string>& texts, const std::vector<std::string>& targets) {
  std::vector<Goal> goals;
  for (const std::string& target : targets) goals.push_back({.name = target});
  for (const std::string& text : texts) {
    const Goal parsed = parse_goal(text);
    const auto goal = std::find_if(goals.begin(), goals.end(), [&](const Goal& g) { return g.name == parsed.name; });
    if (goal == goals.end()) throw ArgumentError(fmt::format("--goal {}: {} is no --target.", text, parsed.name));
    *goal = parsed;
  }
  return goals;
}

}  // namespace coterie::tools
