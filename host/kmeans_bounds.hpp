// What a k-means pass remembers of every row from one sweep to the next: its label, and how far centers may move before
// the label can change. A row whose label stands is neither read nor added again: Hamerly's bounds (Making k-means even
// faster, 2010), both in one number.
//
//   u >= distance to the own center, l <= distance to any other center; slack = l - u when the row was scanned
//   when centers move by m_k, u grows by at most m_label, and l falls by at most the largest m_j with j != label
//   the label stands while slack > drift_label, drift_k = sum over sweeps of (m_k + max over j != k of m_j)
//
// Rows keep slack + the drift at their scan, so that standing rows are not written. Slacks are rounded down and drifts up;
// the margins exceed the rounding of the defined chain too, so a label that stands is the label of the definition.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "host/memory_ledger.hpp"
#include "host/tile.hpp"

namespace coterie::kmeans {

class RowBounds {
 public:
  static constexpr std::int32_t kNoLabel = -1;
  struct Block {  // of kBlockRows rows
    std::array<std::int32_t, kBlockRows> label;
    std::array<float, kBlockRows> slack;
  };

  RowBounds(std::int32_t n_clusters, std::int32_t n_columns);

  // Before a sweep: lets the bounds drift from the centers of the sweep before to these, (n_clusters, n_columns).
  void move_to(std::span<const float> cluster_centers);

  // Makes room for the rows up to block n_blocks; false when the ledger has not twice as much left: caches go first.
  bool grow(std::int64_t n_blocks, MemoryLedger& memory);
  Block& block(std::int64_t i) { return *blocks_[static_cast<std::size_t>(i)]; }

  // (n_clusters) by label; entry -1 is there too and infinite: a row without a label is always in doubt.
  const float* drift() const { return drift_.data() + 1; }
  // What to keep for a row that was just scanned: `slack` (nearest_centers.hpp) and its label's drift, rounded down.
  float stored_slack(float slack, std::int32_t label) const { return slack + drift()[label] * (1 - 0x1p-22f); }

 private:
  std::int32_t n_columns_;
  std::vector<float> centers_;  // (n_clusters, n_columns) of the last sweep; empty before the first
  std::vector<double> drifts_;  // (n_clusters)
  std::vector<float> drift_;    // (1 + n_clusters) the same, rounded up
  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<Reservation> memory_;
};

}  // namespace coterie::kmeans
