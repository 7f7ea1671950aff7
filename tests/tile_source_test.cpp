#include "host/tile_source.hpp"

#include <gtest/gtest.h>

#include <numeric>

namespace coterie {
namespace {

TEST(PiecewiseSource, CutsTilesAndTheirSideColumns) {
  constexpr std::int64_t kRows = 3 * kBlockRows + 100;
  std::vector<float> x(2 * kRows);
  std::iota(x.begin(), x.end(), 0.0f);
  std::vector<std::int32_t> weight(kRows), label(kRows);
  std::vector<std::int8_t> target(3 * kRows), fold(kRows);
  for (std::int64_t i = 0; i < kRows; ++i) {
    const auto row = static_cast<std::size_t>(i);
    weight[row] = static_cast<std::int32_t>(i);
    label[row] = static_cast<std::int32_t>(-i);
    fold[row] = static_cast<std::int8_t>(i % 5);
    target[3 * row + 2] = static_cast<std::int8_t>(i % 7);
  }
  MemoryTileSource rows(x, 2, 2 * kBlockRows);  // two tiles, of which pieces make four
  ZippedSource zipped(rows, {.weight = weight, .label = label, .target = target, .n_targets = 3, .fold = fold});
  PiecewiseSource pieces(zipped, kBlockRows + 1);
  for (int sweep = 0; sweep < 2; ++sweep) {
    std::int64_t row = 0;
    int n_pieces = 0;
    pieces.rewind();
    for (; const Tile* tile = pieces.next(); ++n_pieces) {
      ASSERT_EQ(tile->first_row, row);
      ASSERT_LE(tile->n_rows, kBlockRows);
      for (std::int32_t i = 0; i < tile->n_rows; ++i, ++row) {
        ASSERT_EQ(tile->x[2 * i + 1], static_cast<float>(2 * row + 1));
        ASSERT_EQ(tile->weight[i], row);
        ASSERT_EQ(tile->label[i], -row);
        ASSERT_EQ(tile->fold[i], row % 5);
        ASSERT_EQ(tile->target[3 * i + 2], row % 7);
      }
    }
    EXPECT_EQ(row, kRows);
    EXPECT_EQ(n_pieces, 4);
    EXPECT_EQ(pieces.next(), nullptr);
  }
}

}  // namespace
}  // namespace coterie
