#include "host/quantiles.hpp"

#include <gtest/gtest.h>

#include <bit>

#include "host/error.hpp"
#include "host/ordered_key.hpp"
#include "host/passes.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/instruction_sets.hpp"
#include "tests/support/labelled_rows.hpp"

namespace coterie::quantiles {
namespace {

using testing::awkward_rows;
using testing::LabelledRows;
using testing::RowWeights;

const std::vector<std::int32_t> kPerMille = {0, 1, 100, 250, 500, 500, 900, 999, 1000};

template <class T>
Search select(const LabelledRows<T>& rows, int threads = 2, std::int64_t tile_rows = 2 * kBlockRows) {
  Context context({.threads = threads});
  MemoryTileSource source(std::span<const T>(rows.x), rows.n_columns, tile_rows);
  ZippedSource labelled(source, {rows.weight, rows.label});
  const auto backend = testing::make_backend(context);
  const auto pass = backend->profile_passes().quantiles;
  Search search = start({rows.n_segments, 0, rows.n_columns}, kPerMille, source.is_wide());
  while (!search.done()) update(search, reduce_tiles(context, labelled, *pass, search));
  return search;
}

// The last row is the population.
template <class T>
std::vector<reference::Cell> cells_of(const LabelledRows<T>& rows, std::int32_t row, std::int32_t column) {
  return rows.cells(column, [&](std::int32_t label) { return row == rows.n_segments ? label >= 0 : label == row; });
}

template <class T>
void expect_order_statistics(const LabelledRows<T>& rows, const Search& search) {
  for (std::int32_t row = 0; row <= rows.n_segments; ++row) {
    for (std::int32_t column = 0; column < rows.n_columns; ++column) {
      const reference::Summary summary = reference::summarise(cells_of(rows, row, column));
      for (std::size_t q = 0; q < kPerMille.size(); ++q) {
        SCOPED_TRACE(::testing::Message() << "row " << row << " column " << column << " per mille " << kPerMille[q]);
        const double expected = reference::quantile(summary, kPerMille[q]);
        const double found = value(search, row, column, q);
        if (std::isnan(expected)) {
          EXPECT_TRUE(std::isnan(found));
        } else {
          EXPECT_EQ(found, expected);
        }
      }
    }
  }
}

TEST(Quantiles, AreOrderStatisticsOfFloats) {
  const auto rows = awkward_rows<float>(3 * kBlockRows + 11, RowWeights::none);
  expect_order_statistics(rows, select(rows));
}

TEST(Quantiles, AreWeightedOrderStatisticsOfFloats) {
  const auto rows = awkward_rows<float>(3 * kBlockRows + 11, RowWeights::steps);
  expect_order_statistics(rows, select(rows));
}

TEST(Quantiles, AreOrderStatisticsOfDoubles) {
  const auto rows = awkward_rows<double>(2 * kBlockRows + 5, RowWeights::none);
  expect_order_statistics(rows, select(rows));
}

TEST(Quantiles, AreWeightedOrderStatisticsOfDoubles) {
  const auto rows = awkward_rows<double>(2 * kBlockRows + 5, RowWeights::steps);
  expect_order_statistics(rows, select(rows));
}

TEST(Quantiles, ReachEveryBitPattern) {
  LabelledRows<float> rows{.n_rows = 30'000, .n_columns = 1, .n_segments = 1, .x = {}, .label = {}, .weight = {}};
  std::mt19937 bits(3);
  while (rows.x.size() < 30'000)
    if (const float x = std::bit_cast<float>(static_cast<std::uint32_t>(bits())); std::isfinite(x)) rows.x.push_back(x);
  rows.label.assign(30'000, 0);
  expect_order_statistics(rows, select(rows));
}

TEST(Quantiles, MissingCellsOfEitherSignCountForNothing) {
  // The keys of missing cells share their first digits with the largest magnitudes.
  constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();
  LabelledRows<float> rows{.n_rows = 3000, .n_columns = 1, .n_segments = 1, .x = {}, .label = {}, .weight = {}};
  for (int row = 0; row < 1000; ++row) {
    const float tail = 3e38f + 1e34f * static_cast<float>(row);
    rows.x.insert(rows.x.end(), {row % 2 == 0 ? tail : -tail, kMissing, std::copysign(kMissing, -1.0f)});
  }
  rows.label.assign(3000, 0);
  expect_order_statistics(rows, select(rows));
}

TEST(Quantiles, SumWeightsBeyond32Bits) {
  LabelledRows<float> rows{.n_rows = 5000, .n_columns = 1, .n_segments = 1, .x = {}, .label = {}, .weight = {}};
  for (int row = 0; row < 5000; ++row) rows.x.push_back(row < 2500 ? 1.0f : 2.0f);
  rows.label.assign(5000, 0);
  rows.weight.assign(5000, 1 << 24);
  rows.weight[0] += 1;
  expect_order_statistics(rows, select(rows));
}

TEST(Quantiles, IgnoreTilesAndThreads) {
  const auto rows = awkward_rows<float>(5 * kBlockRows + 1, RowWeights::steps);
  const Search expected = select(rows, 1, kBlockRows);
  for (const int threads : {1, 2, 3}) {
    for (const std::int64_t tile_rows : {kBlockRows, 3 * kBlockRows, 100 * kBlockRows}) {
      const Search search = select(rows, threads, tile_rows);
      EXPECT_EQ(search.prefixes, expected.prefixes);
      EXPECT_EQ(search.ranks, expected.ranks);
    }
  }
}

// More columns than are counted together, and none of their number a whole vector: awkward rows side by side.
template <class T>
LabelledRows<T> many_columns(std::int64_t n_rows) {
  constexpr std::int32_t kCopies = 7;
  LabelledRows<T> rows = awkward_rows<T>(n_rows, RowWeights::steps);
  std::vector<T> x;
  for (std::int64_t row = 0; row < n_rows; ++row)
    for (std::int32_t copy = 0; copy < kCopies; ++copy)
      for (std::int32_t column = 0; column < testing::kAwkwardColumns; ++column)
        x.push_back(rows.x[static_cast<std::size_t>(row * testing::kAwkwardColumns + (column + copy) % testing::kAwkwardColumns)]);
  rows.n_columns *= kCopies;
  rows.x = std::move(x);
  return rows;
}

TEST(Quantiles, AreOrderStatisticsOfManyColumns) {
  const auto floats = many_columns<float>(700);
  expect_order_statistics(floats, select(floats));
  const auto doubles = many_columns<double>(300);
  expect_order_statistics(doubles, select(doubles));
}

TEST(Quantiles, IgnoreInstructionSets) {
  const auto floats = many_columns<float>(300);
  const auto doubles = many_columns<double>(300);
  const Search of_floats = select(floats), of_doubles = select(doubles);
  testing::for_each_instruction_set([&] {
    EXPECT_EQ(select(floats).prefixes, of_floats.prefixes);
    EXPECT_EQ(select(doubles).prefixes, of_doubles.prefixes);
  });
}

TEST(Quantiles, AreOrderStatisticsOfMoreSegmentsThanRowsOfABlock) {
  auto rows = awkward_rows<float>(2 * kBlockRows + 5, RowWeights::none);
  rows.n_segments = 5000;
  for (std::size_t row = 0; row < rows.label.size(); ++row) rows.label[row] = static_cast<std::int32_t>(row % 5002) - 1;
  Context context({.threads = 2});
  MemoryTileSource source(std::span<const float>(rows.x), rows.n_columns, kBlockRows);
  ZippedSource labelled(source, {rows.weight, rows.label});
  const auto backend = testing::make_backend(context);
  const auto pass = backend->profile_passes().quantiles;
  Search search = start({rows.n_segments, testing::heavy_tail, 1}, {0, 1000}, false);
  while (!search.done()) update(search, reduce_tiles(context, labelled, *pass, search));
  for (const std::int32_t row : {0, 17, 3190, 4999, 5000}) {
    const reference::Summary summary = reference::summarise(cells_of(rows, row, testing::heavy_tail));
    EXPECT_EQ(value(search, row, 0, 0), reference::quantile(summary, 0));
    EXPECT_EQ(value(search, row, 0, 1), reference::quantile(summary, 1000));
  }
}

TEST(Quantiles, CoverNoMoreColumnsThanTheirBinsHaveNumbers) {
  EXPECT_GE(most_columns(1000, 3), 5000);
  EXPECT_LT(most_columns(1000, 3) * 1001 * 3 * static_cast<std::int64_t>(kBins), std::int64_t{1} << 32);
  EXPECT_EQ(most_columns(1 << 30, 3), 0);
}

TEST(Quantiles, CoverTheColumnsOfTheirScopeOnly) {
  const auto rows = awkward_rows<float>(kBlockRows, RowWeights::none);
  const Search all = select(rows);
  Context context({.threads = 1});
  MemoryTileSource source(std::span<const float>(rows.x), rows.n_columns);
  ZippedSource labelled(source, {rows.weight, rows.label});
  const auto backend = testing::make_backend(context);
  const auto pass = backend->profile_passes().quantiles;
  Search two = start({rows.n_segments, testing::counts, 2}, kPerMille, false);
  while (!two.done()) update(two, reduce_tiles(context, labelled, *pass, two));
  for (std::int32_t column = 0; column < 2; ++column) EXPECT_EQ(value(two, 1, column, 4), value(all, 1, testing::counts + column, 4));
}

TEST(Quantiles, NarrowDownFromBelow) {
  const auto rows = awkward_rows<float>(kBlockRows, RowWeights::none);
  const Search done = select(rows);
  Context context({.threads = 1});
  MemoryTileSource source(std::span<const float>(rows.x), rows.n_columns);
  ZippedSource labelled(source, {rows.weight, rows.label});
  const auto backend = testing::make_backend(context);
  const auto pass = backend->profile_passes().quantiles;
  Search search = start(done.scope, kPerMille, false);
  while (!search.done()) {
    update(search, reduce_tiles(context, labelled, *pass, search));
    EXPECT_LE(value(search, 2, testing::normal, 4), value(done, 2, testing::normal, 4));
  }
}

TEST(Quantiles, NoticeRowsThatChangeBetweenSweeps) {
  std::vector<float> x(100, 1.0f);
  const std::vector<std::int32_t> label(100, 0);
  Context context({.threads = 1});
  MemoryTileSource source(std::span<const float>(x), 1);
  ZippedSource labelled(source, {{}, label});
  const auto backend = testing::make_backend(context);
  const auto pass = backend->profile_passes().quantiles;
  Search search = start({1, 0, 1}, {500}, false);
  update(search, reduce_tiles(context, labelled, *pass, search));
  x.assign(100, -1.0f);
  const Statistics other = reduce_tiles(context, labelled, *pass, search);
  EXPECT_THROW(update(search, other), InternalError);
}

template <class T>
void expect_keys_in_order(const std::vector<T>& ascending) {
  for (std::size_t i = 0; i < ascending.size(); ++i) {
    EXPECT_EQ(from_ordered_key<T>(ordered_key(ascending[i])), ascending[i]);
    if (i > 0) {
      EXPECT_LT(ordered_key(ascending[i - 1]), ordered_key(ascending[i]));
    }
  }
  EXPECT_EQ(ordered_key(T{-0.0f}), ordered_key(T{0.0f}));
}

TEST(OrderedKey, FollowsTheOrderOfFloats) {
  expect_keys_in_order<float>({-3e38f, -1.0f, -1e-40f, 0.0f, 1e-40f, 1.0f, 1.0000001f, 3e38f});
  expect_keys_in_order<double>({-1e308, -1.0, -5e-324, 0.0, 5e-324, 1.0, 1.0000000000000002, 1e308});
}

}  // namespace
}  // namespace coterie::quantiles
