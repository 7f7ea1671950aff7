#include "io/row_stream.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "host/error.hpp"
#include "io/chunk_codec.hpp"
#include "io/hdf5_output.hpp"
#include "io/stored_cell.hpp"
#include "io/text.hpp"

namespace coterie::io {
namespace {

constexpr std::int64_t kRowsPerChunk = 64 << 10;      // 256 KiB of float32, below HDF5's default chunk cache
constexpr std::int64_t kMostBytesPerChunk = 8 << 20;  // for wide text

// One column on its way into one dataset, alone or as a member of a table.
struct Member {
  std::size_t column;  // of the stream
  std::size_t offset;  // in the dataset's row
  StoredCell cell;
};

struct Destination {
  std::string path;
  std::vector<Member> members;
  std::size_t row_bytes = 0;
  hdf5::Dataset dataset = {};
  std::vector<std::byte> chunk = {};  // (rows per chunk, row_bytes)
  std::optional<ChunkEncoder> encoder = {};
  std::span<const std::byte> stored = {};  // the chunk, encoded

  void add(std::size_t column, StoredCell cell) {
    const std::size_t offset = row_bytes;
    row_bytes += cell.bytes;
    members.push_back({column, offset, std::move(cell)});
  }
};

void check_name(const std::string& name) {
  if (name.find('/') != std::string::npos || name == "." || !is_utf8(name))
    throw ArgumentError(fmt::format("column name {} cannot be stored: '/' separates groups in HDF5. Rename the column", shown(name)));
}

std::vector<Destination> destinations_of(std::span<const RowColumn> columns, const std::string& group, const std::string& table) {
  std::vector<Destination> destinations;
  Destination rows{.path = table, .members = {}};
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const RowColumn& column = columns[i];
    check_name(column.name);
    if (!column.name.empty()) {
      destinations.push_back({.path = group + "/" + column.name + (column.categories.empty() ? "" : "/codes"), .members = {}});
      destinations.back().add(i, as_dataset(column));
    }
    if (!column.digits_name.empty()) {
      destinations.push_back({.path = group + "/" + column.digits_name, .members = {}});
      destinations.back().add(i, as_digits(column));
    }
    if (!table.empty() && !column.table_name.empty()) rows.add(i, as_member(column));
  }
  if (!rows.members.empty()) destinations.push_back(std::move(rows));
  return destinations;
}

void check_texts(const RowColumn& column, std::int64_t first_row, std::span<const std::string> texts) {
  const auto width = static_cast<std::size_t>(std::max<std::int64_t>(1, column.text_bytes));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto refuse = [&](const std::string& why) {
      throw ContentsError(fmt::format("the text of column {} in row {} {}. No output was written", shown(column.name),
                                      first_row + static_cast<std::int64_t>(i), why));
    };
    if (texts[i].size() > width)
      refuse(
          fmt::format("has {} bytes, but the longest was announced with {}; did the input change during the run?", texts[i].size(), width));
    if (!is_utf8(texts[i])) refuse("is not valid UTF-8; convert the column to UTF-8");
  }
}

std::size_t widest(std::span<const Destination> destinations) {
  std::size_t bytes = 1;
  for (const Destination& destination : destinations) bytes = std::max(bytes, destination.row_bytes);
  return bytes;
}

// How many rows chunks of `bytes_per_row` take: 64 Ki, fewer when rows are very wide.
std::int64_t chunk_rows(std::int64_t bytes_per_row, std::int64_t n_rows) {
  return std::min(n_rows, std::clamp<std::int64_t>(kMostBytesPerChunk / bytes_per_row, 1, kRowsPerChunk));
}

hdf5::Datatype table_type(const Destination& destination, std::span<const RowColumn> columns) {
  const hdf5::Lock lock;
  hdf5::Datatype type(H5Tcreate(H5T_COMPOUND, destination.row_bytes));
  for (const Member& member : destination.members)
    H5Tinsert(type.id(), columns[member.column].table_name.c_str(), member.offset, member.cell.type.id());
  return type;
}

void write_categories(Hdf5Output& file, const std::string& path, const std::vector<std::string>& categories) {
  const hdf5::Group group = file.make_group(path, kCategorical);
  hdf5::write_bool_attribute(group.id(), "ordered", false);
  const std::size_t width = longest(categories);
  const std::vector<char> bytes = padded(categories, width, "category");
  const hdf5::Datatype type = hdf5::fixed_string_type(width);
  file.write_array(path + "/categories", {bytes.data(), type, {categories.size()}}, kStringArray);
}

class FileRowStream final : public RowStream {
 public:
  FileRowStream(Hdf5Output& file, Context* context, std::vector<RowColumn> columns, std::int64_t n_rows, const std::string& group,
                const std::string& table)
      : file_(file),
        context_(context),
        columns_(std::move(columns)),
        n_rows_(n_rows),
        destinations_(destinations_of(columns_, group, table)) {
    rows_per_chunk_ = chunk_rows(static_cast<std::int64_t>(widest(destinations_)), n_rows);
    for (const RowColumn& column : columns_)
      if (!column.name.empty() && !column.categories.empty()) write_categories(file_, group + "/" + column.name, column.categories);
    for (Destination& destination : destinations_) open(destination, destination.path == table);
  }

  std::int64_t rows_written() const override { return row_; }
  std::int64_t rows_per_chunk() const override { return rows_per_chunk_; }

  void write(std::int64_t first_row, std::span<const Cells> cells) override {
    const auto n = static_cast<std::int64_t>(cells.empty() ? 0 : n_cells(cells.front()));
    check_order(first_row, n, cells);
    for (std::size_t i = 0; i < cells.size(); ++i)
      if (const auto* texts = std::get_if<std::span<const std::string>>(&cells[i])) check_texts(columns_[i], first_row, *texts);
    for (std::int64_t done = 0; done < n;) {
      const std::int64_t piece = std::min(n - done, rows_per_chunk_ - row_ % rows_per_chunk_);
      write_piece(cells, done, piece);
      done += piece;
    }
  }

 private:
  void open(Destination& destination, bool is_table) {
    const hdf5::Lock lock;
    const hdf5::Datatype compound = is_table ? table_type(destination, columns_) : hdf5::Datatype();
    const hdf5::Datatype& type = is_table ? compound : destination.members.front().cell.type;
    const Encoding encoding = H5Tget_class(type.id()) == H5T_STRING ? kStringArray : kArray;
    const hsize_t shape[] = {static_cast<hsize_t>(n_rows_)};
    destination.dataset = file_.create_chunked(destination.path, type, shape, rows_per_chunk_, encoding);
    destination.chunk.resize(static_cast<std::size_t>(rows_per_chunk_) * destination.row_bytes);
    destination.encoder.emplace(destination.row_bytes);
  }

  void check_order(std::int64_t first_row, std::int64_t n, std::span<const Cells> cells) const {
    const bool even = std::all_of(cells.begin(), cells.end(), [&](const Cells& c) { return static_cast<std::int64_t>(n_cells(c)) == n; });
    if (cells.size() != columns_.size() || !even || first_row != row_ || first_row + n > n_rows_)
      throw InternalError(fmt::format("rows {} to {} of {} columns do not continue row {} of {} rows and {} columns", first_row,
                                      first_row + n, cells.size(), row_, n_rows_, columns_.size()));
  }

  // Rows of one chunk, to its end or not.
  void write_piece(std::span<const Cells> cells, std::int64_t begin, std::int64_t n) {
    const std::int64_t in_chunk = row_ % rows_per_chunk_, end = row_ + n;
    const bool is_whole = end % rows_per_chunk_ == 0 || end == n_rows_;
    const auto n_destinations = std::ssize(destinations_);
    const auto pack_and_encode = [&](std::int64_t task, int) {
      Destination& destination = destinations_[static_cast<std::size_t>(n_destinations - 1 - task)];  // the table, the longest, first
      pack(destination, cells, begin, n, in_chunk);
      if (is_whole) encode(destination, in_chunk + n);
    };
    if (context_ != nullptr) context_->parallel_for(n_destinations, pack_and_encode);
    for (std::int64_t task = 0; context_ == nullptr && task < n_destinations; ++task) pack_and_encode(task, 0);
    for (std::size_t i = 0; is_whole && i < destinations_.size(); ++i)
      file_.write_chunk(destinations_[i].dataset, row_ - in_chunk, destinations_[i].stored);
    row_ = end;
  }

  static void pack(Destination& destination, std::span<const Cells> cells, std::int64_t begin, std::int64_t n, std::int64_t in_chunk) {
    std::byte* row = destination.chunk.data() + static_cast<std::size_t>(in_chunk) * destination.row_bytes;
    for (const Member& member : destination.members)
      member.cell.pack(cells[member.column], static_cast<std::size_t>(begin), static_cast<std::size_t>(n), row + member.offset,
                       destination.row_bytes);
  }

  static void encode(Destination& destination, std::int64_t filled_rows) {
    const std::size_t filled = static_cast<std::size_t>(filled_rows) * destination.row_bytes;
    std::fill(destination.chunk.begin() + static_cast<std::ptrdiff_t>(filled), destination.chunk.end(), std::byte{0});
    destination.stored = destination.encoder->encode(destination.chunk);
  }

  Hdf5Output& file_;
  Context* context_;
  std::vector<RowColumn> columns_;
  std::int64_t n_rows_;
  std::vector<Destination> destinations_;  // columns in their order, then the table
  std::int64_t rows_per_chunk_ = 0;
  std::int64_t row_ = 0;
};

}  // namespace

std::int64_t row_bytes(std::span<const RowColumn> columns) {
  std::size_t bytes = 0;
  for (const RowColumn& column : columns) {
    if (!column.name.empty()) bytes += as_dataset(column).bytes;
    if (!column.table_name.empty()) bytes += as_member(column).bytes;
    if (!column.digits_name.empty()) bytes += as_digits(column).bytes;
  }
  return static_cast<std::int64_t>(bytes);
}

std::int64_t stream_bytes(std::span<const RowColumn> columns, std::int64_t n_rows) {
  const std::int64_t bytes = std::max<std::int64_t>(1, row_bytes(columns));
  return 3 * chunk_rows(1, n_rows) * bytes;  // every chunk as it is, shuffled and encoded
}

std::unique_ptr<RowStream> open_row_stream(Hdf5Output& file, Context* context, std::vector<RowColumn> columns, std::int64_t n_rows,
                                           const std::string& group, const std::string& table) {
  return std::make_unique<FileRowStream>(file, context, std::move(columns), n_rows, group, table);
}

}  // namespace coterie::io
