#include "host/synth.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <numbers>

#include "host/error.hpp"
#include "host/random.hpp"

namespace coterie {
namespace {

constexpr SynthOptions kOptions{.rows = 100'003, .features = 7, .personas = 5, .seed = 11};

struct Table {
  std::vector<float> x;               // (rows, features)
  std::vector<std::int32_t> persona;  // (rows)
  bool operator==(const Table&) const = default;
};

std::unique_ptr<Context> context_with(int threads) {
  Context::Options options;
  options.threads = threads;
  options.memory_bytes = std::int64_t{1} << 30;
  return std::make_unique<Context>(options);
}

Table rows_of(const SynthOptions& options, std::int64_t first_row, std::int64_t rows, int threads = 1) {
  const std::unique_ptr<Context> context = context_with(threads);
  Table table{std::vector<float>(static_cast<std::size_t>(rows * options.features)),
              std::vector<std::int32_t>(static_cast<std::size_t>(rows))};
  generate(*context, options, first_row, rows, table.x.data(), table.persona.data());
  return table;
}

Table all_rows(const SynthOptions& options, int threads = 1) { return rows_of(options, 0, options.rows, threads); }

TEST(Synth, IgnoresThreadCount) { EXPECT_EQ(all_rows(kOptions, 1), all_rows(kOptions, 3)); }

TEST(Synth, IgnoresTileRows) {
  const Table all = all_rows(kOptions);
  for (const std::int64_t tile : {1000, 4096, 65536}) {
    Table tiled;
    for (std::int64_t row = 0; row < kOptions.rows; row += tile) {
      const Table part = rows_of(kOptions, row, std::min(tile, kOptions.rows - row));
      tiled.x.insert(tiled.x.end(), part.x.begin(), part.x.end());
      tiled.persona.insert(tiled.persona.end(), part.persona.begin(), part.persona.end());
    }
    EXPECT_EQ(tiled, all) << tile;
  }
}

TEST(Synth, FirstRowContinuesTheSameTable) {
  SynthOptions tail = kOptions;
  tail.first_row = 90'000;
  tail.rows = 10'003;
  EXPECT_EQ(all_rows(tail), rows_of(kOptions, 90'000, 10'003));
}

// Recorded once; compilers and instruction sets must not move it, files and benchmarks would no longer be the same.
TEST(Synth, BitsAreFixed) {
  std::uint64_t digest = 0;
  for (const float x : all_rows(kOptions).x) digest = mix64(digest ^ std::bit_cast<std::uint32_t>(x));
  EXPECT_EQ(digest, 13478043804072434535u);
}

TEST(Synth, SeedChangesEveryRow) {
  SynthOptions other = kOptions;
  other.seed = 12;
  const Table a = all_rows(kOptions), b = all_rows(other);
  for (std::size_t i = 0; i < a.x.size(); i += 7) ASSERT_NE(a.x[i], b.x[i]) << i / 7;
}

// The generator once more with the functions of the C library.
TEST(Synth, MatchesReference) {
  const Table table = rows_of(kOptions, 0, 2000);
  const std::vector<double> centers = synth_centers(kOptions);
  const auto d = static_cast<std::size_t>(kOptions.features);
  for (std::size_t row = 0; row < 2000; ++row) {
    for (std::size_t j = 0; j < d; ++j) {
      const std::uint64_t bits = random_bits(kOptions.seed, Purpose::synth_value, j / 2 * 2, row);
      const double radius = std::sqrt(-2 * std::log((static_cast<double>(bits >> 32) + 0.5) / 4294967296.0));
      const double angle = 2 * std::numbers::pi * static_cast<double>(bits & 0xffffffffu) / 4294967296.0;
      const double z = radius * (j % 2 == 0 ? std::cos(angle) : std::sin(angle));
      const double expected = centers[static_cast<std::size_t>(table.persona[row]) * d + j] + z;
      // Half a unit in the last place of a float32 below 16, and 1e-10 for the series.
      EXPECT_NEAR(table.x[row * d + j], expected, 0x1p-21 + 1e-10) << row << ' ' << j;
    }
  }
}

TEST(Synth, PersonasHaveTheirShares) {
  const Table table = all_rows(kOptions);
  const std::vector<double> shares = synth_shares(kOptions);
  std::vector<double> counts(shares.size());
  for (const std::int32_t persona : table.persona) ++counts[static_cast<std::size_t>(persona)];
  const auto n = static_cast<double>(kOptions.rows);
  for (std::size_t p = 0; p < shares.size(); ++p) {
    EXPECT_NEAR(counts[p] / n, shares[p], 5 * std::sqrt(shares[p] * (1 - shares[p]) / n)) << p;  // 5 standard errors
    EXPECT_LT(shares[p], p > 0 ? shares[p - 1] : 1);
  }
}

TEST(Synth, DeviationsAreNormalAndUncorrelated) {
  const Table table = all_rows(kOptions);
  const std::vector<double> centers = synth_centers(kOptions);
  const auto d = static_cast<std::size_t>(kOptions.features), n = static_cast<std::size_t>(kOptions.rows);
  std::vector<double> mean(d), square(d), fourth(d), product(d);
  for (std::size_t row = 0; row < n; ++row) {
    const double* center = centers.data() + static_cast<std::size_t>(table.persona[row]) * d;
    for (std::size_t j = 0; j < d; ++j) {
      const double z = table.x[row * d + j] - center[j], next = table.x[row * d + (j + 1) % d] - center[(j + 1) % d];
      mean[j] += z / static_cast<double>(n);
      square[j] += z * z / static_cast<double>(n);
      fourth[j] += z * z * z * z / static_cast<double>(n);
      product[j] += z * next / static_cast<double>(n);
    }
  }
  const double standard_error = 1 / std::sqrt(static_cast<double>(n));
  for (std::size_t j = 0; j < d; ++j) {  // 5 standard errors: var(z) = 1, var(z^2) = 2, var(z^4) = 105 - 9, var(z z') = 1
    EXPECT_NEAR(mean[j], 0, 5 * standard_error);
    EXPECT_NEAR(square[j], 1, 5 * std::sqrt(2.0) * standard_error);
    EXPECT_NEAR(fourth[j], 3, 5 * std::sqrt(96.0) * standard_error);
    EXPECT_NEAR(product[j], 0, 5 * standard_error);
  }
}

TEST(Synth, CentersLieSixApart) {
  for (const std::int32_t features : {2, 32, 256}) {
    const SynthOptions options{.rows = 0, .features = features, .personas = 200, .seed = 3};
    const std::vector<double> centers = synth_centers(options);
    const auto d = static_cast<std::size_t>(features);
    double sum = 0;
    for (std::size_t p = 0; p < 200; ++p)
      for (std::size_t q = 0; q < p; ++q)
        for (std::size_t j = 0; j < d; ++j) sum += std::pow(centers[p * d + j] - centers[q * d + j], 2);
    EXPECT_NEAR(std::sqrt(sum / (200 * 199 / 2)), 6, 0.5) << features;  // 200 x 2 coordinates: standard error 0.15
  }
}

TEST(Synth, RefusesWhatDoesNotExist) {
  const std::unique_ptr<Context> context = context_with(1);
  float x = 0;
  std::int32_t persona = 0;
  EXPECT_THROW(generate(*context, {.rows = 1, .features = 0}, 0, 1, &x, &persona), ArgumentError);
  EXPECT_THROW(generate(*context, {.rows = 1, .features = 1, .personas = 0}, 0, 1, &x, &persona), ArgumentError);
  EXPECT_THROW(generate(*context, {.rows = 1, .features = 1}, 1, 1, &x, &persona), ArgumentError);
  EXPECT_THROW(generate(*context, {.rows = 1, .features = 1}, -1, 1, &x, &persona), ArgumentError);
}

TEST(SynthOutcome, HappensAsOftenAsItsProbabilitySays) {
  const std::unique_ptr<Context> context = context_with(2);
  const Table table = all_rows(kOptions);
  const auto n = static_cast<std::size_t>(kOptions.rows);
  for (std::int32_t o = 0; o < 2; ++o) {
    std::vector<double> probability(n);
    std::vector<std::int32_t> happened(n);
    plant_outcome(*context, kOptions, o, 0, kOptions.rows, table.x.data(), probability.data(), happened.data());
    double expected = 0, variance = 0, seen = 0, mean = 0, squares = 0;
    for (std::size_t row = 0; row < n; ++row) {
      expected += probability[row];
      variance += probability[row] * (1 - probability[row]);
      seen += happened[row];
      const double log_odds = std::log(probability[row] / (1 - probability[row]));
      mean += log_odds / static_cast<double>(n);
      squares += log_odds * log_odds / static_cast<double>(n);
    }
    EXPECT_NEAR(seen, expected, 4 * std::sqrt(variance));
    EXPECT_NEAR(std::sqrt(squares - mean * mean), 1.25, 0.02);  // the standard deviation of 100,000 draws is off by 0.3 %
    EXPECT_NEAR(1 / (1 + std::exp(-mean)), 0.2 / (o + 1), 0.01);
  }
}

TEST(SynthOutcome, IgnoresTileRowsAndThreadCount) {
  const std::unique_ptr<Context> one = context_with(1), three = context_with(3);
  const Table table = all_rows(kOptions);
  const auto n = static_cast<std::size_t>(kOptions.rows);
  std::vector<double> whole(n), parts(n);
  std::vector<std::int32_t> happened(n), happened_in_parts(n);
  plant_outcome(*one, kOptions, 1, 0, kOptions.rows, table.x.data(), whole.data(), happened.data());
  for (std::int64_t row = 0; row < kOptions.rows; row += 4096)
    plant_outcome(*three, kOptions, 1, row, std::min<std::int64_t>(4096, kOptions.rows - row), table.x.data() + row * kOptions.features,
                  parts.data() + row, happened_in_parts.data() + row);
  EXPECT_EQ(whole, parts);
  EXPECT_EQ(happened, happened_in_parts);
}

}  // namespace
}  // namespace coterie
