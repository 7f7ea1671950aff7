#include "cuda/packed_expansion.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cuda/half_bits.hpp"
#include "host/gaussian_density.hpp"
#include "host/gaussian_mixture_quanta.hpp"

namespace coterie::COTERIE_GPU {
namespace {

using gaussian_mixture::Model;

// What multiplies columns and their squares, scaled, and what expanding takes off the constants.
struct Factors {
  std::vector<int> exponents;                // (n_columns)
  std::vector<double> of_column, of_square;  // (n_components, n_columns)
  std::vector<double> distances;             // (n_components) half the squared length of the scaled mean

  Factors(const Model& model, std::span<const float> center) : exponents(column_exponents(model, center)), distances(model.weights.size()) {
    const std::size_t d = center.size();
    const std::vector<double> offsets = gaussian_mixture::offsets_of(model, center);
    std::vector<double> units;
    for (const int exponent : exponents) units.push_back(std::ldexp(1.0, exponent));
    for (std::size_t i = 0; i < offsets.size(); ++i) {
      const double precision = 1 / gaussian_mixture::variance_of(model, i / d, i % d), unit = units[i % d];
      of_column.push_back(offsets[i] * precision * unit);
      of_square.push_back(-0.5 * precision * unit * unit);
      distances[i / d] += 0.5 * offsets[i] * offsets[i] * precision;
    }
  }
};

// One register of a fragment: two factors of a component, from `j` on.
void set_pair(ProductFragment& fragment, std::size_t part, std::span<const double> factors, std::size_t j) {
  for (std::size_t i = j; i < std::min(j + 2, factors.size()); ++i) {
    const HalfParts parts = split_into_halves(factors[i]);
    fragment.high[part] |= parts.high << 16 * (i - j);
    fragment.low[part] |= parts.low << 16 * (i - j);
  }
}

bool exceeds(const std::vector<double>& factors) {
  return std::any_of(factors.begin(), factors.end(), [](double factor) { return !(std::abs(factor) <= kLargestFactor); });
}

}  // namespace

bool PackedExpansion::fits(const Model& model, const gaussian_mixture::Grid& grid, std::span<const float> center) {
  if (expanded_tiles(model.n_components) > kMostExpandedTiles) return false;
  if ((model.n_components + 31) / 32 * ((model.n_columns + 15) / 16) > kMostExpandedPieces) return false;
  const std::vector<double> pivots = gaussian_mixture::pivots_of(model, center);
  if (std::any_of(pivots.begin(), pivots.end(), [](double pivot) { return pivot != 0; })) return false;
  const Factors factors(model, center);
  for (std::size_t j = 0; j < center.size(); ++j) {
    const double largest = std::ldexp(grid.steps[j], 24 - factors.exponents[j]);
    if (largest * largest > kLargestFactor) return false;
  }
  return !exceeds(factors.of_column) && !exceeds(factors.of_square);
}

void PackedExpansion::upload(const Model& model, std::span<const float> center, cudaStream_t stream) {
  n_components_ = model.n_components;
  n_columns_ = model.n_columns;
  n_tiles_ = expanded_tiles(n_components_);
  n_steps_ = expanded_steps(n_columns_);
  spherical_ = model.covariance_type == gaussian_mixture::CovarianceType::spherical;
  const Factors factors(model, center);
  const std::size_t d = center.size(), n_tiles = static_cast<std::size_t>(n_tiles_),
                    padded = static_cast<std::size_t>(n_steps_ * kExpandedColumns);
  fragments_.assign(static_cast<std::size_t>(n_steps_) * n_tiles * 32, ProductFragment{});
  for (std::size_t i = 0; i < fragments_.size(); ++i) {
    const std::size_t lane = i % 32, step = i / 32 / n_tiles, k = kTileColumns * (i / 32 % n_tiles) + lane / 4;
    if (k >= model.weights.size()) continue;
    const std::size_t j = step * kExpandedColumns + lane % 4 * 2;
    set_pair(fragments_[i], 0, std::span(factors.of_column).subspan(k * d, d), j);
    set_pair(fragments_[i], 1, std::span(factors.of_square).subspan(k * d, d), j);
  }
  values_.assign(n_tiles * kTileColumns, -std::numeric_limits<float>::infinity());
  const std::vector<double> constants = gaussian::log_constants(model);
  for (std::size_t k = 0; k < constants.size(); ++k) values_[k] = static_cast<float>(constants[k] - factors.distances[k]);
  const std::size_t scales = values_.size();
  values_.resize(scales + 3 * padded);
  for (std::size_t j = 0; j < d; ++j) {
    values_[scales + j] = std::ldexp(1.0f, -factors.exponents[j]);
    values_[scales + padded + j] = std::ldexp(-center[j], -factors.exponents[j]);
    values_[scales + 2 * padded + j] = std::ldexp(1.0f, factors.exponents[j]);
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
  return {.n_components = n_components_,
          .n_columns = n_columns_,
          .n_tiles = n_tiles_,
          .n_steps = n_steps_,
          .spherical = spherical_,
          .fragments = device_fragments_.data(),
          .constants = constants,
          .scales = scales,
          .shifts = scales + padded,
          .units = scales + 2 * padded};
}

}  // namespace coterie::COTERIE_GPU
