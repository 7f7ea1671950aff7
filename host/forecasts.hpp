// What many log-odds foretell, with the bits of calibration::forecast on every instruction set, which is chosen at run time
// (Highway). All spans of a call have one length.
#pragma once

#include <algorithm>
#include <array>
#include <span>

#include "host/calibration.hpp"

namespace coterie::calibration {

void fill_probabilities(std::span<const double> log_odds, std::span<double> probability);

struct ForecastSpans {
  std::span<double> probability, loss_of_positive, loss_of_negative;
};
void fill_forecasts(std::span<const double> log_odds, const ForecastSpans& forecasts);

// Calls f(group, x, what intercept + slope x foretells) for the groups in their order, x the log-odds of a group's score.
template <class LogOdds, class F>
void for_each_forecast(std::span<const TiedScore> groups, const LogOdds& log_odds_of, double intercept, double slope, F&& f) {
  constexpr std::size_t kMost = 256;  // at a time: their terms fill a third of the first cache
  std::array<double, kMost> x, z, probability, loss_of_positive, loss_of_negative;
  for (; !groups.empty(); groups = groups.subspan(std::min(kMost, groups.size()))) {
    const std::size_t n = std::min(kMost, groups.size());
    for (std::size_t i = 0; i < n; ++i) {
      x[i] = log_odds_of(groups[i].score);
      z[i] = intercept + slope * x[i];
    }
    fill_forecasts(std::span(z).first(n), {probability, loss_of_positive, loss_of_negative});
    for (std::size_t i = 0; i < n; ++i) f(groups[i], x[i], Forecast{probability[i], loss_of_positive[i], loss_of_negative[i]});
  }
}

}  // namespace coterie::calibration
