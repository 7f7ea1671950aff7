#include "tools/propensity_warnings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tools/table.hpp"

namespace coterie::tools {

namespace {

std::string leave_out(const std::string& what, const std::string& column) {
  return fmt::format("{}; if it is known only afterwards, leave it out: --ignore {}", what, column);
}

// The column of the transform whose coefficient is surest; -1: all are 0.
std::ptrdiff_t surest_column(const PropensityData& data, const Propensity& propensity) {
  std::ptrdiff_t surest = -1;
  double largest = 0;
  for (std::size_t i = 0; i < data.transform().columns.size(); ++i)
    if (const double z = std::abs(logistic_regression::wald(propensity.model.estimates, i).z); z > largest) {
      largest = z;
      surest = static_cast<std::ptrdiff_t>(i);
    }
  return surest;
}

void add_leaks(const PropensityData& data, const Propensity& propensity, std::vector<std::string>& warnings) {
  std::set<std::string> named;  // once, whatever the levels of a text
  for (const Leak& leak : propensity.leaks) {
    const std::string text = data.text_of(leak.column);
    if (!named.insert(text).second) continue;
    if (leak.by_area())
      warnings.push_back(leave_out(
          fmt::format("column {} alone tells the outcomes apart (AUC {:.3f})", leak.column, std::max(leak.auc, 1 - leak.auc)), text));
    else
      warnings.push_back(leave_out(fmt::format("one end of column {} holds {} of one outcome and {} of the other", leak.column,
                                               percent(leak.share), percent(leak.other_share)),
                                   text));
  }
  if (!(propensity.everybody().auc >= kLeakAuc)) return;
  const std::ptrdiff_t surest = surest_column(data, propensity);
  if (surest < 0) return;
  const std::string& column = data.source_name(static_cast<std::size_t>(surest));
  warnings.push_back(leave_out(fmt::format("an AUC of {:.3f} is hardly ever had from what is known beforehand; column {} tells most",
                                           propensity.everybody().auc, column),
                               data.text_of(column)));
}

void add_few_events(const Propensity& propensity, std::int64_t min_events, std::vector<std::string>& warnings) {
  const std::int64_t events = propensity.target.events();
  if (!propensity.scored)
    warnings.push_back(
        fmt::format("{} customers of the rarer outcome are too few to score single customers ({} are needed): models and tables only. "
                    "--min-events {} scores them all the same",
                    events, min_events, events));
  else if (events < kFewEvents)
    warnings.push_back(
        fmt::format("only {} customers of the rarer outcome; fewer than {} leave scores uncertain", with_separators(events), kFewEvents));
}

}  // namespace

std::vector<std::string> warnings_about(const PropensityData& data, const Propensity& propensity, std::int64_t min_events) {
  std::vector<std::string> warnings = logistic_regression::warnings_about(propensity.model, data.transform().names);
  add_leaks(data, propensity, warnings);
  add_few_events(propensity, min_events, warnings);
  switch (data.judged()) {
    case Judged::cross_fitted:
      if (!propensity.in_every_fold)
        warnings.emplace_back(
            "not judged on every fold, because without some folds one of the outcomes is missing; ask for fewer with --folds");
      if (propensity.calibrator.method != calibration::Method::none)
        warnings.emplace_back("its calibration is judged on the customers it was fitted on, which flatters it; --holdout judges on others");
      break;
    case Judged::in_sample: warnings.emplace_back("judged in sample, on the customers it was fitted on, which flatters it"); break;
    case Judged::held_out:
      if (std::isnan(propensity.everybody().auc))
        warnings.emplace_back("the customers held out are all of one outcome, so nothing could be judged");
      break;
  }
  return warnings;
}

}  // namespace coterie::tools
