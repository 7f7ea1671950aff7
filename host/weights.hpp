// Row weights on a grid: w = steps * step with 0 <= steps <= 2^24, so weighted sums are sums of integers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace coterie {

inline constexpr std::int32_t kMaxWeightSteps = std::int32_t{1} << 24;

struct Weights {
  std::vector<std::int32_t> steps;  // (n_rows); empty: every row weighs 1
  double step = 1.0;                // a power of two; the largest weight is in (2^23, 2^24] steps
};

// Rounds weights to the grid below the largest; a positive weight counts at least one step, so that no row vanishes that was given
// one, however small beside the largest. A zero weight means the row is absent. Weights that are all equal give
// an empty `steps` and that weight as the step. ContentsError names the first row that is negative, NaN or infinite, or
// says that no row has a positive weight.
Weights quantise_weights(std::span<const double> weights);

}  // namespace coterie
