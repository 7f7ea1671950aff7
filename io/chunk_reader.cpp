#include "io/chunk_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "host/error.hpp"
#include "io/dataset_guard.hpp"

namespace coterie::io {
namespace {

// zlib's own bound for incompressible data, and a checksum; larger chunks are damaged.
std::int64_t largest_stored(std::int64_t chunk_bytes) { return chunk_bytes + chunk_bytes / 1000 + 64; }

// Larger ones without filters are read in parts, which takes no memory.
constexpr std::int64_t kLargestUnfiltered = std::int64_t{16} << 20;

// Nothing where there are no chunks, or HDF5 was told to leave those at the edge as they are, which their masks do not say.
std::optional<std::vector<H5Z_filter_t>> filters_of(const hdf5::Dataset& dataset) {
  const hdf5::PropertyList creation(hdf5::check_id(H5Dget_create_plist(dataset.id()), dataset.id(), "read how it is stored"));
  std::vector<H5Z_filter_t> filters;
  unsigned options = 0;
  if (H5Pget_layout(creation.id()) != H5D_CHUNKED || H5Pget_chunk_opts(creation.id(), &options) < 0 ||
      (options & H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS) != 0)
    return std::nullopt;
  for (int i = 0; i < H5Pget_nfilters(creation.id()); ++i) {
    unsigned flags = 0;
    std::size_t n_values = 0;
    filters.push_back(H5Pget_filter2(creation.id(), static_cast<unsigned>(i), &flags, &n_values, nullptr, 0, nullptr, nullptr));
  }
  return filters;
}

}  // namespace

bool ChunkReader::find_plan(const hdf5::Dataset& dataset, Plan& plan) {
  const hdf5::Lock lock;
  const Storage storage = guard_dataset(dataset);
  plan.cell = stored_cell(dataset);
  const auto filters = filters_of(dataset);
  if (!filters || !is_number(plan.cell.kind) || !std::all_of(filters->begin(), filters->end(), ChunkDecoder::supports)) return false;
  plan.filters = *filters;
  const bool is_matrix = storage.shape.size() == 2;
  plan.n_rows = static_cast<std::int64_t>(storage.shape[0]);
  plan.n_columns = is_matrix ? static_cast<std::int64_t>(storage.shape[1]) : 1;
  plan.chunk_rows = static_cast<std::int64_t>(storage.chunk[0]);
  plan.chunk_columns = is_matrix ? static_cast<std::int64_t>(storage.chunk[1]) : 1;
  plan.chunks_across = (plan.n_columns + plan.chunk_columns - 1) / plan.chunk_columns;
  plan.cell_bytes = storage.cell_bytes;
  plan.chunk_bytes = plan.chunk_rows * plan.chunk_columns * plan.cell_bytes;
  return !plan.filters.empty() || plan.chunk_bytes <= kLargestUnfiltered;
}

std::unique_ptr<ChunkReader> ChunkReader::make(Context& context, const hdf5::Dataset& dataset) {
  Plan plan{};
  if (!find_plan(dataset, plan)) return nullptr;
  const std::int64_t carry = plan.chunk_rows * plan.n_columns * 8;  // as float64 at most
  const auto decoder = static_cast<std::int64_t>(ChunkDecoder::memory_bytes(static_cast<std::size_t>(plan.chunk_bytes)));
  Reservation memory;
  if (!context.memory().try_reserve(
          carry + largest_stored(plan.chunk_bytes) + context.threads() * (largest_stored(plan.chunk_bytes) + decoder), memory))
    return nullptr;
  return std::unique_ptr<ChunkReader>(new ChunkReader(context, dataset, std::move(plan), std::move(memory)));
}

ChunkReader::ChunkReader(Context& context, const hdf5::Dataset& dataset, Plan plan, Reservation memory)
    : context_(context),
      dataset_(dataset),
      plan_(std::move(plan)),
      memory_(std::move(memory)),
      workers_(static_cast<std::size_t>(context.threads())) {}

template <class T>
void ChunkReader::read(std::int64_t first_row, std::int64_t n_rows, T* cells) {
  const std::int64_t end_row = first_row + n_rows;
  const std::int64_t row = first_row + take_carry(first_row, n_rows, cells);
  if (row == end_row) return;
  carry_.resize(static_cast<std::size_t>(plan_.chunk_rows * plan_.n_columns) * sizeof(T));
  carry_row_ = carry_end_ = 0;  // nothing, should a chunk be damaged
  const Target<T> target{row, end_row, cells + (row - first_row) * plan_.n_columns, reinterpret_cast<T*>(carry_.data())};
  const std::int64_t chunk_row = row / plan_.chunk_rows, end_chunk_row = (end_row - 1) / plan_.chunk_rows + 1;
  const std::int64_t n_chunks = (end_chunk_row - chunk_row) * plan_.chunks_across;
  const auto read_chunk = [&](std::int64_t i, int thread) {
    Worker& worker = workers_[static_cast<std::size_t>(thread)];
    const std::int64_t down = chunk_row + i / plan_.chunks_across, across = i % plan_.chunks_across;
    decode(fetch(down * plan_.chunk_rows, across * plan_.chunk_columns, worker), worker, target);
  };
  if (inflates())
    context_.parallel_for(n_chunks, read_chunk);
  else  // one thread copies faster than disks read; more would wait for the library's lock where others could compute
    for (std::int64_t i = 0; i < n_chunks; ++i) read_chunk(i, 0);
  carry_row_ = end_row;
  carry_end_ = std::min(end_chunk_row * plan_.chunk_rows, plan_.n_rows);
}

void ChunkReader::prefetch(std::int64_t first_row, std::int64_t n_rows, const std::atomic<bool>& given_up) {
  const std::int64_t first_chunk_row = (first_row + plan_.chunk_rows - 1) / plan_.chunk_rows;  // the one before was read with its first row
  for (std::int64_t row = first_chunk_row * plan_.chunk_rows; row < first_row + n_rows; row += plan_.chunk_rows)
    for (std::int64_t across = 0; across < plan_.chunks_across && !given_up; ++across)
      fetch(row, across * plan_.chunk_columns, prefetcher_);
}

// Copies what the carry holds of the range, from its first row on; returns the number of rows.
template <class T>
std::int64_t ChunkReader::take_carry(std::int64_t first_row, std::int64_t n_rows, T* cells) const {
  if (first_row < carry_row_ || first_row >= carry_end_) return 0;
  const std::int64_t rows = std::min(n_rows, carry_end_ - first_row);
  const auto row_bytes = static_cast<std::size_t>(plan_.n_columns) * sizeof(T);
  std::memcpy(cells, carry_.data() + static_cast<std::size_t>(first_row - carry_row_) * row_bytes,
              static_cast<std::size_t>(rows) * row_bytes);
  return rows;
}

ChunkReader::StoredChunk ChunkReader::fetch(std::int64_t row, std::int64_t column, Worker& worker) const {
  const hdf5::Lock lock;
  const auto what = [&] { return fmt::format("read the chunk at row {}, column {}", row, column); };
  const hsize_t offset[] = {static_cast<hsize_t>(row), static_cast<hsize_t>(column)};
  hsize_t bytes = 0;
  hdf5::check(H5Dget_chunk_storage_size(dataset_.id(), offset, &bytes), dataset_.id(), what());
  if (bytes > static_cast<hsize_t>(largest_stored(plan_.chunk_bytes)))
    throw InputError(
        fmt::format("{}: the chunk at row {}, column {} takes {} bytes in the file but {} in memory; the file is damaged; nothing was "
                    "written",
                    hdf5::describe(dataset_.id()), row, column, bytes, plan_.chunk_bytes));
  worker.stored.resize(static_cast<std::size_t>(largest_stored(plan_.chunk_bytes)));
  std::uint32_t skipped = 0;
  hdf5::check(H5Dread_chunk(dataset_.id(), H5P_DEFAULT, offset, &skipped, worker.stored.data()), dataset_.id(), what());
  return {row, column, std::span(worker.stored).first(bytes), skipped};
}

template <class T>
void ChunkReader::decode(const StoredChunk& chunk, Worker& worker, const Target<T>& target) const {
  if (!worker.decoder)
    worker.decoder = std::make_unique<ChunkDecoder>(plan_.filters, static_cast<std::size_t>(plan_.cell_bytes),
                                                    static_cast<std::size_t>(plan_.chunk_bytes));
  const auto cells = worker.decoder->decode(chunk.bytes, chunk.skipped);
  if (cells.empty())
    throw InputError(
        fmt::format("{}: cannot read rows {} to {}: the checksum or the compression of their chunk at column {} is wrong; the file is "
                    "damaged; nothing was written. Copy or download it again",
                    hdf5::describe(dataset_.id()), chunk.row, std::min(chunk.row + plan_.chunk_rows, plan_.n_rows) - 1, chunk.column));
  scatter(chunk, cells.data(), target);
}

// decoded: (chunk_rows, chunk_columns)
template <class T>
void ChunkReader::scatter(const StoredChunk& chunk, const std::byte* decoded, const Target<T>& target) const {
  const std::int64_t begin = std::max(chunk.row, target.first_row), end = std::min(chunk.row + plan_.chunk_rows, plan_.n_rows);
  const std::int64_t split = std::clamp(target.end_row, begin, end);
  put_rows(chunk, decoded, begin, split, target.cells + (begin - target.first_row) * plan_.n_columns);
  put_rows(chunk, decoded, split, end, target.carry + (split - target.end_row) * plan_.n_columns);
}

// Rows [begin, end) -> cells (end - begin, n_columns). Those of a part of the columns are converted together, and then put where they
// belong.
template <class T>
void ChunkReader::put_rows(const StoredChunk& chunk, const std::byte* decoded, std::int64_t begin, std::int64_t end, T* cells) const {
  constexpr std::int64_t kCells = 1024;
  const auto stored = [&](std::int64_t row) { return decoded + (row - chunk.row) * plan_.chunk_columns * plan_.cell_bytes; };
  if (plan_.chunk_columns == plan_.n_columns) return convert_cells(plan_.cell, stored(begin), (end - begin) * plan_.n_columns, cells);
  const auto row_bytes = static_cast<std::size_t>(std::min(plan_.chunk_columns, plan_.n_columns - chunk.column)) * sizeof(T);
  const std::int64_t rows = std::max<std::int64_t>(1, kCells / plan_.chunk_columns);
  std::vector<T> converted(static_cast<std::size_t>(rows * plan_.chunk_columns));
  for (std::int64_t first = begin; first < end; first += rows) {
    const std::int64_t last = std::min(first + rows, end);
    convert_cells(plan_.cell, stored(first), (last - first) * plan_.chunk_columns, converted.data());
    for (std::int64_t row = first; row < last; ++row)
      std::memcpy(cells + (row - begin) * plan_.n_columns + chunk.column, converted.data() + (row - first) * plan_.chunk_columns,
                  row_bytes);
  }
}

template void ChunkReader::read(std::int64_t, std::int64_t, std::uint8_t*);
template void ChunkReader::read(std::int64_t, std::int64_t, std::int32_t*);
template void ChunkReader::read(std::int64_t, std::int64_t, float*);
template void ChunkReader::read(std::int64_t, std::int64_t, double*);
template void ChunkReader::read(std::int64_t, std::int64_t, std::int64_t*);
template void ChunkReader::read(std::int64_t, std::int64_t, std::uint64_t*);

}  // namespace coterie::io
