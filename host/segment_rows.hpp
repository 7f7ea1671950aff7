// The rows of a labelled tile, as everything that describes segments counts them: which rows count, for which group, how much.
// Groups part the rows: group s < n_segments holds the rows of segment s, group n_segments the rows of any other label >= 0 (or of
// no label column), which belong to the population only. Rows of label -1 or of weight 0 are absent.
#pragma once

#include <algorithm>
#include <cstdint>

#include "host/context.hpp"
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

// Calls f(first, last, worker) for every block of a tile: rows [first, last) of the tile, kBlockRows of them but for the last.
template <class F>
void for_each_block(Context& context, const Tile& tile, F&& f) {
  const std::int64_t n_blocks = (tile.n_rows + kBlockRows - 1) / kBlockRows;
  context.parallel_for(n_blocks, [&](std::int64_t block, int worker) {
    const std::int64_t first = block * kBlockRows;
    f(first, std::min<std::int64_t>(first + kBlockRows, tile.n_rows), static_cast<std::size_t>(worker));
  });
}

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
