#include "host/row_selection.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "host/random.hpp"
#include "tests/support/csv_files.hpp"

namespace coterie {
namespace {

using ::testing::ElementsAre;

constexpr std::int32_t kColumns = 3;

// Rows that hold their own number, and which of them are chosen: one in `rarity`, at random, and never the first.
struct Problem {
  Problem(std::int64_t n_rows, std::uint64_t rarity)
      : x(static_cast<std::size_t>(n_rows * kColumns)), chosen(static_cast<std::size_t>(n_rows)) {
    for (std::int64_t row = 0; row < n_rows; ++row) {
      const auto i = static_cast<std::size_t>(row);
      for (std::size_t j = 0; j < kColumns; ++j) x[i * kColumns + j] = static_cast<T>(row) + static_cast<T>(j) / 4;
      chosen[i] = row > 0 && random_bits(5, Purpose::split, static_cast<std::uint64_t>(row)) % rarity == 0 ? 1 : 0;
      if (chosen[i] != 0) rows.push_back(row);
    }
  }
  using T = double;
  std::vector<T> x;
  std::vector<char> chosen;
  std::vector<std::int64_t> rows;  // the chosen ones
};

RowSelection select(Context& context, const Problem& problem, std::size_t step) {
  RowSelection selection(context.memory(), std::ssize(problem.chosen));
  for (std::size_t row = 0; row < problem.chosen.size(); row += step)
    selection.append(std::span(problem.chosen).subspan(row, std::min(step, problem.chosen.size() - row)));
  return selection;
}

TEST(RowSelection, FindsEveryChosenRow) {
  const auto context = testing::context_with_threads(1);
  const Problem problem(3 * kBlockRows + 17, 5);
  const RowSelection selection = select(*context, problem, 1000);
  ASSERT_EQ(selection.n_chosen(), std::ssize(problem.rows));
  for (std::int64_t i = 0; i < selection.n_chosen(); ++i) ASSERT_EQ(selection.row(i), problem.rows[static_cast<std::size_t>(i)]);
}

// The tiles of the selection are those of a source that holds the chosen rows alone, whatever the tiles of the file.
TEST(RowSelection, SourceHandsOutTheChosenRowsInWholeBlocks) {
  const auto context = testing::context_with_threads(1);
  for (const std::uint64_t rarity : {1, 2, 300}) {
    const Problem problem(40 * kBlockRows + 100, rarity);
    const RowSelection selection = select(*context, problem, 5000);
    for (const std::int64_t tile_rows : {kBlockRows, 16 * kBlockRows}) {
      MemoryTileSource file(std::span<const double>(problem.x), kColumns, tile_rows);
      const auto source = selected(*context, file, selection);
      ASSERT_EQ(source->n_rows(), std::ssize(problem.rows));
      for (int sweep = 0; sweep < 2; ++sweep) {
        std::int64_t next = 0;
        source->rewind();
        while (const Tile* tile = source->next()) {
          ASSERT_EQ(tile->first_row, next);
          ASSERT_EQ(tile->first_row % kBlockRows, 0);
          for (std::int64_t r = 0; r < tile->n_rows; ++r, ++next)
            for (std::int32_t j = 0; j < kColumns; ++j)
              ASSERT_EQ(tile->wide[r * kColumns + j], static_cast<double>(problem.rows[static_cast<std::size_t>(next)]) + j / 4.0);
        }
        EXPECT_EQ(next, source->n_rows());
      }
    }
  }
}

TEST(RowSelection, CompactAndSpreadAreEachOthersInverse) {
  const auto context = testing::context_with_threads(1);
  for (const std::uint64_t rarity : {1, 3, 50000}) {
    const Problem problem(50 * kBlockRows + 1, rarity);
    const RowSelection selection = select(*context, problem, 4096);
    std::vector<std::int64_t> kept(problem.chosen.size());
    std::iota(kept.begin(), kept.end(), 0);
    selection.compact(kept);
    ASSERT_EQ(kept, problem.rows);
    std::vector<std::int64_t> all;
    const std::int64_t step = 7000;
    for (std::int64_t first = 0; first < selection.n_chosen(); first += step) {
      const std::span<const std::int64_t> part = std::span(kept).subspan(static_cast<std::size_t>(first));
      selection.for_each_piece(first, std::min(step, selection.n_chosen() - first), [&](auto begin, auto end, auto done, auto n) {
        ASSERT_EQ(begin, std::ssize(all));
        const std::vector<std::int64_t> piece =
            selection.spread(part.subspan(static_cast<std::size_t>(done), static_cast<std::size_t>(n)), begin, end, std::int64_t{-1});
        all.insert(all.end(), piece.begin(), piece.end());
      });
    }
    ASSERT_EQ(all.size(), problem.chosen.size());
    for (std::size_t row = 0; row < all.size(); ++row) ASSERT_EQ(all[row], problem.chosen[row] != 0 ? static_cast<std::int64_t>(row) : -1);
  }
}

}  // namespace
}  // namespace coterie
