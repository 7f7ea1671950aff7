// What row weights leave of the effect sizes that a profile has measured.
#pragma once

#include <cstdint>
#include <span>

#include "host/profile.hpp"
#include "host/weights.hpp"

namespace coterie::profile {

// Intervals of Cohen's d for as many rows of equal weight as tell as much (Kish 1965), the same share of them known in a column as of
// the weight. `labels` are those of measure(); nothing changes without weights. ArgumentError: other lengths.
void widen_effects(Context& context, Profile& profile, std::span<const std::int32_t> labels, const Weights& weights);

}  // namespace coterie::profile
