// Raw tiles of a matrix, read ahead by one thread: while one tile is being worked on, the next one is read; or, where chunks have to be
// inflated, which keeps all threads busy, what the file stores of it. Rows that come from chunks are kept where they take no more than an
// eighth of the memory that is left: later sweeps find them there.
#pragma once

#include <atomic>
#include <cstdint>
#include <future>
#include <vector>

#include "host/context.hpp"
#include "host/row_array.hpp"
#include "host/tile_source.hpp"
#include "io/matrix_reader.hpp"

namespace coterie::io {

class MatrixSource final : public TileSource {
 public:
  // The rows of this rank, in tiles of `tile_rows` (rounded up to whole blocks; 0: chosen from what the memory ledger has left).
  // Buffers are reserved at once: ResourceError.
  MatrixSource(Context& context, std::shared_ptr<const InputFile> file, const StoredMatrix& matrix, std::int64_t tile_rows = 0);
  ~MatrixSource() override;

  std::int64_t n_rows() const override { return end_row_ - first_row_; }
  std::int64_t first_row() const override { return first_row_; }
  std::int32_t n_columns() const override { return reader_.matrix().n_columns; }
  bool is_wide() const override { return reader_.matrix().is_wide(); }
  void rewind() override;
  // Throws what reading threw (MatrixReader::read), InputError when the file has changed, Cancelled.
  const Tile* next() override;

 private:
  struct Buffer {           // a tile, or all rows; only one of the two is allocated
    RowArray<float> x;      // (rows, n_columns)
    RowArray<double> wide;  // (rows, n_columns)
  };
  void allocate(std::int64_t tile_rows);
  Buffer make_buffer(std::int64_t n_rows) const;
  std::int64_t rows_at(std::int64_t row) const { return std::min(tile_rows_, end_row_ - row); }
  Buffer& buffer() { return buffers_[keeps_rows_ ? 0 : filling_]; }                                            // of the next tile
  std::int64_t cell_of(std::int64_t row) const { return keeps_rows_ ? (row - first_row_) * n_columns() : 0; }  // of its first row there
  bool is_kept(std::int64_t row) const { return keeps_rows_ && row < kept_end_; }
  void read(std::int64_t row);        // the tile of this row, to the buffer of the next one
  void read_ahead(std::int64_t row);  // starts to read that tile, or what is stored of it, unless it is kept
  void wait() noexcept;

  Context& context_;
  MatrixReader reader_;
  std::int64_t first_row_ = 0, end_row_ = 0;
  std::int64_t tile_rows_ = 0;
  Reservation memory_;
  bool keeps_rows_ = false;
  std::int64_t kept_end_ = 0;  // where those end that were read
  Buffer buffers_[2];          // the first one alone where rows are kept, or inflated when their tile is asked for
  int filling_ = 0;            // the buffer of the next tile
  std::int64_t next_row_ = 0;  // first row of the next tile
  std::atomic<bool> given_up_ = false;
  std::future<void> pending_;  // reads ahead
  Tile tile_;
};

}  // namespace coterie::io
