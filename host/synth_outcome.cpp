// Outcomes of synthetic customers, with the probabilities they were drawn from.
#include <algorithm>
#include <cmath>

#include "host/calibration.hpp"
#include "host/random.hpp"
#include "host/row_blocks.hpp"
#include "host/synth.hpp"
#include "host/tile.hpp"

namespace coterie {
namespace {

constexpr double kSpread = 1.25;   // standard deviation of the log-odds
constexpr double kBestRate = 0.2;  // of the first outcome at average log-odds

double dot(const std::vector<double>& a, const double* b) {
  double sum = 0;
  for (std::size_t j = 0; j < a.size(); ++j) sum += a[j] * b[j];
  return sum;
}

}  // namespace

SynthOutcome synth_outcome(const SynthOptions& options, std::int32_t o) {
  SynthOutcome outcome;
  double squares = 0;
  for (std::int32_t j = 0; j < options.features; ++j) {
    const double uniform =
        random_uniform(options.seed, Purpose::synth_outcome, static_cast<std::uint64_t>(j), 2 * static_cast<std::uint64_t>(o));
    outcome.coefficients.push_back(2.0 * uniform - 1.0);
    squares += outcome.coefficients.back() * outcome.coefficients.back();
  }
  // Variance within personas is that of unit deviates, between them that of the centers' log-odds.
  const std::vector<double> centers = synth_centers(options), shares = synth_shares(options);
  double mean = 0, second = 0;
  for (std::size_t p = 0; p < shares.size(); ++p) {
    const double at_center = dot(outcome.coefficients, centers.data() + p * outcome.coefficients.size());
    mean += shares[p] * at_center;
    second += shares[p] * at_center * at_center;
  }
  const double scale = kSpread / std::sqrt(squares + std::max(0.0, second - mean * mean));
  for (double& coefficient : outcome.coefficients) coefficient *= scale;
  outcome.intercept = calibration::log_odds(kBestRate / (o + 1)) - scale * mean;
  return outcome;
}

void plant_outcome(Context& context, const SynthOptions& options, std::int32_t o, std::int64_t first_row, std::int64_t rows, const float* x,
                   double* probability, std::int32_t* happened) {
  const SynthOutcome outcome = synth_outcome(options, o);
  for_each_block(context, rows, [&](std::int64_t first, std::int64_t last, std::size_t) {
    for (std::int64_t i = first; i < last; ++i) {
      double log_odds = outcome.intercept;
      for (std::int32_t j = 0; j < options.features; ++j)
        log_odds += outcome.coefficients[static_cast<std::size_t>(j)] * static_cast<double>(x[i * options.features + j]);
      probability[i] = calibration::logistic(log_odds);
      const auto row = static_cast<std::uint64_t>(options.first_row + first_row + i);
      const double uniform = random_uniform(options.seed, Purpose::synth_outcome, row, 2 * static_cast<std::uint64_t>(o) + 1);
      happened[i] = uniform < probability[i] ? 1 : 0;
    }
  });
}

}  // namespace coterie
