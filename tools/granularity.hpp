// How fine a segmentation should be: one row per number of segments, and the choice that `run` makes from it.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "host/gaussian_mixture.hpp"
#include "host/kmeans.hpp"
#include "io/data_frame.hpp"

namespace coterie::tools {

struct Choice {
  std::size_t index = 0;  // into the models
  std::string reason;     // one sentence or two
};
struct Comparison {
  io::DataFrame table;  // one row per model
  Choice choice;
};

// The table: k, inertia, explained, silhouette, davies_bouldin, calinski_harabasz, smallest, smallest_share, n_iter, converged.
// The choice: the k after which the return on a further segment falls most sharply (log of the unexplained variance per log of
// k, so that data without groups prefers no k), among those whose smallest segment is no anecdote. Separation indices are shown
// but do not decide: they favour two segments on smooth data and the finest segmentation where columns are two-valued.
// models: ascending in k; the largest can only be chosen when it is the only one, or the only one without an anecdote.
Comparison compare_kmeans(std::span<const kmeans::Model> models, std::span<const kmeans::Quality> qualities);

// The table: k, covariance_type, log_likelihood, parameters, aic, bic, icl, bic_per_parameter (by how much the BIC falls per
// parameter more than the model before it of the same type), smallest_share, at_floor (components), n_iter, converged.
// The choice: the least ICL (Biernacki, Celeux and Govaert 2000), BIC plus a penalty for customers who lie between segments.
// BIC finds the number of Gaussians that the density needs, and with many rows it asks for ever more of them to shape one group; a
// segment should be told apart. Models whose smallest segment is an anecdote come last, and among the others those whose
// likelihood depends on the covariance floor.
Comparison compare_mixtures(std::span<const gaussian_mixture::Model> models);

}  // namespace coterie::tools
