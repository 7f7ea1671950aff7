// Rows of a chunked matrix that is stored with gzip, shuffle and fletcher32: stored chunks are fetched one after the other and
// decoded on all threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "host/context.hpp"
#include "io/cell_kind.hpp"
#include "io/chunk_decoder.hpp"
#include "io/hdf5.hpp"

namespace coterie::io {

class ChunkReader {
 public:
  // Nothing when the dataset has other filters or cells of another byte order, or when the memory does not suffice; the HDF5
  // library reads all of these, one chunk at a time. `dataset` must outlive the reader.
  static std::unique_ptr<ChunkReader> make(Context& context, const hdf5::Dataset& dataset);

  // Rows [first_row, first_row + n_rows) -> cells (n_rows, n_columns), converted as by a cast. InputError names the rows of a damaged
  // chunk. Ranges that follow each other decode each chunk once.
  template <class T>
  void read(std::int64_t first_row, std::int64_t n_rows, T* cells);

 private:
  struct Plan {  // how the dataset lies in chunks
    CellKind kind;
    std::vector<H5Z_filter_t> filters;
    std::int64_t n_rows, n_columns;
    std::int64_t chunk_rows, chunk_columns, chunks_across;
    std::int64_t cell_bytes, chunk_bytes;
  };
  struct StoredChunk {
    std::int64_t row, column;  // of its first cell
    std::size_t begin, size;   // in `stored_`
    std::uint32_t skipped;     // filters left out
  };
  template <class T>
  struct Target {  // where cells of a batch go: rows before `end_row` to the caller, later ones into the carry
    std::int64_t first_row, end_row;
    T* cells;
    T* carry;
  };
  ChunkReader(Context& context, const hdf5::Dataset& dataset, Plan plan, Reservation memory);

  static bool find_plan(const hdf5::Dataset& dataset, Plan& plan);
  static std::int64_t batch_rows(const Plan& plan, int threads);
  template <class T>
  std::int64_t take_carry(std::int64_t first_row, std::int64_t n_rows, T* cells) const;
  void fetch(std::int64_t first_chunk_row, std::int64_t end_chunk_row);
  void fetch_chunk(std::int64_t row, std::int64_t column);
  template <class T>
  void decode(const StoredChunk& chunk, int worker, const Target<T>& target);
  template <class T, class Stored>
  void scatter(const StoredChunk& chunk, const Stored* decoded, const Target<T>& target) const;

  Context& context_;
  const hdf5::Dataset& dataset_;
  Plan plan_;
  Reservation memory_;
  std::vector<std::unique_ptr<ChunkDecoder>> decoders_;  // (threads), made when first used
  std::vector<std::byte> stored_;                        // chunks of a batch, one after the other
  std::vector<StoredChunk> chunks_;                      // of a batch
  std::vector<std::byte> carry_;                         // decoded rows [carry_row_, carry_end_) beyond the last range
  std::int64_t carry_row_ = 0, carry_end_ = 0;
};

}  // namespace coterie::io
