// The matrix of customers and features: a two-dimensional dataset of numbers, read in ranges of rows.
//
// Cells come as float32 when that holds every value of the element type (float16, float32, 8- and 16-bit integers, bool), else
// as float64; 64-bit integers beyond 2^53 are refused. Contiguous data are read without HDF5, which halves the time from
// the page cache; chunks without filters or with common ones are decoded without it (chunk_reader.hpp); everything else goes
// through H5Dread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "host/context.hpp"
#include "io/cell_conversion.hpp"
#include "io/chunk_reader.hpp"
#include "io/input_file.hpp"

namespace coterie::io {

struct StoredMatrix {
  std::string path;
  std::int64_t n_rows = 0;
  std::int32_t n_columns = 0;
  StoredCell cell = {CellKind::float32};
  std::int64_t offset = -1;        // in the file, when all cells lie there one after the other; else -1
  std::int64_t chunk_bytes = 0;    // of one chunk that is read as a whole, else 0
  std::int64_t chunks_across = 0;  // chunks side by side that make up all columns
  bool is_wide() const;            // cells come as float64
  std::int64_t cache_bytes() const { return chunk_bytes * chunks_across; }  // no chunk is decoded twice when these fit
};

// InputError: no such dataset; all of guard_dataset. ContentsError: not two-dimensional, no rows or columns, no numbers.
StoredMatrix inspect_matrix(const InputFile& file, const std::string& path);

class MatrixReader {
 public:
  // Reserves the memory in which chunks are decoded. ResourceError when not even one row of chunks fits.
  MatrixReader(Context& context, std::shared_ptr<const InputFile> file, StoredMatrix matrix);

  const StoredMatrix& matrix() const { return matrix_; }
  const InputFile& file() const { return *file_; }

  // Rows [first_row, first_row + n_rows) -> cells (n_rows, n_columns); the one that is_wide() asks for. InputError names the rows
  // of a damaged chunk, ContentsError the first cell beyond 2^53. Ranges read in ascending order decode each chunk once.
  void read(std::int64_t first_row, std::int64_t n_rows, float* cells);
  void read(std::int64_t first_row, std::int64_t n_rows, double* cells);

  // Chunks that read() inflates on all threads; nullptr: it waits for the file most of the time.
  ChunkReader* inflated_chunks() { return chunks_ && chunks_->inflates() ? chunks_.get() : nullptr; }

 private:
  template <class T>
  void read_as(std::int64_t first_row, std::int64_t n_rows, T* cells);
  template <class Integer>
  void read_integers(std::int64_t first_row, std::int64_t n_rows, double* cells);
  template <class T>
  void read_plain(std::int64_t first_row, std::int64_t n_rows, T* cells) const;

  std::shared_ptr<const InputFile> file_;
  StoredMatrix matrix_;
  Reservation chunk_memory_;
  hdf5::Dataset dataset_;
  std::unique_ptr<ChunkReader> chunks_;  // nullptr: contiguous, or left to HDF5
};

}  // namespace coterie::io
