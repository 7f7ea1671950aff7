#include "cuda/packed_expansion.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "host/gaussian_density.hpp"
#include "host/gaussian_mixture_quanta.hpp"

namespace coterie::COTERIE_GPU {
namespace {

using gaussian_mixture::Model;

constexpr double kLargest = 32768;  // half of what a half holds

constexpr std::int32_t tiles_of(std::int32_t n_components) { return (n_components + kTileColumns - 1) / kTileColumns; }
constexpr std::int32_t steps_of(std::int32_t n_columns) { return (n_columns + 2 * kExpandedColumns - 1) / (2 * kExpandedColumns) * 2; }

// What multiplies columns and their squares, scaled; zero beyond the mixture.
struct Factors {
  const Model& model;
  std::vector<double> offsets;  // (n_components, n_columns)
  std::vector<int> exponents;   // (n_columns)

  Factors(const Model& m, std::span<const float> center)
      : model(m), offsets(gaussian_mixture::offsets_of(m, center)), exponents(column_exponents(m, center)) {}

  double of_column(std::size_t k, std::size_t j) const {
    if (k >= model.weights.size() || j >= exponents.size()) return 0;
    return std::ldexp(offsets[k * exponents.size() + j] / gaussian_mixture::variance_of(model, k, j), exponents[j]);
  }
  double of_square(std::size_t k, std::size_t j) const {
    if (k >= model.weights.size() || j >= exponents.size()) return 0;
    return std::ldexp(-0.5 / gaussian_mixture::variance_of(model, k, j), 2 * exponents[j]);
  }
};

void set_pair(ProductFragment& fragment, std::size_t part, double first, double second) {
  const HalfParts low = split_into_halves(first), high = split_into_halves(second);
  fragment.high[part] = low.high | high.high << 16;
  fragment.low[part] = low.low | high.low << 16;
}

}  // namespace

bool PackedExpansion::fits(const Model& model, const gaussian_mixture::Grid& grid, std::span<const float> center) {
  if (tiles_of(model.n_components) > kMostExpandedTiles) return false;
  if ((model.n_components + 31) / 32 * ((model.n_columns + 15) / 16) > kMostExpandedPieces) return false;
  const std::vector<double> pivots = gaussian_mixture::pivots_of(model, center);
  if (std::any_of(pivots.begin(), pivots.end(), [](double pivot) { return pivot != 0; })) return false;
  const Factors factors(model, center);
  for (std::size_t j = 0; j < center.size(); ++j) {
    const double largest = std::ldexp(grid.steps[j], 24 - factors.exponents[j]);
    if (largest * largest > kLargest) return false;
    for (std::size_t k = 0; k < model.weights.size(); ++k)
      if (std::max(std::abs(factors.of_column(k, j)), -factors.of_square(k, j)) > kLargest) return false;
  }
  return true;
}

void PackedExpansion::upload(const Model& model, std::span<const float> center, cudaStream_t stream) {
  n_tiles_ = tiles_of(model.n_components);
  n_steps_ = steps_of(model.n_columns);
  const Factors factors(model, center);
  fragments_.clear();
  for (std::size_t step = 0; step < static_cast<std::size_t>(n_steps_); ++step)
    for (std::size_t tile = 0; tile < static_cast<std::size_t>(n_tiles_); ++tile)
      for (std::size_t lane = 0; lane < 32; ++lane) {
        const std::size_t k = kTileColumns * tile + lane / 4;
        const std::size_t j = step / 2 * 2 * kExpandedColumns + lane % 4 * 4 + step % 2 * 2;
        ProductFragment& fragment = fragments_.emplace_back();
        set_pair(fragment, 0, factors.of_column(k, j), factors.of_column(k, j + 1));
        set_pair(fragment, 1, factors.of_square(k, j), factors.of_square(k, j + 1));
      }
  const std::size_t d = center.size();
  const gaussian::Components<double> components(model, center);
  values_.assign(static_cast<std::size_t>(n_tiles_ * kTileColumns), -std::numeric_limits<float>::infinity());
  for (std::size_t k = 0; k < model.weights.size(); ++k) {
    double constant = components.constant(static_cast<std::int32_t>(k));
    for (std::size_t j = 0; j < d; ++j)
      constant -= 0.5 * factors.offsets[k * d + j] * factors.offsets[k * d + j] / gaussian_mixture::variance_of(model, k, j);
    values_[k] = static_cast<float>(constant);
  }
  const std::size_t first_scale = values_.size(), padded = static_cast<std::size_t>(n_steps_ * kExpandedColumns);
  values_.resize(first_scale + 3 * padded);
  for (std::size_t j = 0; j < d; ++j) {
    values_[first_scale + j] = std::ldexp(1.0f, -factors.exponents[j]);
    values_[first_scale + padded + j] = std::ldexp(-center[j], -factors.exponents[j]);
    values_[first_scale + 2 * padded + j] = std::ldexp(1.0f, factors.exponents[j]);
  }
  device_fragments_.ensure(fragments_.size());
  device_values_.ensure(values_.size());
  copy_to_device(device_fragments_.data(), fragments_.data(), fragments_.size(), stream);
  copy_to_device(device_values_.data(), values_.data(), values_.size(), stream);
}

DeviceExpansion PackedExpansion::view() const {
  const float* const constants = device_values_.data();
  const float* const scales = constants + n_tiles_ * kTileColumns;
  const std::int32_t padded = n_steps_ * kExpandedColumns;
  return {.n_tiles = n_tiles_,
          .n_steps = n_steps_,
          .fragments = device_fragments_.data(),
          .constants = constants,
          .scales = scales,
          .shifts = scales + padded,
          .units = scales + 2 * padded};
}

}  // namespace coterie::COTERIE_GPU
