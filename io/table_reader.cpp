#include "io/table_reader.hpp"

#include <fmt/format.h>

#include "host/error.hpp"
#include "io/cell_kind.hpp"
#include "io/dataset_guard.hpp"
#include "io/stored_column.hpp"
#include "io/text.hpp"
#include "io/text_cells.hpp"

namespace coterie::io {
namespace {

[[noreturn]] void refuse(const InputFile& file, const std::string& path, const std::string& what) {
  throw InputError(fmt::format("file '{}', '/{}': {}; nothing was written", file.path().string(), path, what));
}

hdf5::Dataset open_table(const InputFile& file, const std::string& path, std::size_t most_dimensions) {
  if (!hdf5::is_dataset(file.id(), path)) refuse(file, path, "there is no such dataset");
  hdf5::Dataset dataset = open_guarded(file, path);
  if (hdf5::shape_of(dataset).size() > most_dimensions) refuse(file, path, "it has more dimensions than expected");
  return dataset;
}

std::size_t length_of(const hdf5::Dataset& dataset) {
  const std::vector<hsize_t> shape = hdf5::shape_of(dataset);
  return shape.empty() ? 1 : static_cast<std::size_t>(shape[0]);
}

std::vector<std::string> read_texts(const hdf5::Dataset& dataset) {
  std::vector<std::string> texts(length_of(dataset));
  for_each_text(dataset, 0, static_cast<std::int64_t>(texts.size()),
                [&](std::int64_t row, std::optional<std::string_view> text) { texts[static_cast<std::size_t>(row)] = text.value_or(""); });
  return texts;
}

std::vector<bool> as_booleans(const std::vector<std::uint8_t>& bytes) {
  std::vector<bool> booleans(bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) booleans[i] = bytes[i] != 0;
  return booleans;
}

DataFrame::Column read_column(const InputFile& file, const std::string& path) {
  const hdf5::Dataset dataset = open_table(file, path, 1);
  const CellKind kind = cell_kind(dataset);
  if (kind == CellKind::text) return read_texts(dataset);
  if (kind == CellKind::boolean) return as_booleans(hdf5::read_all<std::uint8_t>(dataset));
  if (is_integer(kind)) return hdf5::read_all<std::int64_t>(dataset);
  if (is_number(kind)) return hdf5::read_all<double>(dataset);
  refuse(file, path, "its cells are " + describe_cells(dataset) + ", which is no column");
}

// One member of all rows of a packed table, as memory cells of `member_type`.
template <class T>
std::vector<T> read_member(const hdf5::Dataset& dataset, const std::string& name, const hdf5::Datatype& member_type, std::size_t per_row) {
  const hdf5::Datatype type(H5Tcreate(H5T_COMPOUND, H5Tget_size(member_type.id())));
  H5Tinsert(type.id(), name.c_str(), 0, member_type.id());
  std::vector<T> cells(length_of(dataset) * per_row);
  if (!cells.empty()) hdf5::read(dataset, type, {}, {}, cells.data());
  return cells;
}

std::vector<std::string> read_text_member(const InputFile& file, const hdf5::Dataset& dataset, const std::string& name,
                                          const hdf5::Datatype& type) {
  if (H5Tis_variable_str(type.id()) > 0) refuse(file, hdf5::path_of(dataset.id()).substr(1), "a member is text of variable length");
  const std::size_t width = H5Tget_size(type.id());
  const std::vector<char> bytes = read_member<char>(dataset, name, type, width);
  std::vector<std::string> texts;
  for (std::size_t at = 0; at < bytes.size(); at += width) {
    const std::string_view cell(bytes.data() + at, width);
    texts.emplace_back(cell.substr(0, cell.find('\0')));
  }
  return texts;
}

DataFrame::Column read_member_column(const InputFile& file, const hdf5::Dataset& dataset, const std::string& name,
                                     const hdf5::Datatype& type) {
  const CellKind kind = cell_kind(type);
  if (kind == CellKind::text) return read_text_member(file, dataset, name, type);
  if (kind == CellKind::boolean) return as_booleans(read_member<std::uint8_t>(dataset, name, type, 1));
  if (is_integer(kind)) return read_member<std::int64_t>(dataset, name, hdf5::native_type<std::int64_t>(), 1);
  if (is_number(kind)) return read_member<double>(dataset, name, hdf5::native_type<double>(), 1);
  refuse(file, hdf5::path_of(dataset.id()).substr(1), fmt::format("its member {} is of a kind that no table of ours has", shown(name)));
}

DataFrame read_packed_table(const InputFile& file, const std::string& path) {
  const hdf5::Lock lock;
  const hdf5::Dataset dataset = open_table(file, path, 1);
  const hdf5::Datatype type = hdf5::type_of(dataset);
  if (H5Tget_class(type.id()) != H5T_COMPOUND) refuse(file, path, "it is no table");
  DataFrame frame;
  for (unsigned i = 0; i < static_cast<unsigned>(H5Tget_nmembers(type.id())); ++i) {
    char* text = H5Tget_member_name(type.id(), i);
    const std::string name = text != nullptr ? text : "";
    H5free_memory(text);
    frame.columns.emplace_back(name, read_member_column(file, dataset, name, hdf5::Datatype(H5Tget_member_type(type.id(), i))));
  }
  return frame;
}

template <class T>
Value scalar_or_list(std::vector<T> list, bool is_scalar) {
  return is_scalar ? Value(list.front()) : Value(std::move(list));
}

}  // namespace

DataFrame read_frame(const InputFile& file, const std::string& path) {
  if (!hdf5::is_group(file.id(), path)) return read_packed_table(file, path);
  const hdf5::Group group = hdf5::open_group(file.id(), path);
  const std::string prefix = path + "/";
  DataFrame frame;
  frame.index_name = hdf5::read_string_attribute(group.id(), "_index");
  const DataFrame::Column index = read_column(file, prefix + frame.index_name);
  if (const auto* texts = std::get_if<std::vector<std::string>>(&index)) frame.index = *texts;
  for (const std::string& name : hdf5::read_strings_attribute(group.id(), "column-order"))
    frame.columns.emplace_back(name, read_column(file, prefix + name));
  for (const auto& [name, column] : frame.columns)
    if (std::visit([](const auto& values) { return values.size(); }, column) != frame.index.size())
      refuse(file, path, fmt::format("its column {} is of another length than its index", shown(name)));
  return frame;
}

Array read_array(const InputFile& file, const std::string& path, std::size_t rank) {
  const hdf5::Dataset dataset = open_table(file, path, rank);
  const std::vector<hsize_t> shape = hdf5::shape_of(dataset);
  if (shape.size() != rank || !is_number(cell_kind(dataset)))
    refuse(file, path, fmt::format("it is no array of numbers with {} axes", rank));
  return {{shape.begin(), shape.end()}, hdf5::read_all<double>(dataset)};
}

Matrix read_matrix(const InputFile& file, const std::string& path) {
  Array array = read_array(file, path, 2);
  return {array.shape[0], array.shape[1], std::move(array.values)};
}

Value read_value(const InputFile& file, const std::string& path) {
  const hdf5::Dataset dataset = open_table(file, path, 1);
  const bool is_scalar = hdf5::shape_of(dataset).empty();
  const CellKind kind = cell_kind(dataset);
  if (kind == CellKind::text) return scalar_or_list(read_texts(dataset), is_scalar);
  if (kind == CellKind::boolean && is_scalar) return hdf5::read_all<std::uint8_t>(dataset).front() != 0;
  if (is_integer(kind)) return scalar_or_list(hdf5::read_all<std::int64_t>(dataset), is_scalar);
  if (kind == CellKind::float32 && !is_scalar) return hdf5::read_all<float>(dataset);
  if (is_number(kind) && kind != CellKind::boolean) return scalar_or_list(hdf5::read_all<double>(dataset), is_scalar);
  refuse(file, path, "it holds " + describe_cells(dataset) + ", which is no value of ours");
}

void check_schema(const InputFile& file, const std::string& schema, const std::string& version) {
  const auto attribute = [&](const char* name) {
    return hdf5::has_attribute(file.id(), name) ? hdf5::read_string_attribute(file.id(), name) : std::string();
  };
  if (attribute("schema") != schema)
    throw InputError(fmt::format("file '{}': this is no file of schema {}; give a result that coterie has written. Nothing was written",
                                 file.path().string(), schema));
  const std::string found = attribute("schema_version");
  if (found.substr(0, found.find('.')) != version.substr(0, version.find('.')))
    throw InputError(
        fmt::format("file '{}': it is of schema_version {}, and this program reads {}; use the version of coterie that "
                    "has written it. Nothing was written",
                    file.path().string(), shown(found), version));
}

}  // namespace coterie::io
