// Deviates from 64 random bits each, out of our own elementary functions alone: the same bits everywhere.
#pragma once

#include <cmath>
#include <cstdint>

#include "host/elementary.hpp"

namespace coterie {

struct Direction {
  double cosine, sine;
};

// Of an angle in quarter turns, 0 to 4. The rest beyond whole quarters is at most an eighth turn, where Taylor's series stay
// below 1e-11, far below the float32 that deviates end in.
inline Direction direction(double quarters) {
  constexpr double kQuarterTurn = 1.57079632679489661923;
  const double quarter = round_to_even(quarters);
  const double angle = (quarters - quarter) * kQuarterTurn;
  const double square = angle * angle;
  using elementary::horner;
  const double sine = angle * horner(square, 1.0, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800);
  const double cosine = horner(square, 1.0, -1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600);
  const auto turns = static_cast<std::int32_t>(quarter);  // 0..4
  const double along = (turns & 1) != 0 ? sine : cosine;
  const double across = (turns & 1) != 0 ? cosine : sine;
  return {((turns + 1) & 2) != 0 ? -along : along, (turns & 2) != 0 ? -across : across};
}

struct NormalPair {
  double first, second;
};

// Two independent normal deviates (G. E. P. Box and M. E. Muller, 1958): radius sqrt(-2 log u), angle 2 pi v, u and v of 32 bits
// each, u never 0.
inline NormalPair normal_pair(std::uint64_t bits) {
  const double u = (static_cast<double>(static_cast<std::uint32_t>(bits >> 32)) + 0.5) * 0x1p-32;
  const Direction to = direction(static_cast<double>(static_cast<std::uint32_t>(bits)) * 0x1p-30);
  const double radius = std::sqrt(-2.0 * log(u));
  return {radius * to.cosine, radius * to.sine};
}

// In [0, 1), and in (0, 1).
constexpr double uniform(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }
constexpr double open_uniform(std::uint64_t bits) { return (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52; }

// Exponential with mean 1.
constexpr double exponential(std::uint64_t bits) { return -log(open_uniform(bits)); }

// Counts with this mean: by inversion of the Poisson distribution, from a mean of 16 on as rounded normal deviates, whose skewness
// is then a quarter too small.
inline std::int32_t poisson(double mean, std::uint64_t bits) {
  constexpr double kManyEvents = 16;
  constexpr std::int32_t kMost = 128;  // below 16 a larger count has a probability of 1e-70
  if (mean >= kManyEvents) {
    const double count = round_to_even(mean + std::sqrt(mean) * normal_pair(bits).first);
    return count > 0 ? static_cast<std::int32_t>(count) : 0;
  }
  const double u = uniform(bits);
  double term = exp(-mean), sum = term;
  std::int32_t count = 0;
  while (u >= sum && count < kMost) {
    ++count;
    term *= mean / count;
    sum += term;
  }
  return count;
}

}  // namespace coterie
