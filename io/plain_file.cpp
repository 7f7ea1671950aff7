// Plain HDF5 as h5py users write it: a matrix somewhere, names in an attribute or a list beside it, ids and further columns
// of customers as lists beside it. What the user names wins; the rest is looked for.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "host/error.hpp"
#include "io/cell_kind.hpp"
#include "io/dataset_guard.hpp"
#include "io/layout.hpp"

namespace coterie::io {
namespace {

constexpr std::array<std::string_view, 4> kMatrixPaths = {"/X", "/features", "/data", "/train"};
constexpr std::array<std::string_view, 3> kNameAttributes = {"columns", "feature_names", "columns_names"};
constexpr std::array<std::string_view, 4> kNameLists = {"feature_names", "columns", "names", "features"};
constexpr std::array<std::string_view, 4> kIdLists = {"ids", "id", "index", "customer_id"};

struct Candidate {
  std::string path;
  std::vector<hsize_t> shape;
  std::string cells;
  bool is_matrix = false;  // two-dimensional, of numbers
};

std::vector<Candidate> list_datasets(const InputFile& file) {
  std::vector<Candidate> found;
  for (const ObjectEntry& object : list_objects(file)) {
    if (object.is_group) continue;
    const hdf5::Dataset dataset = hdf5::open_dataset(file.id(), object.path);
    const std::vector<hsize_t> shape = hdf5::shape_of(dataset);
    found.push_back({object.path, shape, describe_cells(dataset), shape.size() == 2 && is_number(cell_kind(dataset))});
  }
  return found;
}

std::string show(const std::vector<Candidate>& candidates) {
  constexpr std::size_t kShown = 20;
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < std::min(candidates.size(), kShown); ++i)
    lines.push_back(fmt::format("{} {} {}", candidates[i].path, describe_shape(candidates[i].shape), candidates[i].cells));
  if (candidates.size() > kShown) lines.push_back(fmt::format("{} more", candidates.size() - kShown));
  return lines.empty() ? "none" : fmt::format("{}", fmt::join(lines, "; "));
}

[[noreturn]] void refuse(const InputFile& file, const std::string& what, const std::vector<Candidate>& candidates) {
  throw InputError(
      fmt::format("file '{}': {}: {}; nothing was written. Name the matrix with --x", file.path().string(), what, show(candidates)));
}

std::vector<Candidate> matrices_of(const std::vector<Candidate>& all) {
  std::vector<Candidate> matrices;
  std::copy_if(all.begin(), all.end(), std::back_inserter(matrices), [](const Candidate& candidate) { return candidate.is_matrix; });
  return matrices;
}

[[noreturn]] void refuse_records(const InputFile& file, const std::string& path) {
  throw InputError(
      fmt::format("file '{0}': '{1}' is a table of records, which is recognised but not read; nothing was written. To convert it: "
                  R"(python3 -c 'import h5py, pandas; pandas.DataFrame(h5py.File("{0}")["{1}"][:]).to_csv("out.csv")', )"
                  "then coterie import out.csv -o out.h5ad",
                  file.path().string(), path));
}

std::string find_matrix(const InputFile& file, const std::string& wanted) {
  if (!wanted.empty() && hdf5::is_dataset(file.id(), wanted)) return wanted;
  const std::vector<Candidate> all = list_datasets(file);
  const std::vector<Candidate> matrices = matrices_of(all);
  if (!wanted.empty()) refuse(file, fmt::format("there is no dataset '{}'. Two-dimensional datasets of numbers in it", wanted), matrices);
  for (const std::string_view path : kMatrixPaths)
    if (std::any_of(matrices.begin(), matrices.end(), [&](const Candidate& candidate) { return candidate.path == path; }))
      return std::string(path);
  if (matrices.size() == 1) return matrices.front().path;
  if (matrices.size() > 1) refuse(file, "several datasets could be the matrix of customers and features", matrices);
  if (hdf5::is_dataset(file.id(), "/X")) return "/X";  // whose refusal says what is wrong with it
  if (all.size() == 1 && all.front().cells.starts_with("a compound")) refuse_records(file, all.front().path);
  if (all.size() == 1) return all.front().path;
  refuse(file, "it holds no two-dimensional dataset of numbers. Datasets in it", all);
}

std::optional<StoredColumn> find_list(const InputFile& file, const std::string& folder, std::span<const std::string_view> names,
                                      std::int64_t n_rows) {
  for (const std::string_view name : names)
    if (auto column = find_column(file, fmt::format("{}/{}", folder, name)); column && column->n_rows == n_rows) return column;
  return std::nullopt;
}

struct Neighbour {
  std::string path;
  std::vector<hsize_t> shape;
};

// The datasets in the folder of the matrix, without it.
std::vector<Neighbour> neighbours_of(const InputFile& file, const std::string& folder, const std::string& matrix) {
  std::vector<Neighbour> neighbours;
  for (const ObjectEntry& object : list_objects(file))
    if (!object.is_group && object.path != matrix && object.path.substr(0, object.path.rfind('/')) == folder)
      neighbours.push_back({object.path, hdf5::shape_of(hdf5::open_dataset(file.id(), object.path))});
  return neighbours;
}

// Those of one dimension and n_rows.
std::vector<StoredColumn> lists_of(const InputFile& file, const std::vector<Neighbour>& neighbours, std::int64_t n_rows) {
  std::vector<StoredColumn> lists;
  for (const Neighbour& neighbour : neighbours)
    if (neighbour.shape.size() == 1)
      if (const auto column = find_column(file, neighbour.path); column && column->n_rows == n_rows) lists.push_back(*column);
  return lists;
}

std::vector<FeatureColumn> find_names(const InputFile& file, const FeatureFileOptions& options, const std::string& folder,
                                      const std::vector<Neighbour>& neighbours, const StoredMatrix& matrix) {
  if (!options.names.empty()) return name_columns(file, require_column(file, options.names), matrix.n_columns);
  const hdf5::Dataset dataset = hdf5::open_dataset(file.id(), matrix.path);
  for (const std::string_view name : kNameAttributes)
    if (hdf5::has_attribute(dataset.id(), std::string(name)))
      return name_columns(file, hdf5::read_strings_attribute(dataset.id(), std::string(name)), matrix.n_columns);
  if (const auto list = find_list(file, folder, kNameLists, matrix.n_columns); list && list->is_text)
    return name_columns(file, list, matrix.n_columns);
  std::vector<StoredColumn> texts = lists_of(file, neighbours, matrix.n_columns);
  std::erase_if(texts, [](const StoredColumn& column) { return !column.is_text; });
  const bool is_clear = texts.size() == 1 && matrix.n_columns != matrix.n_rows;
  return name_columns(file, is_clear ? std::optional(texts.front()) : std::nullopt, matrix.n_columns);
}

}  // namespace

FeatureLayout read_plain_layout(const InputFile& file, const FeatureFileOptions& options) {
  FeatureLayout layout;
  layout.matrix = inspect_matrix(file, find_matrix(file, options.x));
  const std::string folder = layout.matrix.path.substr(0, layout.matrix.path.rfind('/'));
  const std::vector<Neighbour> neighbours = neighbours_of(file, folder, layout.matrix.path);
  layout.columns = find_names(file, options, folder, neighbours, layout.matrix);
  layout.ids = options.ids.empty() ? find_list(file, folder, kIdLists, layout.matrix.n_rows) : require_column(file, options.ids);
  layout.obs = lists_of(file, neighbours, layout.matrix.n_rows);
  for (const auto& [path, shape] : neighbours)
    if (shape != std::vector{static_cast<hsize_t>(layout.matrix.n_rows)})
      layout.misshapen[path.substr(folder.size() + 1)] = describe_shape(shape);
  if (!layout.ids) return layout;
  check_ids(file, *layout.ids, layout.matrix.n_rows);
  layout.id_name = layout.ids->name;
  std::erase_if(layout.obs, [&](const StoredColumn& column) { return column.cells == layout.ids->cells; });
  return layout;
}

}  // namespace coterie::io
