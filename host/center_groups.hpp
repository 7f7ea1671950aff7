// The centers of a model in groups of kGroupWidth for the scan of 16-bit rows (rounded_rows.hpp), and what bounds its error.
//
// With y = scale (x - p) and e_k = scale (c_k - p), squared distances of a row differ by twice s_k = |e_k|^2 / 2 - y . e_k.
// Rows are units of their length times int16, centers their steps times int16; products and sums of these are exact in int32
// (Cauchy and Schwarz: |q| |w_k| < 2^31). So the scan knows s_k within
//   rho |e_k| + 2^-18 |e_k|^2 / 2,   rho = lost + lost_ratio (length + lost) + 2^-18 length
// of what the row lost, what the centers lost relative to |e_k| at most, and roundings to float; its result is the lower bound. 2^-18
// covers, relative to |e_k|^2 / 2 + |y| |e_k|: 2^-19 for the place of the center in the group, which takes the four lowest bits of
// the result, and ten roundings.
//
// Where there is one group only and rows are short, to round them first would cost more than it saves: y and e_k are floats then, and the
// same holds with lost = (n_columns + 4) 2^-24 length, for a chain of multiplications and additions, y and e_k, and lost_ratio = 0.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "host/matrix_unit.hpp"
#include "host/rounded_rows.hpp"
#include "host/row_array.hpp"

namespace coterie::nearest {

inline constexpr std::int32_t kGroupWidth = 16;
constexpr std::int32_t groups_of(std::int32_t n_centers) { return (n_centers + kGroupWidth - 1) / kGroupWidth; }
inline constexpr std::int32_t kPlaceBits = kGroupWidth - 1;  // of a result
inline constexpr std::int32_t kMostFloatColumns = 32;        // a row is two lines of the cache; to round it takes as long as some scans
static_assert(kGroupWidth == kUnitCenters);

// The only group of not too long rows is scanned for rows in lanes, and little is kept of them (group_scan.hpp). The turned rows of so many
// words take an eighth to a quarter of the L1 cache.
inline constexpr std::int32_t kMostWordsInLanes = 64;
static_assert(kMostFloatColumns <= kMostWordsInLanes);
constexpr bool keeps_slack(std::int64_t n_centers, std::int32_t n_columns) {
  return n_centers <= kGroupWidth && pairs_of(n_columns) <= kMostWordsInLanes;
}

double squared_distance(const float* a, const float* b, std::size_t n);  // in double

// Centers in an order in which every kGroupWidth successive ones lie close together: a group takes the first center that is
// left, and its nearest ones. (n_clusters)
std::vector<std::int32_t> order_by_proximity(std::span<const float> cluster_centers, std::int32_t n_clusters, std::int32_t n_columns);

class CenterGroups {
 public:
  CenterGroups() = default;
  // cluster_centers: (n_clusters, units.pivot.size()), order: (n_clusters), of one group 0, 1, ...
  CenterGroups(std::span<const float> cluster_centers, std::span<const std::int32_t> order, const Units& units);
  // With this matrix unit or none, where the other one takes that of the process if it is worth it. Results are the same.
  CenterGroups(std::span<const float> cluster_centers, std::span<const std::int32_t> order, const Units& units, const MatrixUnit* unit);

  std::int32_t n_groups() const { return static_cast<std::int32_t>(center_.size()) / kGroupWidth; }
  std::int32_t n_centers() const { return static_cast<std::int32_t>(place_.size()); }
  std::int32_t n_pairs() const { return n_pairs_; }
  bool usable() const { return usable_; }  // false: centers so far out that nothing can be told

  bool keeps_slack() const { return nearest::keeps_slack(n_centers(), 2 * n_pairs_); }
  // Whether rows are scanned as they are; else they must be rounded.
  bool takes_floats() const { return !cells_.empty(); }
  const float* cells() const { return cells_.data(); }  // (kMostFloatColumns, kGroupWidth) e, zeros beyond the last column
  const float* shift() const { return shift_.data(); }  // (kMostFloatColumns) y = scale x + shift, zeros beyond the last column
  float scale() const { return scale_; }

  // By place, kGroupWidth times the group and where in the group; beyond the last center, places without one.
  const std::int32_t* center() const { return center_.data(); }     // -1: none
  const float* half_square() const { return half_square_.data(); }  // |e|^2 / 2, less its share of the error; kNoScore: none
  const float* length() const { return length_.data(); }            // |e|, rounded up
  std::int32_t place_of(std::int32_t center) const { return place_[static_cast<std::size_t>(center)]; }

  const std::int32_t* group_pairs(std::int32_t group) const {
    return by_pair_.data() + offset(group * kGroupWidth);
  }                                                                                                        // (n_pairs, kGroupWidth)
  const std::int32_t* center_pairs(std::int32_t place) const { return by_place_.data() + offset(place); }  // (n_pairs)

  const MatrixUnit* matrix_unit() const { return unit_; }  // nullptr: the groups have no lines
  const ByteLine* group_lines(std::int32_t group) const { return lines_.data() + std::ptrdiff_t{group} * lines_of_group(2 * n_pairs_); }

  const float* step() const { return step_.data(); }
  float lost_ratio() const { return lost_ratio_; }  // largest |e - step w| / |e|
  static constexpr float kNoScore = 0x1p120f;       // finite, so that it may carry a place

 private:
  std::size_t offset(std::int32_t place) const { return static_cast<std::size_t>(place) * static_cast<std::size_t>(n_pairs_); }
  // cells: e of the center in this place; whole: (2 n_pairs) scratch, zeros beyond the cells.
  void pack(std::size_t place, std::span<const double> cells, std::vector<std::int32_t>& whole);
  void pack_whole(std::size_t place, std::span<const double> cells, double length, std::vector<std::int32_t>& whole);
  void pack_lines(std::size_t place, std::span<const std::int32_t> whole);

  std::int32_t n_pairs_ = 0;
  const MatrixUnit* unit_ = nullptr;
  bool usable_ = true;
  float lost_ratio_ = 0;
  std::vector<std::int32_t> center_, place_;
  std::vector<float> half_square_, length_, step_;
  std::vector<std::int32_t> by_pair_, by_place_;  // the same numbers twice: (n_groups, n_pairs, kGroupWidth), (places, n_pairs)
  std::vector<ByteLine> lines_;                   // the same for the matrix unit: (n_groups, lines_of_group)
  LineVector<float> cells_, shift_;               // instead of whole numbers, where rows are scanned as they are
  float scale_ = 1;
};

}  // namespace coterie::nearest
