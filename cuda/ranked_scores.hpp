// host/ranked_scores.hpp on the device, where a radix sort takes what a comparison sort costs the CPU. The same groups and cuts.
#pragma once

#include "cuda/device.hpp"
#include "host/ranked_scores.hpp"

namespace coterie::COTERIE_GPU {

// By the host where the device lacks the memory: about 100 bytes per counted row, and 16 per score.
std::vector<RankedScores> rank_scores(Context& context, DeviceContext& device, const ScoredRows& rows, std::int32_t n_segments);
std::vector<double> percentile_cuts(Context& context, DeviceContext& device, std::span<const double> score);

}  // namespace coterie::COTERIE_GPU
