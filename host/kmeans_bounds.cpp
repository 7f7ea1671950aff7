#include "host/kmeans_bounds.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace coterie::kmeans {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kFarthest = 0x1p60;  // sums of longer movements would leave no bound, or even no number

// Sums of movements were rounded, and so are the few operations of a test with them.
float rounded_up(double value) { return std::nextafter(static_cast<float>(value * (1 + 0x1p-21)), kInfinity); }

// (n_clusters) how far every center moved, at least: rounded up.
std::vector<double> movements(std::span<const float> from, std::span<const float> to, std::size_t n_columns) {
  std::vector<double> movement(from.size() / n_columns);
  for (std::size_t k = 0; k < movement.size(); ++k) {
    const double square = nearest::squared_distance(to.data() + k * n_columns, from.data() + k * n_columns, n_columns);
    movement[k] = std::sqrt(square) * (1 + 0x1p-24);  // far above the rounding of fewer than 2^27 columns
  }
  return movement;
}

}  // namespace

RowBounds::RowBounds(std::int32_t n_clusters, std::int32_t n_columns)
    : n_columns_(n_columns),
      order_(static_cast<std::size_t>(n_clusters)),
      center_drifts_(order_.size()),
      group_drifts_(static_cast<std::size_t>(nearest::groups_of(n_clusters))),
      center_drift_(group_drifts_.size() * static_cast<std::size_t>(nearest::kGroupWidth)),
      group_drift_(group_drifts_.size()) {
  std::iota(order_.begin(), order_.end(), 0);
}

bool RowBounds::move_to(std::span<const float> cluster_centers, double scale) {
  if (!centers_.empty()) {
    std::vector<double> movement = movements(centers_, cluster_centers, static_cast<std::size_t>(n_columns_));
    for (double& by : movement) by *= scale;
    if (*std::max_element(movement.begin(), movement.end()) > kFarthest) return false;
    drift(movement);
  }
  if (n_groups() > 1 && (centers_.empty() || regroups())) group_anew(cluster_centers);
  centers_.assign(cluster_centers.begin(), cluster_centers.end());
  ++sweeps_;
  n_scans_ = 0;
  return true;
}

// Neighbours are put together anew where bounds saved little, so that little is lost: more and more rarely, for there may be
// nothing to be saved. Before the second sweep all is lost anyhow, for the first step of the centers is long.
bool RowBounds::regroups() const {
  const std::int64_t all = std::ssize(blocks_) * kBlockRows * static_cast<std::int64_t>(n_groups());
  const auto sweeps = static_cast<std::uint64_t>(sweeps_);
  const bool is_power_of_four = std::has_single_bit(sweeps) && std::countr_zero(sweeps) % 2 == 0;
  return is_power_of_four && 2 * n_scans_ > all;
}

void RowBounds::drift(const std::vector<double>& movements) {
  for (std::size_t g = 0; g < n_groups(); ++g) {
    double farthest = 0;
    for (std::size_t place = g * nearest::kGroupWidth; place < std::min(order_.size(), (g + 1) * nearest::kGroupWidth); ++place)
      farthest = std::max(farthest, movements[static_cast<std::size_t>(order_[place])]);
    group_drifts_[g] += farthest;
    group_drift_[g] = rounded_up(group_drifts_[g]);
  }
  for (std::size_t k = 0; k < movements.size(); ++k) {
    center_drifts_[k] += movements[k];
    center_drift_[k] = rounded_up(center_drifts_[k] + (keeps_slack() ? group_drifts_.front() : 0));
  }
}

// Labels and distances to own centers stay; of the other centers nothing is known any more.
void RowBounds::group_anew(std::span<const float> cluster_centers) {
  order_ = nearest::order_by_proximity(cluster_centers, static_cast<std::int32_t>(order_.size()), n_columns_);
  ++grouping_;
}

std::int64_t RowBounds::block_bytes(std::int32_t n_clusters, std::int32_t n_columns) {
  const std::int32_t n_words = nearest::keeps_slack(n_clusters, n_columns) ? 1 : 2 + nearest::groups_of(n_clusters);
  return n_words * kBlockRows * static_cast<std::int64_t>(sizeof(float));
}

bool RowBounds::grow(std::int64_t n_blocks, std::int64_t n_expected, MemoryLedger& memory) {
  const std::int64_t more = n_blocks - std::ssize(blocks_), bytes = block_bytes(static_cast<std::int32_t>(order_.size()), n_columns_);
  if (more <= 0) return true;
  const std::int64_t n_to_come = std::max(more, std::min(n_expected - std::ssize(blocks_), memory.available() / bytes));
  Reservation reservation;
  if (2 * more * bytes > memory.available() || !memory.try_reserve(more * bytes, reservation)) return false;
  memory_.push_back(std::move(reservation));
  for (std::int64_t i = 0; i < more; ++i) {
    Block& block = blocks_.emplace_back(Block{.label = labels_.take(kBlockRows, n_to_come), .upper = nullptr, .lower = nullptr});
    if (keeps_slack()) continue;
    block.upper = bounds_.take(static_cast<std::int64_t>(1 + n_groups()) * kBlockRows, n_to_come);
    block.lower = block.upper + kBlockRows;
  }
  return true;
}

void RowBounds::open(std::int64_t block) {
  Block& of = blocks_[static_cast<std::size_t>(block)];
  const std::int64_t before = std::exchange(of.grouping, grouping_);
  if (before == grouping_) return;
  if (keeps_slack()) {
    std::fill_n(of.label, kBlockRows, nearest::RowSlack::kNothing);
    return;
  }
  std::fill_n(of.lower, n_groups() * kBlockRows, 0.0f);
  if (before > 0) return;
  std::fill_n(of.label, kBlockRows, kNoLabel);
  std::fill_n(of.upper, kBlockRows, kInfinity);
}

void RowBounds::give_up() {
  blocks_.clear();
  labels_ = {};
  bounds_ = {};
  memory_.clear();
}

nearest::StripBounds RowBounds::strip(std::int64_t block, std::int64_t row) const {
  const Block& of = blocks_[static_cast<std::size_t>(block)];
  if (keeps_slack()) return {of.label + row, nullptr, nullptr, nullptr, 0};
  return {nullptr, of.label + row, of.upper + row, of.lower + row, kBlockRows};
}

}  // namespace coterie::kmeans
