// The algebra of a Newton step: what a sweep measured as vectors and matrices, the penalty, and the system to solve.
// Parameters are those of Search: scaled coefficients, the log-odds of the center, then segment effects.
#pragma once

#include <Eigen/Core>
#include <utility>
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

// The Hessian of -log_likelihood with that of the prior.
Matrix information_of(const Point& point, const Vector& precision);

// (n) without the aliased columns, the intercept first.
std::vector<Eigen::Index> free_parameters(const Model& model, Eigen::Index n);

// `a` restricted to `free` (m, in this order) is lower lower^T; damping is raised from 0 until it can be factorised.
struct Factor {
  Matrix lower;   // (m, m) in its lower triangle
  Vector pivots;  // (m) as pivots_of has them; zeros where it was damped
  double log_determinant = 0;
  double damping = 0;
};
Factor factorise(const Matrix& a, std::span<const Eigen::Index> free);

// The inverse of `a` restricted to `free`, zero elsewhere.
struct Solved {
  Matrix inverse;
  double log_determinant = 0;
};
Solved invert(const Matrix& a, std::span<const Eigen::Index> free);

// What makes steps of gradients: the inverse of a factor's matrix, corrected by secants, the first of them first. A secant says how the
// gradient fell (fell) on a way (moved), and Broyden, Fletcher, Goldfarb and Shanno take it in; without ever writing down an inverse, by
// the two loops of Nocedal (1980).
class StepMaker {
 public:
  StepMaker(Matrix lower, std::vector<Eigen::Index> free) : lower_(std::move(lower)), free_(std::move(free)) {}
  const Matrix& lower() const { return lower_; }
  // False where rounding of the gradients would decide: the secant is left out.
  bool add_secant(const Vector& moved, const Vector& fell);
  Vector step(const Vector& gradient) const;

 private:
  Matrix lower_;
  std::vector<Eigen::Index> free_;
  std::vector<Vector> moved_, fell_;
};

// One step of the fixed point of Schall (1991): effects^2 / (effective number of effects), the empirical Bayes estimate
// by Laplace's approximation.
double next_segment_variance(double variance, const Vector& effects, const Matrix& covariance_of_effects);

}  // namespace coterie::logistic_regression
