#include "host/indicator_source.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "host/error.hpp"

namespace coterie {
namespace {

std::vector<double> all_cells(TileSource& source) {
  std::vector<double> cells;
  source.rewind();
  while (const Tile* tile = source.next())
    visit_cells(*tile, [&](const auto* x) {
      for (std::int64_t i = 0; i < std::int64_t{tile->n_rows} * tile->n_columns; ++i) cells.push_back(static_cast<double>(x[i]));
    });
  return cells;
}

template <class Cell>
void expect_levels_behind_columns() {
  const std::vector<Cell> x = {1, 2, 3, 4, 5, 6};
  MemoryTileSource rows{std::span<const Cell>(x), 2};
  const std::vector<IndicatorColumns> categories = {{{1, 0, -1}, {0, 1}}, {{2, 2, 0}, {2, -2}}};
  IndicatorSource source(rows, categories);
  EXPECT_EQ(source.n_columns(), 6);
  const std::vector<double> cells = all_cells(source);
  const std::vector<double> expected = {1, 2, 0, 1, 1, 0, 3, 4, 1, 0, 1, 0};
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(cells[i], expected[i]) << i;
  EXPECT_TRUE(std::isnan(cells[14]) && std::isnan(cells[15]));
  EXPECT_EQ(cells[16], 0);
  EXPECT_EQ(all_cells(source)[4], cells[4]);  // a second sweep
}

TEST(IndicatorSource, MarksLevelsBehindTheColumns) {
  expect_levels_behind_columns<float>();
  expect_levels_behind_columns<double>();
}

TEST(IndicatorSource, IgnoresTileRows) {
  const std::vector<float> x(3 * kBlockRows, 7.f);
  std::vector<IndicatorColumns> categories(1);
  categories[0].levels = {3};
  for (std::size_t row = 0; row < x.size(); ++row) categories[0].codes.push_back(static_cast<std::int8_t>(row % 5));
  MemoryTileSource whole{std::span<const float>(x), 1, 3 * kBlockRows}, parts{std::span<const float>(x), 1, kBlockRows};
  IndicatorSource a(whole, categories), b(parts, categories);
  EXPECT_EQ(all_cells(a), all_cells(b));
}

TEST(IndicatorSource, RefusesCodesOfAnotherLength) {
  const std::vector<float> x = {1, 2};
  MemoryTileSource rows{std::span<const float>(x), 1};
  const std::vector<IndicatorColumns> categories = {{{1}, {1}}};
  EXPECT_THROW(IndicatorSource(rows, categories), ArgumentError);
}

}  // namespace
}  // namespace coterie
