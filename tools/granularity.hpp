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
// The k after which the return on a further segment falls most sharply (log of the unexplained variance per log of k, so
// that data without groups prefers no k), among those whose smallest segment is no anecdote. Separation indices are shown
// but do not decide: they favour two segments on smooth data and the finest segmentation where columns are two-valued.
// models: ascending in k; the largest can only be chosen when it is the only one.
Choice choose_granularity(std::span<const kmeans::Model> models, std::span<const kmeans::Quality> qualities);

}  // namespace coterie::tools
