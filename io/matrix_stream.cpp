#include "io/matrix_stream.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "host/error.hpp"
#include "io/chunk_codec.hpp"
#include "io/hdf5_output.hpp"

namespace coterie::io {
namespace {

class FileMatrixStream final : public MatrixStream {
 public:
  FileMatrixStream(Hdf5Output& file, const std::string& path, std::int64_t n_rows, const MatrixLayout& layout)
      : file_(file),
        n_rows_(n_rows),
        layout_(layout),
        cell_bytes_(layout.is_wide ? sizeof(double) : sizeof(float)),
        row_bytes_(static_cast<std::size_t>(layout.n_columns) * cell_bytes_),
        encoder_(cell_bytes_),
        type_(layout.is_wide ? hdf5::native_type<double>() : hdf5::native_type<float>()) {
    const std::array<hsize_t, 2> shape{static_cast<hsize_t>(n_rows), static_cast<hsize_t>(layout.n_columns)};
    rows_per_chunk_ = std::clamp<std::int64_t>(static_cast<std::int64_t>(kMatrixChunkBytes / row_bytes_), 1, n_rows);
    dataset_ = layout.compressed ? file.create_chunked(path, type_, shape, rows_per_chunk_, kArray)
                                 : file.create_contiguous(path, type_, shape, kArray);
    if (layout.compressed) chunk_.resize(static_cast<std::size_t>(rows_per_chunk_) * row_bytes_);
  }

  std::int64_t rows_written() const override { return row_; }
  void write(std::int64_t first_row, std::span<const float> cells) override { write_cells(first_row, cells, !layout_.is_wide); }
  void write(std::int64_t first_row, std::span<const double> cells) override { write_cells(first_row, cells, layout_.is_wide); }

 private:
  template <class T>
  void write_cells(std::int64_t first_row, std::span<const T> cells, bool right_type) {
    const auto n = static_cast<std::int64_t>(cells.size()) / layout_.n_columns;
    if (!right_type || n * layout_.n_columns != static_cast<std::int64_t>(cells.size()) || first_row != row_ || row_ + n > n_rows_)
      throw InternalError(fmt::format("rows {} to {} of a matrix do not continue row {} of {}, or are of the other precision", first_row,
                                      first_row + n, row_, n_rows_));
    const auto* bytes = reinterpret_cast<const std::byte*>(cells.data());
    if (layout_.compressed) return append(bytes, n);
    if (n > 0) file_.write_rows(dataset_, type_, first_row, n, bytes);
    row_ += n;
  }

  void append(const std::byte* rows, std::int64_t n) {
    while (n > 0) {
      const std::int64_t in_chunk = row_ % rows_per_chunk_, piece = std::min(n, rows_per_chunk_ - in_chunk);
      const std::size_t bytes = static_cast<std::size_t>(piece) * row_bytes_;
      std::memcpy(chunk_.data() + static_cast<std::size_t>(in_chunk) * row_bytes_, rows, bytes);
      rows += bytes;
      n -= piece;
      row_ += piece;
      if (row_ % rows_per_chunk_ == 0 || row_ == n_rows_) flush(in_chunk + piece);
    }
  }

  void flush(std::int64_t filled_rows) {
    const auto filled = static_cast<std::ptrdiff_t>(filled_rows) * static_cast<std::ptrdiff_t>(row_bytes_);
    std::fill(chunk_.begin() + filled, chunk_.end(), std::byte{0});
    file_.write_chunk(dataset_, row_ - filled_rows, encoder_.encode(chunk_));
  }

  Hdf5Output& file_;
  std::int64_t n_rows_;
  MatrixLayout layout_;
  std::size_t cell_bytes_, row_bytes_;
  ChunkEncoder encoder_;
  hdf5::Datatype type_;
  hdf5::Dataset dataset_;
  std::int64_t rows_per_chunk_ = 0;
  std::vector<std::byte> chunk_;  // (rows per chunk, n_columns) cells
  std::int64_t row_ = 0;
};

}  // namespace

std::unique_ptr<MatrixStream> open_matrix_stream(Hdf5Output& file, const std::string& path, std::int64_t n_rows,
                                                 const MatrixLayout& layout) {
  return std::make_unique<FileMatrixStream>(file, path, n_rows, layout);
}

}  // namespace coterie::io
