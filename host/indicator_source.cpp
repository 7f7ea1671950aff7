#include "host/indicator_source.hpp"

#include <algorithm>
#include <limits>

#include "host/error.hpp"

namespace coterie {

IndicatorSource::IndicatorSource(TileSource& source, const std::vector<IndicatorColumns>& categories)
    : source_(source), categories_(categories), n_columns_(source.n_columns()) {
  for (const IndicatorColumns& category : categories) {
    if (std::ssize(category.codes) != source.n_rows()) throw ArgumentError("a category must have one code per row of its source");
    n_columns_ += static_cast<std::int32_t>(category.levels.size());
  }
}

template <class Cell>
void IndicatorSource::widen(const Tile& tile, const Cell* cells, std::vector<Cell>& widened) const {
  widened.resize(static_cast<std::size_t>(tile.n_rows) * static_cast<std::size_t>(n_columns_));
  Cell* to = widened.data();
  for (std::int32_t row = 0; row < tile.n_rows; ++row) {
    to = std::copy_n(cells + std::int64_t{row} * tile.n_columns, tile.n_columns, to);
    const auto at = static_cast<std::size_t>(tile.first_row - source_.first_row() + row);
    for (const IndicatorColumns& category : categories_) {
      const std::int8_t code = category.codes[at];
      for (const std::int8_t level : category.levels)
        *to++ = code < 0 ? std::numeric_limits<Cell>::quiet_NaN() : static_cast<Cell>(code == level ? 1 : 0);
    }
  }
}

const Tile* IndicatorSource::next() {
  const Tile* tile = source_.next();
  if (tile == nullptr) return nullptr;
  tile_ = *tile;
  tile_.n_columns = n_columns_;
  if (tile->x != nullptr) {
    widen(*tile, tile->x, x_);
    tile_.x = x_.data();
  } else {
    widen(*tile, tile->wide, wide_);
    tile_.wide = wide_.data();
  }
  return &tile_;
}

}  // namespace coterie
