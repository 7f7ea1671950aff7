#include "host/passes.hpp"

#include <gtest/gtest.h>

#include <numeric>

namespace coterie {
namespace {

// Takes what it has been asked to predict.
struct SeenRows {
  void begin(int) {}
  Tile predict(const Tile& rows) { return rows; }
};

TEST(MapTiles, CutsTilesAndTheirSideColumns) {
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
  Context context({.threads = 1});
  MemoryTileSource rows(x, 2, 2 * kBlockRows);  // two tiles, of which the sink gets four pieces
  ZippedSource zipped(rows, {.weight = weight, .label = label, .target = target, .n_targets = 3, .fold = fold});
  SeenRows predictor;
  std::int64_t row = 0;
  int n_pieces = 0;
  const auto sink = [&](std::int64_t first_row, const Tile& piece) {
    ++n_pieces;
    ASSERT_EQ(first_row, row);
    ASSERT_LE(piece.n_rows, kBlockRows);
    for (std::int32_t i = 0; i < piece.n_rows; ++i, ++row) {
      ASSERT_EQ(piece.x[2 * i + 1], static_cast<float>(2 * row + 1));
      ASSERT_EQ(piece.weight[i], row);
      ASSERT_EQ(piece.label[i], -row);
      ASSERT_EQ(piece.fold[i], row % 5);
      ASSERT_EQ(piece.target[3 * i + 2], row % 7);
    }
  };
  map_tiles(context, zipped, predictor, 0, sink, {.rows_at_once = kBlockRows});
  EXPECT_EQ(row, kRows);
  EXPECT_EQ(n_pieces, 4);
}

}  // namespace
}  // namespace coterie
