// Which center is nearest, told from rows of 16 bits (center_groups.hpp has the arithmetic and its error): groups of centers are
// scanned for those rows of a strip whose bounds (kmeans_bounds.hpp) leave a doubt: rows in lanes where all of them need the same groups,
// four rows by kGroupWidth centers at a time where they do not, or 16 where a matrix unit (matrix_unit.hpp) sums the products.
// A label is certain when every other center's s_k is proven to be larger, by more than the chain of the definition may round;
// the few rivals of the rows that stay ambiguous go through that chain.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "host/center_groups.hpp"
#include "host/nearest_centers.hpp"

namespace coterie::nearest {

// What is known of a row where there is one group (keeps_slack): how much farther any other center is than the own one, at least, as a
// float of positive sign whose lowest bits are the label, which is the place of the center.
struct RowSlack {
  static constexpr std::int32_t kNothing = std::numeric_limits<std::int32_t>::min();  // not even a label
  static std::int32_t label(std::int32_t word) { return word < 0 ? -1 : word & kPlaceBits; }
  static std::int32_t with_label(std::int32_t label) { return label; }  // and no slack
};

// What is known of the rows of a strip under one model (kmeans_bounds.hpp), in units of 1 / scale.
struct StripBounds {
  std::int32_t* slack;  // (n_rows) of RowSlack; nullptr: the following are instead
  std::int32_t* label;  // (n_rows) or -1
  float* upper;         // (n_rows) distance to the own center
  float* lower;         // (n_groups, stride) distance to the nearest other center of the group
  std::int64_t stride;
  std::int32_t label_of(std::int64_t row) const { return slack != nullptr ? RowSlack::label(slack[row]) : label[row]; }
  void copy_labels(std::span<std::int32_t> to) const;  // of the first rows
  void keep_label_only(std::int64_t row, std::int32_t its_label, std::int32_t n_groups) const;
};
// Bounds that know nothing, of strips that are not remembered.
class NoBounds {
 public:
  explicit NoBounds(std::int32_t n_groups, std::int64_t strip_rows = kLeastStripRows);
  StripBounds forget(const CenterGroups& groups);

 private:
  std::vector<std::int32_t> label_;
  std::vector<float> upper_, lower_;
};
struct Drifts {
  const float* center;  // (n_groups, kGroupWidth) what was added to every `upper`, by center; or was taken off every slack, by label
  const float* group;   // (n_groups) what was taken off every `lower`
};

// Vectors may reach beyond the last row of a strip.
inline constexpr std::int64_t kSlack = 32;

// A list that is filled without a check: there are never more than rows of a strip.
template <class T>
class StripList {
 public:
  explicit StripList(std::int64_t strip_rows) : items_(static_cast<std::size_t>(strip_rows + kSlack)) {}
  void clear() { size_ = 0; }
  void add(const T& item) { items_[size_++] = item; }
  void grow(std::size_t by) { size_ += by; }  // over items written to end()
  void resize(std::size_t size) { size_ = size; }
  void end_with_zeros() { std::fill_n(end(), kSlack, T{}); }
  T* end() { return items_.data() + size_; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](std::size_t i) { return items_[i]; }
  const T& operator[](std::size_t i) const { return items_[i]; }
  std::span<const T> items() const { return {items_.data(), size_}; }

 private:
  std::vector<T> items_;
  std::size_t size_ = 0;
};

// How many rows are best scanned together: the more, the further ahead those in doubt can be fetched and the less is done once a strip,
// while rows, results and bounds fit a core's L2 cache. A power of two from kLeastStripRows to kBlockRows.
std::int64_t choose_strip_rows(std::int32_t n_groups, std::int32_t n_columns);

// Results for the rows of one strip under one model whose label does not stand: its entries. Columns are by entry.
struct StripScan {
  explicit StripScan(std::int32_t n_groups = 0, std::int64_t strip_rows = kLeastStripRows);

  std::int64_t strip_rows;            // at most
  StripList<std::int32_t> doubtful;   // rows of the entries, in ascending order
  std::vector<std::int32_t> label;    // before the scan
  std::vector<float> reach;           // upper bound of the distance to the nearest center
  std::vector<float> least;           // lower bound of the distance to all others, before the scan
  std::vector<std::int32_t> own;      // group of the label, or -1
  StripList<std::int32_t> needing;    // scratch: entries that a group is scanned for
  std::vector<std::int32_t> scanned;  // groups
  std::vector<std::int32_t> whole;    // scratch: those scanned for all entries
  std::int64_t n_scans = 0;           // entries by groups

  std::vector<float> length, unit, rho;  // of the row, of its whole numbers, of its results; center_groups.hpp
  std::vector<float> lowest, next;       // (n_groups, strip_rows) the two lowest results of a group; kNoScore: not scanned
  std::vector<std::int32_t> place;       // of the lowest result of all groups
  std::vector<float> limit;              // centers with larger results are farther for certain
  std::vector<ByteLine> lines;           // for a matrix unit: rows of the entries, then room for kUnitRows of them gathered
  StripList<Move> moves;                 // rows with a new label
  StripList<std::int32_t> ambiguous;     // entries whose label is not certain

  float* lowest_of(std::int32_t group) { return lowest.data() + group * strip_rows; }
  float* next_of(std::int32_t group) { return next.data() + group * strip_rows; }
  const float* lowest_of(std::int32_t group) const { return lowest.data() + group * strip_rows; }
  const float* next_of(std::int32_t group) const { return next.data() + group * strip_rows; }
};

// One strip under one model. Rounded rows are not looked at where the groups take floats.
struct Strip {
  const float* x;             // (n_rows, n_columns)
  const std::int32_t* pairs;  // (n_rows, n_pairs)
  const float* length;        // (n_rows)
  const float* lost;          // (n_rows)
  std::int64_t n_rows;
  std::int32_t n_columns;
  const CenterGroups* groups;
  StripBounds bounds;
  Drifts drifts;
};

// Lists the rows whose label does not stand; needs their bounds only. Returns whether there are any.
bool find_doubtful(const Strip& strip, StripScan& scan);

// Scans for these rows: afterwards the labels and bounds of the strip are new, `moves` tells what changed, and of the entries listed
// as ambiguous limit tells what is known; their bounds are as if their centers were the ones with the lowest result.
void scan_doubtful(const Strip& strip, StripScan& scan);

// Scans all rounded rows, whose bounds are not looked at: afterwards every row is an entry whose limit tells of its two nearest centers.
void find_two_nearest(const Strip& strip, StripScan& scan);

// The results of an entry with all centers of a group; (kGroupWidth), kNoScore and larger where there is none.
void results_of_group(const Strip& strip, const StripScan& scan, std::size_t entry, std::int32_t group, float* results);

// Centers that the limit of an entry does not exclude: those that may be the nearest of an ambiguous one, or the two nearest.
void append_rivals(const Strip& strip, const StripScan& scan, std::int32_t entry, std::vector<std::int32_t>& centers);

// Corrects label and bounds of an ambiguous entry once its center is known.
void set_label(const Strip& strip, StripScan& scan, std::int32_t entry, std::int32_t label);

}  // namespace coterie::nearest
