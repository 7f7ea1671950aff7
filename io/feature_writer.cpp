#include "io/feature_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

#include "host/contains.hpp"
#include "host/error.hpp"
#include "io/text.hpp"

namespace coterie::io {
namespace {

constexpr std::int64_t kBytesPerFeature = 128;  // names, roles and layers of var, generously

const RowColumn& id_column(const FeatureFileLayout& layout) {
  if (layout.obs.empty() || (layout.obs.front().type != CellType::int64 && layout.obs.front().type != CellType::text))
    throw ArgumentError("a feature file needs ids first among its columns, as whole numbers or text");
  return layout.obs.front();
}

void check_features(const std::vector<FeatureColumn>& columns) {
  if (columns.empty()) throw ArgumentError("a feature file needs at least one feature");
  std::set<std::string> names;
  for (const FeatureColumn& column : columns)
    if (column.name.empty() || !names.insert(column.name).second)
      throw ArgumentError(fmt::format("the feature name {} is empty or not unique; rename the column", shown(column.name)));
}

H5adWriter::Options writer_options(const FeatureFileLayout& layout, Context* context) {
  check_features(layout.columns);
  return {.schema = kFeatureSchema,
          .schema_version = kFeatureSchemaVersion,
          .n_rows = layout.n_rows,
          .id_name = id_column(layout).name,
          .text_index = true,
          .context = context};
}

DataFrame features_frame(const std::vector<FeatureColumn>& columns) {
  std::vector<std::string> names, roles, layers, onehot_of;
  std::vector<double> weights;
  std::vector<bool> sensitive;
  for (const FeatureColumn& column : columns) {
    names.push_back(column.name);
    roles.push_back(role_name(column.role));
    layers.push_back(column.layer);
    onehot_of.push_back(column.onehot_of);
    sensitive.push_back(column.sensitive);
    weights.push_back(column.weight.value_or(std::numeric_limits<double>::quiet_NaN()));
  }
  DataFrame frame{.index_name = "feature", .index = std::move(names), .columns = {}};
  frame.columns.emplace_back("role", std::move(roles));
  frame.columns.emplace_back("layer", std::move(layers));
  frame.columns.emplace_back("onehot_of", std::move(onehot_of));
  const bool any_weight =
      std::any_of(columns.begin(), columns.end(), [](const FeatureColumn& column) { return column.weight.has_value(); });
  if (any_weight) frame.columns.emplace_back("weight", std::move(weights));  // else the reader's default holds
  if (contains(sensitive, true)) frame.columns.emplace_back("sensitive", std::move(sensitive));
  return frame;
}

Cells part_of(const Cells& cells, std::int64_t first, std::int64_t n) {
  return std::visit([&](const auto& all) -> Cells { return all.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(n)); },
                    cells);
}

}  // namespace

struct FeatureWriter::State {
  State(AtomicOutput& output, FeatureFileLayout given, Context* context)
      : layout(std::move(given)),
        file(output, writer_options(layout, context)),
        x(file.open_matrix("X", {.n_columns = std::ssize(layout.columns), .is_wide = layout.is_wide, .compressed = layout.compressed})),
        obs(file.open_rows(layout.obs)) {}

  // Cut where chunks of obs end, so that chunks of X and obs always follow each other in the same order.
  template <class T>
  void write(std::int64_t first_row, std::span<const T> cells, std::span<const Cells> beside) {
    const std::int64_t n_columns = std::ssize(layout.columns), n_rows = std::ssize(cells) / n_columns;
    if (n_rows * n_columns != std::ssize(cells)) throw InternalError("rows of a feature file end within a row");
    std::vector<Cells> parts;
    for (std::int64_t done = 0; done < n_rows;) {
      const std::int64_t row = first_row + done, piece = std::min(n_rows - done, obs.rows_per_chunk() - row % obs.rows_per_chunk());
      x.write(row, cells.subspan(static_cast<std::size_t>(done * n_columns), static_cast<std::size_t>(piece * n_columns)));
      parts.clear();
      for (const Cells& column : beside) parts.push_back(part_of(column, done, piece));
      obs.write(row, parts);
      done += piece;
    }
  }

  FeatureFileLayout layout;
  H5adWriter file;
  MatrixStream& x;
  RowStream& obs;
};

std::string role_name(Role role) {
  switch (role) {
    case Role::active: return "active";
    case Role::profile: return "profile";
    case Role::ignore: return "ignore";
  }
  throw InternalError("a column has no role");
}

std::int64_t estimated_bytes(const FeatureFileLayout& layout) {
  const std::int64_t n_columns = std::ssize(layout.columns), cell = layout.is_wide ? 8 : 4;
  return layout.n_rows * (n_columns * cell + row_bytes(layout.obs)) + n_columns * kBytesPerFeature;
}

FeatureWriter::FeatureWriter(AtomicOutput& output, FeatureFileLayout layout, Context* context)
    : state_(std::make_unique<State>(output, std::move(layout), context)) {
  H5adWriter& file = state_->file;
  file.write_frame("var", features_frame(state_->layout.columns));
  const ObsRoles& roles = state_->layout.roles;
  if (!roles.weight.empty()) file.write_value("uns/coterie/roles/weight", roles.weight);
  if (!roles.outcomes.empty()) file.write_value("uns/coterie/roles/outcomes", roles.outcomes);
  if (!roles.positives.empty()) file.write_value("uns/coterie/roles/positives", roles.positives);
  if (!roles.value.empty()) file.write_value("uns/coterie/roles/value", roles.value);
  if (!roles.treatment.empty()) file.write_value("uns/coterie/roles/treatment", roles.treatment);
  if (!roles.dates.empty()) file.write_value("uns/coterie/roles/dates", roles.dates);
}

FeatureWriter::~FeatureWriter() = default;

void FeatureWriter::write(std::int64_t first_row, std::span<const float> x, std::span<const Cells> obs) {
  state_->write(first_row, x, obs);
}
void FeatureWriter::write(std::int64_t first_row, std::span<const double> x, std::span<const Cells> obs) {
  state_->write(first_row, x, obs);
}

H5adWriter& FeatureWriter::file() { return state_->file; }

void FeatureWriter::commit() { state_->file.commit(); }

}  // namespace coterie::io
