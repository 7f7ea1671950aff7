// The HDF5 C API behind small handles: one checked function per call. A failing call becomes an exception of ours that
// names file and object: InputError when the file is open read-only, OutputError when it is open for writing.
//
// Policy, set up before the first call: HDF5's own error printing is off, plug-ins are never loaded, nothing is left to
// exit handlers (HDF5 1.10 crashes in them after a full disk), and external links are never followed (PolicyError).
// One process-wide mutex guards the library, because not every build of it is thread-safe.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace coterie::io::hdf5 {

// Held around every HDF5 call; recursive, so that a sequence of calls may hold it too. Predefined ids such as
// H5T_NATIVE_FLOAT initialise the library, so they too are named only under a Lock.
class Lock {
 public:
  Lock();

 private:
  std::unique_lock<std::recursive_mutex> lock_;
};

// Owns one HDF5 id. Whoever has written calls close(), which is checked; the destructor closes without a word.
template <herr_t (*kClose)(hid_t)>
class Handle {
 public:
  Handle() = default;
  explicit Handle(hid_t id) : id_(id) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    return *this;
  }
  ~Handle() {
    if (id_ < 0) return;
    const Lock lock;
    kClose(id_);
  }
  explicit operator bool() const { return id_ >= 0; }
  hid_t id() const { return id_; }
  void close();  // throws what failed; the handle is empty afterwards either way

 private:
  hid_t id_ = H5I_INVALID_HID;
};

using File = Handle<H5Fclose>;
using Group = Handle<H5Gclose>;
using Dataset = Handle<H5Dclose>;
using Dataspace = Handle<H5Sclose>;
using Datatype = Handle<H5Tclose>;
using PropertyList = Handle<H5Pclose>;
using Attribute = Handle<H5Aclose>;

// Throws for a failed call on `location` (any id that belongs to a file): "file 'f', dataset '/X': cannot <what> (<HDF5's
// own reason>)". `name`, when given, is the object below `location` that was asked for.
[[noreturn]] void fail(hid_t location, std::string_view what, std::string_view name = {});
void check(herr_t result, hid_t location, std::string_view what, std::string_view name = {});     // fails when negative
hid_t check_id(hid_t result, hid_t location, std::string_view what, std::string_view name = {});  // likewise; returns it
std::string last_description();  // HDF5's innermost message for the last failed call of this thread, or ""; a success clears it
std::string last_reason();       // the same for people
std::string file_of(hid_t object);
std::string path_of(hid_t object);   // "/X"
std::string describe(hid_t object);  // "file 'f.h5ad', dataset '/X'"
void close_checked(hid_t id, herr_t (*close)(hid_t));

template <herr_t (*kClose)(hid_t)>
void Handle<kClose>::close() {
  if (id_ >= 0) close_checked(std::exchange(id_, H5I_INVALID_HID), kClose);
}

// Files. open_file is read-only and tells truncated, locked and unclosed files apart (InputError); that `path` is a regular
// file with HDF5's signature is known by then (input_file.hpp).
enum class PropertyClass { file_access, file_creation, dataset_access, dataset_creation };
PropertyList property_list(PropertyClass property_class);
File create_file(const std::filesystem::path& path, unsigned flags, const PropertyList& creation, const PropertyList& access);
File open_file(const std::filesystem::path& path, const PropertyList& access);
void flush(const File& file);

// Objects by path, relative to `location` or absolute. What cannot be opened is no less there: InputError.
bool exists(hid_t location, const std::string& path);  // follows soft links; PolicyError at an external one
Group create_group(hid_t location, const std::string& path);
Group open_group(hid_t location, const std::string& path);
Dataset create_dataset(hid_t location, const std::string& path, const Datatype& type, const Dataspace& space, const PropertyList& creation);
Dataset open_dataset(hid_t location, const std::string& path);
Dataset open_dataset(hid_t location, const std::string& path, const PropertyList& access);  // of class dataset_access
bool is_group(hid_t location, const std::string& path);                                     // exists and is one
bool is_dataset(hid_t location, const std::string& path);                                   // exists and is one
std::vector<std::string> children(hid_t group);                                             // names, in the file's name order

// Shapes and types. native_type<T>: float, double, std::int8_t ... std::uint64_t.
Dataspace scalar_space();
Dataspace simple_space(std::span<const hsize_t> shape);
Dataspace space_of(const Dataset& dataset);
std::vector<hsize_t> shape_of(const Dataset& dataset);                                  // {} for a scalar
void select_rows(const Dataspace& space, std::int64_t first_row, std::int64_t n_rows);  // all of every other dimension
Datatype type_of(const Dataset& dataset);
template <class T>
Datatype native_type();
Datatype string_type();                           // variable length, UTF-8
Datatype fixed_string_type(std::size_t n_bytes);  // null-padded, UTF-8
Datatype bool_type();                             // as h5py writes it: enum of int8 with FALSE = 0, TRUE = 1

// Cells. An empty space stands for all of the dataset.
void read(const Dataset& dataset, const Datatype& memory_type, const Dataspace& memory_space, const Dataspace& file_space, void* cells);
void write(const Dataset& dataset, const Datatype& memory_type, const Dataspace& memory_space, const Dataspace& file_space,
           const void* cells);
template <class T>
std::vector<T> read_all(const Dataset& dataset);  // any rank, converted to T by HDF5
template <class T>
void read_rows(const Dataset& dataset, std::int64_t first_row, std::int64_t n_rows, T* cells);  // (n_rows, ...) of any rank >= 1

// Attributes of any object. Reading accepts fixed-length and variable-length strings, scalars and arrays of one.
bool has_attribute(hid_t object, const std::string& name);
std::string read_string_attribute(hid_t object, const std::string& name);
std::vector<std::string> read_strings_attribute(hid_t object, const std::string& name);
std::int64_t read_integer_attribute(hid_t object, const std::string& name);
void write_string_attribute(hid_t object, const std::string& name, const std::string& value);  // variable length, UTF-8
void write_strings_attribute(hid_t object, const std::string& name, std::span<const std::string> values);
void write_integer_attribute(hid_t object, const std::string& name, std::int64_t value);
void write_bool_attribute(hid_t object, const std::string& name, bool value);

}  // namespace coterie::io::hdf5
