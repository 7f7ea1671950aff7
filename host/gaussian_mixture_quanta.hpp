// The units in which a sweep over a mixture counts, known to the pass that fills the sums and to the update that reads
// them (fixed_point.hpp). c: the center of fixed_point.hpp.
#pragma once

#include <span>
#include <vector>

#include "host/fixed_point.hpp"
#include "host/gaussian_mixture.hpp"

namespace coterie::gaussian_mixture {

// The mean of a model, rounded to float32: what predictors take off rows where there is no grid any more.
std::vector<float> mean_row(const Model& model);  // (n_columns)

// Variance of a column under a component.
double variance_of(const Model& model, std::size_t k, std::size_t column);

// Means less the center, (n_components, n_columns).
std::vector<double> offsets_of(const Model& model, std::span<const float> center);

// p - c of one model, (n_components, n_columns). Where every mean lies within 32 standard deviations of the center, all
// zero: sums about the center are the shortest, and cost at most 10 of the bits of a variance. Elsewhere the means before
// the M-step, rounded to float32, so that float32 sums are about the same pivots as double ones.
std::vector<double> pivots_of(const Model& model, std::span<const float> center);

class Quanta {
 public:
  Quanta(const Model& model, const Grid& grid, const GridMoments& moments);
  double weight() const { return weight_; }
  double first(std::size_t column) const { return weight_ * bound_[column]; }
  double second(std::size_t row, std::size_t column) const { return weight_ * (bound_[row] * bound_[column]); }
  double square() const { return weight_ * square_; }  // of |x - c|^2
  double log_likelihood() const { return log_likelihood_; }

 private:
  double weight_;
  std::vector<double> bound_;  // (n_columns) powers of two above |x - p| and |x - c|
  double square_;              // a power of two above the sum of squares of the bounds
  double log_likelihood_;
};

// Cells of Statistics::second.
constexpr std::size_t second_cells(CovarianceType type, std::size_t n_components, std::size_t n_columns) {
  switch (type) {
    case CovarianceType::full: return n_components * triangle_cells(n_columns);
    case CovarianceType::tied: return triangle_cells(n_columns);
    case CovarianceType::diag: return n_components * n_columns;
    case CovarianceType::spherical: return n_components;
  }
  return 0;
}

}  // namespace coterie::gaussian_mixture
