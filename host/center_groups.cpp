#include "host/center_groups.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace coterie::nearest {
namespace {

constexpr double kSlack = 1 + 0x1p-20;      // for the roundings of lengths to float
constexpr double kShare = 1.125 * 0x1p-18;  // of |e|^2 / 2, for the error of the results
constexpr double kLeastCenter = 0x1p-40;    // length of a center at the pivot, so that what it lost has a ratio
constexpr double kLargestCenter = 0x1p50;
constexpr double kLargestCell = 32766;

// 16 rows by a group take vectors of 512 bits some 8 cycles per column, the matrix unit 64 per 64 columns and as many again to hand
// over its sums, counted, not measured; rows are split once for all groups of a model, which four of them pay for.
constexpr std::size_t kLeastColumnsOfUnit = 32, kLeastCentersOfUnit = 64;

// The smallest step with which cells fit int16 and, with rows, sums of products fit int32.
double least_step(double length, double largest_cell, std::int32_t n_columns) {
  const double rounding = std::sqrt(n_columns) / 2 + 1;  // of a vector to whole numbers
  const double row = static_cast<double>(kReach) * (1 + 2 * length_error(n_columns)) + rounding;
  const double fitting = 0x1p31 / row * (1 - 0x1p-10) - rounding;
  return std::max(length / fitting, largest_cell / kLargestCell) * kSlack;
}

std::int32_t word_of(std::int32_t low, std::int32_t high) {
  return static_cast<std::int32_t>((static_cast<std::uint32_t>(high) << 16) | (static_cast<std::uint32_t>(low) & 0xffffu));
}

}  // namespace

double squared_distance(const float* a, const float* b, std::size_t n) {
  double sum = 0;
  for (std::size_t j = 0; j < n; ++j) {
    const double by = static_cast<double>(a[j]) - static_cast<double>(b[j]);
    sum += by * by;
  }
  return sum;
}

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
    : CenterGroups(cluster_centers, order, units,
                   order.size() >= kLeastCentersOfUnit && units.pivot.size() >= kLeastColumnsOfUnit ? nearest::matrix_unit() : nullptr) {}

CenterGroups::CenterGroups(std::span<const float> cluster_centers, std::span<const std::int32_t> order, const Units& units,
                           const MatrixUnit* unit)
    : n_pairs_(pairs_of(static_cast<std::int32_t>(units.pivot.size()))),
      unit_(unit),
      center_(static_cast<std::size_t>(groups_of(static_cast<std::int32_t>(order.size())) * kGroupWidth), -1),
      place_(order.size()),
      half_square_(center_.size(), kNoScore),
      length_(center_.size(), 0),
      scale_(units.scale) {
  std::copy(order.begin(), order.end(), center_.begin());
  const std::size_t d = units.pivot.size();
  if (keeps_slack()) unit_ = nullptr;
  if (keeps_slack() && d <= static_cast<std::size_t>(kMostFloatColumns)) {
    shift_.resize(static_cast<std::size_t>(kMostFloatColumns));
    std::transform(units.pivot.begin(), units.pivot.end(), shift_.begin(), [&](float pivot) { return -units.scale * pivot; });
    cells_.resize(shift_.size() * center_.size());
  } else {
    step_.resize(center_.size());
    by_pair_.resize(center_.size() * static_cast<std::size_t>(n_pairs_));
    by_place_.resize(by_pair_.size());
    if (unit_ != nullptr) lines_.resize(static_cast<std::size_t>(n_groups() * std::int64_t{lines_of_group(2 * n_pairs_)}));
  }
  const double scale = static_cast<double>(units.scale);
  std::vector<double> cells(d);  // e
  std::vector<std::int32_t> whole(2 * static_cast<std::size_t>(n_pairs_));
  for (std::size_t place = 0; place < order.size(); ++place) {
    place_[static_cast<std::size_t>(order[place])] = static_cast<std::int32_t>(place);
    const float* const center = cluster_centers.data() + static_cast<std::size_t>(order[place]) * d;
    for (std::size_t j = 0; j < d; ++j) cells[j] = scale * (static_cast<double>(center[j]) - static_cast<double>(units.pivot[j]));
    pack(place, cells, whole);
  }
}

void CenterGroups::pack(std::size_t place, std::span<const double> cells, std::vector<std::int32_t>& whole) {
  double square = 0;
  for (const double cell : cells) square += cell * cell;
  const double length = std::max(std::sqrt(square), kLeastCenter);
  usable_ = usable_ && length < kLargestCenter && std::ssize(cells) < kMostColumns;
  if (!usable_) return;
  length_[place] = static_cast<float>(length * kSlack);
  half_square_[place] = static_cast<float>(square / 2 * (1 - kShare));
  if (!takes_floats()) return pack_whole(place, cells, length, whole);
  for (std::size_t j = 0; j < cells.size(); ++j) cells_[j * center_.size() + place] = static_cast<float>(cells[j]);
}

void CenterGroups::pack_whole(std::size_t place, std::span<const double> cells, double length, std::vector<std::int32_t>& whole) {
  const std::size_t n_pairs = static_cast<std::size_t>(n_pairs_), group = place / kGroupWidth, member = place % kGroupWidth;
  double largest_cell = 0, lost = 0;
  for (const double cell : cells) largest_cell = std::max(largest_cell, std::abs(cell));
  step_[place] = static_cast<float>(least_step(length, largest_cell, static_cast<std::int32_t>(cells.size())));
  const double step = static_cast<double>(step_[place]);
  for (std::size_t j = 0; j < cells.size(); ++j) {
    const double rounded = std::nearbyint(cells[j] / step), left = cells[j] - step * rounded;
    whole[j] = static_cast<std::int32_t>(rounded);
    lost += left * left;
  }
  lost_ratio_ = std::max(lost_ratio_, static_cast<float>(std::sqrt(lost) / length * kSlack + 0x1p-50));
  for (std::size_t pair = 0; pair < n_pairs; ++pair) {
    const std::int32_t word = word_of(whole[2 * pair], whole[2 * pair + 1]);
    by_place_[place * n_pairs + pair] = word;
    by_pair_[(group * n_pairs + pair) * kGroupWidth + member] = word;
  }
  if (unit_ != nullptr) pack_lines(place, whole);
}

void CenterGroups::pack_lines(std::size_t place, std::span<const std::int32_t> whole) {
  constexpr std::size_t kTogether = kColumnsTogether, kPlane = kLinesOfPlane;
  ByteLine* const lines = &lines_[place / kGroupWidth * static_cast<std::size_t>(lines_of_group(2 * n_pairs_))];
  for (std::size_t j = 0; j < whole.size(); ++j) {
    ByteLine* const high = lines + (j / kChunkColumns * 2 * kPlane + j % kChunkColumns / kTogether);
    const std::size_t byte = place % kGroupWidth * kTogether + j % kTogether;
    high[0].bytes[byte] = static_cast<std::uint8_t>(whole[j] >> 8);
    high[kPlane].bytes[byte] = static_cast<std::uint8_t>(whole[j]);
  }
}

}  // namespace coterie::nearest
