#include "host/logistic_regression_newton.hpp"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "host/elementary.hpp"

namespace coterie::logistic_regression {
namespace {

Matrix from_triangle(const WideSums& sums, const Quanta& quanta, Eigen::Index n, double factor) {
  Matrix matrix(n, n);
  std::size_t cell = 0;
  for (Eigen::Index i = 0; i < n; ++i)
    for (Eigen::Index j = 0; j <= i; ++j, ++cell)
      matrix(i, j) = matrix(j, i) =
          static_cast<double>(sums.value(cell)) * (quanta.square(static_cast<std::size_t>(i), static_cast<std::size_t>(j)) * factor);
  return matrix;
}

Vector linear_sums(const WideSums& sums, const Quanta& quanta, double factor) {
  Vector values(static_cast<Eigen::Index>(sums.size()));
  for (std::size_t i = 0; i < sums.size(); ++i)
    values[static_cast<Eigen::Index>(i)] = static_cast<double>(sums.value(i)) * (quanta.linear(i) * factor);
  return values;
}

// Segments as further columns of ones and zeros, without ever being columns. square: (n + n_segments) squared, of which the first n
// rows and columns are there; sums: (n_segments, n) of what its cells add up, by segment.
void border(Matrix& square, const WideSums& sums, const Quanta& quanta, Eigen::Index n, double factor) {
  for (Eigen::Index s = 0; s < square.rows() - n; ++s) {
    for (Eigen::Index j = 0; j < n; ++j) {
      const double sum = static_cast<double>(sums.value(static_cast<std::size_t>(s * n + j)));
      square(n + s, j) = square(j, n + s) = sum * (quanta.linear(static_cast<std::size_t>(j)) * factor);
    }
    square(n + s, n + s) = square(n + s, n - 1);
  }
}

// At zero every row has r = y - 1/2 and v = 1/4, so sums of z, and from them gradient and Hessian for any other common
// probability, are at hand.
void move_to_intercept(Point& point, const Model& model, const Vector& curvature, Eigen::Index n) {
  const double share = model.weight[1] / (model.weight[0] + model.weight[1]);
  const double by = 4 * (0.5 - share);
  point.gradient.head(n) += by * curvature;
  point.gradient.tail(point.gradient.size() - n) += by * point.hessian.diagonal().tail(point.gradient.size() - n);
  point.hessian *= 4 * share * (1 - share);
  point.curvature *= 4 * share * (1 - share);
  point.parameters[n - 1] = coterie::log(model.weight[1]) - coterie::log(model.weight[0]);
  point.log_likelihood = model.null_log_likelihood;
}

// Row by row, because what follows does without the dropped ones.
Vector pivots_one_by_one(const Matrix& hessian, std::span<const Eigen::Index> order, double least) {
  const Eigen::Index n = hessian.rows();
  using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;  // that lie as they are multiplied
  Rows factor = Rows::Zero(n, n);
  Vector pivots = Vector::Zero(n);
  for (Eigen::Index a = 0; a < n; ++a) {
    const Eigen::Index i = order[static_cast<std::size_t>(a)];
    if (!(hessian(i, i) > 0)) continue;
    for (Eigen::Index b = 0; b < a; ++b) {
      const Eigen::Index j = order[static_cast<std::size_t>(b)];
      if (factor(b, b) == 0) continue;
      const double correlation = hessian(i, j) / std::sqrt(hessian(i, i) * hessian(j, j));
      factor(a, b) = (correlation - factor.row(a).head(b).dot(factor.row(b).head(b))) / factor(b, b);
    }
    pivots[i] = 1 - factor.row(a).head(a).squaredNorm();
    factor(a, a) = pivots[i] > least ? std::sqrt(pivots[i]) : 0;
  }
  return pivots;
}

}  // namespace

Point point_of(const Model& model, const Statistics& statistics, const Quanta& quanta, double weight_step) {
  const Eigen::Index n = model.n_columns + 1, n_segments = static_cast<Eigen::Index>(model.search.effects.size());
  Point point{.parameters = Vector(n + n_segments),
              .log_likelihood = static_cast<double>(statistics.log_likelihood.value(0)) * quanta.log_likelihood() * weight_step,
              .gradient = Vector::Zero(n + n_segments),
              .hessian = Matrix::Zero(n + n_segments, n + n_segments),
              .curvature = 0,
              .squared_scores = {}};
  point.parameters << Eigen::Map<const Vector>(model.search.parameters.data(), n),
      Eigen::Map<const Vector>(model.search.effects.data(), n_segments);
  point.gradient.head(n) = linear_sums(statistics.gradient, quanta, weight_step);
  const double all = static_cast<double>(statistics.hessian_weight.value(0)),
               chosen = static_cast<double>(statistics.hessian_weight.value(1));
  point.curvature = all * quanta.weight() * weight_step;
  const double blow_up = chosen > 0 ? all / chosen : 1.0;
  point.hessian.topLeftCorner(n, n) = from_triangle(statistics.hessian, quanta, n, weight_step * blow_up);
  border(point.hessian, statistics.segment_curvature, quanta, n, weight_step);
  for (Eigen::Index s = 0; s < n_segments; ++s)
    point.gradient[n + s] =
        static_cast<double>(statistics.segment_gradient.value(static_cast<std::size_t>(s))) * quanta.weight() * weight_step;
  if (model.n_iter == 0 && !model.search.last) move_to_intercept(point, model, linear_sums(statistics.curvature, quanta, weight_step), n);
  if (statistics.squared_scores.size() == 0) return point;
  point.squared_scores = Matrix::Zero(n + n_segments, n + n_segments);
  point.squared_scores.topLeftCorner(n, n) = from_triangle(statistics.squared_scores, quanta, n, weight_step);
  border(point.squared_scores, statistics.segment_squared, quanta, n, weight_step);
  return point;
}

Vector prior_precision(const Model& model, const Params& params, std::span<const float> scales) {
  const Eigen::Index n = model.n_columns + 1;
  Vector precision = Vector::Zero(n + static_cast<Eigen::Index>(model.search.effects.size()));
  if (params.penalty == Penalty::l2)
    for (std::size_t j = 0; j < scales.size(); ++j) {
      const double scale = static_cast<double>(scales[j]);
      precision[static_cast<Eigen::Index>(j)] = scale * scale / params.C;
    }
  precision.tail(precision.size() - n).setConstant(1 / model.segment_variance);
  return precision;
}

Vector pivots_of(const Matrix& hessian, double least) {
  const Eigen::Index n = hessian.rows();
  std::vector<Eigen::Index> order(static_cast<std::size_t>(n));
  std::iota(order.begin() + 1, order.end(), Eigen::Index{0});
  order[0] = n - 1;
  if (hessian.diagonal().minCoeff() > 0) {
    const Vector pivots = factorise(hessian, order).pivots;
    if (pivots.minCoeff() > least) {
      Vector by_parameter(n);
      by_parameter << pivots.tail(n - 1), pivots[0];
      return by_parameter;
    }
  }
  return pivots_one_by_one(hessian, order, least);
}

Matrix information_of(const Point& point, const Vector& precision) {
  Matrix information = point.hessian;
  information.diagonal() += precision;
  return information;
}

std::vector<Eigen::Index> free_parameters(const Model& model, Eigen::Index n) {
  std::vector<Eigen::Index> free{model.n_columns};
  for (Eigen::Index i = 0; i < n; ++i)
    if (i != model.n_columns && !std::binary_search(model.aliased.begin(), model.aliased.end(), static_cast<std::int32_t>(i)))
      free.push_back(i);
  return free;
}

Factor factorise(const Matrix& a, std::span<const Eigen::Index> free) {
  const Eigen::Index n = static_cast<Eigen::Index>(free.size());
  Vector unit(n);
  for (Eigen::Index i = 0; i < n; ++i) {
    const Eigen::Index at = free[static_cast<std::size_t>(i)];
    unit[i] = a(at, at) > 0 ? 1 / std::sqrt(a(at, at)) : 1.0;
  }
  Factor factor{.lower = Matrix(n, n), .pivots = {}};
  const auto copy_scaled = [&] {  // of what a factorisation looks at and overwrites
    for (Eigen::Index j = 0; j < n; ++j)
      for (Eigen::Index i = j; i < n; ++i)
        factor.lower(i, j) = unit[i] * unit[j] * a(free[static_cast<std::size_t>(i)], free[static_cast<std::size_t>(j)]);
    factor.lower.diagonal().array() += factor.damping;
  };
  copy_scaled();
  Eigen::LLT<Eigen::Ref<Matrix>> cholesky(factor.lower);
  while (cholesky.info() != Eigen::Success && factor.damping < 1) {  // Levenberg
    factor.damping = factor.damping == 0 ? 0x1p-40 : 16 * factor.damping;
    copy_scaled();
    cholesky.compute(factor.lower);
  }
  factor.pivots = factor.damping == 0 ? Vector(factor.lower.diagonal().cwiseAbs2()) : Vector::Zero(n);
  for (Eigen::Index i = 0; i < n; ++i) factor.log_determinant += 2 * (coterie::log(factor.lower(i, i)) - coterie::log(unit[i]));
  factor.lower.array().colwise() *= unit.array().inverse();
  return factor;
}

Solved invert(const Matrix& a, std::span<const Eigen::Index> free) {
  const Factor factor = factorise(a, free);
  const Eigen::Index n = factor.lower.rows();
  const Matrix half = factor.lower.triangularView<Eigen::Lower>().solve(Matrix::Identity(n, n));
  Matrix inverse = Matrix::Zero(n, n);
  inverse.selfadjointView<Eigen::Lower>().rankUpdate(half.transpose());
  Solved solved{.inverse = Matrix::Zero(a.rows(), a.cols()), .log_determinant = factor.log_determinant};
  for (Eigen::Index j = 0; j < n; ++j)
    for (Eigen::Index i = j; i < n; ++i) {
      const Eigen::Index to = free[static_cast<std::size_t>(i)], and_to = free[static_cast<std::size_t>(j)];
      solved.inverse(to, and_to) = solved.inverse(and_to, to) = inverse(i, j);
    }
  return solved;
}

bool StepMaker::add_secant(const Vector& moved, const Vector& fell) {
  constexpr double kLeastCosine = 1e-8;  // below it rounding of the gradients decides
  if (!(moved.dot(fell) > kLeastCosine * moved.norm() * fell.norm())) return false;
  moved_.push_back(moved);
  fell_.push_back(fell);
  return true;
}

Vector StepMaker::step(const Vector& gradient) const {
  Vector rest = gradient;
  std::vector<double> along(moved_.size());
  for (std::size_t i = moved_.size(); i-- > 0;) {
    along[i] = moved_[i].dot(rest) / moved_[i].dot(fell_[i]);
    rest -= along[i] * fell_[i];
  }
  Vector reduced(lower_.rows());
  for (Eigen::Index i = 0; i < reduced.size(); ++i) reduced[i] = rest[free_[static_cast<std::size_t>(i)]];
  lower_.triangularView<Eigen::Lower>().solveInPlace(reduced);
  lower_.transpose().triangularView<Eigen::Upper>().solveInPlace(reduced);
  Vector step = Vector::Zero(gradient.size());
  for (Eigen::Index i = 0; i < reduced.size(); ++i) step[free_[static_cast<std::size_t>(i)]] = reduced[i];
  for (std::size_t i = 0; i < moved_.size(); ++i) step += (along[i] - fell_[i].dot(step) / moved_[i].dot(fell_[i])) * moved_[i];
  return step;
}

double next_segment_variance(double variance, const Vector& effects, const Matrix& covariance_of_effects) {
  constexpr double kLeast = 1e-6;  // effects of a thousandth: the segments do not differ
  const double effective = static_cast<double>(effects.size()) - covariance_of_effects.trace() / variance;
  if (!(effective > 0)) return kLeast;
  return std::max(kLeast, effects.squaredNorm() / effective);
}

}  // namespace coterie::logistic_regression
