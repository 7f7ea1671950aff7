// What a backend's stage() hands out: every row once per sweep, in order, with its side columns. Values are the passes' business.
#include <gtest/gtest.h>

#include "tests/support/backends.hpp"

namespace coterie {
namespace {

// gpu_memory_bytes 0: the rows stay on the device after the first sweep.
template <class Cell>
void expect_every_row_once(std::int64_t gpu_memory_bytes) {
  constexpr std::int64_t kRows = 4 * kBlockRows + 5;
  constexpr std::int32_t kColumns = 3;
  const std::vector<Cell> x(static_cast<std::size_t>(kRows * kColumns));
  const std::vector<std::int32_t> label(static_cast<std::size_t>(kRows));
  Context context({.threads = 1});
  MemoryTileSource rows(std::span<const Cell>(x), kColumns, 2 * kBlockRows, 8 * kBlockRows);
  const std::vector<std::int8_t> target(static_cast<std::size_t>(2 * kRows)), fold(static_cast<std::size_t>(kRows));
  ZippedSource labelled(rows, {.weight = {}, .label = label, .target = target, .n_targets = 2, .fold = fold});
  const auto backend = testing::make_backend(context, gpu_memory_bytes);
  const auto staged = backend->stage(labelled);
  EXPECT_EQ(staged->is_wide(), sizeof(Cell) == sizeof(double));
  for (int sweep = 0; sweep < 3; ++sweep) {
    SCOPED_TRACE(::testing::Message() << "sweep " << sweep);
    std::int64_t next_row = rows.first_row();
    staged->rewind();
    while (const Tile* tile = staged->next()) {
      ASSERT_EQ(tile->first_row, next_row);
      EXPECT_EQ(tile->x == nullptr, staged->is_wide());
      EXPECT_EQ(tile->wide != nullptr, staged->is_wide());
      EXPECT_NE(tile->label, nullptr);
      EXPECT_EQ(tile->weight, nullptr);
      EXPECT_NE(tile->target, nullptr);
      EXPECT_EQ(tile->n_targets, 2);
      EXPECT_NE(tile->fold, nullptr);
      next_row += tile->n_rows;
    }
    EXPECT_EQ(next_row, rows.first_row() + kRows);
  }
}

constexpr std::int64_t kTwoTiles = 2 * kBlockRows * (3 * 8 + 8 + 3);  // of one block: cells, label and weight, targets and fold

TEST(StagedSource, YieldsEveryRowOnceWhereAllFit) {
  expect_every_row_once<float>(0);
  expect_every_row_once<double>(0);
}

TEST(StagedSource, YieldsEveryRowOnceWhereTwoTilesFit) {
  expect_every_row_once<float>(kTwoTiles);
  expect_every_row_once<double>(kTwoTiles);
}

}  // namespace
}  // namespace coterie
