#include "io/model_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <set>

#include "host/error.hpp"
#include "io/result_file.hpp"
#include "io/stored_column.hpp"
#include "io/table_reader.hpp"
#include "io/text.hpp"

namespace coterie::io {
namespace {

constexpr char kModel[] = "uns/segmentation/model";
constexpr std::int64_t kFormatVersion = 1;
constexpr std::array<std::pair<TransformKind, const char*>, 5> kKinds = {{{TransformKind::none, "none"},
                                                                          {TransformKind::zscore, "zscore"},
                                                                          {TransformKind::log1p, "log1p"},
                                                                          {TransformKind::robust, "robust"},
                                                                          {TransformKind::automatic, "auto"}}};

struct RealField {
  const char* name;
  double ColumnTransform::*field;
};
constexpr std::array<RealField, 6> kRealFields = {{{"lower", &ColumnTransform::lower},
                                                   {"upper", &ColumnTransform::upper},
                                                   {"fill", &ColumnTransform::fill},
                                                   {"center", &ColumnTransform::center},
                                                   {"scale", &ColumnTransform::scale},
                                                   {"step", &ColumnTransform::step}}};

std::string field_path(const std::string& field) { return std::string(kModel) + "/" + field; }

DataFrame transform_frame(const Transform& transform) {
  std::vector<std::int64_t> source;
  std::vector<bool> answered, log1p;
  for (const ColumnTransform& column : transform.columns) {
    source.push_back(column.source);
    answered.push_back(column.answered);
    log1p.push_back(column.log1p);
  }
  DataFrame frame{.index_name = "feature", .index = transform.names, .columns = {}};
  frame.columns = {{"source", source}, {"answered", answered}, {"log1p", log1p}};
  for (const RealField& real : kRealFields) {
    std::vector<double> values;
    for (const ColumnTransform& column : transform.columns) values.push_back(column.*real.field);
    frame.columns.emplace_back(real.name, std::move(values));
  }
  return frame;
}

// The fields of a stored model, each with a complaint that names it.
class ModelFields {
 public:
  explicit ModelFields(const std::filesystem::path& path) : file_(InputFile::open(path)) {
    check_schema(*file_, kResultSchema, kResultSchemaVersion);
    if (!hdf5::is_group(file_->id(), kModel))
      throw InputError(
          fmt::format("file '{}': it holds no model to place customers with; give the result of a segmentation. Nothing was written",
                      file_->path().string()));
  }

  const InputFile& file() const { return *file_; }

  [[noreturn]] void refuse(const std::string& field, const std::string& what) const {
    throw ContentsError(fmt::format("file '{}', '/{}': {}. The model cannot be used; nothing was written", file_->path().string(),
                                    field_path(field), what));
  }

  template <class T>
  T get(const std::string& field) const {
    if (!hdf5::is_dataset(file_->id(), field_path(field))) refuse(field, "the field is missing");
    const Value value = read_value(*file_, field_path(field));
    if (const T* typed = std::get_if<T>(&value)) return *typed;
    refuse(field, "the field is of another type or shape");
  }

  template <class T>
  std::vector<T> list(const std::string& field, std::int64_t length) const {
    std::vector<T> values = get<std::vector<T>>(field);
    if (std::ssize(values) != length) refuse(field, fmt::format("it has {} entries instead of {}", values.size(), length));
    return values;
  }

  double finite(const std::string& field) const {
    const double value = get<double>(field);
    if (!std::isfinite(value)) refuse(field, "it is not a finite number");
    return value;
  }

  std::int64_t count(const std::string& field, std::int64_t least) const {
    const auto value = get<std::int64_t>(field);
    if (value < least || value > std::numeric_limits<std::int32_t>::max()) refuse(field, fmt::format("{} is out of range", value));
    return value;
  }

 private:
  std::shared_ptr<const InputFile> file_;
};

void check_names(const ModelFields& fields, const std::string& field, const std::vector<std::string>& names) {
  std::set<std::string> seen;
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i].empty() || !seen.insert(names[i]).second) fields.refuse(field, fmt::format("name {} is empty or not unique", i));
}

// Centers are float32 in the file; a (k, d) dataset read as double and narrowed is exact.
void read_centers(const ModelFields& fields, kmeans::Model& model) {
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

kmeans::Model read_kmeans(const ModelFields& fields) {
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

bool is_power_of_two(double value) {
  int exponent = 0;
  return value > 0 && std::isfinite(value) && std::frexp(value, &exponent) == 0.5;
}

void check_column(const ModelFields& fields, const ColumnTransform& column, std::size_t i, std::int64_t n_raw) {
  const auto refuse = [&](const char* name) { fields.refuse(std::string("transform/") + name, fmt::format("row {} is out of range", i)); };
  if (column.source < 0 || column.source >= n_raw) refuse("source");
  if (!is_power_of_two(column.step)) refuse("step");
  if (!std::isfinite(column.center)) refuse("center");
  if (!std::isfinite(column.scale) || column.scale <= 0) refuse("scale");
  if (!(column.lower <= column.upper)) refuse("lower");
  if (std::isinf(column.fill)) refuse("fill");
}

template <class T>
const std::vector<T>& transform_column(const ModelFields& fields, const DataFrame& frame, const char* name) {
  const DataFrame::Column* column = frame.find(name);
  if (column == nullptr || !std::holds_alternative<std::vector<T>>(*column))
    fields.refuse(std::string("transform/") + name, "the field is missing or of another type");
  return std::get<std::vector<T>>(*column);
}

TransformKind read_kind(const ModelFields& fields) {
  const auto name = fields.get<std::string>("transform_kind");
  for (const auto& [kind, known] : kKinds)
    if (name == known) return kind;
  fields.refuse("transform_kind", "this program does not know the kind " + shown(name));
}

Transform read_transform(const ModelFields& fields, std::int64_t n_columns, std::int64_t n_raw) {
  Transform transform;
  transform.kind = read_kind(fields);
  if (!hdf5::is_group(fields.file().id(), field_path("transform"))) fields.refuse("transform", "the field is missing");
  const DataFrame frame = read_frame(fields.file(), field_path("transform"));
  if (std::ssize(frame.index) != n_columns)
    fields.refuse("transform", fmt::format("it has {} rows, and the centers {} columns", frame.index.size(), n_columns));
  transform.names = frame.index;
  transform.columns.resize(frame.index.size());
  const auto& source = transform_column<std::int64_t>(fields, frame, "source");
  const auto& answered = transform_column<bool>(fields, frame, "answered");
  const auto& log1p = transform_column<bool>(fields, frame, "log1p");
  for (std::size_t i = 0; i < transform.columns.size(); ++i) {
    ColumnTransform& column = transform.columns[i];
    column.source = source[i] >= 0 && source[i] < n_raw ? static_cast<std::int32_t>(source[i]) : -1;
    column.answered = answered[i];
    column.log1p = log1p[i];
    for (const RealField& real : kRealFields) column.*real.field = transform_column<double>(fields, frame, real.name)[i];
    check_column(fields, column, i, n_raw);
  }
  return transform;
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
  const auto* kind = std::find_if(kKinds.begin(), kKinds.end(), [&](const auto& entry) { return entry.first == model.transform.kind; });
  write("transform_kind", std::string(kind->second));
  file.write_frame(field_path("transform"), transform_frame(model.transform));
}

SegmentationModel read_model(const std::filesystem::path& path) {
  const ModelFields fields(path);
  if (const auto version = fields.get<std::int64_t>("format_version"); version != kFormatVersion)
    throw InputError(
        fmt::format("file '{}', '/{}': the model is of format {}, and this program reads {}; use the version of coterie that "
                    "has written it. Nothing was written",
                    path.string(), field_path("format_version"), version, kFormatVersion));
  SegmentationModel model;
  model.algorithm = fields.get<std::string>("algorithm");
  if (model.algorithm != "kmeans") fields.refuse("algorithm", "this program cannot place customers with " + shown(model.algorithm));
  model.kmeans = read_kmeans(fields);
  model.raw_columns = fields.get<std::vector<std::string>>("raw_columns");
  check_names(fields, "raw_columns", model.raw_columns);
  model.segment_names = fields.list<std::string>("segment_names", model.kmeans.n_clusters);
  check_names(fields, "segment_names", model.segment_names);
  model.transform = read_transform(fields, model.kmeans.n_columns, std::ssize(model.raw_columns));
  model.weight_step = fields.finite("weight_step");
  if (model.weight_step <= 0) fields.refuse("weight_step", "it is not positive");
  model.seed = std::bit_cast<std::uint64_t>(fields.get<std::int64_t>("seed"));
  return model;
}

}  // namespace coterie::io
