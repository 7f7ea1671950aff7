#include "host/kmeans_bounds.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace coterie::kmeans {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

float rounded_up(double value) { return std::nextafter(static_cast<float>(value), kInfinity); }

// (n_clusters) how far every center moved, at least: rounded up.
std::vector<double> movements(std::span<const float> from, std::span<const float> to, std::size_t n_columns) {
  std::vector<double> movement(from.size() / n_columns);
  for (std::size_t k = 0; k < movement.size(); ++k) {
    double square = 0;
    for (std::size_t i = k * n_columns; i < (k + 1) * n_columns; ++i) {
      const double by = static_cast<double>(to[i]) - static_cast<double>(from[i]);
      square += by * by;
    }
    movement[k] = std::sqrt(square) * (1 + 0x1p-24);  // far above the rounding of fewer than 2^27 columns
  }
  return movement;
}

}  // namespace

RowBounds::RowBounds(std::int32_t n_clusters, std::int32_t n_columns)
    : n_columns_(n_columns), drifts_(static_cast<std::size_t>(n_clusters)), drift_(drifts_.size() + 1) {
  drift_.front() = kInfinity;
}

void RowBounds::move_to(std::span<const float> cluster_centers) {
  if (!centers_.empty()) {
    const std::vector<double> movement = movements(centers_, cluster_centers, static_cast<std::size_t>(n_columns_));
    const auto farthest = std::max_element(movement.begin(), movement.end());
    double second = 0;
    for (auto other = movement.begin(); other != movement.end(); ++other)
      if (other != farthest) second = std::max(second, *other);
    for (std::size_t k = 0; k < movement.size(); ++k) {
      const bool is_farthest = movement.begin() + static_cast<std::ptrdiff_t>(k) == farthest;
      drifts_[k] += movement[k] + (is_farthest ? second : *farthest);
      drift_[k + 1] = rounded_up(drifts_[k] * (1 + 0x1p-40));  // the sum itself was rounded
    }
  }
  centers_.assign(cluster_centers.begin(), cluster_centers.end());
}

bool RowBounds::grow(std::int64_t n_blocks, MemoryLedger& memory) {
  const std::int64_t more = n_blocks - std::ssize(blocks_);
  if (more <= 0) return true;
  const std::int64_t bytes = more * static_cast<std::int64_t>(sizeof(Block));
  Reservation reservation;
  if (2 * bytes > memory.available() || !memory.try_reserve(bytes, reservation)) return false;
  memory_.push_back(std::move(reservation));
  for (std::int64_t i = 0; i < more; ++i) {
    blocks_.push_back(std::make_unique_for_overwrite<Block>());
    blocks_.back()->label.fill(kNoLabel);
  }
  return true;
}

}  // namespace coterie::kmeans
