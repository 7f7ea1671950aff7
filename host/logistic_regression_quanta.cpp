#include "host/logistic_regression_quanta.hpp"

#include <algorithm>
#include <cmath>

namespace coterie::logistic_regression {

std::vector<float> column_scales(const Grid& grid, const GridMoments& moments) {
  constexpr int kLargestExponent = 126;  // of a float32
  std::vector<float> scales;
  const double weight = static_cast<double>(moments.weight);
  for (std::size_t j = 0; j < grid.steps.size(); ++j) {
    const double mean = static_cast<double>(moments.sums.value(j)) / weight;
    const double variance = static_cast<double>(moments.squares.value(j)) / weight - mean * mean;
    const double spread = std::sqrt(std::max(variance, 1.0)) * grid.steps[j];  // a column of one value spreads by rounding at most
    scales.push_back(static_cast<float>(std::ldexp(1.0, std::clamp(-std::ilogb(spread), -kLargestExponent, kLargestExponent))));
  }
  return scales;
}

Quanta::Quanta(const Model& model, const Grid& grid, const GridMoments& moments)
    : weight_(weight_quantum(moments)), residual_(model.penalty == Penalty::firth ? weight_ * kLargestHat * 2 : weight_) {
  const std::vector<float> scales = column_scales(grid, moments);
  for (std::size_t j = 0; j < scales.size(); ++j)
    bound_.push_back(power_of_two_above(0x1p24 * grid.steps[j] * static_cast<double>(scales[j])));
  bound_.push_back(1);
  double largest = 1;  // above log 2
  for (std::size_t i = 0; i < bound_.size(); ++i) largest += std::abs(model.search.parameters[i]) * bound_[i];
  for (const double effect : model.search.effects) largest += std::abs(effect);
  log_likelihood_ = weight_ * power_of_two_above(largest);
}

}  // namespace coterie::logistic_regression
