#include "cuda/center_fragments.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cuda/half_bits.hpp"

namespace coterie::COTERIE_GPU {
namespace {

constexpr int kLanes = 32;
constexpr double kSlack = 1 + 0x1p-10;  // for the roundings of the bounds themselves

// Hardware adds the products of a step, and the sum so far, on a common exponent and cuts off what lies below: in blocks of 4 to 16
// terms, each cut within 2^-23 of the sum of magnitudes. 2 * columns + 16 such errors also cover x - p, the start of the sum and the
// test, one rounding each.
double accumulation_error(std::int32_t padded_columns) { return (2 * padded_columns + 16) * 0x1p-23; }

std::int32_t count_pairs(const kmeans::Model& model) { return (model.n_clusters + kPairCenters - 1) / kPairCenters; }

}  // namespace

// The pivot is the mean of all centers: near the rows, whatever their offset.
void CenterFragments::choose_units(std::span<const kmeans::Model* const> models) {
  const auto d = static_cast<std::size_t>(n_columns_);
  std::vector<double> sums(d);
  double n_centers = 0, largest = 0;
  for (const kmeans::Model* model : models) {
    n_centers += model->n_clusters;
    for (std::size_t i = 0; i < model->cluster_centers.size(); ++i) sums[i % d] += static_cast<double>(model->cluster_centers[i]);
  }
  for (std::size_t j = 0; j < static_cast<std::size_t>(steps_) * kStepColumns; ++j)
    pivot_.data()[j] = j < d ? static_cast<float>(sums[j] / n_centers) : 0.0f;
  for (const kmeans::Model* model : models) {
    for (std::size_t i = 0; i < model->cluster_centers.size(); ++i)
      largest = std::max(largest, std::abs(static_cast<double>(model->cluster_centers[i]) - static_cast<double>(pivot_.data()[i % d])));
  }
  constexpr int kLargestExponent = 4, kReach = 126;  // of a float that is a normal number, as its inverse is
  scale_ = largest > 0 ? std::ldexp(1.0, std::clamp(kLargestExponent - std::ilogb(largest), -kReach, kReach)) : 1;
}

void CenterFragments::pack_center(const kmeans::Model& model, std::int32_t cluster, const TensorModel& at) {
  const std::int32_t pair = cluster / kPairCenters, tile = cluster / 8 % 2, group = cluster % 8;
  const float* const center = model.cluster_centers.data() + std::int64_t{cluster} * n_columns_;
  Fragment* const of_pair = fragments_.data() + at.fragments + std::int64_t{pair} * steps_ * kLanes;
  double square = 0, lost_square = 0;
  for (std::int32_t j = 0; j < n_columns_; ++j) {
    const double c = static_cast<double>(center[j]), p = static_cast<double>(pivot_.data()[j]), e = scale_ * (c - p);
    const std::uint32_t bits = to_half_bits(static_cast<float>(e));
    const double lost = std::abs(e - static_cast<double>(from_half_bits(bits))) + 0x1p-52 * scale_ * (std::abs(c) + std::abs(p));
    square += e * e;
    lost_square += lost * lost;
    Fragment& fragment = of_pair[j / kStepColumns * kLanes + 4 * group + j % kStepColumns / 4];
    const bool high = j % 4 >= 2;
    std::uint32_t& word = tile == 0 ? (high ? fragment.y : fragment.x) : (high ? fragment.w : fragment.z);
    word |= (bits ^ 0x8000u) << (j % 2 * 16);  // negated: the sum is |e|^2 / 2 - y . e
  }
  const double norm = std::sqrt(square);
  CenterPair& bounds = pairs_.data()[at.pairs + (2 * pair + tile) * 4 + group / 2];
  bounds.half_square[group % 2] = static_cast<float>(square / 2);
  bounds.norm[group % 2] = static_cast<float>(norm * kSlack);
  if (norm > 0) lost_ratio_ = std::max(lost_ratio_, std::sqrt(lost_square) / norm);
  largest_norm_ = std::max(largest_norm_, norm);
}

TensorModel CenterFragments::pack(const kmeans::Model& model, TensorModel at) {
  at.n_pairs = count_pairs(model);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::fill_n(fragments_.data() + at.fragments, std::int64_t{at.n_pairs} * steps_ * kLanes, Fragment{});
  std::fill_n(pairs_.data() + at.pairs, at.n_pairs * 2 * 4, CenterPair{{kInfinity, kInfinity}, {0, 0}});
  lost_ratio_ = largest_norm_ = 0;
  for (std::int32_t cluster = 0; cluster < model.n_clusters; ++cluster) pack_center(model, cluster, at);
  const double error = accumulation_error(steps_ * kStepColumns);
  at.of_norm = static_cast<float>((lost_ratio_ + error * (1 + lost_ratio_)) * kSlack);
  at.constant = static_cast<float>(error * largest_norm_ / 2 * kSlack);
  return at;
}

void CenterFragments::upload(std::span<const kmeans::Model* const> models, std::int32_t n_columns, cudaStream_t stream) {
  n_columns_ = n_columns;
  steps_ = count_steps(n_columns);
  std::size_t n_pairs = 0;
  for (const kmeans::Model* model : models) n_pairs += static_cast<std::size_t>(count_pairs(*model));
  const std::size_t n_fragments = n_pairs * static_cast<std::size_t>(steps_) * kLanes, n_bounds = n_pairs * 2 * 4;
  const std::size_t n_pivots = static_cast<std::size_t>(steps_) * kStepColumns;
  pivot_.ensure(n_pivots);
  fragments_.ensure(n_fragments);
  pairs_.ensure(n_bounds);
  models_.ensure(models.size());
  device_pivot_.ensure(n_pivots);
  device_fragments_.ensure(n_fragments);
  device_pairs_.ensure(n_bounds);
  device_models_.ensure(models.size());
  choose_units(models);
  TensorModel next{};
  for (std::size_t m = 0; m < models.size(); ++m) {
    models_.data()[m] = next = pack(*models[m], next);
    next.fragments += std::int64_t{next.n_pairs} * steps_ * kLanes;
    next.pairs += next.n_pairs * 2 * 4;
  }
  copy_to_device(device_pivot_.data(), pivot_.data(), n_pivots, stream);
  copy_to_device(device_fragments_.data(), fragments_.data(), n_fragments, stream);
  copy_to_device(device_pairs_.data(), pairs_.data(), n_bounds, stream);
  copy_to_device(device_models_.data(), models_.data(), models.size(), stream);
}

TensorCenters CenterFragments::on_device() const {
  return {.fragments = device_fragments_.data(),
          .pairs = device_pairs_.data(),
          .models = device_models_.data(),
          .pivot = device_pivot_.data(),
          .scale = static_cast<float>(scale_),
          .margin = static_cast<float>(4 * (n_columns_ + 8) * 0x1p-53)};
}

}  // namespace coterie::COTERIE_GPU
