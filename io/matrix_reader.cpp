#include "io/matrix_reader.hpp"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <utility>

#include "host/error.hpp"
#include "io/dataset_guard.hpp"

namespace coterie::io {
namespace {

[[noreturn]] void refuse(const hdf5::Dataset& dataset, const std::string& what) {
  throw ContentsError(fmt::format("{}: {}; nothing was written", hdf5::describe(dataset.id()), what));
}

void check_shape(const hdf5::Dataset& dataset, const std::vector<hsize_t>& shape) {
  if (shape.size() != 2)
    refuse(dataset, fmt::format("its shape is {}, but the matrix has two dimensions: customers and features", describe_shape(shape)));
  if (shape[0] == 0 || shape[1] == 0) refuse(dataset, fmt::format("it is empty: its shape is {}", describe_shape(shape)));
  if (shape[1] > INT32_MAX || shape[0] > INT64_MAX / 8 / shape[1])  // 8: bytes of the widest cell
    refuse(dataset, fmt::format("its shape {} is too large", describe_shape(shape)));
}

// Where the cells begin when they lie in the file one after the other.
std::int64_t plain_offset(const InputFile& file, const hdf5::Dataset& dataset, const Storage& storage) {
  if (storage.layout != H5D_CONTIGUOUS) return -1;
  const haddr_t offset = H5Dget_offset(dataset.id());
  const hsize_t bytes = H5Dget_storage_size(dataset.id()), size = static_cast<hsize_t>(file.size());
  if (offset == HADDR_UNDEF || offset > size || bytes > size - offset)
    throw InputError(fmt::format("{}: its {} bytes reach beyond the end of the file; the file is truncated or damaged; nothing was written",
                                 hdf5::describe(dataset.id()), bytes));
  return static_cast<std::int64_t>(offset);
}

// HDF5 reads parts of a chunk directly when nothing has to be decoded and its rows are whole.
bool reads_whole_chunks(const Storage& storage) {
  return storage.layout == H5D_CHUNKED && (storage.filtered || storage.chunk[1] < storage.shape[1]);
}

// A cache that holds one row of chunks: whatever the tiles, a chunk is complete before the next row of chunks pushes it out.
hdf5::PropertyList cached_access(const StoredMatrix& matrix) {
  hdf5::PropertyList access = hdf5::property_list(hdf5::PropertyClass::dataset_access);
  const hdf5::Lock lock;
  // HDF5 numbers chunks with a power of two of columns; with that many slots neighbours never share one.
  const auto slots = std::bit_ceil(static_cast<std::size_t>(matrix.chunks_across)) * 2 + 1;
  // 0: the oldest chunk goes first. HDF5 would rather let go of chunks read to the end, and never those at the edge.
  H5Pset_chunk_cache(access.id(), slots, static_cast<std::size_t>(matrix.cache_bytes()), 0);
  return access;
}

}  // namespace

bool StoredMatrix::is_wide() const {
  switch (cell.kind) {
    case CellKind::float64:
    case CellKind::int32:
    case CellKind::int64:
    case CellKind::uint32:
    case CellKind::uint64: return true;
    default: return false;
  }
}

StoredMatrix inspect_matrix(const InputFile& file, const std::string& path) {
  const hdf5::Lock lock;
  const hdf5::Dataset dataset = hdf5::open_dataset(file.id(), path);
  const std::vector<hsize_t> shape = hdf5::shape_of(dataset);
  check_shape(dataset, shape);
  const StoredCell cell = stored_cell(dataset);
  if (!is_number(cell.kind)) refuse(dataset, fmt::format("it holds {}, but the matrix holds numbers", describe_cells(dataset)));
  const Storage storage = guard_dataset(dataset);
  StoredMatrix matrix{.path = hdf5::path_of(dataset.id()),
                      .n_rows = static_cast<std::int64_t>(shape[0]),
                      .n_columns = static_cast<std::int32_t>(shape[1]),
                      .cell = cell,
                      .offset = plain_offset(file, dataset, storage)};
  if (!reads_whole_chunks(storage)) return matrix;
  matrix.chunk_bytes = static_cast<std::int64_t>(storage.chunk[0] * storage.chunk[1]) * storage.cell_bytes;
  matrix.chunks_across = static_cast<std::int64_t>((shape[1] + storage.chunk[1] - 1) / storage.chunk[1]);
  return matrix;
}

MatrixReader::MatrixReader(Context& context, std::shared_ptr<const InputFile> file, StoredMatrix matrix)
    : file_(std::move(file)), matrix_(std::move(matrix)), dataset_(hdf5::open_dataset(file_->id(), matrix_.path, cached_access(matrix_))) {
  chunks_ = ChunkReader::make(context, dataset_);
  if (chunks_ || matrix_.chunk_bytes == 0) return;
  const std::string what =
      fmt::format("the chunks of dataset '{}' ({} of {} each)", matrix_.path, matrix_.chunks_across, format_bytes(matrix_.chunk_bytes));
  // Two more chunks: the bytes as stored, and the room into which the filters unpack them.
  chunk_memory_ = context.memory().reserve(what, matrix_.cache_bytes() + 2 * matrix_.chunk_bytes);
}

void MatrixReader::read(std::int64_t first_row, std::int64_t n_rows, float* cells) { read_as(first_row, n_rows, cells); }

void MatrixReader::read(std::int64_t first_row, std::int64_t n_rows, double* cells) {
  if (matrix_.cell.kind == CellKind::int64) return read_integers<std::int64_t>(first_row, n_rows, cells);
  if (matrix_.cell.kind == CellKind::uint64) return read_integers<std::uint64_t>(first_row, n_rows, cells);
  read_as(first_row, n_rows, cells);
}

template <class T>
void MatrixReader::read_as(std::int64_t first_row, std::int64_t n_rows, T* cells) {
  if (matrix_.offset >= 0) return read_plain(first_row, n_rows, cells);
  if (chunks_) return chunks_->read(first_row, n_rows, cells);
  hdf5::read_rows(dataset_, first_row, n_rows, cells);
}

// Reads into the end of `cells`, where no conversion overtakes what it reads: stored cells are no wider.
template <class T>
void MatrixReader::read_plain(std::int64_t first_row, std::int64_t n_rows, T* cells) const {
  const std::int64_t cell_bytes = bytes_of(matrix_.cell.kind), n = n_rows * matrix_.n_columns;
  auto* stored = reinterpret_cast<std::byte*>(cells) + n * (static_cast<std::int64_t>(sizeof(T)) - cell_bytes);
  if (!read_bytes(*file_, matrix_.offset + first_row * matrix_.n_columns * cell_bytes, n * cell_bytes, stored))
    throw InputError(fmt::format("{}: cannot read rows {} to {}: the file has become shorter; nothing was written",
                                 hdf5::describe(dataset_.id()), first_row, first_row + n_rows - 1));
  if (matrix_.cell.swapped || cell_bytes < static_cast<std::int64_t>(sizeof(T))) convert_cells(matrix_.cell, stored, n, cells);
}

// Reads into the same bytes and converts in place: both are 8 bytes wide.
template <class Integer>
void MatrixReader::read_integers(std::int64_t first_row, std::int64_t n_rows, double* cells) {
  constexpr std::int64_t kExact = std::int64_t{1} << 53;  // every whole number up to here is a double
  auto* bytes = reinterpret_cast<char*>(cells);
  read_as(first_row, n_rows, reinterpret_cast<Integer*>(bytes));
  for (std::int64_t i = 0; i < n_rows * matrix_.n_columns; ++i) {
    Integer value;
    std::memcpy(&value, bytes + i * 8, 8);
    if (std::cmp_greater(value, kExact) || std::cmp_less(value, -kExact))
      throw ContentsError(
          fmt::format("{}: the whole number in row {}, column {} (both counted from 0) is beyond 2^53, where float64 would round it; "
                      "nothing was written. Identifiers do not belong into the matrix; other numbers can be stored as float64",
                      hdf5::describe(dataset_.id()), first_row + i / matrix_.n_columns, i % matrix_.n_columns));
    cells[i] = static_cast<double>(value);
  }
}

}  // namespace coterie::io
