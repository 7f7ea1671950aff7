// The model of a segmentation inside a result file, uns/segmentation/model: all that is needed to place new customers.
// What decides a label (centers, transform, grid) is stored and read back bit for bit.
//   format_version 1, algorithm, seed, weight_step, raw_columns, segment_names
//   cluster_centers (n_clusters, n_columns) float32 in clustering units, cluster_sizes, cluster_weights, inertia, n_iter,
//   restart, converged, as scikit-learn calls them
//   transform_kind and the dataframe transform, one row per clustering column (transform.hpp)
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "host/kmeans.hpp"
#include "host/transform.hpp"
#include "io/h5ad_writer.hpp"

namespace coterie::io {

struct SegmentationModel {
  std::string algorithm = "kmeans";
  kmeans::Model kmeans;                    // sizes, weights, inertia, n_iter, converged, centers in clustering units
  Transform transform;                     // raw columns to clustering units; column.source indexes raw_columns
  std::vector<std::string> raw_columns;    // names of all columns of X, in their order
  std::vector<std::string> segment_names;  // (n_clusters)
  double weight_step = 1.0;
  std::uint64_t seed = 0;
};

void write_model(H5adWriter& file, const SegmentationModel& model);

// InputError: no such file, damaged, no model in it, another format version. ContentsError: a field that is missing, of the
// wrong shape or out of range (NaN, negative, not a power of two). Both name the field.
SegmentationModel read_model(const std::filesystem::path& path);

}  // namespace coterie::io
