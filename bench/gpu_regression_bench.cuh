// Whole Newton fits of several outcomes in shared sweeps for gpu_bench, and the scores of their models.
#pragma once

#include <cmath>
#include <vector>

#include "bench/gpu_stage.cuh"
#include "cuda/logistic_regression_pass.hpp"
#include "host/context.hpp"
#include "host/tile_source.hpp"

namespace coterie::gpu {

// Log-odds of an outcome: columns of either sign, none of much effect alone.
__host__ __device__ inline double planted_log_odds(std::int64_t row, int n_columns, int outcome) {
  double eta = -3 + 0.5 * outcome;
  for (int j = 0; j < n_columns; ++j) eta += 0.4 * ((j + outcome) % 5 - 2) * static_cast<double>(make_cell(row, j)) / sqrt(n_columns / 8.0);
  return eta;
}

// target: (n_rows, n_targets)
__global__ void make_targets_kernel(std::int8_t* target, std::int64_t n_rows, int n_columns, int n_targets) {
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n_rows * n_targets; i += step) {
    const double draw = static_cast<double>(mix(static_cast<std::uint64_t>(i) + (1ull << 61)) >> 11) * 0x1p-53;
    target[i] = draw * (1 + exp(-planted_log_odds(i / n_targets, n_columns, static_cast<int>(i % n_targets)))) < 1;
  }
}

// One tile that lies on the device.
class DeviceRows final : public TileSource {
 public:
  explicit DeviceRows(const Tile& tile) : tile_(tile) {}
  std::int64_t n_rows() const override { return tile_.n_rows; }
  std::int64_t first_row() const override { return 0; }
  std::int32_t n_columns() const override { return tile_.n_columns; }
  bool is_wide() const override { return false; }
  std::int32_t n_targets() const override { return tile_.n_targets; }
  void rewind() override { done_ = false; }
  const Tile* next() override { return std::exchange(done_, true) ? nullptr : &tile_; }

 private:
  Tile tile_;
  bool done_ = false;
};

// Those of make_cell: two uniform numbers between -1 and 1.
inline kmeans::GridMoments moments_of(const Shape& shape) {
  const auto d = static_cast<std::size_t>(shape.n_columns);
  kmeans::GridMoments moments{.n_rows = shape.n_rows, .weight = shape.n_rows, .sums = WideSums(d), .squares = WideSums(d), .sample = {}};
  const auto square = static_cast<std::int64_t>(2.0 / 3 / kStep / kStep);
  for (std::size_t j = 0; j < d; ++j) moments.squares.add(j, static_cast<int128>(square) * shape.n_rows);
  return moments;
}

// Scores of 512 rows, made again on the host, and log-odds that are those of the plant within six times their standard error, at
// outcomes as rare as the rarest planted.
inline bool scores_are_right(DeviceContext& device, std::span<const logistic_regression::Model* const> models, std::int64_t n_fitted,
                             std::int32_t n_columns) {
  constexpr double kInformation = 0.04;  // of a row: p (1 - p)
  const double allowed = 6 * std::sqrt(n_columns / (kInformation * static_cast<double>(n_fitted)));
  constexpr std::int32_t kRows = 512;
  std::vector<float> x;
  for (std::int32_t row = 0; row < kRows; ++row)
    for (std::int32_t j = 0; j < n_columns; ++j) x.push_back(make_cell(row, j));
  const Tile tile{.x = x.data(), .n_rows = kRows, .n_columns = n_columns};
  Context::Options options;
  options.threads = 1;
  Context context(options);
  const auto cpu = logistic_regression::make_cpu_predictor(context);
  const auto gpu = make_logistic_regression_predictor(device, 0);
  cpu->begin(models);
  gpu->begin(models);
  const logistic_regression::Prediction expected = cpu->predict(tile), found = gpu->predict(tile);
  bool right = std::equal(found.log_odds.begin(), found.log_odds.end(), expected.log_odds.begin());
  for (std::size_t i = 0; i < found.log_odds.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i / models.size());
    right = right && std::abs(found.log_odds[i] - planted_log_odds(row, n_columns, static_cast<int>(i % models.size()))) < allowed;
  }
  return right;
}

// Bytes: of the rows and outcomes, once per sweep. Operations: log-odds, gradient and half of a symmetric product, as if every sweep took a
// Hessian of all rows, which is more than most do. n_clusters counts the outcomes.
struct RegressionCase {
  const char* stage;
  bool inference = false, own_products = false;
  std::int32_t n_segments = 0;  // with an effect of their own: 0 or 8
};
inline void measure_regression(Bench& bench, const Shape& shape, const RegressionCase& what) {
  if (!is_wanted(bench, shape)) return;
  DeviceContext& device = bench.device;
  const DeviceBuffer<float> x = make_rows(device, shape.n_rows, shape.n_columns);
  const auto n_outcomes = static_cast<double>(shape.n_rows) * shape.n_clusters;
  const DeviceBuffer<std::int8_t> target(static_cast<std::size_t>(n_outcomes));
  const DeviceBuffer<std::int32_t> label(what.n_segments > 0 ? static_cast<std::size_t>(shape.n_rows) : 0);
  const Launch how{static_cast<unsigned>(device.device.multiprocessors) * 16, 256, 0, device.compute.get()};
  launch(make_targets_kernel, how, target.data(), shape.n_rows, shape.n_columns, shape.n_clusters);
  if (label.size() > 0) launch(make_labels_kernel, how, label.data(), shape.n_rows);
  Tile tile = tile_of(x, shape);
  tile.target = target.data();
  tile.n_targets = shape.n_clusters;
  tile.label = label.data();
  const auto d = static_cast<std::size_t>(shape.n_columns);
  const kmeans::Grid grid{.steps = std::vector<double>(d, kStep)};
  const kmeans::GridMoments moments = moments_of(shape);
  std::vector<logistic_regression::Params> params;
  for (std::int32_t t = 0; t < shape.n_clusters; ++t)
    params.push_back({.target = t, .inference = what.inference, .n_segments = what.n_segments});
  const auto pass = make_logistic_regression_pass(device, grid, moments, what.own_products);
  Context::Options options;
  options.threads = 1;
  Context context(options);
  DeviceRows rows(tile);
  logistic_regression::Fit fit;
  const double seconds = median_seconds(5, [&] { fit = logistic_regression::fit(context, rows, grid, moments, params, *pass); });
  std::vector<const logistic_regression::Model*> models;
  bool right = true;
  for (const logistic_regression::Model& model : fit.models) {
    models.push_back(&model);
    right = right && model.converged;
  }
  const auto sweeps = static_cast<double>(fit.sweeps), n = static_cast<double>(shape.n_columns) + 1;
  char more[64];
  std::snprintf(more, sizeof more, ", \"sweeps\": %d", static_cast<int>(fit.sweeps));
  print_line(bench, what.stage, shape, seconds,
             {.bytes = sweeps * (4 * shape.cells() + n_outcomes),
              .operations = sweeps * n_outcomes * (4 * n + n * (n + 1)),
              .operations_per_second = bench.roofs.float32},
             right && scores_are_right(device, models, shape.n_rows, shape.n_columns), more);
}

}  // namespace coterie::gpu
