// What every dataset of a user's file must pass before its cells are read: a file may be damaged, or made to harm.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/hdf5.hpp"

namespace coterie::io {

struct Storage {
  H5D_layout_t layout = H5D_CONTIGUOUS;
  std::vector<hsize_t> shape;   // {} for a scalar
  std::vector<hsize_t> chunk;   // as long as `shape` when chunked, else empty
  std::int64_t cell_bytes = 0;  // of one element in the file
  bool filtered = false;
};

// PolicyError: raw data in an external file, virtual dataset. InputError: a filter that this program lacks (its id and the way
// round), stored bytes that do not fit the declared shape. ContentsError: rows that were never written (HDF5 reads zeros).
Storage guard_dataset(const hdf5::Dataset& dataset);

std::string describe_shape(const std::vector<hsize_t>& shape);  // "(100, 3)"

}  // namespace coterie::io
