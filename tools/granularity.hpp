// How fine a segmentation should be: one row per number of segments, and the choice that `run` makes from it.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "host/kmeans.hpp"
#include "io/data_frame.hpp"

namespace coterie::tools {

// One row per model: k, inertia, explained, silhouette, davies_bouldin, calinski_harabasz, smallest, smallest_share,
// n_iter, converged.
io::DataFrame sweep_frame(std::span<const kmeans::Model> models, std::span<const kmeans::Quality> qualities);

struct Choice {
  std::size_t index = 0;  // into the models
  std::string reason;     // one sentence
};
Choice choose_granularity(std::span<const kmeans::Model> models, std::span<const kmeans::Quality> qualities);

}  // namespace coterie::tools
