#include "host/tile_source.hpp"

#include <algorithm>

#include "host/error.hpp"
#include "host/row_blocks.hpp"

namespace coterie {
namespace {

std::int64_t rows_of(std::size_t cells, std::int32_t n_columns) {
  if (n_columns <= 0 || cells % static_cast<std::size_t>(n_columns) != 0)
    throw ArgumentError("a memory source needs n_columns > 0 that divides the number of cells");
  return static_cast<std::int64_t>(cells) / n_columns;
}

std::int64_t whole_blocks(std::int64_t rows) { return std::max<std::int64_t>(1, blocks_of(rows)) * kBlockRows; }

void check_column(std::size_t size, std::int64_t n_rows, std::int32_t width = 1) {
  if (size != 0 && static_cast<std::int64_t>(size) != n_rows * width)
    throw ArgumentError("a side column must have one entry per row of its source and target");
}

}  // namespace

MemoryTileSource::MemoryTileSource(std::span<const float> x, std::int32_t n_columns, std::int64_t tile_rows, std::int64_t first_row)
    : x_(x.data()),
      n_rows_(rows_of(x.size(), n_columns)),
      first_row_(first_row),
      tile_rows_(whole_blocks(tile_rows)),
      n_columns_(n_columns) {}

MemoryTileSource::MemoryTileSource(std::span<const double> wide, std::int32_t n_columns, std::int64_t tile_rows, std::int64_t first_row)
    : wide_(wide.data()),
      n_rows_(rows_of(wide.size(), n_columns)),
      first_row_(first_row),
      tile_rows_(whole_blocks(tile_rows)),
      n_columns_(n_columns) {}

const Tile* MemoryTileSource::next() {
  if (row_ >= n_rows_) return nullptr;
  const std::int64_t rows = std::min(tile_rows_, n_rows_ - row_);
  const std::int64_t cell = row_ * n_columns_;
  tile_ = {.x = x_ ? x_ + cell : nullptr,
           .wide = wide_ ? wide_ + cell : nullptr,
           .first_row = first_row_ + row_,
           .n_rows = static_cast<std::int32_t>(rows),
           .n_columns = n_columns_};
  row_ += rows;
  return &tile_;
}

ZippedSource::ZippedSource(TileSource& source, SideColumns columns) : source_(source), columns_(columns) {
  check_column(columns.weight.size(), source.n_rows());
  check_column(columns.label.size(), source.n_rows());
  check_column(columns.target.size(), source.n_rows(), columns.n_targets);
  check_column(columns.fold.size(), source.n_rows());
}

const Tile* ZippedSource::next() {
  const Tile* tile = source_.next();
  if (tile == nullptr) return nullptr;
  tile_ = *tile;
  const std::int64_t row = tile->first_row - source_.first_row();
  if (!columns_.weight.empty()) tile_.weight = columns_.weight.data() + row;
  if (!columns_.label.empty()) tile_.label = columns_.label.data() + row;
  if (!columns_.target.empty()) {
    tile_.target = columns_.target.data() + row * columns_.n_targets;
    tile_.n_targets = columns_.n_targets;
  }
  if (!columns_.fold.empty()) tile_.fold = columns_.fold.data() + row;
  return &tile_;
}

}  // namespace coterie
