// host/ranked_scores.hpp on the device, where a radix sort takes what a comparison sort costs the CPU. The same groups and cuts.
#pragma once

#include "cuda/device.hpp"
#include "host/ranked_scores.hpp"

namespace coterie::COTERIE_GPU {

// By the host where the device lacks the memory: 41 bytes per counted row or, with weights or more than 127 segments, 64; 16 per score.
// seconds_on_device, if given: from when the rows lie there until their groups do.
std::vector<RankedScores> rank_scores(Context& context, DeviceContext& device, const ScoredRows& rows, std::int32_t n_segments,
                                      double* seconds_on_device = nullptr);
std::vector<double> percentile_cuts(Context& context, DeviceContext& device, std::span<const double> score);

}  // namespace coterie::COTERIE_GPU
