// The rows of a file that a condition chose, and a source that hands out these alone: consecutive, numbered from 0, in tiles
// of whole blocks, exactly as a file that holds nothing else would. So whatever is computed from them has the same bits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "host/context.hpp"
#include "host/tile_source.hpp"

namespace coterie {

class RowSelection {
 public:
  // Of so many rows; a bit for each, which the ledger lends. ResourceError.
  RowSelection(MemoryLedger& memory, std::int64_t n_rows);

  void append(std::span<const char> chosen);  // the next rows: 1 or 0 for each

  std::int64_t n_rows() const { return static_cast<std::int64_t>(chosen_.size()); }
  std::int64_t n_chosen() const { return n_chosen_; }
  bool contains(std::int64_t row) const { return chosen_[static_cast<std::size_t>(row)]; }
  std::int64_t row(std::int64_t i) const;  // of the i-th chosen row, i < n_chosen()

  // Leaves the entries of chosen rows. values: (n_rows)
  template <class T>
  void compact(std::vector<T>& values) const {
    std::size_t kept = 0;
    for (std::size_t row = 0; row < values.size(); ++row)
      if (chosen_[row]) values[kept++] = values[row];
    values.resize(kept);
    values.shrink_to_fit();
  }

  // Entries for the rows [first_row, end_row): those of chosen rows from `values`, whose first entry belongs to the first
  // chosen row at or behind first_row; `filler` for the others.
  template <class T>
  std::vector<T> spread(std::span<const T> values, std::int64_t first_row, std::int64_t end_row, T filler) const {
    std::vector<T> all(static_cast<std::size_t>(end_row - first_row), filler);
    auto next = values.begin();
    for (std::int64_t row = first_row; row < end_row; ++row)
      if (contains(row)) all[static_cast<std::size_t>(row - first_row)] = *next++;
    return all;
  }

  // Calls f(first_row, end_row, first, n) for consecutive ranges of at most kPiece rows that together hold the chosen rows
  // [first, first + n) and what lies in front of each; the last chosen row takes the rest along. `first` counts from the start
  // of the chosen rows that were asked for.
  template <class F>
  void for_each_piece(std::int64_t first, std::int64_t n, F&& f) const {
    std::int64_t begin = first == 0 ? 0 : row(first - 1) + 1, done = 0;
    const std::int64_t end = first + n == n_chosen_ ? n_rows() : row(first + n - 1) + 1;
    while (begin < end) {
      const std::int64_t piece_end = std::min(begin + kPiece, end);
      const std::int64_t here = std::count(at(begin), at(piece_end), true);
      f(begin, piece_end, done, here);
      done += here;
      begin = piece_end;
    }
  }

 private:
  static constexpr std::int64_t kPiece = 16 * kBlockRows;  // however rare the chosen rows are, what is spread stays small
  std::vector<bool>::const_iterator at(std::int64_t row) const { return chosen_.begin() + row; }

  Reservation memory_;
  std::vector<bool> chosen_;
  std::vector<std::int64_t> before_;  // chosen rows in front of each block
  std::int64_t n_chosen_ = 0;
};

// The chosen rows of `source`, which has no side columns and is not swept elsewhere meanwhile. All three must outlive the result.
// ResourceError: not even a block fits the budget.
std::unique_ptr<TileSource> selected(Context& context, TileSource& source, const RowSelection& selection);

}  // namespace coterie
