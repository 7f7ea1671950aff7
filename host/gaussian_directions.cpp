// Directions that bound the densities of full components. For any U of orthonormal columns |(P U)^T t| <= |P^T t|, t = x - mean; it tells
// most where the columns of U are the axes along which rows of the mixture lie farthest off, in units of the component.
//
// Kernels err. Of y = P^T t they make y + e with |e| <= 2 (d + 1) u |P| |t| (Higham 2002, Accuracy and Stability, 3.5; norms are
// Frobenius's, a multiply-add rounds up to twice), and |t| <= |P^-1| |y|: no more than 2 (d + 1) u c |y|, c = |P| |P^-1| >= d. Of U^T y
// they make as much, for |P U| <= |P|, and 2 u c |y| more, for P and P U are rounded. Squares double both, and their sums err by 2 (d + 5)
// u. 16 (d + 4) u c is above all of it and above what higher orders add, so P U is made shorter by that.
#include <Eigen/Dense>
#include <cmath>

#include "host/gaussian_density.hpp"

namespace coterie::gaussian {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixMap = Eigen::Map<const Matrix>;
using VectorMap = Eigen::Map<const Eigen::VectorXd>;
using Directions = Eigen::Matrix<double, Eigen::Dynamic, kDirections, Eigen::RowMajor>;

constexpr std::int32_t kLeastColumns = 12, kLeastComponents = 3;  // below, a bound costs as much as it saves
constexpr int kIterations = 2;
constexpr double kLargestLoss = 0.25;

VectorMap mean_of(const Model& model, std::int32_t k) { return {model.means.data() + std::int64_t{k} * model.n_columns, model.n_columns}; }

MatrixMap square_of(const std::vector<double>& values, const Model& model, std::int32_t k) {
  const std::int64_t d = model.n_columns;
  return {values.data() + k * d * d, d, d};
}

Eigen::VectorXd mixture_mean(const Model& model) {
  Eigen::VectorXd mean = Eigen::VectorXd::Zero(model.n_columns);
  for (std::int32_t k = 0; k < model.n_components; ++k) mean += model.weights[static_cast<std::size_t>(k)] * mean_of(model, k);
  return mean;
}

// Of the mixture, about `mean`.
Matrix mixture_covariance(const Model& model, const Eigen::VectorXd& mean) {
  Matrix sum = Matrix::Zero(model.n_columns, model.n_columns);
  for (std::int32_t k = 0; k < model.n_components; ++k) {
    const Eigen::VectorXd offset = mean_of(model, k) - mean;
    sum += model.weights[static_cast<std::size_t>(k)] * (square_of(model.covariances, model, k) + offset * offset.transpose());
  }
  return sum;
}

Directions orthonormal(const Directions& columns) {
  return Eigen::HouseholderQR<Directions>(columns).householderQ() * Directions::Identity(columns.rows(), kDirections);
}

// Axes of the largest variances of the mixture's rows about the mean of component k, in units of the component: by orthogonal iteration.
Directions farthest_axes(const Matrix& covariance, const Eigen::VectorXd& offset, const MatrixMap& p) {
  Directions axes = Directions::Zero(p.rows(), kDirections);
  for (std::int64_t j = 0; j < axes.rows(); ++j) axes(j, j % kDirections) = 1;
  for (int i = 0; i < kIterations; ++i) {
    const Directions spread = p * axes;
    const Directions moved = covariance * spread + offset * (offset.transpose() * spread);
    axes = orthonormal(p.transpose() * moved);
  }
  return axes;
}

}  // namespace

std::vector<double> directions_of(const Model& model, double unit) {
  if (model.n_columns < kLeastColumns || model.n_components < kLeastComponents) return {};
  const Eigen::VectorXd mean = mixture_mean(model);
  const Matrix covariance = mixture_covariance(model, mean);
  std::vector<double> cells;
  for (std::int32_t k = 0; k < model.n_components; ++k) {
    const MatrixMap p = square_of(model.precisions_cholesky, model, k);
    const double condition = p.norm() * std::sqrt(square_of(model.covariances, model, k).trace());
    const double loss = 16 * (model.n_columns + 4) * unit * condition;
    Directions directions = Directions::Zero(model.n_columns, kDirections);
    if (loss < kLargestLoss) directions = (1 - loss) * (p * farthest_axes(covariance, mean - mean_of(model, k), p));
    cells.insert(cells.end(), directions.data(), directions.data() + directions.size());
  }
  return cells;
}

}  // namespace coterie::gaussian
