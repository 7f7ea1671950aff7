// The units in which a sweep of logistic regressions counts, known to the pass that fills the sums and to the update that
// reads them (fixed_point.hpp). Rows enter as z = (x - center) * scale, with a last entry of 1.
#pragma once

#include <vector>

#include "host/fixed_point.hpp"
#include "host/logistic_regression.hpp"

namespace coterie::logistic_regression {

// Powers of two that bring every column near unit spread: dollars and days are as well conditioned as z-scores, and
// parameters change units without rounding. (n_columns)
std::vector<float> column_scales(const Grid& grid, const GridMoments& moments);

// Hat values are at most 1 over the weight of a row, for light rows more than this is cut off.
inline constexpr double kLargestHat = 0x1p10;

class Quanta {
 public:
  Quanta(const Model& model, const Grid& grid, const GridMoments& moments);
  double log_likelihood() const { return log_likelihood_; }
  double weight() const { return weight_; }  // of sums of w v, and of w r without z
  double linear(std::size_t i) const { return residual_ * bound_[i]; }
  double square(std::size_t i, std::size_t j) const { return weight_ * (bound_[i] * bound_[j]); }

 private:
  double weight_, residual_, log_likelihood_;
  std::vector<double> bound_;  // (n_columns + 1) powers of two above |z|
};

}  // namespace coterie::logistic_regression
