// The M-step: sums become weights, means, covariances and their Cholesky factors, held above the floor.
#pragma once

#include <span>
#include <vector>

#include "host/gaussian_mixture.hpp"

namespace coterie::gaussian_mixture {

// Statistics as doubles, in weight steps.
struct Moments {
  std::vector<double> pivots;  // (n_components, n_columns) p
  std::vector<double> weight;  // (n_components)
  std::vector<double> first;   // (n_components, n_columns)
  std::vector<double> second;  // as Statistics::second
};

// What holds covariances up.
struct Floor {
  std::vector<double> unit;  // (n_columns) variance of each column, at least the square of its grid step
  double least = 0;          // smallest eigenvalue in these units
  double reg_covar = 0;
  Floor(const Grid& grid, const GridMoments& moments, const Params& params);
};

// Sets weights, means, covariances, precisions_cholesky and at_floor. A component of no weight keeps its mean and gets
// the variances of the columns.
void maximise(Model& model, const Moments& moments, std::span<const float> center, const Floor& floor);

// Component k starts over: mean (n_columns), weight 1 / n_components, the variances of the columns (tied keeps the
// common covariance).
void start_over(Model& model, std::size_t k, std::span<const float> mean, const Floor& floor);

// precisions_init to covariances and precisions_cholesky. ArgumentError when they are not positive definite.
void set_precisions(Model& model, const std::vector<double>& precisions);

// Doubles per component, or per model when tied, in `covariances`.
std::size_t covariance_cells(const Model& model);

}  // namespace coterie::gaussian_mixture
