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
  for (std::size_t tile = 0; tile < static_cast<std::size_t>(n_tiles_); ++tile) {
    for (std::size_t step = 0; step <= tile / 2; ++step) {
      for (std::size_t lane = 0; lane < 32; ++lane) {
        ProductFragment fragment{};
        for (std::size_t half = 0; half < 2; ++half) {
          const std::size_t row = kStepRows * step + 8 * half + 2 * (lane % 4), column = kTileColumns * tile + lane / 4;
          const HalfParts first = cell(row, column), second = cell(row + 1, column);
          fragment.high[half] = first.high | second.high << 16;
          fragment.low[half] = first.low | second.low << 16;
        }
        fragments_.push_back(fragment);
      }
    }
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(n_tiles_ * kTileColumns); ++i) {
    double shift = 0;
    for (std::size_t j = 0; j <= i && i < d; ++j) shift += (model.means[k * d + j] - static_cast<double>(center[j])) * p[j * d + i];
    values_.push_back(static_cast<float>(shift));
  }
}

void PackedWhitening::upload(const Model& model, std::span<const float> center, cudaStream_t stream) {
  n_tiles_ = (model.n_columns + kTileColumns - 1) / kTileColumns;
  n_steps_ = (model.n_columns + kStepRows - 1) / kStepRows;
  exponents_ = column_exponents(model, center);
  fragments_.clear();
  values_.clear();
  for (std::size_t k = 0; k < model.weights.size(); ++k) add_component(model, k, center);
  n_fragments_ = static_cast<std::int64_t>(fragments_.size() / 32 / model.weights.size());
  for (const int exponent : exponents_) values_.push_back(std::ldexp(1.0f, -exponent));
  device_fragments_.ensure(fragments_.size());
  device_values_.ensure(values_.size());
  copy_to_device(device_fragments_.data(), fragments_.data(), fragments_.size(), stream);
  copy_to_device(device_values_.data(), values_.data(), values_.size(), stream);
}

DeviceWhitening PackedWhitening::view() const {
  return {.n_tiles = n_tiles_,
          .n_steps = n_steps_,
          .n_fragments = n_fragments_,
          .fragments = device_fragments_.data(),
          .shifts = device_values_.data(),
          .scales = device_values_.data() + values_.size() - exponents_.size()};
}

}  // namespace coterie::COTERIE_GPU
