#include "host/center_groups.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace coterie::nearest {
namespace {

constexpr double kSlack = 1 + 0x1p-20;    // for the roundings of lengths to float
constexpr float kLeastCenter = 0x1p-40f;  // length of a center at the pivot, so that rows without a bound have none from it either
constexpr float kLargestCenter = 0x1p50f;
constexpr double kLargestCell = 32766;

double squared_distance(const float* a, const float* b, std::size_t n) {
  double sum = 0;
  for (std::size_t j = 0; j < n; ++j) {
    const double by = static_cast<double>(a[j]) - static_cast<double>(b[j]);
    sum += by * by;
  }
  return sum;
}

std::int32_t word_of(std::int32_t low, std::int32_t high) {
  return static_cast<std::int32_t>((static_cast<std::uint32_t>(high) << 16) | (static_cast<std::uint32_t>(low) & 0xffffu));
}

}  // namespace

std::vector<std::int32_t> order_by_proximity(std::span<const float> cluster_centers, std::int32_t n_clusters, std::int32_t n_columns) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(n_clusters));
  std::iota(order.begin(), order.end(), 0);
  const std::size_t d = static_cast<std::size_t>(n_columns);
  std::vector<double> distance(order.size());  // by center, to the first of the group
  for (auto first = order.begin(); std::distance(first, order.end()) > kGroupWidth; first += kGroupWidth) {
    for (auto other = first; other != order.end(); ++other)
      distance[static_cast<std::size_t>(*other)] = squared_distance(cluster_centers.data() + static_cast<std::size_t>(*first) * d,
                                                                    cluster_centers.data() + static_cast<std::size_t>(*other) * d, d);
    std::nth_element(first + 1, first + kGroupWidth, order.end(), [&](std::int32_t a, std::int32_t b) {
      return distance[static_cast<std::size_t>(a)] < distance[static_cast<std::size_t>(b)];
    });
  }
  return order;
}

CenterGroups::CenterGroups(std::span<const float> cluster_centers, std::span<const std::int32_t> order, const Units& units)
    : n_pairs_(pairs_of(static_cast<std::int32_t>(units.pivot.size()))),
      center_((order.size() + kGroupWidth - 1) / kGroupWidth * kGroupWidth, -1),
      place_(order.size()),
      half_square_(center_.size(), kNoScore),
      length_(center_.size(), 0),
      by_pair_(center_.size() * static_cast<std::size_t>(n_pairs_)),
      by_place_(by_pair_.size()) {
  std::copy(order.begin(), order.end(), center_.begin());
  const std::size_t d = units.pivot.size();
  std::vector<double> cells(order.size() * d);  // e, by place
  double rounding = 0;
  for (std::size_t place = 0; place < order.size(); ++place) {
    place_[static_cast<std::size_t>(order[place])] = static_cast<std::int32_t>(place);
    for (std::size_t j = 0; j < d; ++j) {
      const double c = static_cast<double>(cluster_centers[static_cast<std::size_t>(order[place]) * d + j]),
                   p = static_cast<double>(units.pivot[j]);
      cells[place * d + j] = static_cast<double>(units.scale) * (c - p);
      rounding = std::max(rounding, static_cast<double>(units.scale) * (std::abs(c) + std::abs(p)) * 0x1p-52);
    }
  }
  choose_step(cells, static_cast<std::int32_t>(d));
  pack(cells, static_cast<std::int32_t>(d));
  lost_ = static_cast<float>((static_cast<double>(lost_) + rounding * std::sqrt(static_cast<double>(d))) * kSlack);
}

// The smallest step with which cells fit int16 and, with rows, sums of products fit int32.
void CenterGroups::choose_step(const std::vector<double>& cells, std::int32_t n_columns) {
  double largest = 0, largest_cell = 0;
  for (std::size_t first = 0; first < cells.size(); first += static_cast<std::size_t>(n_columns)) {
    double square = 0;
    for (std::size_t i = first; i < first + static_cast<std::size_t>(n_columns); ++i) {
      square += cells[i] * cells[i];
      largest_cell = std::max(largest_cell, std::abs(cells[i]));
    }
    const std::size_t place = first / static_cast<std::size_t>(n_columns);
    half_square_[place] = static_cast<float>(square / 2);
    length_[place] = std::max(static_cast<float>(std::sqrt(square) * kSlack), kLeastCenter);
    largest = std::max(largest, static_cast<double>(length_[place]));
  }
  usable_ = largest < static_cast<double>(kLargestCenter) && n_columns < kMostColumns;
  half_largest_ = static_cast<float>(largest / 2);
  const double rounding = std::sqrt(n_columns) / 2 + 1;  // of a vector to whole numbers
  const double row = static_cast<double>(kReach) * (1 + 2 * length_error(n_columns)) + rounding;
  const double fitting = 0x1p31 / row * (1 - 0x1p-10) - rounding;
  step_ = static_cast<float>(std::max(largest / fitting, largest_cell / kLargestCell) * kSlack);
}

void CenterGroups::pack(const std::vector<double>& cells, std::int32_t n_columns) {
  if (!usable_) return;
  const std::size_t d = static_cast<std::size_t>(n_columns), n_pairs = static_cast<std::size_t>(n_pairs_);
  const double step = static_cast<double>(step_);
  double most_lost = 0;
  std::vector<std::int32_t> whole(2 * n_pairs);
  for (std::size_t place = 0; place < cells.size() / d; ++place) {
    double lost = 0;
    for (std::size_t j = 0; j < d; ++j) {
      const double rounded = std::nearbyint(cells[place * d + j] / step), left = cells[place * d + j] - step * rounded;
      whole[j] = static_cast<std::int32_t>(rounded);
      lost += left * left;
    }
    most_lost = std::max(most_lost, std::sqrt(lost));
    const std::size_t group = place / kGroupWidth, member = place % kGroupWidth;
    for (std::size_t pair = 0; pair < n_pairs; ++pair) {
      const std::int32_t word = word_of(whole[2 * pair], whole[2 * pair + 1]);
      by_place_[place * n_pairs + pair] = word;
      by_pair_[(group * n_pairs + pair) * kGroupWidth + member] = word;
    }
  }
  lost_ = static_cast<float>(most_lost * kSlack);
}

}  // namespace coterie::nearest
