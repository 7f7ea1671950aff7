// The model of a segmentation inside a result file, uns/segmentation/model: all that is needed to place new customers.
// What decides a label (centers, transform, grid) is stored and read back bit for bit.
//   format_version 1, algorithm, seed, weight_step, raw_columns, segment_names, and where, if a condition chose the customers
//   what the algorithm has fitted, in clustering units (fitted_model.hpp)
//   transform_kind and the dataframe transform, one row per clustering column (transform.hpp)
//   gmm, where asked for: outlier_log_likelihood, below which a customer is an outlier
//   gmm, where the transform shifts and scales only: lower_bound, log_likelihood, aic, bic and icl with _input_units behind each
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "host/transform.hpp"
#include "io/fitted_model.hpp"
#include "io/h5ad_writer.hpp"

namespace coterie::io {

struct SegmentationModel {
  FittedModel fit;
  Transform transform;                     // raw columns to clustering units; column.source indexes raw_columns
  std::vector<std::string> raw_columns;    // names of all columns of X, in their order
  std::vector<std::string> segment_names;  // (n_segments)
  std::optional<double> outlier_log_likelihood;
  std::string where = {};  // condition (host/row_filter.hpp) that chose the customers, or ""
  double weight_step = 1.0;
  std::uint64_t seed = 0;
};

// What gaussian_mixture::Model says of a fit, in the units of the input: models of one file compare whatever their transforms.
struct Likelihoods {
  std::vector<double> lower_bound;  // (n_iter)
  double log_likelihood, aic, bic, icl;
};
// Nothing for k-means, or where log_volume() says nothing.
std::optional<Likelihoods> likelihoods_in_input_units(const FittedModel& fit, const Transform& transform);

bool has_segmentation(const std::filesystem::path& path);  // InputError as read_model, but for files without a model
void write_model(H5adWriter& file, const SegmentationModel& model);

// InputError: no such file, damaged, no model in it, another format version. ContentsError: a field that is missing, of the
// wrong shape or out of range (NaN, negative, not a power of two). Both name the field.
SegmentationModel read_model(const std::filesystem::path& path);

}  // namespace coterie::io
