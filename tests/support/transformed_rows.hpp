// The whole way from raw rows to clustering rows, for tests that need either end.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "host/transform.hpp"

namespace coterie::testing {

// Columns named c0, c1, ..., all active.
inline std::vector<RawColumn> named_columns(std::int32_t n_columns) {
  std::vector<RawColumn> columns;
  for (std::int32_t j = 0; j < n_columns; ++j) columns.push_back({std::string("c").append(std::to_string(j)), true});
  return columns;
}

inline ChosenTransform survey_and_choose(Context& context, TileSource& raw, const TransformOptions& options) {
  const std::vector<RawColumn> columns = named_columns(raw.n_columns());
  return choose_transform(context, raw, survey_columns(context, raw, columns), columns, options);
}

// Every tile of one sweep, side by side. Throws unless they are consecutive and complete.
inline std::vector<float> rows_of(TileSource& source) {
  std::vector<float> rows;
  const auto next_row = [&] { return source.first_row() + static_cast<std::int64_t>(rows.size()) / source.n_columns(); };
  source.rewind();
  while (const Tile* tile = source.next()) {
    if (tile->first_row != next_row() || tile->n_columns != source.n_columns()) throw std::logic_error("a tile is out of place");
    rows.insert(rows.end(), tile->x, tile->x + std::int64_t{tile->n_rows} * tile->n_columns);
  }
  if (next_row() != source.first_row() + source.n_rows()) throw std::logic_error("rows are missing");
  return rows;
}

}  // namespace coterie::testing
