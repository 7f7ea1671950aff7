// The algebra of a Newton step: what a sweep measured as vectors and matrices, the penalty, and the system to solve.
// Parameters are those of Search: scaled coefficients, the log-odds of the center, then segment effects.
#pragma once

#include <Eigen/Core>
#include <vector>

#include "host/logistic_regression.hpp"
#include "host/logistic_regression_quanta.hpp"

namespace coterie::logistic_regression {

using Vector = Eigen::VectorXd;
using Matrix = Eigen::MatrixXd;

// The log-likelihood at the parameters, without penalty, in real weights.
struct Point {
  Vector parameters;  // (n_columns + 1 + n_segments)
  double log_likelihood = 0;
  Vector gradient;
  Matrix hessian;         // of -log_likelihood; zero where the sweep took none
  double curvature = 0;   // sum of w v
  Matrix squared_scores;  // as hessian, after the last sweep
};

// The first sweep, at zero, tells all about the model of the intercept alone: the point is moved there.
Point point_of(const Model& model, const Statistics& statistics, const Quanta& quanta, double weight_step);

// Precision of the prior of every parameter: 0 where it is free.
Vector prior_precision(const Model& model, const Params& params, std::span<const float> scales);

// The square Cholesky pivots of a matrix scaled to a unit diagonal, in the order intercept, columns, as a share of 1:
// 1 less the squared correlation with what comes before. 0 and below `least`: dropped from what follows.
Vector pivots_of(const Matrix& hessian, double least);

// (n) without the aliased columns.
std::vector<Eigen::Index> free_parameters(const Model& model, Eigen::Index n);

// Inverse of `a` restricted to `free`, zero elsewhere; damping is raised from its value until `a` can be factorised.
struct Solved {
  Matrix inverse;
  double log_determinant = 0;
  double damping = 0;
};
Solved invert(const Matrix& a, std::span<const Eigen::Index> free);

// One step of the fixed point of Schall (1991): effects^2 / (effective number of effects), the empirical Bayes estimate
// by Laplace's approximation.
double next_segment_variance(double variance, const Vector& effects, const Matrix& covariance_of_effects);

}  // namespace coterie::logistic_regression
