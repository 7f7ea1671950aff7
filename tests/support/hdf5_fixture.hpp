// Small HDF5 files for tests, written through the C API.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "io/hdf5.hpp"

namespace coterie::testing {

inline io::hdf5::File new_file(const std::filesystem::path& path, hsize_t user_block = 0) {
  using namespace io::hdf5;
  PropertyList creation = property_list(PropertyClass::file_creation);
  const Lock lock;
  H5Pset_userblock(creation.id(), user_block);
  return create_file(path, H5F_ACC_TRUNC, creation, property_list(PropertyClass::file_access));
}

struct StorageOptions {
  std::vector<hsize_t> chunk;  // empty: contiguous
  bool gzip = false;
  bool shuffle = false;
  bool fletcher32 = false;
  bool checksum_first = false;    // fletcher32 before the other filters
  bool edges_unfiltered = false;  // chunks that reach beyond the dataset are stored as they are
  int filter = 0;                 // a further filter by its id
};

inline io::hdf5::PropertyList creation_list(const StorageOptions& options) {
  using namespace io::hdf5;
  PropertyList list = property_list(PropertyClass::dataset_creation);
  const Lock lock;
  if (!options.chunk.empty()) H5Pset_chunk(list.id(), static_cast<int>(options.chunk.size()), options.chunk.data());
  if (options.edges_unfiltered) H5Pset_chunk_opts(list.id(), H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS);
  if (options.checksum_first) H5Pset_fletcher32(list.id());
  if (options.shuffle) H5Pset_shuffle(list.id());
  if (options.gzip) H5Pset_deflate(list.id(), 1);
  if (options.filter != 0) H5Pset_filter(list.id(), options.filter, H5Z_FLAG_MANDATORY, 0, nullptr);
  if (options.fletcher32) H5Pset_fletcher32(list.id());
  return list;
}

inline io::hdf5::Datatype copy_type(hid_t type) {
  const io::hdf5::Lock lock;
  return io::hdf5::Datatype(H5Tcopy(type));
}

// IEEE half, as NumPy writes it.
inline io::hdf5::Datatype half_type() {
  io::hdf5::Datatype type = copy_type(H5T_IEEE_F32LE);
  const io::hdf5::Lock lock;
  H5Tset_fields(type.id(), 15, 10, 5, 0, 10);
  H5Tset_size(type.id(), 2);
  H5Tset_ebias(type.id(), 15);
  return type;
}

// A dataset of any type and shape; cells: row-major, converted by HDF5; empty: never written.
template <class T>
void write_dataset(hid_t file, const std::string& path, const io::hdf5::Datatype& type, const std::vector<hsize_t>& shape,
                   const std::vector<T>& cells, const StorageOptions& options = {}) {
  using namespace io::hdf5;
  const Dataspace space = shape.empty() ? scalar_space() : simple_space(shape);
  if (!options.chunk.empty()) {  // chunks larger than the dataset are allowed when it may grow
    const Lock lock;
    const std::vector<hsize_t> largest(shape.size(), H5S_UNLIMITED);
    H5Sset_extent_simple(space.id(), static_cast<int>(shape.size()), shape.data(), largest.data());
  }
  Dataset dataset = create_dataset(file, path, type, space, creation_list(options));
  if (!cells.empty()) write(dataset, native_type<T>(), {}, {}, cells.data());
  dataset.close();
}

inline void write_texts(hid_t file, const std::string& path, const std::vector<std::string>& texts, bool scalar = false) {
  using namespace io::hdf5;
  std::vector<const char*> pointers(texts.size());
  std::transform(texts.begin(), texts.end(), pointers.begin(), [](const std::string& text) { return text.c_str(); });
  const hsize_t n = texts.size();
  Dataset dataset = create_dataset(file, path, string_type(), scalar ? scalar_space() : simple_space({&n, 1}), creation_list({}));
  write(dataset, string_type(), {}, {}, pointers.data());
  dataset.close();
}

// Runs f, which must throw E, and returns the message.
template <class E, class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another class of exception: " << error.what();
    return "";
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace coterie::testing
