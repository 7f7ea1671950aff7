// One iteration of Gaussian mixtures for gpu_bench: sweep, statistics to the host, update.
#pragma once

#include <cmath>
#include <vector>

#include "bench/gpu_stage.cuh"
#include "cuda/gaussian_mixture_pass.hpp"
#include "host/gaussian_covariance.hpp"
#include "host/gaussian_mixture_quanta.hpp"
#include "tests/reference/gaussian_mixture.hpp"

namespace coterie::gpu {

struct MixtureShape {
  std::int64_t n_rows;
  std::int32_t n_columns, n_components;
  gaussian_mixture::CovarianceType type;
};

// Means at rows, variances of the noise.
inline gaussian_mixture::Model make_mixture(const MixtureShape& shape) {
  const auto k = static_cast<std::size_t>(shape.n_components), d = static_cast<std::size_t>(shape.n_columns);
  gaussian_mixture::Model model;
  model.covariance_type = shape.type;
  model.n_components = shape.n_components;
  model.n_columns = shape.n_columns;
  model.weights.assign(k, 1.0 / static_cast<double>(k));
  for (std::int32_t c = 0; c < shape.n_components; ++c)
    for (std::int32_t j = 0; j < shape.n_columns; ++j) model.means.push_back(static_cast<double>(make_cell(c * 7919, j)));
  constexpr double kPrecision = 3;  // of a number between -1 and 1
  const bool full = shape.type == gaussian_mixture::CovarianceType::full;
  std::vector<double> precisions(full ? k * d * d : k * d, full ? 0.0 : kPrecision);
  for (std::size_t i = 0; full && i < k * d; ++i) precisions[i / d * d * d + i % d * (d + 1)] = kPrecision;
  set_precisions(model, precisions);
  model.sweep_tolerance = gaussian_mixture::Params{}.tol / 20;  // as in a fit
  return model;
}

// The log-likelihood of 512 rows, made again on the host, within a millionth of the textbook's.
inline bool likelihood_is_right(const MixtureShape& shape, const gaussian_mixture::Model& model, double log_likelihood) {
  const auto d = static_cast<std::size_t>(shape.n_columns);
  std::vector<float> x;
  for (std::int64_t row = 0; row < 512; ++row) {
    for (std::int32_t j = 0; j < shape.n_columns; ++j) x.push_back(make_cell(row, j));
  }
  reference::Mixture mixture{.d = d, .weights = model.weights, .means = {}, .covariances = {}};
  for (std::size_t k = 0; k < model.weights.size(); ++k) {
    mixture.means.emplace_back(model.means.begin() + static_cast<std::ptrdiff_t>(k * d),
                               model.means.begin() + static_cast<std::ptrdiff_t>((k + 1) * d));
    std::vector<double>& covariance = mixture.covariances.emplace_back(d * d);
    for (std::size_t j = 0; j < d; ++j) covariance[j * (d + 1)] = gaussian_mixture::variance_of(model, k, j);
  }
  const double expected = reference::expect(x, std::vector<double>(512, 1.0), mixture).total;
  return std::abs(log_likelihood - expected) < 1e-6 * std::abs(expected);
}

// Bytes: of the rows, once. Operations: multiplications and additions of squares and sums for every row and component, of
// full covariances the triangles, as if no responsibility were zero.
inline void measure_mixture(Bench& bench, const MixtureShape& shape) {
  const Shape plain{shape.n_rows, shape.n_columns, shape.n_components, 1};
  if (!is_wanted(bench, plain)) return;
  DeviceContext& device = bench.device;
  const DeviceBuffer<float> x = make_rows(device, shape.n_rows, shape.n_columns);
  const auto d = static_cast<std::size_t>(shape.n_columns);
  const gaussian_mixture::Grid grid{.steps = std::vector<double>(d, kStep)};
  const gaussian_mixture::GridMoments moments{
      .n_rows = shape.n_rows, .weight = shape.n_rows, .sums = WideSums(d), .squares = WideSums(d), .sample = {}};
  const gaussian_mixture::Model model = make_mixture(shape);
  const gaussian_mixture::Model* const models[] = {&model};
  const auto pass = make_gaussian_mixture_pass(device, grid, moments);
  const auto sweep = [&](std::int32_t n_rows) {
    pass->begin(models);
    pass->accumulate({.x = x.data(), .n_rows = n_rows, .n_columns = shape.n_columns, .memory = Memory::device});
    return pass->finish();
  };
  gaussian_mixture::Params params;
  params.n_components = shape.n_components;
  params.covariance_type = shape.type;
  const double seconds = median_seconds(8, [&] {
    const gaussian_mixture::SweepStatistics statistics = sweep(static_cast<std::int32_t>(shape.n_rows));
    gaussian_mixture::Model next = model;
    update(next, statistics.models.front(), grid, moments, params);
  });
  const double log_likelihood = static_cast<double>(sweep(512).models.front().log_likelihood.value(0)) *
                                gaussian_mixture::Quanta(model, grid, moments).log_likelihood();
  const bool full = shape.type == gaussian_mixture::CovarianceType::full;
  const Work work{.bytes = 4 * plain.cells(),
                  .operations = plain.cells() * shape.n_components * (full ? 2.0 * (shape.n_columns + 1) : 8.0),
                  .operations_per_second = bench.roofs.float32};
  print_line(bench, full ? "mixture full" : "mixture diag", plain, seconds, work, likelihood_is_right(shape, model, log_likelihood), "");
}

}  // namespace coterie::gpu
