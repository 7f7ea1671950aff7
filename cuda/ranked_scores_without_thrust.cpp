// For the emulated device on a machine without the toolkit's headers.
#include "cuda/ranked_scores.hpp"

namespace coterie::COTERIE_GPU {

std::vector<RankedScores> rank_scores(Context& context, DeviceContext&, const ScoredRows& rows, std::int32_t n_segments, double*) {
  return coterie::rank_scores(context, rows, n_segments);
}

std::vector<double> percentile_cuts(Context& context, DeviceContext&, std::span<const double> score) {
  return coterie::percentile_cuts(context, score);
}

}  // namespace coterie::COTERIE_GPU
