#include "cuda/packed_whitening.hpp"

#include <algorithm>
#include <cmath>

#include "cuda/half_bits.hpp"
#include "host/gaussian_mixture_quanta.hpp"

namespace coterie::COTERIE_GPU {
namespace {

using gaussian_mixture::Model;

}  // namespace

std::vector<int> column_exponents(const Model& model, std::span<const float> center) {
  const std::vector<double> offsets = gaussian_mixture::offsets_of(model, center);
  std::vector<int> exponents;
  for (std::size_t j = 0; j < center.size(); ++j) {
    double square = 0;
    for (std::size_t k = 0; k < model.weights.size(); ++k) {
      const double offset = offsets[k * center.size() + j];
      square += model.weights[k] * (gaussian_mixture::variance_of(model, k, j) + offset * offset);
    }
    exponents.push_back(std::ilogb(std::sqrt(square)));
  }
  return exponents;
}

HalfParts split_into_halves(double value) {
  const std::uint32_t high = to_half_bits(static_cast<float>(value));
  return {high, to_half_bits(static_cast<float>(value - static_cast<double>(from_half_bits(high))))};
}

bool PackedWhitening::fits(const Model& model, const gaussian_mixture::Grid& grid, std::span<const float> center) {
  const std::vector<int> exponents = column_exponents(model, center);
  const std::size_t d = center.size();
  for (std::size_t j = 0; j < d; ++j)
    if (std::ldexp(grid.steps[j], 24 - exponents[j]) > kLargestFactor) return false;
  for (std::size_t i = 0; i < model.precisions_cholesky.size(); ++i)
    if (std::abs(std::ldexp(model.precisions_cholesky[i], exponents[i / d % d])) > kLargestFactor) return false;
  return true;
}

void PackedWhitening::add_component(const Model& model, std::size_t k, std::span<const float> center) {
  const std::size_t d = center.size();
  const double* const p = model.precisions_cholesky.data() + k * d * d;
  const auto cell = [&](std::size_t row, std::size_t column) {
    return row < d && column < d && row <= column ? split_into_halves(std::ldexp(p[row * d + column], exponents_[row])) : HalfParts{0, 0};
  };
  const auto fragment = [&](std::size_t tile, std::size_t step, std::size_t lane) {
    ProductFragment of_lane{};
    for (std::size_t half = 0; half < 2; ++half) {
      const std::size_t row = kStepRows * step + 8 * half + 2 * (lane % 4), column = kTileColumns * tile + lane / 4;
      const HalfParts first = cell(row, column), second = cell(row + 1, column);
      of_lane.high[half] = first.high | second.high << 16;
      of_lane.low[half] = first.low | second.low << 16;
    }
    return of_lane;
  };
  const auto shift = [&](std::size_t column) {
    double sum = 0;
    for (std::size_t j = 0; j <= column && column < d; ++j)
      sum += (model.means[k * d + j] - static_cast<double>(center[j])) * p[j * d + column];
    return static_cast<float>(-sum);
  };
  for (std::size_t pair = 0; pair < static_cast<std::size_t>(product_pairs(model.n_columns)); ++pair) {
    for (std::size_t step = 0; step <= pair; ++step) {
      ProductUnit unit{};
      for (std::size_t i = 0; i < 64; ++i) unit.fragments[i / 32][i % 32] = fragment(2 * pair + i / 32, step, i % 32);
      for (std::size_t i = 0; i < 2 * kTileColumns && step == 0; ++i) unit.shifts[i] = shift(2 * kTileColumns * pair + i);
      units_.push_back(unit);
    }
  }
}

void PackedWhitening::upload(const Model& model, std::span<const float> center, cudaStream_t stream) {
  exponents_ = column_exponents(model, center);
  units_.clear();
  scales_.clear();
  for (std::size_t k = 0; k < model.weights.size(); ++k) add_component(model, k, center);
  for (const int exponent : exponents_) scales_.push_back(std::ldexp(1.0f, -exponent));
  device_units_.ensure(units_.size());
  device_scales_.ensure(scales_.size());
  copy_to_device(device_units_.data(), units_.data(), units_.size(), stream);
  copy_to_device(device_scales_.data(), scales_.data(), scales_.size(), stream);
}

DeviceWhitening PackedWhitening::view() const { return {.units = device_units_.data(), .scales = device_scales_.data()}; }

}  // namespace coterie::COTERIE_GPU
