#include "host/gaussian_covariance.hpp"

#include <fmt/format.h>

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "host/error.hpp"
#include "host/gaussian_mixture_quanta.hpp"

namespace coterie::gaussian_mixture {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixView = Eigen::Map<Matrix>;
using ConstMatrixView = Eigen::Map<const Matrix>;
__extension__ typedef __float128 float128;  // a variance is a small difference of large exact sums

// Below this a Cholesky factorisation in double cannot tell a variance from rounding, however low a floor is asked for.
constexpr double kLeastFloor = 0x1p-40;

std::size_t columns_of(const Model& model) { return static_cast<std::size_t>(model.n_columns); }
std::size_t components_of(const Model& model) { return static_cast<std::size_t>(model.n_components); }

Matrix from_triangle(const double* triangle, std::size_t n) {
  Matrix matrix(n, n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j <= i; ++j) matrix(i, j) = matrix(j, i) = triangle[triangle_cells(i) + j];
  return matrix;
}

bool is_above(const Matrix& scaled, const Floor& floor) {
  return Eigen::LLT<Matrix>(scaled - floor.least * Matrix::Identity(scaled.rows(), scaled.cols())).info() == Eigen::Success;
}

// Adds reg_covar and clips the eigenvalues of a covariance, in units of the columns' variances, at the floor: among matrices
// above the floor the clipped one maximises the likelihood of rows with the given covariance. True when the covariance
// lay below the floor: then the likelihood depends on what lifted it, reg_covar or the floor.
bool hold_up(Matrix& covariance, const Floor& floor) {
  const Eigen::VectorXd unit = Eigen::Map<const Eigen::VectorXd>(floor.unit.data(), covariance.rows()).cwiseSqrt();
  const auto scale = [&] { return Matrix(unit.cwiseInverse().asDiagonal() * covariance * unit.cwiseInverse().asDiagonal()); };
  const bool held = !is_above(scale(), floor);
  covariance.diagonal().array() += floor.reg_covar;
  Matrix scaled = scale();
  if (!held || is_above(scaled, floor)) return held;
  const Eigen::SelfAdjointEigenSolver<Matrix> eigen(scaled);
  const Eigen::VectorXd clipped = eigen.eigenvalues().cwiseMax(floor.least);
  scaled = eigen.eigenvectors() * clipped.asDiagonal() * eigen.eigenvectors().transpose();
  covariance = unit.asDiagonal() * scaled * unit.asDiagonal();
  return true;
}

// The upper triangular P with P P^T = covariance^-1: the transpose of the inverse Cholesky factor.
Matrix precision_cholesky(const Matrix& covariance) {
  const Eigen::LLT<Matrix> factor(covariance);
  Matrix inverse = Matrix::Identity(covariance.rows(), covariance.cols());
  factor.matrixL().solveInPlace(inverse);
  return inverse.transpose();
}

void set_matrix(Model& model, std::size_t k, const Matrix& covariance) {
  const auto n = covariance.rows();
  MatrixView(model.covariances.data() + k * covariance_cells(model), n, n) = covariance;
  MatrixView(model.precisions_cholesky.data() + k * covariance_cells(model), n, n) = precision_cholesky(covariance);
}

void set_variance(Model& model, std::size_t cell, double variance) {
  model.covariances[cell] = variance;
  model.precisions_cholesky[cell] = 1 / std::sqrt(variance);
}

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

void set_column_variances(Model& model, std::size_t k, const Floor& floor) {
  const std::size_t d = columns_of(model);
  switch (model.covariance_type) {
    case CovarianceType::full:
      return set_matrix(model, k, Eigen::Map<const Eigen::VectorXd>(floor.unit.data(), model.n_columns).asDiagonal().toDenseMatrix());
    case CovarianceType::tied: return;
    case CovarianceType::diag:
      for (std::size_t j = 0; j < d; ++j) set_variance(model, k * d + j, floor.unit[j]);
      return;
    case CovarianceType::spherical: return set_variance(model, k, mean_of(floor.unit));
  }
}

bool set_full_covariance(Model& model, std::size_t k, const Moments& moments, const std::vector<double>& shift, const Floor& floor) {
  const std::size_t d = columns_of(model);
  const Eigen::Map<const Eigen::VectorXd> delta(shift.data(), model.n_columns);
  Matrix covariance = from_triangle(moments.second.data() + k * triangle_cells(d), d) / moments.weight[k] - delta * delta.transpose();
  const bool held = hold_up(covariance, floor);
  set_matrix(model, k, covariance);
  return held;
}

bool set_diagonal_covariance(Model& model, std::size_t k, const Moments& moments, const std::vector<double>& shift, const Floor& floor) {
  const std::size_t d = columns_of(model);
  bool held = false;
  for (std::size_t j = 0; j < d; ++j) {
    const double variance = moments.second[k * d + j] / moments.weight[k] - shift[j] * shift[j];
    const double least = floor.least * floor.unit[j];
    held = held || variance < least;
    set_variance(model, k * d + j, std::max(variance + floor.reg_covar, least));
  }
  return held;
}

bool set_spherical_covariance(Model& model, std::size_t k, const Moments& moments, std::span<const float> center, const Floor& floor) {
  const std::size_t d = columns_of(model);
  double square = moments.second[k] / moments.weight[k];
  for (std::size_t j = 0; j < d; ++j) {
    const double offset = model.means[k * d + j] - static_cast<double>(center[j]);
    square -= offset * offset;
  }
  const double variance = square / static_cast<double>(d), least = floor.least * mean_of(floor.unit);
  set_variance(model, k, std::max(variance + floor.reg_covar, least));
  return variance < least;
}

// Total scatter about the center less the scatter of the means: what is left lies within the components.
bool set_tied_covariance(Model& model, const Moments& moments, std::span<const float> center, const Floor& floor) {
  const std::size_t d = columns_of(model);
  Matrix within = from_triangle(moments.second.data(), d);
  const std::vector<double> offsets = offsets_of(model, center);
  for (std::size_t k = 0; k < components_of(model); ++k) {
    const Eigen::Map<const Eigen::VectorXd> offset(offsets.data() + k * d, model.n_columns);
    within -= moments.weight[k] * (offset * offset.transpose());
  }
  Matrix covariance = within / std::accumulate(moments.weight.begin(), moments.weight.end(), 0.0);
  const bool held = hold_up(covariance, floor);
  set_matrix(model, 0, covariance);
  return held;
}

}  // namespace

std::size_t covariance_cells(const Model& model) {
  const std::size_t d = columns_of(model);
  switch (model.covariance_type) {
    case CovarianceType::full:
    case CovarianceType::tied: return d * d;
    case CovarianceType::diag: return d;
    case CovarianceType::spherical: return 1;
  }
  return 0;
}

Floor::Floor(const Grid& grid, const GridMoments& moments, const Params& params)
    : least(std::max(params.covariance_floor, kLeastFloor)), reg_covar(params.reg_covar) {
  const float128 weight = moments.weight;
  for (std::size_t j = 0; j < grid.steps.size(); ++j) {
    const float128 mean = static_cast<float128>(moments.sums.value(j)) / weight;
    const double steps = static_cast<double>(static_cast<float128>(moments.squares.value(j)) / weight - mean * mean);
    unit.push_back(std::max(1.0, steps) * grid.steps[j] * grid.steps[j]);
  }
}

void maximise(Model& model, const Moments& moments, std::span<const float> center, const Floor& floor) {
  const std::size_t d = columns_of(model);
  const double total = std::accumulate(moments.weight.begin(), moments.weight.end(), 0.0);
  const bool tied = model.covariance_type == CovarianceType::tied;
  model.covariances.resize(covariance_cells(model) * (tied ? 1 : components_of(model)));
  model.precisions_cholesky.resize(model.covariances.size());
  model.weights.resize(components_of(model));
  model.at_floor.clear();
  std::vector<double> shift(d);  // new mean less pivot
  for (std::size_t k = 0; k < components_of(model); ++k) {
    model.weights[k] = moments.weight[k] / total;
    if (!(moments.weight[k] > 0)) {
      set_column_variances(model, k, floor);
      continue;
    }
    for (std::size_t j = 0; j < d; ++j) {
      shift[j] = moments.first[k * d + j] / moments.weight[k];
      model.means[k * d + j] = moments.pivots[k * d + j] + shift[j];
    }
    bool held = false;
    switch (model.covariance_type) {
      case CovarianceType::full: held = set_full_covariance(model, k, moments, shift, floor); break;
      case CovarianceType::tied: break;
      case CovarianceType::diag: held = set_diagonal_covariance(model, k, moments, shift, floor); break;
      case CovarianceType::spherical: held = set_spherical_covariance(model, k, moments, center, floor); break;
    }
    if (held) model.at_floor.push_back(static_cast<std::int32_t>(k));
  }
  if (tied && set_tied_covariance(model, moments, center, floor)) {
    model.at_floor.resize(components_of(model));
    std::iota(model.at_floor.begin(), model.at_floor.end(), 0);
  }
}

void start_over(Model& model, std::size_t k, std::span<const float> mean, const Floor& floor) {
  std::copy(mean.begin(), mean.end(), model.means.begin() + static_cast<std::ptrdiff_t>(k * columns_of(model)));
  const double share = 1.0 / model.n_components, rest = 1 - model.weights[k];
  for (double& weight : model.weights) weight *= (1 - share) / rest;
  model.weights[k] = share;
  set_column_variances(model, k, floor);
}

void set_precisions(Model& model, const std::vector<double>& precisions) {
  model.covariances.resize(precisions.size());
  model.precisions_cholesky.resize(precisions.size());
  const auto refuse = [](std::size_t k) {
    throw ArgumentError(fmt::format("the given precision of component {} is not positive definite; give inverse covariances", k));
  };
  const bool matrices = model.covariance_type == CovarianceType::full || model.covariance_type == CovarianceType::tied;
  const std::size_t cells = covariance_cells(model);
  for (std::size_t k = 0; matrices && k < precisions.size() / cells; ++k) {
    const Matrix precision = ConstMatrixView(precisions.data() + k * cells, model.n_columns, model.n_columns);
    const Eigen::LLT<Matrix> factor(precision);
    if (factor.info() != Eigen::Success || !precision.isApprox(precision.transpose())) refuse(k);
    const Matrix covariance = factor.solve(Matrix::Identity(model.n_columns, model.n_columns));
    if (Eigen::LLT<Matrix>(covariance).info() != Eigen::Success) refuse(k);
    set_matrix(model, k, covariance);
  }
  for (std::size_t i = 0; !matrices && i < precisions.size(); ++i) {
    if (!(precisions[i] > 0)) refuse(i / cells);
    set_variance(model, i, 1 / precisions[i]);
  }
}

}  // namespace coterie::gaussian_mixture
