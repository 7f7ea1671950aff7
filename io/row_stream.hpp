// Row-aligned columns on their way into a file, written together in row order. Every column is chunked by 64 Ki rows with
// shuffle, gzip-1 and fletcher32; whole chunks are written in a fixed order, so the file's bytes do not depend on how
// many rows arrive at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "host/context.hpp"

namespace coterie::io {

class Hdf5Output;

enum class CellType { boolean, int32, int64, float32, float64, text };

struct RowColumn {
  std::string name;                          // dataset in obs; "" when the column goes to the table only
  CellType type = CellType::float64;         // int32 for a categorical
  std::int64_t text_bytes = 0;               // text: bytes of the longest value
  std::vector<std::string> categories = {};  // not empty: a categorical, whose cells are codes into these, -1 where missing
  std::string table_name = {};               // member of the stream's table, a categorical as text; "" when it is not in there
  std::string digits_name = {};              // int64: a second dataset in obs with the same numbers as text; "" for none
};

// Consecutive cells of one column, of exactly its type: uint8 0/1 for boolean, int32 also for categorical codes.
using Cells = std::variant<std::span<const std::uint8_t>, std::span<const std::int32_t>, std::span<const std::int64_t>,
                           std::span<const float>, std::span<const double>, std::span<const std::string>>;

class RowStream {
 public:
  virtual ~RowStream() = default;
  virtual std::int64_t rows_written() const = 0;
  virtual std::int64_t rows_per_chunk() const = 0;
  // cells: one entry per column, in the order the stream was opened with, all of the same length. Rows come in order and
  // without gaps. ContentsError: text that is longer than announced or no UTF-8. OutputError: disk full and the like.
  virtual void write(std::int64_t first_row, std::span<const Cells> cells) = 0;
};

// Bytes of one row before compression, as columns and as table members: for memory and disk forecasts.
std::int64_t row_bytes(std::span<const RowColumn> columns);
// Memory that a stream holds while it is open.
std::int64_t stream_bytes(std::span<const RowColumn> columns, std::int64_t n_rows);

// Columns below the group `group`, and with `table` a packed table. `context`, when given, encodes chunks in parallel. Both
// must outlive the stream.
std::unique_ptr<RowStream> open_row_stream(Hdf5Output& file, Context* context, std::vector<RowColumn> columns, std::int64_t n_rows,
                                           const std::string& group, const std::string& table);

}  // namespace coterie::io
