#include "io/transform_record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "io/text.hpp"

namespace coterie::io {
namespace {

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

bool is_power_of_two(double value) {
  int exponent = 0;
  return value > 0 && std::isfinite(value) && std::frexp(value, &exponent) == 0.5;
}

void check_column(const StoredFields& fields, const ColumnTransform& column, std::size_t i, std::int64_t n_raw) {
  const auto refuse = [&](const char* name) { fields.refuse(std::string("transform/") + name, fmt::format("row {} is out of range", i)); };
  if (column.source < 0 || column.source >= n_raw) refuse("source");
  if (!is_power_of_two(column.step)) refuse("step");
  if (!std::isfinite(column.center)) refuse("center");
  if (!std::isfinite(column.scale) || column.scale <= 0) refuse("scale");
  if (!(column.lower <= column.upper)) refuse("lower");
  if (std::isinf(column.fill)) refuse("fill");
}

TransformKind read_kind(const StoredFields& fields) {
  const auto name = fields.get<std::string>("transform_kind");
  for (const auto& [kind, known] : kKinds)
    if (name == known) return kind;
  fields.refuse("transform_kind", "this program does not know the kind " + shown(name));
}

}  // namespace

void write_transform(H5adWriter& file, const std::string& root, const Transform& transform) {
  const auto* kind = std::find_if(kKinds.begin(), kKinds.end(), [&](const auto& entry) { return entry.first == transform.kind; });
  file.write_value(root + "/transform_kind", std::string(kind->second));
  file.write_frame(root + "/transform", transform_frame(transform));
}

Transform read_transform(const StoredFields& fields, std::int64_t n_columns, std::int64_t n_raw) {
  Transform transform;
  transform.kind = read_kind(fields);
  const DataFrame frame = fields.frame("transform");
  if (std::ssize(frame.index) != n_columns)
    fields.refuse("transform", fmt::format("it has {} rows, and the model {} columns", frame.index.size(), n_columns));
  transform.names = frame.index;
  transform.columns.resize(frame.index.size());
  const auto& source = fields.column<std::int64_t>(frame, "transform", "source");
  const auto& answered = fields.column<bool>(frame, "transform", "answered");
  const auto& log1p = fields.column<bool>(frame, "transform", "log1p");
  for (std::size_t i = 0; i < transform.columns.size(); ++i) {
    ColumnTransform& column = transform.columns[i];
    column.source = source[i] >= 0 && source[i] < n_raw ? static_cast<std::int32_t>(source[i]) : -1;
    column.answered = answered[i];
    column.log1p = log1p[i];
    for (const RealField& real : kRealFields) column.*real.field = fields.column<double>(frame, "transform", real.name)[i];
    check_column(fields, column, i, n_raw);
  }
  return transform;
}

}  // namespace coterie::io
