#include "cuda/packed_models.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "host/error.hpp"

namespace coterie::COTERIE_GPU {
namespace {

// A copy of so many cells takes longer than the start of a thread.
constexpr std::int64_t kCellsOfATask = std::int64_t{1} << 17;

std::int32_t count_pairs(const kmeans::Model& model, CenterLayout layout) {
  const std::int32_t at_once = layout == CenterLayout::tiles ? kTileCenters : kPairCenters;
  return (model.n_clusters + at_once - 1) / at_once * (at_once / kPairCenters);
}

const float* center_of(const kmeans::Model& model, std::int64_t cluster) {
  return model.cluster_centers.data() + cluster * model.n_columns;
}

// The mean of some thousand centers: near the rows, whatever their offset.
void choose_pivot(std::span<const kmeans::Model* const> models, std::int64_t n_centers, std::span<float> pivot) {
  constexpr std::int64_t kCenters = 1024;
  const std::int64_t every = n_centers / kCenters + 1;
  std::int64_t n_taken = 0;
  std::vector<double> sums(static_cast<std::size_t>(models.front()->n_columns));
  for (const kmeans::Model* model : models) {
    for (std::int64_t cluster = 0; cluster < model->n_clusters; cluster += every, ++n_taken) {
      const float* const center = center_of(*model, cluster);
      for (std::size_t j = 0; j < sums.size(); ++j) sums[j] += static_cast<double>(center[j]);
    }
  }
  std::fill(pivot.begin(), pivot.end(), 0.0f);
  for (std::size_t j = 0; j < sums.size(); ++j) pivot[j] = static_cast<float>(sums[j] / static_cast<double>(n_taken));
}

}  // namespace

std::int64_t PackedModels::lay_out(std::span<const kmeans::Model* const> models, std::span<const SweepMemory::Place> labels,
                                   std::span<const CenterLayout> layouts) {
  n_cells_ = n_clusters_ = n_pairs_ = most_pairs_ = 0;
  layout_.clear();
  std::int64_t n_floats = 0;
  for (const kmeans::Model* model : models) {
    const std::size_t m = layout_.size();
    const CenterLayout layout = layouts.empty() ? CenterLayout::fragments : layouts[m];
    const std::int32_t n_pairs = count_pairs(*model, layout);
    layout_.push_back(
        {n_floats, n_cells_, n_clusters_, model->n_clusters, n_pairs_, n_pairs, layout, labels.empty() ? SweepMemory::Place{} : labels[m]});
    n_floats += std::int64_t{model->n_clusters} * padded_columns_;
    n_cells_ += std::int64_t{model->n_clusters} * n_columns_;
    n_clusters_ += model->n_clusters;
    n_pairs_ += n_pairs;
    most_pairs_ = std::max(most_pairs_, n_pairs);
  }
  if (n_cells_ > std::numeric_limits<std::int32_t>::max())  // kernels count them in 32 bits
    throw ResourceError(fmt::format(
        "{} models of one sweep have {} cells of segments and columns together, and a GPU takes 2147483647. Ask for fewer segments or "
        "restarts at a time (--n-clusters, --n-init), or use --device cpu.",
        models.size(), n_cells_));
  return n_floats;
}

// Returns the bits of the largest |center - pivot|: of floats that are not negative they order as integers, which vectors compare.
std::uint32_t PackedModels::pack(const kmeans::Model& model, std::int64_t first, std::int64_t last, const float* pivot, float* to) const {
  std::uint32_t largest = 0;
  for (std::int64_t cluster = first; cluster < last; ++cluster) {
    const float* const from = center_of(model, cluster);
    float* const padded = to + cluster * padded_columns_;
    for (std::int32_t j = 0; j < n_columns_; ++j) {
      padded[j] = from[j];
      largest = std::max(largest, std::bit_cast<std::uint32_t>(from[j] - pivot[j]) & 0x7fffffffu);
    }
    std::fill(padded + n_columns_, padded + padded_columns_, 0.0f);
  }
  return largest;
}

void PackedModels::upload(Context& context, std::span<const kmeans::Model* const> models, std::span<const SweepMemory::Place> labels,
                          std::span<const CenterLayout> layouts, std::int32_t n_columns, cudaStream_t stream) {
  n_columns_ = n_columns;
  padded_columns_ = (n_columns + 3) / 4 * 4;
  const auto n_floats = static_cast<std::size_t>(lay_out(models, labels, layouts)),
             n_pivots = static_cast<std::size_t>(count_steps(n_columns)) * kStepColumns;
  pivot_at_ = n_floats;
  layout_at_ = n_floats + n_pivots;
  const std::size_t size = layout_at_ + layout_.size() * sizeof(PackedModel) / sizeof(float);
  host_.ensure(size);
  device_.ensure(size);
  const std::span pivot(host_.data() + pivot_at_, n_pivots);
  choose_pivot(models, n_clusters_, pivot);
  std::atomic<std::uint32_t> bits = 0;
  for (std::size_t m = 0; m < models.size(); ++m) {
    context.parallel_stretches(models[m]->n_clusters, kCellsOfATask / n_columns + 1, [&](std::int64_t first, std::int64_t last) {
      const std::uint32_t here = pack(*models[m], first, last, pivot.data(), host_.data() + layout_[m].centers);
      for (std::uint32_t most = bits; most < here && !bits.compare_exchange_weak(most, here);) {
      }
    });
  }
  const float largest = std::bit_cast<float>(bits.load());
  constexpr int kLargestExponent = 4, kReach = 126;  // of a float that is a normal number, as its inverse is
  const int exponent = std::isfinite(largest) && largest > 0 ? std::ilogb(largest) : 127;
  scale_ = largest > 0 ? std::ldexp(1.0, std::clamp(kLargestExponent - exponent, -kReach, kReach)) : 1;
  std::memcpy(host_.data() + layout_at_, layout_.data(), layout_.size() * sizeof(PackedModel));
  copy_to_device(device_.data(), host_.data(), size, stream);
}

}  // namespace coterie::COTERIE_GPU
