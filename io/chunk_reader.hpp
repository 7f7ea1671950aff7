// Rows of a chunked matrix or column, as they are or stored with gzip, shuffle and fletcher32. Where chunks have to be inflated, every
// thread takes one, fetches it when the library's lock is free and decodes it while others fetch.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "host/context.hpp"
#include "io/cell_conversion.hpp"
#include "io/chunk_decoder.hpp"
#include "io/hdf5.hpp"

namespace coterie::io {

class ChunkReader {
 public:
  // Nothing when the dataset has no chunks or other filters, or when the memory does not suffice; the HDF5 library reads all of
  // these, one chunk at a time. `dataset` must outlive the reader.
  static std::unique_ptr<ChunkReader> make(Context& context, const hdf5::Dataset& dataset);

  // Rows [first_row, first_row + n_rows) -> cells (n_rows, n_columns), converted as by a cast; a column is one of one. InputError names the
  // rows of a damaged chunk. Ranges that follow each other decode each chunk once.
  template <class T>
  void read(std::int64_t first_row, std::int64_t n_rows, T* cells);

  bool inflates() const { return std::ranges::find(plan_.filters, H5Z_FILTER_DEFLATE) != plan_.filters.end(); }

  // Makes the system hold what the file stores of the chunks that begin in these rows, so that read() does not wait for the disk. May run
  // beside it, on one thread. InputError as from read(), but nothing is decoded; nothing more is read after `given_up`.
  void prefetch(std::int64_t first_row, std::int64_t n_rows, const std::atomic<bool>& given_up);

 private:
  struct Plan {  // how the dataset lies in chunks
    StoredCell cell;
    std::vector<H5Z_filter_t> filters;
    std::int64_t n_rows, n_columns;
    std::int64_t chunk_rows, chunk_columns, chunks_across;
    std::int64_t cell_bytes, chunk_bytes;
  };
  struct StoredChunk {
    std::int64_t row, column;          // of its first cell
    std::span<const std::byte> bytes;  // as they lie in the file
    std::uint32_t skipped;             // filters left out
  };
  struct Worker {
    std::unique_ptr<ChunkDecoder> decoder;  // made when first used
    std::vector<std::byte> stored;          // one chunk
  };
  template <class T>
  struct Target {  // where cells go: rows before `end_row` to the caller, later ones into the carry
    std::int64_t first_row, end_row;
    T* cells;
    T* carry;
  };
  ChunkReader(Context& context, const hdf5::Dataset& dataset, Plan plan, Reservation memory);

  static bool find_plan(const hdf5::Dataset& dataset, Plan& plan);
  template <class T>
  std::int64_t take_carry(std::int64_t first_row, std::int64_t n_rows, T* cells) const;
  StoredChunk fetch(std::int64_t row, std::int64_t column, Worker& worker) const;
  template <class T>
  void decode(const StoredChunk& chunk, Worker& worker, const Target<T>& target) const;
  template <class T>
  void scatter(const StoredChunk& chunk, const std::byte* decoded, const Target<T>& target) const;
  template <class T>
  void put_rows(const StoredChunk& chunk, const std::byte* decoded, std::int64_t begin, std::int64_t end, T* cells) const;

  Context& context_;
  const hdf5::Dataset& dataset_;
  Plan plan_;
  Reservation memory_;
  std::vector<Worker> workers_;  // (threads)
  Worker prefetcher_;
  std::vector<std::byte> carry_;  // decoded rows [carry_row_, carry_end_) beyond the last range
  std::int64_t carry_row_ = 0, carry_end_ = 0;
};

}  // namespace coterie::io
