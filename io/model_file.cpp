#include "io/model_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "host/error.hpp"
#include "io/hdf5.hpp"
#include "io/result_file.hpp"
#include "io/stored_fields.hpp"
#include "io/text.hpp"
#include "io/transform_record.hpp"

namespace coterie::io {
namespace {

constexpr char kModel[] = "uns/segmentation/model";
constexpr std::int64_t kFormatVersion = 1;

std::string field_path(const std::string& field) { return std::string(kModel) + "/" + field; }

StoredFields model_fields(const std::filesystem::path& path) {
  auto file = InputFile::open(path);
  check_schema(*file, kResultSchema, kResultSchemaVersion);
  if (!hdf5::is_group(file->id(), kModel))
    throw InputError(
        fmt::format("file '{}': it holds no model to place customers with; give the result of a segmentation. Nothing was written",
                    file->path().string()));
  return {std::move(file), kModel};
}

// Centers are float32 in the file; a (k, d) dataset read as double and narrowed is exact.
void read_centers(const StoredFields& fields, kmeans::Model& model) {
  if (!hdf5::is_dataset(fields.file().id(), field_path("cluster_centers"))) fields.refuse("cluster_centers", "the field is missing");
  const Matrix centers = read_matrix(fields.file(), field_path("cluster_centers"));
  if (centers.n_rows < 1 || centers.n_columns < 1) fields.refuse("cluster_centers", "it is empty");
  model.n_clusters = static_cast<std::int32_t>(centers.n_rows);
  model.n_columns = static_cast<std::int32_t>(centers.n_columns);
  for (const double value : centers.values) {
    model.cluster_centers.push_back(static_cast<float>(value));
    if (!std::isfinite(model.cluster_centers.back()) || model.cluster_centers.back() != value)
      fields.refuse("cluster_centers", "a center is no finite float32 number");
  }
}

kmeans::Model read_kmeans(const StoredFields& fields) {
  kmeans::Model model;
  read_centers(fields, model);
  model.cluster_sizes = fields.list<std::int64_t>("cluster_sizes", model.n_clusters);
  model.cluster_weights = fields.list<double>("cluster_weights", model.n_clusters);
  if (std::any_of(model.cluster_sizes.begin(), model.cluster_sizes.end(), [](std::int64_t size) { return size < 0; }))
    fields.refuse("cluster_sizes", "a size is negative");
  if (!std::all_of(model.cluster_weights.begin(), model.cluster_weights.end(), [](double w) { return w >= 0 && std::isfinite(w); }))
    fields.refuse("cluster_weights", "a weight is negative or not finite");
  model.restart = static_cast<std::int32_t>(fields.count("restart", 0));
  model.n_iter = static_cast<std::int32_t>(fields.count("n_iter", 0));
  model.inertia = fields.finite("inertia");
  if (model.inertia < 0) fields.refuse("inertia", "it is negative");
  model.converged = fields.get<bool>("converged");
  model.settled = true;
  return model;
}

}  // namespace

void write_model(H5adWriter& file, const SegmentationModel& model) {
  const kmeans::Model& fit = model.kmeans;
  const auto write = [&](const char* field, const Value& value) { file.write_value(field_path(field), value); };
  write("format_version", kFormatVersion);
  write("algorithm", model.algorithm);
  write("seed", std::bit_cast<std::int64_t>(model.seed));
  write("weight_step", model.weight_step);
  write("raw_columns", model.raw_columns);
  write("segment_names", model.segment_names);
  file.write_matrix(field_path("cluster_centers"), fit.n_clusters, fit.n_columns, std::span<const float>(fit.cluster_centers));
  write("cluster_sizes", fit.cluster_sizes);
  write("cluster_weights", fit.cluster_weights);
  write("inertia", fit.inertia);
  write("n_iter", std::int64_t{fit.n_iter});
  write("restart", std::int64_t{fit.restart});
  write("converged", fit.converged);
  write_transform(file, kModel, model.transform);
}

SegmentationModel read_model(const std::filesystem::path& path) {
  const StoredFields fields = model_fields(path);
  if (const auto version = fields.get<std::int64_t>("format_version"); version != kFormatVersion)
    throw InputError(
        fmt::format("file '{}', '/{}': the model is of format {}, and this program reads {}; use the version of coterie that "
                    "has written it. Nothing was written",
                    path.string(), field_path("format_version"), version, kFormatVersion));
  SegmentationModel model;
  model.algorithm = fields.get<std::string>("algorithm");
  if (model.algorithm != "kmeans") fields.refuse("algorithm", "this program cannot place customers with " + shown(model.algorithm));
  model.kmeans = read_kmeans(fields);
  model.raw_columns = fields.unique_names("raw_columns");
  model.segment_names = fields.list<std::string>("segment_names", model.kmeans.n_clusters);
  fields.check_unique("segment_names", model.segment_names);
  model.transform = read_transform(fields, model.kmeans.n_columns, std::ssize(model.raw_columns));
  model.weight_step = fields.finite("weight_step");
  if (model.weight_step <= 0) fields.refuse("weight_step", "it is not positive");
  model.seed = std::bit_cast<std::uint64_t>(fields.get<std::int64_t>("seed"));
  return model;
}

}  // namespace coterie::io
