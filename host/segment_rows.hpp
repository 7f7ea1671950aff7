// The rows of a labelled tile, as everything that describes segments counts them: which rows count, for which group, how much.
// Groups part the rows: group s < n_segments holds the rows of segment s, group n_segments the rows of any other label >= 0 (or of
// no label column), which belong to the population only. Rows of label -1 or of weight 0 are absent.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "host/context.hpp"
#include "host/row_blocks.hpp"
#include "host/tile.hpp"

namespace coterie {

// What one description covers: the columns [first_column, first_column + n_columns) of the source, per group.
struct SegmentScope {
  std::int32_t n_segments = 0;
  std::int32_t first_column = 0;
  std::int32_t n_columns = 0;
  std::size_t n_groups() const { return static_cast<std::size_t>(n_segments) + 1; }
  std::size_t cell(std::size_t group, std::int32_t column) const {
    return group * static_cast<std::size_t>(n_columns) + static_cast<std::size_t>(column);
  }
  std::size_t n_cells() const { return n_groups() * static_cast<std::size_t>(n_columns); }  // entries of a (n_groups, n_columns) table
};

// Whole blocks for one task, cut for RowsByGroup: enough rows that each of a hundred segments has some, few enough for every thread to
// find work in a tile and for a 16-bit row number.
inline constexpr std::int64_t kMostPieceRows = 4 * kBlockRows;

// Calls f(first, last, worker) for every piece of a tile: rows [first, last) of the tile, at most kMostPieceRows.
template <class F>
void for_each_piece(Context& context, const Tile& tile, F&& f) {
  const std::int64_t piece_rows = std::clamp(blocks_of(tile.n_rows) / context.threads() * kBlockRows, kBlockRows, kMostPieceRows);
  context.parallel_for((tile.n_rows + piece_rows - 1) / piece_rows, [&](std::int64_t piece, int worker) {
    const std::int64_t first = piece * piece_rows;
    f(first, std::min<std::int64_t>(first + piece_rows, tile.n_rows), static_cast<std::size_t>(worker));
  });
}

// Rows of one group.
template <class Cell>
struct GroupRows {
  const Cell* x;               // (*, stride) whose first cell is of the scope's first column
  std::size_t stride;          // cells from row to row
  const std::int32_t* weight;  // (*) in steps, or nullptr for ones
  std::span<const std::uint16_t> rows;

  // Calls f(cells, weight) for every row, in order; cells: from column `first` on, `n` of which are looked at.
  template <class F>
  void for_each(std::size_t first, std::size_t n, F&& f) const {
    constexpr std::size_t kAhead = 16, kLine = 64 / sizeof(Cell);  // the rows of a group lie apart, where no processor looks ahead
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (i + kAhead < rows.size())
        for (std::size_t cell = 0; cell < n; cell += kLine) __builtin_prefetch(x + rows[i + kAhead] * stride + first + cell);
      f(x + rows[i] * stride + first, weight != nullptr ? weight[rows[i]] : 1);
    }
  }
};

// Sorts the rows of a piece that count by group, each group's in their order, so that what belongs to one group stays in the caches
// while its rows are counted.
class RowsByGroup {
 public:
  // Calls f(group, rows) for every group that has some of the rows [first, last).
  template <class Cell, class F>
  void for_each_group(const Tile& tile, const Cell* x, const SegmentScope& scope, std::int64_t first, std::int64_t last, F&& f) {
    sort(tile, scope, first, last);
    GroupRows<Cell> rows{.x = x + first * tile.n_columns + scope.first_column,
                         .stride = static_cast<std::size_t>(tile.n_columns),
                         .weight = tile.weight != nullptr ? tile.weight + first : nullptr,
                         .rows = {}};
    for (std::size_t group = 0, begin = 0; group < scope.n_groups(); begin = ends_[group++]) {
      rows.rows = std::span(rows_).subspan(begin, ends_[group] - begin);
      if (!rows.rows.empty()) f(group, rows);
    }
  }

 private:
  void sort(const Tile& tile, const SegmentScope& scope, std::int64_t first, std::int64_t last) {
    ends_.assign(scope.n_groups() + 1, 0);
    const auto for_each_counted = [&](auto&& f) {
      for (std::int64_t row = first; row < last; ++row) {
        const std::int32_t label = tile.label != nullptr ? tile.label[row] : scope.n_segments;
        if (label < 0 || (tile.weight != nullptr && tile.weight[row] == 0)) continue;
        f(static_cast<std::size_t>(std::min(label, scope.n_segments)), static_cast<std::uint16_t>(row - first));
      }
    };
    for_each_counted([&](std::size_t group, std::uint16_t) { ++ends_[group + 1]; });
    for (std::size_t group = 0; group < scope.n_groups(); ++group) ends_[group + 1] += ends_[group];
    rows_.resize(ends_.back());
    for_each_counted([&](std::size_t group, std::uint16_t row) { rows_[ends_[group]++] = row; });
  }

  std::vector<std::uint32_t> ends_;  // (n_groups + 1) behind the last row of each; the last entry is the number of rows
  std::vector<std::uint16_t> rows_;  // counted from the first of the piece
};

// Calls f(cells, group, weight) for the rows [first, last) of a tile that count; cells: (scope.n_columns), weight in steps.
template <class Cell, class F>
void for_each_row(const Tile& tile, const Cell* x, const SegmentScope& scope, std::int64_t first, std::int64_t last, F&& f) {
  for (std::int64_t row = first; row < last; ++row) {
    const std::int32_t label = tile.label != nullptr ? tile.label[row] : scope.n_segments;
    const std::int32_t weight = tile.weight != nullptr ? tile.weight[row] : 1;
    if (label < 0 || weight == 0) continue;
    f(x + row * tile.n_columns + scope.first_column, static_cast<std::size_t>(std::min(label, scope.n_segments)), weight);
  }
}

}  // namespace coterie
