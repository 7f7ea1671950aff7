// A matrix with one row per customer on its way into a file, in row order.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace coterie::io {

class Hdf5Output;

struct MatrixLayout {
  std::int64_t n_columns = 0;
  bool is_wide = false;     // float64, else float32
  bool compressed = false;  // chunks of about 1 MiB with shuffle, gzip-1 and fletcher32; else contiguous, for direct reads
};

class MatrixStream {
 public:
  virtual ~MatrixStream() = default;
  virtual std::int64_t rows_written() const = 0;
  // cells: (rows, n_columns) of the layout's precision. Rows come in order and without gaps.
  virtual void write(std::int64_t first_row, std::span<const float> cells) = 0;
  virtual void write(std::int64_t first_row, std::span<const double> cells) = 0;
};

std::unique_ptr<MatrixStream> open_matrix_stream(Hdf5Output& file, const std::string& path, std::int64_t n_rows,
                                                 const MatrixLayout& layout);

}  // namespace coterie::io
