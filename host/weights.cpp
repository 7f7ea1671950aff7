#include "host/weights.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/error.hpp"

namespace coterie {
namespace {

double largest_weight(std::span<const double> weights) {
  double largest = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!(weights[i] >= 0) || std::isinf(weights[i]))
      throw ContentsError(
          fmt::format("row weight at row {} is negative, missing or infinite; weights must be finite and not negative. Correct the column "
                      "or leave out --weight",
                      i));
    largest = std::max(largest, weights[i]);
  }
  if (largest == 0)
    throw ContentsError("every row weight is zero, so there is nothing to cluster. Correct the column or leave out --weight");
  return largest;
}

}  // namespace

Weights quantise_weights(std::span<const double> weights) {
  const double largest = largest_weight(weights);
  if (std::all_of(weights.begin(), weights.end(), [&](double w) { return w == largest; })) return {.steps = {}, .step = largest};
  int exponent = 0;
  std::frexp(largest, &exponent);  // largest in [2^(exponent-1), 2^exponent)
  const double step = std::ldexp(1.0, exponent - 24);
  Weights grid{.steps = std::vector<std::int32_t>(weights.size()), .step = step};
  std::transform(weights.begin(), weights.end(), grid.steps.begin(), [&](double w) {
    return std::max(static_cast<std::int32_t>(std::nearbyint(w / step)), w > 0 ? std::int32_t{1} : std::int32_t{0});
  });
  return grid;
}

}  // namespace coterie
