#include "io/result_file.hpp"

#include <numeric>

#include "host/error.hpp"
#include "io/feature_writer.hpp"

namespace coterie::io {
namespace {

using profile::Profile;
using profile::Table;

constexpr char kEverybody[] = "everybody";  // the label of segment_id -1 in long tables

// What is told about every segment and column, and under which name.
struct Measure {
  const char* name;
  Table Profile::*table;
};
constexpr Measure kMeasures[] = {
    {"mean", &Profile::mean},
    {"std", &Profile::std},
    {"min", &Profile::min},
    {"p10", &Profile::p10},
    {"median", &Profile::median},
    {"p90", &Profile::p90},
    {"max", &Profile::max},
    {"missing", &Profile::missing_share},
    {"share_nonzero", &Profile::share_nonzero},
};
constexpr Measure kContrasts[] = {
    // of a segment against everybody or against the rest
    {"index", &Profile::index},
    {"zscore", &Profile::z},
    {"effect", &Profile::cohen_d},
    {"effect_low", &Profile::cohen_d_low},
    {"effect_high", &Profile::cohen_d_high},
};

std::vector<double> population(const Table& table) {  // the last row
  return {table.values.end() - table.n_columns, table.values.end()};
}

// (n_columns, n_segments): features on rows, as anndata's varm wants them.
std::vector<double> transposed(const Table& table) {
  std::vector<double> values;
  for (std::int32_t column = 0; column < table.n_columns; ++column)
    for (std::int32_t segment = 0; segment < table.n_segments; ++segment) values.push_back(table.at(segment, column));
  return values;
}

// Columns of a table in long form, built row by row.
class LongTable {
 public:
  explicit LongTable(std::span<const std::string> segment_names) : segment_names_(segment_names) {}

  std::int32_t n_segments() const { return static_cast<std::int32_t>(segment_names_.size()); }
  void begin_row(std::int32_t segment) {
    const bool everybody = segment == n_segments();
    next_ = 0;
    put("segment_id", std::int64_t{everybody ? -1 : segment});
    put("segment", everybody ? std::string(kEverybody) : segment_names_[static_cast<std::size_t>(segment)]);
  }
  template <class T>
  void put(const std::string& name, T value) {
    if (next_ == frame_.columns.size()) frame_.columns.emplace_back(name, std::vector<T>{});
    std::get<std::vector<T>>(frame_.columns[next_++].second).push_back(std::move(value));
  }
  void write(H5adWriter& file, const std::string& path) const {
    if (frame_.n_rows() > 0) file.write_table(path, frame_);
  }

 private:
  std::span<const std::string> segment_names_;
  DataFrame frame_;
  std::size_t next_ = 0;
};

void write_profile_table(H5adWriter& file, const Profile& profile, std::span<const std::string> segment_names,
                         std::span<const FeatureColumn> columns) {
  LongTable table(segment_names);
  for (std::int32_t segment = 0; segment <= profile.n_segments; ++segment)
    for (std::int32_t column = 0; column < profile.n_columns; ++column) {
      const FeatureColumn& feature = columns[static_cast<std::size_t>(column)];
      table.begin_row(segment);
      table.put("feature", feature.name);
      table.put("role", role_name(feature.role));
      table.put("layer", feature.layer);
      table.put("n", profile.n_rows[static_cast<std::size_t>(segment)]);
      for (const Measure& measure : kMeasures) table.put(measure.name, (profile.*measure.table).at(segment, column));
      for (const Measure& contrast : kContrasts) table.put(contrast.name, (profile.*contrast.table).at(segment, column));
    }
  table.write(file, "uns/segmentation/profile_table");
}

}  // namespace

H5adWriter::Options result_options(std::int64_t n_rows, std::string id_name, Context* context) {
  return {.schema = kResultSchema,
          .schema_version = kResultSchemaVersion,
          .n_rows = n_rows,
          .id_name = std::move(id_name),
          .text_index = true,
          .context = context};
}

std::vector<RowColumn> customer_columns(const IdFormat& ids, std::vector<std::string> segment_names) {
  return {{.name = ids.name,
           .type = ids.is_integer ? CellType::int64 : CellType::text,
           .text_bytes = ids.text_bytes,
           .table_name = "customer_id"},
          {.name = "segment", .type = CellType::int32, .categories = std::move(segment_names), .table_name = "segment_label"},
          {.name = "segment_id", .type = CellType::int32, .table_name = "segment"},
          {.name = "second_segment", .type = CellType::int32, .table_name = "second_segment"}};
}

std::vector<RowColumn> distance_columns() {
  return {{.name = "segment_distance", .type = CellType::float32, .table_name = "distance"},
          {.name = "segment_margin", .type = CellType::float32, .table_name = "margin"}};
}

std::vector<RowColumn> probability_columns(bool marks_outliers) {
  std::vector<RowColumn> columns{{.name = "segment_probability", .type = CellType::float32, .table_name = "probability"},
                                 {.name = "segment_entropy", .type = CellType::float32, .table_name = "entropy"},
                                 {.name = "log_likelihood", .type = CellType::float32, .table_name = "log_likelihood"}};
  if (marks_outliers) columns.push_back({.name = "is_outlier", .type = CellType::boolean, .table_name = "is_outlier"});
  return columns;
}

DataFrame variables_frame(std::span<const FeatureColumn> columns, std::span<const std::string> transform_notes, const Profile& profile) {
  DataFrame frame{.index_name = "feature", .index = {}, .columns = {}};
  std::vector<std::string> roles, layers, onehot_of;
  for (const FeatureColumn& column : columns) {
    frame.index.push_back(column.name);
    roles.push_back(role_name(column.role));
    layers.push_back(column.layer);
    onehot_of.push_back(column.onehot_of);
  }
  frame.columns = {{"role", roles}, {"layer", layers}, {"onehot_of", onehot_of}};
  frame.columns.emplace_back("transform", std::vector<std::string>(transform_notes.begin(), transform_notes.end()));
  for (const Measure& measure : kMeasures) frame.columns.emplace_back(measure.name, population(profile.*measure.table));
  return frame;
}

DataFrame segments_frame(std::span<const std::string> segment_names, const Profile& profile) {
  const auto n = static_cast<std::ptrdiff_t>(profile.n_segments);
  std::vector<std::int64_t> ids(static_cast<std::size_t>(n));
  std::iota(ids.begin(), ids.end(), 0);
  return {.index_name = "segment",
          .index = {segment_names.begin(), segment_names.end()},
          .columns = {{"segment_id", ids},
                      {"n", std::vector<std::int64_t>(profile.n_rows.begin(), profile.n_rows.begin() + n)},
                      {"weight", std::vector<double>(profile.weight.begin(), profile.weight.begin() + n)},
                      {"share", std::vector<double>(profile.share.begin(), profile.share.begin() + n)}}};
}

void write_profile(H5adWriter& file, const Profile& profile, std::span<const std::string> segment_names,
                   std::span<const FeatureColumn> columns) {
  if (std::ssize(segment_names) != profile.n_segments || std::ssize(columns) != profile.n_columns)
    throw InternalError("a profile and its names differ in length");
  const auto write = [&](const Measure& measure) {
    file.write_matrix(std::string("varm/segment_") + measure.name, profile.n_columns, profile.n_segments,
                      transposed(profile.*measure.table));
  };
  for (const Measure& measure : kMeasures) write(measure);
  for (const Measure& contrast : kContrasts) write(contrast);
  write_profile_table(file, profile, segment_names, columns);
}

void write_levels(H5adWriter& file, std::span<const profile::LevelProfile> levels, std::span<const std::string> segment_names) {
  LongTable table(segment_names);
  for (const profile::LevelProfile& column : levels)
    for (std::int32_t segment = 0; segment <= table.n_segments(); ++segment)
      for (std::size_t level = 0; level < column.levels.size(); ++level) {
        const std::size_t cell = static_cast<std::size_t>(segment) * column.levels.size() + level;
        table.begin_row(segment);
        table.put("column", column.name);
        table.put("level", column.levels[level]);
        table.put("share", column.share[cell]);
        table.put("index", column.index[cell]);
        table.put("missing_share", column.missing_share[static_cast<std::size_t>(segment)]);
      }
  table.write(file, "uns/segmentation/levels");
}

void write_outcomes(H5adWriter& file, std::span<const profile::OutcomeProfile> outcomes, std::span<const std::string> segment_names) {
  LongTable table(segment_names);
  for (const profile::OutcomeProfile& outcome : outcomes)
    for (std::int32_t segment = 0; segment <= table.n_segments(); ++segment) {
      const auto i = static_cast<std::size_t>(segment);
      table.begin_row(segment);
      table.put("outcome", outcome.name);
      table.put("rate", outcome.rate[i]);
      table.put("rate_low", outcome.rate_low[i]);
      table.put("rate_high", outcome.rate_high[i]);
      table.put("known", outcome.known[i]);
      table.put("positive", outcome.positive[i]);
    }
  table.write(file, "uns/segmentation/outcomes");
}

void write_values(H5adWriter& file, std::span<const profile::ValueProfile> values, std::span<const std::string> segment_names) {
  LongTable table(segment_names);
  for (const profile::ValueProfile& value : values)
    for (std::int32_t segment = 0; segment <= table.n_segments(); ++segment) {
      const auto i = static_cast<std::size_t>(segment);
      table.begin_row(segment);
      table.put("value", value.name);
      table.put("sum", value.sum[i]);
      table.put("share", value.share[i]);
      table.put("mean", value.mean[i]);
    }
  table.write(file, "uns/segmentation/values");
}

}  // namespace coterie::io
