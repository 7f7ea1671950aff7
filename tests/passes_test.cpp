#include "host/passes.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <numeric>

#include "host/merge.hpp"
#include "host/row_blocks.hpp"

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

struct Rows {
  std::int64_t n_rows = 0, largest = -1;
  void for_each_field(FieldVisitor& visitor) {
    visitor.integers({&n_rows, 1}, Merge::sum);
    visitor.integers({&largest, 1}, Merge::max);
  }
};

TEST(PerWorker, MakesWhatWorkersAskForAndMergesIt) {
  constexpr std::int64_t kRows = 5 * kBlockRows + 7;
  Context context({.threads = 64});
  std::atomic<int> n_made = 0;
  PerWorker<Rows> workers(context, [&] {
    ++n_made;
    return Rows();
  });
  for_each_block(context, kRows, [&](std::int64_t first, std::int64_t last, std::size_t worker) {
    Rows& rows = workers.of(worker);
    rows.n_rows += last - first;
    rows.largest = std::max(rows.largest, last - 1);
  });
  EXPECT_LE(n_made, 6);  // one for each block at most
  const Rows merged = merge_workers(std::move(workers));
  EXPECT_EQ(merged.n_rows, kRows);
  EXPECT_EQ(merged.largest, kRows - 1);
}

TEST(PerWorker, OfNobodyIsAsItWasMade) {
  Context context({.threads = 3});
  EXPECT_EQ(merge_workers(PerWorker<Rows>(context, [] { return Rows{0, -7}; })).largest, -7);
}

}  // namespace
}  // namespace coterie
