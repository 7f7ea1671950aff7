#include "host/profile.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "host/error.hpp"
#include "host/moments.hpp"
#include "tests/support/backends.hpp"
#include "tests/support/counting_source.hpp"
#include "tests/support/instruction_sets.hpp"
#include "tests/support/labelled_rows.hpp"
#include "tests/support/thread_communicator.hpp"

namespace coterie::profile {
namespace {

using testing::awkward_rows;
using testing::LabelledRows;
using testing::RowWeights;

// A block adds at most 4096 terms in double, each addition within 2^-53: 4.5e-13 of the sum of magnitudes; the rest is a few roundings.
constexpr double kMomentTolerance = 1e-12;

struct Setting {
  int threads = 2;
  std::int64_t tile_rows = 2 * kBlockRows;
  std::int64_t memory_bytes = std::int64_t{1} << 28;
};

// By the passes of the backend under test, from where they lie best.
template <class T>
Profile profile_of(const LabelledRows<T>& rows, const Setting& setting = {}, double weight_step = 1) {
  Context context({.threads = setting.threads, .memory_bytes = setting.memory_bytes});
  MemoryTileSource source(std::span<const T>(rows.x), rows.n_columns, setting.tile_rows);
  ZippedSource labelled(source, {rows.weight, rows.label});
  const auto backend = testing::make_backend(context);
  return measure(context, *backend, labelled, rows.n_segments, weight_step);
}

// By the same passes, from tiles in host memory.
Profile profile_from_host(Context& context, TileSource& labelled, std::int32_t n_segments) {
  const auto backend = testing::make_backend(context);
  Passes passes = backend->profile_passes();
  return measure(context, labelled, n_segments, 1, passes);
}

const Table Profile::*const kTables[] = {&Profile::missing_share, &Profile::mean,        &Profile::std,    &Profile::min,
                                         &Profile::max,           &Profile::p10,         &Profile::median, &Profile::p90,
                                         &Profile::share_nonzero, &Profile::index,       &Profile::z,      &Profile::cohen_d,
                                         &Profile::cohen_d_low,   &Profile::cohen_d_high};

std::vector<std::uint64_t> bits_of(const std::vector<double>& values) {
  std::vector<std::uint64_t> bits;
  for (const double value : values) bits.push_back(std::isnan(value) ? ~std::uint64_t{0} : std::bit_cast<std::uint64_t>(value));
  return bits;
}

void expect_same_bits(const Profile& a, const Profile& b) {
  EXPECT_EQ(a.n_rows, b.n_rows);
  EXPECT_EQ(bits_of(a.weight), bits_of(b.weight));
  EXPECT_EQ(bits_of(a.share), bits_of(b.share));
  for (const auto table : kTables) EXPECT_EQ(bits_of((a.*table).values), bits_of((b.*table).values)) << "table " << (&table - kTables);
}

template <class T>
class Expectation {
 public:
  explicit Expectation(const LabelledRows<T>& rows) : rows_(rows), profile_(profile_of(rows)) {}

  void holds() const {
    for (std::int32_t row = 0; row <= rows_.n_segments; ++row) {
      for (std::int32_t column = 0; column < rows_.n_columns; ++column) {
        SCOPED_TRACE(::testing::Message() << "row " << row << " column " << column);
        const reference::Summary of_row = summary(row, column);
        EXPECT_EQ(profile_.n_rows[static_cast<std::size_t>(row)], of_row.rows);
        EXPECT_EQ(profile_.weight[static_cast<std::size_t>(row)], static_cast<double>(of_row.weight));
        if (of_row.known_rows == 0)
          nothing_known(row, column);
        else
          matches(row, column, of_row, summary(rows_.n_segments, column));
      }
    }
  }

 private:
  reference::Summary summary(std::int32_t row, std::int32_t column) const {
    return reference::summarise(
        rows_.cells(column, [&](std::int32_t label) { return row == rows_.n_segments ? label >= 0 : label == row; }));
  }
  reference::Summary rest(std::int32_t row, std::int32_t column) const {
    return reference::summarise(rows_.cells(column, [&](std::int32_t label) { return label >= 0 && label != row; }));
  }

  void nothing_known(std::int32_t row, std::int32_t column) const {
    for (const auto table : kTables) {
      if (table == &Profile::missing_share) continue;
      EXPECT_TRUE(std::isnan((profile_.*table).at(row, column)));
    }
  }

  void matches(std::int32_t row, std::int32_t column, const reference::Summary& of_row, const reference::Summary& of_all) const {
    const double std_of_all = of_all.known_rows > 1 ? reference::root(of_all.variance()) : 0;
    const double scale = std::max(std::abs(static_cast<double>(of_row.mean)), std_of_all) * kMomentTolerance;
    EXPECT_EQ(profile_.missing_share.at(row, column),
              static_cast<double>(of_row.weight - of_row.known_weight) / static_cast<double>(of_row.weight));
    EXPECT_EQ(profile_.share_nonzero.at(row, column),
              static_cast<double>(of_row.nonzero_weight) / static_cast<double>(of_row.known_weight));
    EXPECT_EQ(profile_.min.at(row, column), of_row.min);
    EXPECT_EQ(profile_.max.at(row, column), of_row.max);
    EXPECT_EQ(profile_.p10.at(row, column), reference::quantile(of_row, 100));
    EXPECT_EQ(profile_.median.at(row, column), reference::quantile(of_row, 500));
    EXPECT_EQ(profile_.p90.at(row, column), reference::quantile(of_row, 900));
    EXPECT_NEAR(profile_.mean.at(row, column), static_cast<double>(of_row.mean), scale);
    if (of_row.known_rows < 2) {
      EXPECT_TRUE(std::isnan(profile_.std.at(row, column)));
    } else {
      const double expected = reference::root(of_row.variance());
      EXPECT_NEAR(profile_.std.at(row, column), expected, expected * kMomentTolerance);
    }
    if (std_of_all > 0) compares(row, column, of_row, of_all);
  }

  void compares(std::int32_t row, std::int32_t column, const reference::Summary& of_row, const reference::Summary& of_all) const {
    const double z = static_cast<double>(of_row.mean - of_all.mean) / reference::root(of_all.variance());
    EXPECT_NEAR(profile_.z.at(row, column), z, (1 + std::abs(z)) * kMomentTolerance);
    if (of_all.min < 0) {
      EXPECT_TRUE(std::isnan(profile_.index.at(row, column)));
    } else {
      const auto index = static_cast<double>(100 * of_row.mean / of_all.mean);
      EXPECT_NEAR(profile_.index.at(row, column), index, (100 + index) * kMomentTolerance);
    }
    if (row == rows_.n_segments) return;
    const reference::Summary of_rest = rest(row, column);
    if (of_rest.known_rows == 0 || of_row.known_rows + of_rest.known_rows < 3) {
      EXPECT_TRUE(std::isnan(profile_.cohen_d.at(row, column)));
      return;
    }
    const double d = reference::cohen_d(of_row, of_rest);
    EXPECT_NEAR(profile_.cohen_d.at(row, column), d, (1 + std::abs(d)) * kMomentTolerance);
    const auto n1 = static_cast<double>(of_row.known_rows), n2 = static_cast<double>(of_rest.known_rows);
    const double half = kNormal95 * std::sqrt((n1 + n2) / (n1 * n2) + d * d / (2 * (n1 + n2)));
    EXPECT_NEAR(profile_.cohen_d_low.at(row, column), d - half, (1 + std::abs(d)) * kMomentTolerance);
    EXPECT_NEAR(profile_.cohen_d_high.at(row, column), d + half, (1 + std::abs(d)) * kMomentTolerance);
  }

  const LabelledRows<T>& rows_;
  Profile profile_;
};

TEST(Profile, MatchesReferenceOnFloats) { Expectation(awkward_rows<float>(4 * kBlockRows + 77, RowWeights::none)).holds(); }
TEST(Profile, MatchesReferenceOnWeightedFloats) { Expectation(awkward_rows<float>(4 * kBlockRows + 77, RowWeights::steps)).holds(); }
TEST(Profile, MatchesReferenceOnDoubles) { Expectation(awkward_rows<double>(3 * kBlockRows + 7, RowWeights::none)).holds(); }
TEST(Profile, MatchesReferenceOnWeightedDoubles) { Expectation(awkward_rows<double>(3 * kBlockRows + 7, RowWeights::steps)).holds(); }
TEST(Profile, MatchesReferenceOnOneRow) { Expectation(awkward_rows<float>(1, RowWeights::none)).holds(); }
TEST(Profile, MatchesReferenceOnAFewRows) { Expectation(awkward_rows<double>(5, RowWeights::none)).holds(); }

TEST(Profile, IgnoresTilesAndThreads) {
  const auto rows = awkward_rows<float>(7 * kBlockRows + 3, RowWeights::steps);
  const Profile expected = profile_of(rows, {.threads = 1, .tile_rows = kBlockRows});
  for (const int threads : {1, 2, 3})
    for (const std::int64_t tile_rows : {kBlockRows, 2 * kBlockRows, 100 * kBlockRows})
      expect_same_bits(profile_of(rows, {.threads = threads, .tile_rows = tile_rows}), expected);
}

TEST(Profile, IgnoresInstructionSets) {
  const auto floats = awkward_rows<float>(kBlockRows + 3, RowWeights::steps);
  const auto doubles = awkward_rows<double>(kBlockRows + 3, RowWeights::none);
  const Profile of_floats = profile_of(floats), of_doubles = profile_of(doubles);
  testing::for_each_instruction_set([&] {
    expect_same_bits(profile_of(floats), of_floats);
    expect_same_bits(profile_of(doubles), of_doubles);
  });
}

TEST(Profile, IgnoresMemory) {
  const auto rows = awkward_rows<double>(kBlockRows, RowWeights::none);
  const Profile expected = profile_of(rows);
  const std::int64_t column_bytes = statistics_bytes(rows.n_segments) + quantiles::statistics_bytes(rows.n_segments, 3);
  MemoryTileSource source(std::span<const double>(rows.x), rows.n_columns);
  ZippedSource labelled(source, {rows.weight, rows.label});
  for (const std::int64_t columns : {1, 3, 9}) {
    Context context({.threads = 1, .memory_bytes = columns * column_bytes});
    expect_same_bits(profile_from_host(context, labelled, rows.n_segments), expected);
  }
  Context context({.threads = 1, .memory_bytes = column_bytes - 1});
  EXPECT_THROW(profile_from_host(context, labelled, rows.n_segments), ResourceError);
}

// Tiles on their way to a device need memory too, and are not crowded out by the statistics of all columns at once.
TEST(Profile, SharesMemoryWithStagedTiles) {
  const auto rows = awkward_rows<float>(2 * kBlockRows + 3, RowWeights::steps);
  const Profile expected = profile_of(rows);
  const std::int64_t of_all_columns =
      rows.n_columns * (statistics_bytes(rows.n_segments) + quantiles::statistics_bytes(rows.n_segments, 3));
  expect_same_bits(expected, profile_of(rows, {.threads = 1, .memory_bytes = of_all_columns}));
}

TEST(Profile, IgnoresRanks) {
  const auto rows = awkward_rows<float>(5 * kBlockRows + 9, RowWeights::steps);
  const Profile expected = profile_of(rows);
  const auto columns = static_cast<std::size_t>(rows.n_columns);
  for (const int ranks : {2, 3}) {
    testing::run_ranks(ranks, [&](Communicator& communicator) {
      const auto first = static_cast<std::size_t>(communicator.rank() * 2 * kBlockRows);
      const bool last_rank = communicator.rank() + 1 == communicator.size();
      const std::size_t n = last_rank ? rows.label.size() - first : static_cast<std::size_t>(2 * kBlockRows);
      // Ranks with little memory make everybody take the columns in more rounds.
      Context context({.threads = 1, .memory_bytes = 200'000 * (1 + communicator.rank()), .communicator = &communicator});
      MemoryTileSource source(std::span<const float>(rows.x).subspan(first * columns, n * columns), rows.n_columns, kBlockRows,
                              static_cast<std::int64_t>(first));
      ZippedSource labelled(source, {std::span(rows.weight).subspan(first, n), std::span(rows.label).subspan(first, n)});
      expect_same_bits(profile_from_host(context, labelled, rows.n_segments), expected);
    });
  }
}

LabelledRows<double> one_column(std::vector<double> x, std::vector<std::int32_t> label, std::vector<std::int32_t> weight = {}) {
  return {.n_rows = static_cast<std::int64_t>(x.size()),
          .n_columns = 1,
          .n_segments = 2,
          .x = std::move(x),
          .label = std::move(label),
          .weight = std::move(weight)};
}

// All but what depends on the number of rows: the n - 1 of std, and effect sizes.
TEST(Profile, WeightNEqualsRowRepeatedNTimes) {
  const auto weighted = one_column({1.5, 7, 2, 9, -3, 4}, {0, 0, 0, 1, 1, 1}, {1, 2, 3, 1, 4, 2});
  const auto repeated = one_column({1.5, 7, 7, 2, 2, 2, 9, -3, -3, -3, -3, 4, 4}, {0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1});
  const Profile a = profile_of(weighted), b = profile_of(repeated);
  for (std::int32_t row = 0; row <= 2; ++row) {
    for (const auto table : {&Profile::min, &Profile::max, &Profile::p10, &Profile::median, &Profile::p90, &Profile::share_nonzero})
      EXPECT_EQ((a.*table).at(row, 0), (b.*table).at(row, 0));
    EXPECT_NEAR(a.mean.at(row, 0), b.mean.at(row, 0), kMomentTolerance);
    const auto i = static_cast<std::size_t>(row);
    const auto bessel = [i](const Profile& p) {
      return std::sqrt(static_cast<double>(p.n_rows[i] - 1) / static_cast<double>(p.n_rows[i]));
    };
    EXPECT_NEAR(a.std.at(row, 0) * bessel(a), b.std.at(row, 0) * bessel(b), 10 * kMomentTolerance);
    EXPECT_EQ(a.share[i], b.share[i]);
  }
}

TEST(Profile, ScaleOfWeightsMovesTheWeightColumnOnly) {
  const auto rows = awkward_rows<float>(1000, RowWeights::steps);
  const Profile unit = profile_of(rows);
  Profile scaled = profile_of(rows, {}, 0.25);
  for (std::size_t row = 0; row < unit.weight.size(); ++row) EXPECT_EQ(scaled.weight[row], unit.weight[row] / 4);
  scaled.weight = unit.weight;
  expect_same_bits(scaled, unit);
}

TEST(Profile, ZeroWeightRowCountsForNothing) {
  const auto without = one_column({1, 2, 3, 4}, {0, 0, 1, 1}, {1, 1, 1, 1});
  const auto with = one_column({1, 2, -1e300, 3, 4, std::nan("")}, {0, 0, 0, 1, 1, 1}, {1, 1, 0, 1, 1, 0});
  expect_same_bits(profile_of(with), profile_of(without));
}

TEST(Profile, UnlabelledRowCountsForNothing) {
  const auto without = one_column({1, 2, 3, 4}, {0, 0, 1, 1});
  const auto with = one_column({1, 2, -1e300, 3, 4, std::nan("")}, {0, 0, -1, 1, 1, -5});
  expect_same_bits(profile_of(with), profile_of(without));
}

TEST(Profile, DescribesThePopulationAloneWithoutLabels) {
  const std::vector<float> x = {1, 2, 3, 6};
  Context context({.threads = 1});
  MemoryTileSource source(std::span<const float>(x), 1);
  const Profile profile = profile_from_host(context, source, 0);
  EXPECT_EQ(profile.n_rows, std::vector<std::int64_t>{4});
  EXPECT_EQ(profile.mean.at(0, 0), 3);
  EXPECT_EQ(profile.median.at(0, 0), 2);
}

TEST(Profile, DescribesNoRowsAsUnknown) {
  const Profile profile = profile_of(one_column({1, 2}, {-1, -1}));
  EXPECT_EQ(profile.n_rows, (std::vector<std::int64_t>{0, 0, 0}));
  for (const auto table : kTables) EXPECT_TRUE(std::isnan((profile.*table).at(2, 0)));
}

TEST(Profile, KeepsSpreadFarFromZeroAndFromOtherSegments) {
  // Segment 0 lies at 1e12 with spread 1, segment 1 at -5 with spread 1e-6: one pivot for both would lose the second altogether.
  LabelledRows<double> rows = one_column({}, {});
  for (int i = 0; i < 2000; ++i) {
    rows.x.push_back(i % 2 == 0 ? 1e12 + (i % 4 == 0 ? 1 : -1) : -5 + (i % 4 == 1 ? 0x1p-20 : -0x1p-20));
    rows.label.push_back(i % 2);
  }
  rows.n_rows = 2000;
  const Profile profile = profile_of(rows);
  const double bessel = std::sqrt(1000.0 / 999.0);
  EXPECT_NEAR(profile.std.at(0, 0), bessel, kMomentTolerance);
  EXPECT_NEAR(profile.std.at(1, 0), 0x1p-20 * bessel, 0x1p-20 * kMomentTolerance);
}

TEST(Profile, NeitherOverflowsNorVanishes) {
  for (const double scale : {1e-300, 1e300}) {
    const Profile profile = profile_of(one_column({-scale, 0, scale, 0.5 * scale, scale, 1.5 * scale}, {0, 0, 0, 1, 1, 1}));
    EXPECT_NEAR(profile.std.at(0, 0), scale, scale * kMomentTolerance);
    EXPECT_NEAR(profile.mean.at(1, 0), scale, scale * kMomentTolerance);
    EXPECT_NEAR(profile.cohen_d.at(1, 0), 1 / std::sqrt((2 + 0.5) / 4), 10 * kMomentTolerance);
  }
}

TEST(Profile, OrderOfZerosDoesNotShow) {
  const Profile a = profile_of(one_column({0.0, -0.0, -1, 0.0, -0.0, 1}, {0, 0, 0, 1, 1, 1}));
  const Profile b = profile_of(one_column({-0.0, 0.0, -1, -0.0, 0.0, 1}, {0, 0, 0, 1, 1, 1}));
  expect_same_bits(a, b);
  EXPECT_FALSE(std::signbit(a.max.at(0, 0)));
}

TEST(Profile, SegmentThatAloneIsDifferentHasAnInfiniteEffect) {
  const Profile profile = profile_of(one_column({1, 1, 1, 0, 0, 0}, {0, 0, 0, 1, 1, 1}));
  EXPECT_EQ(profile.cohen_d.at(0, 0), std::numeric_limits<double>::infinity());
  EXPECT_EQ(profile.cohen_d.at(1, 0), -std::numeric_limits<double>::infinity());
  EXPECT_THAT(markers(profile, 0, 5), ::testing::SizeIs(1));
}

TEST(Profile, RefusesInfiniteCells) {
  for (const double infinite : {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) {
    EXPECT_THROW(profile_of(one_column({1, infinite, 3}, {0, 0, 1})), ContentsError);
    EXPECT_NO_THROW(profile_of(one_column({1, infinite, 3}, {0, -1, 1})));
  }
}

TEST(Profile, RefusesSenselessArguments) {
  LabelledRows<double> rows = one_column({1, 2}, {0, 1});
  EXPECT_THROW(profile_of(rows, {}, 0), ArgumentError);
  rows.n_segments = -1;
  EXPECT_THROW(profile_of(rows), ArgumentError);
}

template <class T>
int sweeps_of(const std::vector<T>& x) {
  Context context({.threads = 1});
  MemoryTileSource source(std::span<const T>(x), 1);
  testing::CountingSource counting(source);
  profile_from_host(context, counting, 0);
  return counting.sweeps();
}

TEST(Profile, SweepsOncePerByteOfACell) {
  EXPECT_EQ(sweeps_of<float>({1, 2, 3}), 4);
  EXPECT_EQ(sweeps_of<double>({1, 2, 3}), 8);
}

Profile profile_with_effects(std::vector<double> d, std::vector<double> half_widths) {
  Profile profile;
  profile.n_segments = 1;
  profile.n_columns = static_cast<std::int32_t>(d.size());
  profile.cohen_d = {1, profile.n_columns, d};
  profile.cohen_d_low = profile.cohen_d_high = profile.cohen_d;
  for (std::size_t i = 0; i < d.size(); ++i) {
    profile.cohen_d_low.values[i] -= half_widths[i];
    profile.cohen_d_high.values[i] += half_widths[i];
  }
  return profile;
}

TEST(Markers, AreTheStrongestCertainEffects) {
  const Profile profile = profile_with_effects({0.5, -0.9, 0.19, 0.6, std::nan(""), -0.5}, {0.1, 0.1, 0.1, 0.7, 0.1, 0.1});
  const std::vector<Marker> all = markers(profile, 0, 10);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].column, 1);
  EXPECT_EQ(all[0].cohen_d, -0.9);
  EXPECT_EQ(all[1].column, 0);  // ties to the first column
  EXPECT_EQ(all[2].column, 5);
  EXPECT_EQ(markers(profile, 0, 1).size(), 1u);
}

}  // namespace
}  // namespace coterie::profile
