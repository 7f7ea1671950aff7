#include "io/layout.hpp"

#include <fmt/format.h>

#include <unordered_map>

#include "host/error.hpp"
#include "io/cell_kind.hpp"
#include "io/text.hpp"

namespace coterie::io {
namespace {

constexpr std::size_t kMostObjects = 10000;  // more are the tables of another program, and listing them would take seconds

using hdf5::is_dataset;
using hdf5::is_group;

[[noreturn]] void refuse_layout(const InputFile& file, const std::string& what, std::string_view converter) {
  throw InputError(fmt::format("file '{}': {}, which is recognised but not read; nothing was written. To convert it: {}",
                               file.path().string(), what, fmt::format(fmt::runtime(converter), file.path().string())));
}

[[noreturn]] void refuse_contents(const InputFile& file, const std::string& dataset, const std::string& what) {
  throw ContentsError(fmt::format("file '{}', dataset '{}': {}; nothing was written", file.path().string(), dataset, what));
}

void refuse_sparse(const InputFile& file, const std::string& x) {
  if (!is_group(file.id(), x)) return;
  refuse_layout(file, fmt::format("the matrix '{}' is sparse", x),
                R"(python3 -c 'import anndata; a = anndata.read_h5ad("{}"); a.X = a.X.toarray(); a.write_h5ad("out.h5ad")')");
}

void refuse_known_groups(const InputFile& file) {
  if (is_dataset(file.id(), "/matrix/indptr"))
    refuse_layout(file, "this is a 10x file with a sparse matrix",
                  R"(python3 -c 'import scanpy; a = scanpy.read_10x_h5("{}"); a.X = a.X.toarray(); a.write_h5ad("out.h5ad")')");
  if (is_group(file.id(), "/table/columns") || is_group(file.id(), "/columns"))
    refuse_layout(file, "this is a vaex file with one dataset for each column",
                  R"(python3 -c 'import vaex; vaex.open("{}").export_csv("out.csv")', then coterie import out.csv -o out.h5ad)");
}

void refuse_known_attributes(const InputFile& file) {
  for (const ObjectEntry& object : list_objects(file)) {
    if (object.is_group && !attribute_of(file, object.path, "pandas_type").empty())
      refuse_layout(file, fmt::format("'{}' is a table of a pandas HDFStore", object.path),
                    R"(python3 -c 'import pandas; pandas.read_hdf("{}", ")" + object.path +
                        R"(").to_csv("out.csv")', then coterie import out.csv -o out.h5ad)");
    if (!object.is_group && !attribute_of(file, object.path, "MATLAB_class").empty())
      refuse_layout(file, fmt::format("'{}' is a MATLAB v7.3 variable, and MATLAB stores matrices transposed", object.path),
                    R"(python3 -c 'import h5py; h5py.File("out.h5", "w")["X"] = h5py.File("{}")[")" + object.path + R"("][:].T')");
  }
}

bool is_anndata(const InputFile& file) {
  const std::string encoding = attribute_of(file, "/", "encoding-type");
  if (encoding == "MuData")
    refuse_layout(file, "this is a MuData file of several tables",
                  R"(python3 -c 'import mudata; mudata.read("{}").mod["YOUR_TABLE"].write_h5ad("out.h5ad")')");
  if (encoding == "anndata") return true;
  // Files older than AnnData 0.8 carry no such mark.
  return hdf5::exists(file.id(), "/X") && hdf5::exists(file.id(), "/obs") && hdf5::exists(file.id(), "/var");
}

// Called by the C library, through which no exception may pass.
herr_t keep_object(hid_t, const char* name, const H5O_info_t* info, void* data) noexcept {
  auto& objects = *static_cast<std::vector<ObjectEntry>*>(data);
  const bool is_root = std::string_view(name) == ".";
  if (!is_root && (info->type == H5O_TYPE_DATASET || info->type == H5O_TYPE_GROUP))
    objects.push_back({fmt::format("/{}", name), info->type == H5O_TYPE_GROUP});
  return objects.size() < kMostObjects ? 0 : 1;
}

}  // namespace

Layout detect_layout(const InputFile& file, const FeatureFileOptions& options) {
  if (is_anndata(file)) {
    refuse_sparse(file, options.x.empty() ? "/X" : options.x);
    return Layout::anndata;
  }
  if (options.x.empty()) {
    refuse_known_groups(file);
    refuse_known_attributes(file);
  }
  return Layout::plain;
}

std::vector<ObjectEntry> list_objects(const InputFile& file) {
  const hdf5::Lock lock;
  std::vector<ObjectEntry> objects;
  hdf5::check(H5Ovisit(file.id(), H5_INDEX_NAME, H5_ITER_INC, keep_object, &objects), file.id(), "list what it holds");
  return objects;
}

std::string attribute_of(const InputFile& file, const std::string& path, const std::string& name) {
  const auto read = [&](hid_t object) {
    return hdf5::has_attribute(object, name) ? hdf5::read_string_attribute(object, name) : std::string();
  };
  if (is_group(file.id(), path)) return read(hdf5::open_group(file.id(), path).id());
  return is_dataset(file.id(), path) ? read(hdf5::open_dataset(file.id(), path).id()) : "";
}

StoredColumn require_column(const InputFile& file, const std::string& path) {
  if (const auto column = find_column(file, path)) return *column;
  throw InputError(fmt::format("file '{}': there is no one-dimensional dataset of numbers or text at '{}'; nothing was written",
                               file.path().string(), path));
}

void check_ids(const InputFile& file, const StoredColumn& ids, std::int64_t n_rows) {
  check_length(file, ids, n_rows, "customers");
  if (ids.form == StoredColumn::Form::text) return;
  const CellKind kind = cell_kind(hdf5::open_dataset(file.id(), ids.cells));
  if (ids.form != StoredColumn::Form::numbers || !is_integer(kind))
    refuse_contents(file, ids.cells, "ids are whole numbers or text, but these are neither");
}

std::vector<FeatureColumn> name_columns(const InputFile& file, const std::optional<StoredColumn>& names, std::int32_t n_columns) {
  if (names) {
    check_length(file, *names, n_columns, "features");
    return name_columns(file, read_labels(file, *names), n_columns);
  }
  std::vector<std::string> made(static_cast<std::size_t>(n_columns));
  for (std::size_t i = 0; i < made.size(); ++i) made[i] = fmt::format("x{}", i);
  return name_columns(file, made, n_columns);
}

std::vector<FeatureColumn> name_columns(const InputFile& file, const std::vector<std::string>& names, std::int32_t n_columns) {
  const auto refuse = [&](const std::string& what) {
    throw ContentsError(
        fmt::format("file '{}': {}; nothing was written. Features are told apart by their names", file.path().string(), what));
  };
  if (static_cast<std::int64_t>(names.size()) != n_columns)
    refuse(fmt::format("there are {} names of {} features", names.size(), n_columns));
  std::unordered_map<std::string, std::size_t> places;
  std::vector<FeatureColumn> columns(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty()) refuse(fmt::format("feature {} (counted from 0) has an empty name", i));
    if (const auto [first, is_new] = places.emplace(names[i], i); !is_new)
      refuse(fmt::format("features {} and {} (counted from 0) have the same name {}", first->second, i, shown(names[i])));
    columns[i].name = names[i];
  }
  return columns;
}

}  // namespace coterie::io
