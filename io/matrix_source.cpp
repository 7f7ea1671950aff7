#include "io/matrix_source.hpp"

#include <algorithm>

#include "host/row_blocks.hpp"

namespace coterie::io {
namespace {

// Tiles of 4 to 16 MiB: large enough that a thread per tile costs nothing (20 us against milliseconds), small enough that
// two of them and the caches of the pass stay far below the budget.
constexpr std::int64_t kSmallTile = std::int64_t{4} << 20;
constexpr std::int64_t kLargeTile = std::int64_t{16} << 20;
constexpr std::int64_t kShareOfMemory = 32;  // a tile takes at most this part of what is left
constexpr std::int64_t kShareOfKept = 8;     // and kept rows this one: what a job cannot do without comes after them

// The first row of a rank; that of rank `size` is the end.
std::int64_t start_of_rank(std::int64_t n_rows, int rank, int size) {
  return std::min(n_rows, blocks_of(n_rows) * rank / size * kBlockRows);
}

std::int64_t choose_tile_rows(std::int64_t row_bytes, std::int64_t available) {
  const std::int64_t bytes = std::clamp(available / kShareOfMemory, kSmallTile, kLargeTile);
  return std::max<std::int64_t>(1, bytes / (row_bytes * kBlockRows)) * kBlockRows;
}

}  // namespace

MatrixSource::MatrixSource(Context& context, std::shared_ptr<const InputFile> file, const StoredMatrix& matrix, std::int64_t tile_rows)
    : context_(context), reader_(context, std::move(file), matrix) {
  const int rank = context.communicator().rank(), size = context.communicator().size();
  first_row_ = start_of_rank(matrix.n_rows, rank, size);
  end_row_ = start_of_rank(matrix.n_rows, rank + 1, size);
  next_row_ = kept_end_ = first_row_;
  allocate(tile_rows);
}

MatrixSource::~MatrixSource() { wait(); }

void MatrixSource::allocate(std::int64_t tile_rows) {
  const std::int64_t row_bytes = n_columns() * static_cast<std::int64_t>(is_wide() ? sizeof(double) : sizeof(float));
  if (tile_rows <= 0) tile_rows = choose_tile_rows(row_bytes, context_.memory().available());
  tile_rows_ = std::min(blocks_of(tile_rows), std::max<std::int64_t>(1, blocks_of(n_rows()))) * kBlockRows;
  const std::int64_t all_bytes = n_rows() * row_bytes;
  keeps_rows_ = reader_.matrix().chunk_bytes > 0 && all_bytes <= context_.memory().available() / kShareOfKept &&
                context_.memory().try_reserve(all_bytes, memory_);
  if (keeps_rows_) {
    buffers_[0] = make_buffer(n_rows());
    return;
  }
  const int n_buffers = tile_rows_ < n_rows() && reader_.inflated_chunks() == nullptr ? 2 : 1;
  const std::int64_t buffer_rows = std::min(tile_rows_, n_rows());
  memory_ = context_.memory().reserve("the tiles that are read ahead", n_buffers * buffer_rows * row_bytes);
  for (int i = 0; i < n_buffers; ++i) buffers_[i] = make_buffer(buffer_rows);
}

MatrixSource::Buffer MatrixSource::make_buffer(std::int64_t n_rows) const {
  const auto cells = static_cast<std::size_t>(n_rows * n_columns());
  if (is_wide()) return {.x = nullptr, .wide = make_row_array<double>(cells)};
  return {.x = make_row_array<float>(cells), .wide = nullptr};
}

void MatrixSource::rewind() {
  wait();
  reader_.file().check_unchanged();
  next_row_ = first_row_;
  filling_ = 0;
}

const Tile* MatrixSource::next() {
  context_.check_cancelled();
  if (next_row_ >= end_row_) {
    reader_.file().check_unchanged();
    return nullptr;
  }
  const bool inflates = reader_.inflated_chunks() != nullptr;
  const std::int64_t n_rows = rows_at(next_row_);
  if (!inflates && !pending_.valid()) read_ahead(next_row_);
  if (pending_.valid()) pending_.get();
  if (inflates) {
    read_ahead(next_row_ + n_rows);
    if (!is_kept(next_row_)) read(next_row_);
  }
  tile_ = {.x = is_wide() ? nullptr : buffer().x.get() + cell_of(next_row_),
           .wide = is_wide() ? buffer().wide.get() + cell_of(next_row_) : nullptr,
           .first_row = next_row_,
           .n_rows = static_cast<std::int32_t>(n_rows),
           .n_columns = n_columns()};
  next_row_ += n_rows;
  kept_end_ = std::max(kept_end_, next_row_);
  if (!inflates) {
    filling_ = 1 - filling_;
    read_ahead(next_row_);
  }
  return &tile_;
}

void MatrixSource::read(std::int64_t row) {
  if (is_wide())
    reader_.read(row, rows_at(row), buffer().wide.get() + cell_of(row));
  else
    reader_.read(row, rows_at(row), buffer().x.get() + cell_of(row));
}

void MatrixSource::read_ahead(std::int64_t row) {
  if (row >= end_row_ || is_kept(row)) return;
  pending_ = std::async(std::launch::async, [this, row] {
    if (ChunkReader* const chunks = reader_.inflated_chunks())
      chunks->prefetch(row, rows_at(row), given_up_);
    else
      read(row);
  });
}

void MatrixSource::wait() noexcept {
  given_up_ = true;
  if (pending_.valid()) pending_.wait();
  pending_ = {};
  given_up_ = false;
}

}  // namespace coterie::io
