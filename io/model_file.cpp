#include "io/model_file.hpp"

#include <fmt/format.h>

#include <bit>

#include "host/error.hpp"
#include "io/hdf5.hpp"
#include "io/result_file.hpp"
#include "io/stored_fields.hpp"
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

bool missing_at_random(const FittedModel& fit) {
  const auto* mixture = std::get_if<gaussian_mixture::Model>(&fit);
  return mixture != nullptr && mixture->missing_at_random;
}

}  // namespace

std::optional<Likelihoods> likelihoods_in_input_units(const FittedModel& fit, const Transform& transform) {
  const auto* mixture = std::get_if<gaussian_mixture::Model>(&fit);
  const std::optional<double> volume = log_volume(transform);
  if (mixture == nullptr || !volume) return std::nullopt;
  const double of_all = mixture->row_weight * *volume;
  Likelihoods likelihoods{mixture->lower_bound, mixture->log_likelihood - of_all, mixture->aic + 2 * of_all, mixture->bic + 2 * of_all,
                          mixture->icl + 2 * of_all};
  for (double& bound : likelihoods.lower_bound) bound -= *volume;
  return likelihoods;
}

bool has_segmentation(const std::filesystem::path& path) { return hdf5::is_group(InputFile::open(path)->id(), kModel); }

void write_model(H5adWriter& file, const SegmentationModel& model) {
  const auto write = [&](const char* field, const Value& value) { file.write_value(field_path(field), value); };
  write("format_version", kFormatVersion);
  write("algorithm", algorithm_of(model.fit));
  write("seed", std::bit_cast<std::int64_t>(model.seed));
  write("weight_step", model.weight_step);
  write("raw_columns", model.raw_columns);
  if (!model.where.empty()) write("where", model.where);
  write("segment_names", model.segment_names);
  write_fitted(file, kModel, model.fit);
  if (model.outlier_log_likelihood) write("outlier_log_likelihood", *model.outlier_log_likelihood);
  if (const auto in_input_units = likelihoods_in_input_units(model.fit, model.transform)) {
    write("lower_bound_input_units", in_input_units->lower_bound);
    write("log_likelihood_input_units", in_input_units->log_likelihood);
    write("aic_input_units", in_input_units->aic);
    write("bic_input_units", in_input_units->bic);
    write("icl_input_units", in_input_units->icl);
  }
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
  model.fit = read_fitted(fields, fields.get<std::string>("algorithm"));
  model.raw_columns = fields.unique_names("raw_columns");
  model.segment_names = fields.list<std::string>("segment_names", n_segments(model.fit));
  fields.check_unique("segment_names", model.segment_names);
  model.transform = read_transform(fields, n_columns(model.fit), std::ssize(model.raw_columns));
  model.transform.keep_missing = missing_at_random(model.fit);
  if (fields.contains("outlier_log_likelihood")) model.outlier_log_likelihood = fields.finite("outlier_log_likelihood");
  if (fields.contains("where")) model.where = fields.get<std::string>("where");
  model.weight_step = fields.finite("weight_step");
  if (model.weight_step <= 0) fields.refuse("weight_step", "it is not positive");
  model.seed = std::bit_cast<std::uint64_t>(fields.get<std::int64_t>("seed"));
  return model;
}

}  // namespace coterie::io
