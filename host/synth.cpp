#include "host/synth.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/elementary.hpp"
#include "host/error.hpp"
#include "host/random.hpp"
#include "host/tile.hpp"

namespace coterie {
namespace {

constexpr double kSeparation = 6.0;  // root mean square distance of two centers, in standard deviations
constexpr double kPi = 3.14159265358979323846;

// Integers, so that a row's persona does not hang on rounding.
std::int64_t share_weight(const SynthOptions& options, std::int32_t persona) { return 3 * std::int64_t{options.personas} - 2 * persona; }

std::vector<std::int64_t> cumulative_weights(const SynthOptions& options) {
  std::vector<std::int64_t> cumulative(static_cast<std::size_t>(options.personas));
  std::int64_t sum = 0;
  for (std::int32_t p = 0; p < options.personas; ++p) cumulative[static_cast<std::size_t>(p)] = sum += share_weight(options, p);
  return cumulative;
}

struct NormalPair {
  double first, second;
};

// Two independent normal deviates from 64 random bits (G. E. P. Box and M. E. Muller, 1958): radius sqrt(-2 log u),
// angle 2 pi v, u and v of 32 bits each, u never 0. The angle is a quarter turn times 0..3 plus a rest of at most an
// eighth turn, where Taylor's series stay below 1e-11, far below the float32 the value ends in.
NormalPair normal_pair(std::uint64_t bits) {
  const double u = (static_cast<double>(static_cast<std::uint32_t>(bits >> 32)) + 0.5) * 0x1p-32;
  const double quarters = static_cast<double>(static_cast<std::uint32_t>(bits)) * 0x1p-30;
  const double radius = std::sqrt(-2.0 * log(u));
  const double quarter = round_to_even(quarters);
  const double angle = (quarters - quarter) * (kPi / 2);
  const double square = angle * angle;
  using elementary::horner;
  const double sine = angle * horner(square, 1.0, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800);
  const double cosine = horner(square, 1.0, -1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600);
  const auto turns = static_cast<std::int32_t>(quarter);  // 0..4
  const double along = (turns & 1) != 0 ? sine : cosine;
  const double across = (turns & 1) != 0 ? cosine : sine;
  return {((turns + 1) & 2) != 0 ? -radius * along : radius * along, (turns & 2) != 0 ? -radius * across : radius * across};
}

struct Planted {
  const SynthOptions& options;
  std::vector<double> centers;           // (personas, features)
  std::vector<std::int64_t> cumulative;  // (personas)
};

std::int32_t draw_persona(const Planted& planted, std::uint64_t row) {
  const double uniform = random_uniform(planted.options.seed, Purpose::synth_persona, row);
  const auto point = static_cast<std::int64_t>(uniform * static_cast<double>(planted.cumulative.back()));
  return static_cast<std::int32_t>(std::upper_bound(planted.cumulative.begin(), planted.cumulative.end(), point) -
                                   planted.cumulative.begin());
}

// x: (features)
void fill_row(const Planted& planted, std::uint64_t row, std::int32_t persona, float* x) {
  const std::int32_t d = planted.options.features;
  const double* center = planted.centers.data() + static_cast<std::int64_t>(persona) * d;
  for (std::int32_t j = 0; j + 1 < d; j += 2) {
    const NormalPair z = normal_pair(random_bits(planted.options.seed, Purpose::synth_value, static_cast<std::uint64_t>(j), row));
    x[j] = static_cast<float>(center[j] + z.first);
    x[j + 1] = static_cast<float>(center[j + 1] + z.second);
  }
  if (d % 2 == 0) return;
  const NormalPair z = normal_pair(random_bits(planted.options.seed, Purpose::synth_value, static_cast<std::uint64_t>(d - 1), row));
  x[d - 1] = static_cast<float>(center[d - 1] + z.first);
}

void check(const SynthOptions& options, std::int64_t first_row, std::int64_t rows) {
  if (options.features < 1 || options.personas < 1) {
    throw ArgumentError(fmt::format("Synthetic customers need at least one feature and one persona; {} and {} were asked for.",
                                    options.features, options.personas));
  }
  if (first_row < 0 || rows < 0 || options.first_row < 0 || first_row > options.rows - rows) {
    throw ArgumentError(fmt::format("Rows {} to {} were asked for, the synthetic table has {} from row {} on.", first_row, first_row + rows,
                                    options.rows, options.first_row));
  }
}

}  // namespace

std::vector<double> synth_centers(const SynthOptions& options) {
  const double half_width = kSeparation * std::sqrt(1.5 / options.features);  // two uniform points differ by 2/3 of its square per axis
  std::vector<double> centers;
  for (std::int32_t p = 0; p < options.personas; ++p) {
    for (std::int32_t j = 0; j < options.features; ++j) {
      const auto stream = static_cast<std::uint64_t>(p) + 1;  // stream 0 draws the rows' personas
      centers.push_back(half_width *
                        (2.0 * random_uniform(options.seed, Purpose::synth_persona, static_cast<std::uint64_t>(j), stream) - 1.0));
    }
  }
  return centers;
}

std::vector<double> synth_shares(const SynthOptions& options) {
  const auto total = static_cast<double>(cumulative_weights(options).back());
  std::vector<double> shares;
  for (std::int32_t p = 0; p < options.personas; ++p) shares.push_back(static_cast<double>(share_weight(options, p)) / total);
  return shares;
}

void generate(Context& context, const SynthOptions& options, std::int64_t first_row, std::int64_t rows, float* x, std::int32_t* persona) {
  check(options, first_row, rows);
  const Planted planted{options, synth_centers(options), cumulative_weights(options)};
  context.parallel_for((rows + kBlockRows - 1) / kBlockRows, [&](std::int64_t block, int) {
    for (std::int64_t i = block * kBlockRows; i < std::min((block + 1) * kBlockRows, rows); ++i) {
      const auto row = static_cast<std::uint64_t>(options.first_row + first_row + i);
      persona[i] = draw_persona(planted, row);
      fill_row(planted, row, persona[i], x + i * options.features);
    }
  });
}

}  // namespace coterie
