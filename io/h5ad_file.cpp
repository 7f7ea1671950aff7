// AnnData (.h5ad): the matrix in X, customers in the data frame obs, features in the data frame var, parts that obs columns
// play in uns/coterie/roles. On-disk encodings 0.1.0 and 0.2.0 (anndata.readthedocs.io, "On-disk format").
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/error.hpp"
#include "io/layout.hpp"
#include "io/text.hpp"

namespace coterie::io {
namespace {

struct Frame {
  std::string path;   // "/obs"
  std::string index;  // name of the index column
  std::vector<std::string> columns;
};

[[noreturn]] void refuse(const InputFile& file, const std::string& place, const std::string& what) {
  throw ContentsError(fmt::format("file '{}', {}: {}; nothing was written", file.path().string(), place, what));
}

// Nothing when the file has no such data frame.
std::optional<Frame> find_frame(const InputFile& file, const std::string& path) {
  if (!hdf5::exists(file.id(), path)) return std::nullopt;
  if (!hdf5::is_group(file.id(), path))
    throw InputError(
        fmt::format("file '{0}': '{1}' is a table of records, as AnnData wrote it before 0.7; nothing was written. To convert it: "
                    R"(python3 -c 'import anndata; anndata.read_h5ad("{0}").write_h5ad("out.h5ad")')",
                    file.path().string(), path));
  const hdf5::Group group = hdf5::open_group(file.id(), path);
  Frame frame{path, hdf5::has_attribute(group.id(), "_index") ? hdf5::read_string_attribute(group.id(), "_index") : "_index", {}};
  frame.columns = hdf5::has_attribute(group.id(), "column-order") ? hdf5::read_strings_attribute(group.id(), "column-order")
                                                                  : hdf5::children(group.id());
  std::erase_if(frame.columns, [&](const std::string& name) { return name == frame.index || name == "__categories"; });
  return frame;
}

std::optional<StoredColumn> find_in(const InputFile& file, const std::optional<Frame>& frame, const std::string& name) {
  if (!frame || std::find(frame->columns.begin(), frame->columns.end(), name) == frame->columns.end()) return std::nullopt;
  return find_column(file, frame->path + "/" + name);
}

std::vector<StoredColumn> readable_columns(const InputFile& file, const std::optional<Frame>& frame, std::int64_t n_rows) {
  std::vector<StoredColumn> columns;
  if (!frame) return columns;
  for (const std::string& name : frame->columns) {
    auto column = find_in(file, frame, name);
    if (!column) continue;
    column->name = name;  // may hold a slash, where the path would split it
    check_length(file, *column, n_rows, "customers");
    columns.push_back(*std::move(column));
  }
  return columns;
}

// The labels of a var column, or nothing; (n_columns).
std::vector<std::string> var_labels(const InputFile& file, const std::optional<Frame>& var, const std::string& name,
                                    std::size_t n_columns) {
  const auto column = find_in(file, var, name);
  if (!column) return std::vector<std::string>(n_columns);
  check_length(file, *column, static_cast<std::int64_t>(n_columns), "features");
  return read_labels(file, *column);
}

Role parse_role(const InputFile& file, const std::string& text, std::size_t feature) {
  if (text.empty() || text == "active") return Role::active;
  if (text == "profile") return Role::profile;
  if (text == "ignore") return Role::ignore;
  refuse(file, "dataset '/var/role'",
         fmt::format("the role of feature {} (counted from 0) is {}; it may be active, profile or ignore", feature, shown(text)));
}

void read_weights(const InputFile& file, const std::optional<Frame>& var, std::vector<FeatureColumn>& columns) {
  const auto column = find_in(file, var, "weight");
  if (!column) return;
  check_length(file, *column, static_cast<std::int64_t>(columns.size()), "features");
  const std::vector<double> weights = read_numbers(file, *column);
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (std::isnan(weights[i])) continue;
    if (!(weights[i] >= 0) || std::isinf(weights[i]))
      refuse(file, "dataset '/var/weight'", fmt::format("the weight of feature {} (counted from 0) is negative or infinite", i));
    columns[i].weight = weights[i];
  }
}

void read_sensitive(const InputFile& file, const std::optional<Frame>& var, std::vector<FeatureColumn>& columns) {
  const auto column = find_in(file, var, "sensitive");
  if (!column) return;
  check_length(file, *column, static_cast<std::int64_t>(columns.size()), "features");
  const std::vector<double> sensitive = read_numbers(file, *column);
  for (std::size_t i = 0; i < columns.size(); ++i) columns[i].sensitive = !(sensitive[i] == 0);  // a missing cell bars, too
}

std::vector<FeatureColumn> read_features(const InputFile& file, const FeatureFileOptions& options, std::int32_t n_columns) {
  const std::optional<Frame> var = find_frame(file, "/var");
  std::optional<StoredColumn> names;
  if (!options.names.empty())
    names = require_column(file, options.names);
  else if (var)
    names = require_column(file, var->path + "/" + var->index);
  std::vector<FeatureColumn> columns = name_columns(file, names, n_columns);
  const auto roles = var_labels(file, var, "role", columns.size()), layers = var_labels(file, var, "layer", columns.size()),
             origins = var_labels(file, var, "onehot_of", columns.size());
  for (std::size_t i = 0; i < columns.size(); ++i) {
    columns[i].role = parse_role(file, roles[i], i);
    columns[i].layer = layers[i];
    columns[i].onehot_of = origins[i];
  }
  read_weights(file, var, columns);
  read_sensitive(file, var, columns);
  return columns;
}

// The texts at uns/coterie/roles/`name`; none when there is no such entry.
std::vector<std::string> role_texts(const InputFile& file, const std::string& name) {
  const std::string path = "/uns/coterie/roles/" + name;
  if (!hdf5::is_dataset(file.id(), path)) return {};
  return read_labels(file, require_column(file, path));
}

std::string role_text(const InputFile& file, const std::string& name) {
  const std::vector<std::string> texts = role_texts(file, name);
  return texts.empty() ? "" : texts.front();
}

void check_role(const InputFile& file, const std::string& role, const std::string& column, const std::vector<StoredColumn>& obs) {
  if (column.empty() || std::any_of(obs.begin(), obs.end(), [&](const StoredColumn& known) { return known.name == column; })) return;
  refuse(file, fmt::format("dataset '/uns/coterie/roles/{}'", role),
         fmt::format("it names the column {}, which is not in obs", shown(column)));
}

void read_roles(const InputFile& file, FeatureLayout& layout) {
  layout.roles = {role_text(file, "weight"), role_texts(file, "outcomes"), role_text(file, "value")};
  layout.roles.positives = role_texts(file, "positives");
  layout.roles.treatment = role_text(file, "treatment");
  layout.roles.dates = role_texts(file, "dates");
  if (layout.roles.positives.size() != layout.roles.outcomes.size()) layout.roles.positives.clear();
  check_role(file, "weight", layout.roles.weight, layout.obs);
  check_role(file, "value", layout.roles.value, layout.obs);
  check_role(file, "treatment", layout.roles.treatment, layout.obs);
  for (const std::string& outcome : layout.roles.outcomes) check_role(file, "outcomes", outcome, layout.obs);
  for (const std::string& date : layout.roles.dates) check_role(file, "dates", date, layout.obs);
}

// The ids: a dataset the user named, the obs column that plays the part, or the index of obs.
void find_ids(const InputFile& file, const FeatureFileOptions& options, const std::optional<Frame>& obs, FeatureLayout& layout) {
  const std::string part = role_text(file, "id");
  if (!options.ids.empty()) {
    layout.ids = require_column(file, options.ids);
    layout.id_name = layout.ids->name;
  } else if (obs) {
    const auto column = part == obs->index ? std::nullopt : find_in(file, obs, part);
    layout.ids = column ? column : require_column(file, obs->path + "/" + obs->index);
    layout.id_name = !part.empty() ? part : obs->index == "_index" ? "id" : obs->index;  // "_index": a pandas index without a name
  }
  if (layout.ids) check_ids(file, *layout.ids, layout.matrix.n_rows);
}

}  // namespace

FeatureLayout read_anndata_layout(const InputFile& file, const FeatureFileOptions& options) {
  const std::string x = options.x.empty() ? "/X" : options.x;
  if (!hdf5::exists(file.id(), x))
    throw InputError(
        fmt::format("file '{}': this AnnData file has no matrix at '{}'; nothing was written. Results of Coterie carry none: give the "
                    "file they were made from",
                    file.path().string(), x));
  FeatureLayout layout;
  layout.matrix = inspect_matrix(file, x);
  layout.columns = read_features(file, options, layout.matrix.n_columns);
  const std::optional<Frame> obs = find_frame(file, "/obs");
  layout.obs = readable_columns(file, obs, layout.matrix.n_rows);
  find_ids(file, options, obs, layout);
  read_roles(file, layout);
  return layout;
}

}  // namespace coterie::io
