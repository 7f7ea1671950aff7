// What a k-means pass remembers of every row from one sweep to the next: its label, how far its center is at most, and how near
// any other center of a group is at least. A row whose label stands is neither read nor added again, and of the others only the
// groups that may hold a nearer center are scanned: Ding and others, Yinyang k-means, 2015.
//
//   u >= distance to the own center, l_g >= distance to any other center of group g, when the row was scanned
//   when centers move by m_k, u grows by at most m_label, and l_g falls by at most the largest m_k of the group
//
// Rows keep u less, and l_g plus, the drift at their scan, the sum of these movements over the sweeps, so that standing rows are
// not written. Where there is one group they keep l - u plus both drifts, and the label, in one word (keeps_slack). Bounds are rounded
// outwards; the margins exceed the rounding of the defined chain too, so a label that stands is the label of the definition.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "host/group_scan.hpp"
#include "host/memory_ledger.hpp"
#include "host/row_array.hpp"
#include "host/tile.hpp"

namespace coterie::kmeans {

class RowBounds {
 public:
  static constexpr std::int32_t kNoLabel = -1;

  RowBounds(std::int32_t n_clusters, std::int32_t n_columns);

  // Before a sweep: lets the bounds drift from the centers of the sweep before to these, (n_clusters, n_columns). scale: of the
  // units (rounded_rows.hpp) of the bounds. False where a center moved so far that nothing is known any more: take new bounds.
  bool move_to(std::span<const float> cluster_centers, double scale);

  // After a sweep: how many groups were scanned for how many rows, all in all.
  void note_scans(std::int64_t n_scans) { n_scans_ += n_scans; }

  // Makes room for the rows up to block n_blocks; false when the ledger has not twice as much left: caches go first. n_expected: how many
  // there may be in the end.
  bool grow(std::int64_t n_blocks, std::int64_t n_expected, MemoryLedger& memory);
  void give_up();  // forgets all rows, and gives their memory back
  static std::int64_t block_bytes(std::int32_t n_clusters, std::int32_t n_columns);
  // Before the strips of a block are used in a sweep; by the thread that uses them, for it may be the first to touch their memory.
  void open(std::int64_t block);
  nearest::StripBounds strip(std::int64_t block, std::int64_t row) const;

  std::span<const std::int32_t> order() const { return order_; }  // of the centers, for CenterGroups
  nearest::Drifts drifts() const { return {center_drift_.data(), group_drift_.data()}; }

 private:
  struct Block {
    std::int32_t* label;        // (kBlockRows), or words of slack and nothing else
    float* upper;               // (kBlockRows)
    float* lower;               // (n_groups, kBlockRows)
    std::int64_t grouping = 0;  // that `lower` belongs to; 0: nothing is known yet
  };
  std::size_t n_groups() const { return group_drifts_.size(); }
  bool keeps_slack() const { return nearest::keeps_slack(std::ssize(order_), n_columns_); }
  void drift(const std::vector<double>& movements);
  bool regroups() const;
  void group_anew(std::span<const float> cluster_centers);

  std::int32_t n_columns_;
  std::int64_t sweeps_ = 0, n_scans_ = 0, grouping_ = 1;
  std::vector<float> centers_;                        // (n_clusters, n_columns) of the last sweep; empty before the first
  std::vector<std::int32_t> order_;                   // (n_clusters)
  std::vector<double> center_drifts_, group_drifts_;  // (n_clusters), (n_groups)
  std::vector<float> center_drift_, group_drift_;     // the same, rounded up; the first in whole groups
  std::vector<Block> blocks_;
  RowPieces<std::int32_t> labels_;  // (kBlockRows) each
  RowPieces<float> bounds_;         // (1 + n_groups, kBlockRows) each
  std::vector<Reservation> memory_;
};

}  // namespace coterie::kmeans
