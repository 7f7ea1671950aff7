// Which of the layouts people keep tables in an HDF5 file has, and what the two that are read say about customers and
// features. (Layouts in the field: research of anndata, pandas, PyTables, h5py, MATLAB, vaex and 10x files.)
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/feature_file.hpp"
#include "io/input_file.hpp"
#include "io/matrix_reader.hpp"
#include "io/stored_column.hpp"

namespace coterie::io {

enum class Layout { anndata, plain };

// InputError with the one-line converter for layouts that are recognised and not read: sparse X, MuData, 10x, vaex, pandas
// HDFStore, MATLAB. A matrix named by the user is taken from whatever file it lies in.
Layout detect_layout(const InputFile& file, const FeatureFileOptions& options);

struct FeatureLayout {
  StoredMatrix matrix;
  std::vector<FeatureColumn> columns;  // (matrix.n_columns)
  std::string id_name = "row";
  std::optional<StoredColumn> ids;               // (matrix.n_rows) whole numbers or text; none: row numbers
  std::vector<StoredColumn> obs;                 // (matrix.n_rows) each
  std::map<std::string, std::string> misshapen;  // shapes of datasets beside the matrix that are no such columns, by name
  ObsRoles roles;
};

// Both throw as FeatureFile::open.
FeatureLayout read_anndata_layout(const InputFile& file, const FeatureFileOptions& options);
FeatureLayout read_plain_layout(const InputFile& file, const FeatureFileOptions& options);

struct ObjectEntry {
  std::string path;
  bool is_group = false;
};
std::vector<ObjectEntry> list_objects(const InputFile& file);                                       // below the root; at most 10000
std::string attribute_of(const InputFile& file, const std::string& path, const std::string& name);  // text, or "" when there is none

StoredColumn require_column(const InputFile& file, const std::string& path);  // InputError when there is none at `path`
void check_ids(const InputFile& file, const StoredColumn& ids,
               std::int64_t n_rows);  // ContentsError: length, neither whole numbers nor text
// The names of features: those of `names`, or x0, x1, ... ContentsError: length, empty or repeated names, with their places.
std::vector<FeatureColumn> name_columns(const InputFile& file, const std::optional<StoredColumn>& names, std::int32_t n_columns);
std::vector<FeatureColumn> name_columns(const InputFile& file, const std::vector<std::string>& names, std::int32_t n_columns);

}  // namespace coterie::io
