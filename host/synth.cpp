#include "host/synth.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/error.hpp"
#include "host/random.hpp"
#include "host/random_deviates.hpp"
#include "host/row_blocks.hpp"
#include "host/tile.hpp"

namespace coterie {
namespace {

constexpr double kSeparation = 6.0;  // root mean square distance of two centers, in standard deviations

// Integers, so that a row's persona does not hang on rounding.
std::int64_t share_weight(const SynthOptions& options, std::int32_t persona) {
  return 3 * std::int64_t{options.personas} - std::int64_t{2} * persona;
}

std::vector<std::int64_t> cumulative_weights(const SynthOptions& options) {
  std::vector<std::int64_t> cumulative(static_cast<std::size_t>(options.personas));
  std::int64_t sum = 0;
  for (std::int32_t p = 0; p < options.personas; ++p) cumulative[static_cast<std::size_t>(p)] = sum += share_weight(options, p);
  return cumulative;
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
  for_each_block(context, rows, [&](std::int64_t first, std::int64_t last, std::size_t) {
    for (std::int64_t i = first; i < last; ++i) {
      const auto row = static_cast<std::uint64_t>(options.first_row + first_row + i);
      persona[i] = draw_persona(planted, row);
      fill_row(planted, row, persona[i], x + i * options.features);
    }
  });
}

}  // namespace coterie
