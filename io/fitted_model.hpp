// The part of a stored model (model_file.hpp) that a method has fitted. Names are scikit-learn's without the underscore.
//   kmeans  cluster_centers (n_clusters, n_columns) float32, cluster_sizes, cluster_weights, inertia, n_iter, restart,
//           converged
//   gmm     covariance_type, weights (n_components), means (n_components, n_columns), covariances and precisions_cholesky in
//           scikit-learn's shapes, all float64; missing_at_random, lower_bound (n_iter), row_weight, log_likelihood, aic, bic, icl, n_iter,
//           restart, converged; at_floor, too_light: components; reseeded, reseeded_after: components and iterations
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "host/gaussian_mixture.hpp"
#include "host/kmeans.hpp"
#include "io/h5ad_writer.hpp"

namespace coterie::io {

class StoredFields;

using FittedModel = std::variant<kmeans::Model, gaussian_mixture::Model>;

std::string algorithm_of(const FittedModel& model);  // "kmeans", "gmm"
std::int32_t n_segments(const FittedModel& model);
std::int32_t n_columns(const FittedModel& model);

void write_fitted(H5adWriter& file, const std::string& root, const FittedModel& model);  // root: the group of the model
// ContentsError names the field that is missing, of the wrong shape or out of range.
FittedModel read_fitted(const StoredFields& fields, const std::string& algorithm);

}  // namespace coterie::io
