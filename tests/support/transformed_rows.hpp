// The whole way from raw rows to clustering rows, for tests that need either end.
#pragma once

#include <gtest/gtest.h>

#include <memory>
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

// Every tile of one sweep, side by side; expects them to be consecutive and without gaps.
inline std::vector<float> rows_of(TileSource& source) {
  std::vector<float> rows;
  source.rewind();
  while (const Tile* tile = source.next()) {
    EXPECT_EQ(tile->n_columns, source.n_columns());
    EXPECT_EQ((tile->first_row - source.first_row()) * tile->n_columns, static_cast<std::int64_t>(rows.size()));
    rows.insert(rows.end(), tile->x, tile->x + std::int64_t{tile->n_rows} * tile->n_columns);
  }
  EXPECT_EQ(static_cast<std::int64_t>(rows.size()), source.n_rows() * source.n_columns());
  return rows;
}

}  // namespace coterie::testing
