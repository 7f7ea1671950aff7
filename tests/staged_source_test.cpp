// What a backend's stage() hands out: every row once per sweep, in order, with its side columns. Values are the passes' business.
#include <gtest/gtest.h>

#include "host/error.hpp"
#include "host/passes.hpp"
#include "tests/support/backends.hpp"

namespace coterie {
namespace {

struct Nothing {
  void for_each_field(FieldVisitor&) {}
};

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

// A pass whose device is lost in a tile of the sweep, or after the last.
struct LostPass {
  std::int64_t tiles_left;
  std::int64_t begin_works = 1;

  void begin(int) {
    if (begin_works == 0) throw DeviceError("Lost.");
  }
  void accumulate(const Tile&) {
    if (tiles_left-- == 0) throw DeviceError("Lost.");
  }
  Nothing finish() { throw DeviceError("Lost."); }
};

std::string message_of(Context& context, TileSource& source, LostPass pass) {
  try {
    (void)reduce_tiles(context, source, pass, 0);
  } catch (const DeviceError& error) {
    return error.what();
  }
  return "";
}

// Kernels may still read what the two slots held before, beside what they hold; rows that stay, all of them.
TEST(StagedSource, NamesTheRowsInFlight) {
  constexpr std::int64_t kRows = 8 * kBlockRows + 5;
  const std::vector<float> x(kRows);
  Context context({.threads = 1});
  MemoryTileSource rows(x, 1, 16 * kBlockRows, 8 * kBlockRows);
  {
    const auto small = testing::make_backend(context, 2 * kBlockRows * (4 + 8));
    const auto streamed = small->stage(rows);
    for (int sweep = 0; sweep < 2; ++sweep) {
      EXPECT_EQ(message_of(context, *streamed, {0}), "Lost. Rows 1 to 4096 of 32773 were in flight.");
      EXPECT_EQ(message_of(context, *streamed, {5}), "Lost. Rows 8193 to 24576 of 32773 were in flight.");
      EXPECT_EQ(message_of(context, *streamed, {100}), "Lost. Rows 20481 to 32773 of 32773 were in flight.");
      EXPECT_EQ(message_of(context, *streamed, {0, 0}), "Lost.");
    }
  }
  const auto large = testing::make_backend(context);
  const auto resident = large->stage(rows);
  for (int sweep = 0; sweep < 2; ++sweep)
    EXPECT_EQ(message_of(context, *resident, {100}), "Lost. Rows 1 to 32773 of 32773 were in flight.");
}

// The first pass that finds no memory has resident rows give way, the next ones have tiles shrink; each sweep begins anew.
struct HungryPass {
  std::int64_t refusals;
  std::int64_t n_rows = 0;
  std::vector<std::int64_t> tile_rows{};

  void begin(int) {
    n_rows = 0;
    tile_rows.clear();
  }
  void accumulate(const Tile& tile) {
    if (n_rows > 0 && refusals > 0 && refusals--) throw OutOfDeviceMemory("No room.");
    n_rows += tile.n_rows;
    tile_rows.push_back(tile.n_rows);
  }
  Nothing finish() { return {}; }
};

TEST(StagedSource, HoldsLessWhereMemoryRunsOut) {
  constexpr std::int64_t kRows = 8 * kBlockRows + 5;
  const std::vector<float> x(kRows);
  Context context({.threads = 1});
  MemoryTileSource rows(x, 1, 4 * kBlockRows);
  const auto backend = testing::make_backend(context);
  const auto staged = backend->stage(rows);
  HungryPass pass{.refusals = 3};
  (void)reduce_tiles(context, *staged, pass, 0);
  EXPECT_EQ(pass.n_rows, kRows);
  EXPECT_EQ(pass.refusals, 0);
  EXPECT_EQ(pass.tile_rows.front(), 2 * kBlockRows);
  pass.refusals = 100;
  EXPECT_THROW((void)reduce_tiles(context, *staged, pass, 0), OutOfDeviceMemory);
}

}  // namespace
}  // namespace coterie
