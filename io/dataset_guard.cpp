#include "io/dataset_guard.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/error.hpp"

namespace coterie::io {
namespace {

std::string_view filter_name(H5Z_filter_t id) {
  switch (id) {
    case 307: return "bzip2";
    case 32000: return "LZF";
    case 32001: return "Blosc";
    case 32004: return "LZ4";
    case 32008: return "bitshuffle";
    case 32013: return "ZFP";
    case 32015: return "Zstandard";
    case 32026: return "Blosc2";
    default: return "unknown name";
  }
}

bool can_decode(H5Z_filter_t id) {
  unsigned config = 0;
  return H5Zfilter_avail(id) > 0 && H5Zget_filter_info(id, &config) >= 0 && (config & H5Z_FILTER_CONFIG_DECODE_ENABLED) != 0;
}

void check_filters(const hdf5::Dataset& dataset, hid_t creation) {
  for (int i = 0; i < H5Pget_nfilters(creation); ++i) {
    unsigned flags = 0;
    std::size_t n_values = 0;
    const H5Z_filter_t id = H5Pget_filter2(creation, static_cast<unsigned>(i), &flags, &n_values, nullptr, 0, nullptr, nullptr);
    if (id < 0 || can_decode(id)) continue;
    throw InputError(
        fmt::format("{}: it is stored with filter {} ({}), which this program cannot decode; nothing was written. Rewrite it with gzip: "
                    "open the file in Python with h5py (for filters other than LZF also `pip install hdf5plugin` and import it) and create "
                    "the dataset anew with compression='gzip'",
                    hdf5::describe(dataset.id()), id, filter_name(id)));
  }
}

void refuse_foreign_bytes(const hdf5::Dataset& dataset, hid_t creation, H5D_layout_t layout) {
  const bool is_virtual = layout == H5D_VIRTUAL;
  if (!is_virtual && (layout != H5D_CONTIGUOUS || H5Pget_external_count(creation) == 0)) return;
  throw PolicyError(fmt::format(
      "{}: {}, and those are not followed, because a file could so read any other on this machine; nothing was "
      "written. Copy the data into this file: h5repack, or read and write it with h5py",
      hdf5::describe(dataset.id()), is_virtual ? "this is a virtual dataset made of other files" : "its data lie in another file"));
}

[[noreturn]] void refuse_size(const hdf5::Dataset& dataset, const Storage& storage, const std::string& what) {
  throw InputError(fmt::format("{}: {} does not fit the shape {} of {}-byte cells; the file is damaged; nothing was written",
                               hdf5::describe(dataset.id()), what, describe_shape(storage.shape), storage.cell_bytes));
}

[[noreturn]] void refuse_unwritten(const hdf5::Dataset& dataset, hsize_t first, hsize_t end, const std::string& more) {
  throw ContentsError(
      fmt::format("{}: rows {} to {} were never written{} and would read as zeros; nothing was written. Let the program that made "
                  "the file finish, or write these rows",
                  hdf5::describe(dataset.id()), first, end - 1, more));
}

// Bytes of one cell as stored. Text of variable length lies in a heap, and the cell holds its length, address and index.
std::int64_t stored_cell_bytes(const hdf5::Dataset& dataset) {
  const hdf5::Datatype type = hdf5::type_of(dataset);
  if (H5Tis_variable_str(type.id()) <= 0) return static_cast<std::int64_t>(H5Tget_size(type.id()));
  const hdf5::File file(hdf5::check_id(H5Iget_file_id(dataset.id()), dataset.id(), "find its file"));
  const hdf5::PropertyList creation(hdf5::check_id(H5Fget_create_plist(file.id()), dataset.id(), "read how its file is stored"));
  std::size_t address_bytes = 0, length_bytes = 0;
  hdf5::check(H5Pget_sizes(creation.id(), &address_bytes, &length_bytes), dataset.id(), "read the size of addresses");
  return static_cast<std::int64_t>(4 + address_bytes + 4);
}

// The product of n numbers, or 2^64 - 1 when it does not fit.
hsize_t product(const std::vector<hsize_t>& factors, hsize_t start) {
  for (const hsize_t factor : factors)
    if (__builtin_mul_overflow(start, factor, &start)) return UINT64_MAX;
  return start;
}

void check_contiguous(const hdf5::Dataset& dataset, const Storage& storage) {
  const hsize_t stored = H5Dget_storage_size(dataset.id());
  const hsize_t declared = product(storage.shape, static_cast<hsize_t>(storage.cell_bytes));
  if (stored == declared && declared != UINT64_MAX) return;
  if (stored == 0 && !storage.shape.empty()) refuse_unwritten(dataset, 0, storage.shape[0], "");
  refuse_size(dataset, storage, fmt::format("a storage of {} bytes", stored));
}

// Steps `index`, a chunk's place in the grid of chunks, in row-major order; false after the last one.
bool next_chunk(std::vector<hsize_t>& index, const std::vector<hsize_t>& grid) {
  for (std::size_t d = grid.size(); d-- > 0;) {
    if (++index[d] < grid[d]) return true;
    index[d] = 0;
  }
  return false;
}

// Asks for one chunk after the other; the library's own lists of chunks take quadratic time in HDF5 1.10.
[[noreturn]] void refuse_holes(const hdf5::Dataset& dataset, const Storage& storage, const std::vector<hsize_t>& grid, hsize_t missing) {
  std::vector<hsize_t> index(grid.size()), offset(grid.size());
  do {
    for (std::size_t d = 0; d < grid.size(); ++d) offset[d] = index[d] * storage.chunk[d];
    hsize_t bytes = 0;
    if (H5Dget_chunk_storage_size(dataset.id(), offset.data(), &bytes) < 0 || bytes == 0)
      refuse_unwritten(dataset, offset[0], std::min(offset[0] + storage.chunk[0], storage.shape[0]),
                       missing == 1 ? "" : fmt::format(" (the first of {} chunks)", missing));
  } while (next_chunk(index, grid));
  refuse_size(dataset, storage, "the list of chunks");
}

void check_chunks(const hdf5::Dataset& dataset, const Storage& storage) {
  if (storage.chunk.size() != storage.shape.size() || storage.shape.empty()) refuse_size(dataset, storage, "the rank of its chunks");
  std::vector<hsize_t> grid(storage.shape.size());
  for (std::size_t d = 0; d < grid.size(); ++d) {
    if (storage.chunk[d] == 0) refuse_size(dataset, storage, "a chunk without cells");
    grid[d] = storage.shape[d] / storage.chunk[d] + (storage.shape[d] % storage.chunk[d] != 0);
  }
  const hsize_t expected = product(grid, 1);
  hsize_t written = 0;
  const hdf5::Dataspace space = hdf5::space_of(dataset);
  hdf5::check(H5Dget_num_chunks(dataset.id(), space.id(), &written), dataset.id(), "count its chunks");
  if (written == expected) return;
  if (written > expected) refuse_size(dataset, storage, fmt::format("a number of {} chunks", written));
  refuse_holes(dataset, storage, grid, expected - written);
}

}  // namespace

Storage guard_dataset(const hdf5::Dataset& dataset) {
  const hdf5::Lock lock;
  const hdf5::PropertyList creation(hdf5::check_id(H5Dget_create_plist(dataset.id()), dataset.id(), "read how it is stored"));
  Storage storage;
  storage.layout = H5Pget_layout(creation.id());
  storage.shape = hdf5::shape_of(dataset);
  storage.cell_bytes = stored_cell_bytes(dataset);
  storage.filtered = H5Pget_nfilters(creation.id()) > 0;
  refuse_foreign_bytes(dataset, creation.id(), storage.layout);
  check_filters(dataset, creation.id());
  if (product(storage.shape, 1) == 0) return storage;
  if (storage.layout != H5D_CHUNKED) {
    check_contiguous(dataset, storage);
    return storage;
  }
  storage.chunk.resize(H5S_MAX_RANK);
  const int rank = H5Pget_chunk(creation.id(), H5S_MAX_RANK, storage.chunk.data());
  storage.chunk.resize(static_cast<std::size_t>(std::clamp(rank, 0, H5S_MAX_RANK)));
  check_chunks(dataset, storage);
  return storage;
}

std::string describe_shape(const std::vector<hsize_t>& shape) { return fmt::format("({})", fmt::join(shape, ", ")); }

}  // namespace coterie::io
