// Spaces, types, cells and attributes of the HDF5 wrapper (hdf5.hpp).
#include <fmt/format.h>

#include <array>
#include <type_traits>

#include "host/error.hpp"
#include "io/global_heap.hpp"
#include "io/hdf5.hpp"

namespace coterie::io::hdf5 {
namespace {

template <class T>
hid_t predefined_type() {
  if constexpr (std::is_same_v<T, float>) return H5T_NATIVE_FLOAT;
  if constexpr (std::is_same_v<T, double>) return H5T_NATIVE_DOUBLE;
  if constexpr (std::is_same_v<T, std::int8_t>) return H5T_NATIVE_INT8;
  if constexpr (std::is_same_v<T, std::int16_t>) return H5T_NATIVE_INT16;
  if constexpr (std::is_same_v<T, std::int32_t>) return H5T_NATIVE_INT32;
  if constexpr (std::is_same_v<T, std::int64_t>) return H5T_NATIVE_INT64;
  if constexpr (std::is_same_v<T, std::uint8_t>) return H5T_NATIVE_UINT8;
  if constexpr (std::is_same_v<T, std::uint16_t>) return H5T_NATIVE_UINT16;
  if constexpr (std::is_same_v<T, std::uint32_t>) return H5T_NATIVE_UINT32;
  if constexpr (std::is_same_v<T, std::uint64_t>) return H5T_NATIVE_UINT64;
}

// For ids that belong to no file: only a broken argument or a lack of memory can make these calls fail.
template <class H>
H owned(hid_t id, std::string_view what) {
  if (id < 0) throw InternalError(fmt::format("the HDF5 library cannot make a {} ({})", what, last_reason()));
  return H(id);
}

Datatype string_of(std::size_t n_bytes, H5T_cset_t charset) {
  const Lock lock;
  auto type = owned<Datatype>(H5Tcopy(H5T_C_S1), "string type");
  H5Tset_size(type.id(), n_bytes);
  if (n_bytes != H5T_VARIABLE) H5Tset_strpad(type.id(), H5T_STR_NULLPAD);
  H5Tset_cset(type.id(), charset);
  return type;
}

Attribute open_attribute(hid_t object, const std::string& name) {
  return Attribute(check_id(H5Aopen(object, name.c_str(), H5P_DEFAULT), object, "read attribute", name));
}

void write_attribute(hid_t object, const std::string& name, const Datatype& type, const Dataspace& space, const void* values) {
  const Lock lock;
  const hid_t id = H5Acreate2(object, name.c_str(), type.id(), space.id(), H5P_DEFAULT, H5P_DEFAULT);
  Attribute attribute(check_id(id, object, "create attribute", name));
  if (values != nullptr) check(H5Awrite(attribute.id(), type.id(), values), object, "write attribute", name);  // null: an empty list
  attribute.close();
}

std::string from_field(const char* field, std::size_t n_bytes) {  // up to the first NUL or the end
  const std::string_view text(field, n_bytes);
  return std::string(text.substr(0, text.find('\0')));
}

std::vector<std::string> read_fixed(const Attribute& attribute, const Datatype& type, std::size_t n) {
  const std::size_t width = H5Tget_size(type.id());
  std::vector<char> bytes(n * width);
  check(H5Aread(attribute.id(), type.id(), bytes.data()), attribute.id(), "read the attribute");
  std::vector<std::string> texts(n);
  for (std::size_t i = 0; i < n; ++i) texts[i] = from_field(bytes.data() + i * width, width);
  return texts;
}

std::vector<std::string> read_variable(const Attribute& attribute, std::size_t n) {
  GlobalHeap heap(attribute.id());
  std::vector<std::byte> references(n * heap.reference_bytes());
  check(H5Aread(attribute.id(), heap.reference_type().id(), references.data()), attribute.id(), "read the attribute");
  std::vector<std::string> texts(n);
  for (std::size_t i = 0; i < n; ++i)
    texts[i] = heap.text(references.data() + i * heap.reference_bytes(), attribute.id(), static_cast<std::int64_t>(i)).value_or("");
  return texts;
}

}  // namespace

Dataspace scalar_space() {
  const Lock lock;
  return owned<Dataspace>(H5Screate(H5S_SCALAR), "space");
}

Dataspace simple_space(std::span<const hsize_t> shape) {
  const Lock lock;
  return owned<Dataspace>(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), "space");
}

Dataspace space_of(const Dataset& dataset) {
  const Lock lock;
  return Dataspace(check_id(H5Dget_space(dataset.id()), dataset.id(), "read its shape"));
}

std::vector<hsize_t> shape_of(const Dataset& dataset) {
  const Lock lock;
  const Dataspace space = space_of(dataset);
  const int rank = H5Sget_simple_extent_ndims(space.id());
  check(rank, dataset.id(), "read its shape");
  std::vector<hsize_t> shape(static_cast<std::size_t>(rank));
  check(H5Sget_simple_extent_dims(space.id(), shape.data(), nullptr), dataset.id(), "read its shape");
  return shape;
}

void select_rows(const Dataspace& space, std::int64_t first_row, std::int64_t n_rows) {
  const Lock lock;
  std::array<hsize_t, H5S_MAX_RANK> start{}, count{};
  if (H5Sget_simple_extent_dims(space.id(), count.data(), nullptr) < 1)
    throw InternalError("rows are selected in a space without dimensions");
  start[0] = static_cast<hsize_t>(first_row);
  count[0] = static_cast<hsize_t>(n_rows);
  if (H5Sselect_hyperslab(space.id(), H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr) < 0)
    throw InternalError("rows cannot be selected (" + last_reason() + ")");
}

Datatype type_of(const Dataset& dataset) {
  const Lock lock;
  return Datatype(check_id(H5Dget_type(dataset.id()), dataset.id(), "read its type"));
}

template <class T>
Datatype native_type() {
  const Lock lock;
  return owned<Datatype>(H5Tcopy(predefined_type<T>()), "type");
}

Datatype string_type() { return string_of(H5T_VARIABLE, H5T_CSET_UTF8); }
Datatype fixed_string_type(std::size_t n_bytes) { return string_of(n_bytes, H5T_CSET_UTF8); }

Datatype bool_type() {
  const Lock lock;
  auto type = owned<Datatype>(H5Tenum_create(H5T_NATIVE_INT8), "bool type");
  const std::int8_t no = 0, yes = 1;
  H5Tenum_insert(type.id(), "FALSE", &no);
  H5Tenum_insert(type.id(), "TRUE", &yes);
  return type;
}

void read(const Dataset& dataset, const Datatype& memory_type, const Dataspace& memory_space, const Dataspace& file_space, void* cells) {
  const Lock lock;
  const hid_t memory = memory_space ? memory_space.id() : H5S_ALL, file = file_space ? file_space.id() : H5S_ALL;
  check(H5Dread(dataset.id(), memory_type.id(), memory, file, H5P_DEFAULT, cells), dataset.id(), "read it");
}

void write(const Dataset& dataset, const Datatype& memory_type, const Dataspace& memory_space, const Dataspace& file_space,
           const void* cells) {
  const Lock lock;
  const hid_t memory = memory_space ? memory_space.id() : H5S_ALL, file = file_space ? file_space.id() : H5S_ALL;
  check(H5Dwrite(dataset.id(), memory_type.id(), memory, file, H5P_DEFAULT, cells), dataset.id(), "write it");
}

template <class T>
std::vector<T> read_all(const Dataset& dataset) {
  const Lock lock;
  const Dataspace space = space_of(dataset);
  std::vector<T> cells(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space.id())));
  if (!cells.empty()) read(dataset, native_type<T>(), {}, {}, cells.data());
  return cells;
}

template <class T>
void read_rows(const Dataset& dataset, std::int64_t first_row, std::int64_t n_rows, T* cells) {
  const Lock lock;
  const Dataspace file_space = space_of(dataset);
  std::vector<hsize_t> shape = shape_of(dataset);
  shape.at(0) = static_cast<hsize_t>(n_rows);
  select_rows(file_space, first_row, n_rows);
  const Dataspace memory_space = simple_space(shape);
  check(H5Dread(dataset.id(), native_type<T>().id(), memory_space.id(), file_space.id(), H5P_DEFAULT, cells), dataset.id(),
        fmt::format("read rows {} to {}", first_row, first_row + n_rows - 1));
}

#define COTERIE_INSTANTIATE(T)                         \
  template Datatype native_type<T>();                  \
  template std::vector<T> read_all<T>(const Dataset&); \
  template void read_rows<T>(const Dataset&, std::int64_t, std::int64_t, std::add_pointer_t<T>);
COTERIE_INSTANTIATE(float)
COTERIE_INSTANTIATE(double)
COTERIE_INSTANTIATE(std::int8_t)
COTERIE_INSTANTIATE(std::int16_t)
COTERIE_INSTANTIATE(std::int32_t)
COTERIE_INSTANTIATE(std::int64_t)
COTERIE_INSTANTIATE(std::uint8_t)
COTERIE_INSTANTIATE(std::uint16_t)
COTERIE_INSTANTIATE(std::uint32_t)
COTERIE_INSTANTIATE(std::uint64_t)
#undef COTERIE_INSTANTIATE

bool has_attribute(hid_t object, const std::string& name) {
  const Lock lock;
  const htri_t found = H5Aexists(object, name.c_str());
  check(found, object, "look for attribute", name);
  return found > 0;
}

std::vector<std::string> read_strings_attribute(hid_t object, const std::string& name) {
  const Lock lock;
  const Attribute attribute = open_attribute(object, name);
  const Datatype type(check_id(H5Aget_type(attribute.id()), object, "read attribute", name));
  const Dataspace space(check_id(H5Aget_space(attribute.id()), object, "read attribute", name));
  const hssize_t n = H5Sget_simple_extent_npoints(space.id());
  if (n == 0) return {};  // of numbers where Python wrote an empty list
  if (H5Tget_class(type.id()) != H5T_STRING || n < 0)
    throw InputError(fmt::format("{}: attribute '{}' is not text; nothing was written", describe(object), name));
  return H5Tis_variable_str(type.id()) > 0 ? read_variable(attribute, static_cast<std::size_t>(n))
                                           : read_fixed(attribute, type, static_cast<std::size_t>(n));
}

std::string read_string_attribute(hid_t object, const std::string& name) {
  const std::vector<std::string> texts = read_strings_attribute(object, name);
  if (texts.size() != 1)
    throw InputError(
        fmt::format("{}: attribute '{}' holds {} texts instead of one; nothing was written", describe(object), name, texts.size()));
  return texts.front();
}

std::int64_t read_integer_attribute(hid_t object, const std::string& name) {
  const Lock lock;
  const Attribute attribute = open_attribute(object, name);
  const Dataspace space(check_id(H5Aget_space(attribute.id()), object, "read attribute", name));
  if (H5Sget_simple_extent_npoints(space.id()) != 1)
    throw InputError(fmt::format("{}: attribute '{}' is not one number; nothing was written", describe(object), name));
  std::int64_t value = 0;
  check(H5Aread(attribute.id(), H5T_NATIVE_INT64, &value), object, "read attribute", name);
  return value;
}

void write_string_attribute(hid_t object, const std::string& name, const std::string& value) {
  const char* text = value.c_str();
  write_attribute(object, name, string_type(), scalar_space(), &text);
}

void write_strings_attribute(hid_t object, const std::string& name, std::span<const std::string> values) {
  std::vector<const char*> texts;
  for (const std::string& value : values) texts.push_back(value.c_str());
  const hsize_t n = texts.size();
  write_attribute(object, name, string_type(), simple_space({&n, 1}), texts.data());
}

void write_integer_attribute(hid_t object, const std::string& name, std::int64_t value) {
  write_attribute(object, name, native_type<std::int64_t>(), scalar_space(), &value);
}

void write_bool_attribute(hid_t object, const std::string& name, bool value) {
  const std::int8_t number = value ? 1 : 0;
  write_attribute(object, name, bool_type(), scalar_space(), &number);
}

}  // namespace coterie::io::hdf5
