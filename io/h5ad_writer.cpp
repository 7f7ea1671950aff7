#include "io/h5ad_writer.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <numeric>
#include <utility>

#include "host/contains.hpp"
#include "host/error.hpp"
#include "io/hdf5_output.hpp"
#include "io/text.hpp"

namespace coterie::io {
namespace {

// A column of a frame as bytes in the file's layout.
struct PackedColumn {
  hdf5::Datatype type;
  std::size_t cell_bytes;
  Encoding encoding;
  std::vector<char> bytes;  // (n_rows, cell_bytes)
};

template <class T>
std::vector<char> bytes_of(const std::vector<T>& values) {
  std::vector<char> bytes(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

PackedColumn packed(const std::vector<double>& values) { return {hdf5::native_type<double>(), sizeof(double), kArray, bytes_of(values)}; }
PackedColumn packed(const std::vector<float>& values) { return {hdf5::native_type<float>(), sizeof(float), kArray, bytes_of(values)}; }
PackedColumn packed(const std::vector<std::int64_t>& values) {
  return {hdf5::native_type<std::int64_t>(), sizeof(std::int64_t), kArray, bytes_of(values)};
}
PackedColumn packed(const std::vector<bool>& values) { return {hdf5::bool_type(), 1, kArray, {values.begin(), values.end()}}; }
PackedColumn packed(const std::vector<std::string>& texts) {
  const std::size_t width = longest(texts);
  return {hdf5::fixed_string_type(width), width, kStringArray, padded(texts, width, "text")};
}

PackedColumn packed(const DataFrame::Column& column) {
  return std::visit([](const auto& values) { return packed(values); }, column);
}

// Scalars are lists of one that know they are scalars.
PackedColumn packed_scalar(bool value) { return packed(std::vector<bool>{value}); }
PackedColumn packed_scalar(const auto& value) { return packed(std::vector{value}); }

void check_frame(const std::string& path, const DataFrame& frame, bool needs_index) {
  const std::size_t n = frame.n_rows();
  if (needs_index != !frame.index_name.empty() || (needs_index && frame.index.size() != n))
    throw InternalError(fmt::format("the index of table '{}' does not fit its rows", path));
  for (const auto& [name, column] : frame.columns)
    if (std::visit([](const auto& values) { return values.size(); }, column) != n)
      throw InternalError(fmt::format("column '{}' of table '{}' is of another length than the others", name, path));
}

std::vector<std::string> column_names(const DataFrame& frame) {
  std::vector<std::string> names;
  for (const auto& [name, column] : frame.columns) names.push_back(name);
  return names;
}

// The rows of a packed table: cells of all columns side by side.
std::vector<char> interleaved(std::span<const PackedColumn> columns, std::size_t n_rows, std::size_t row_bytes) {
  std::vector<char> rows(n_rows * row_bytes);
  std::size_t offset = 0;
  for (const PackedColumn& column : columns) {
    for (std::size_t i = 0; i < n_rows; ++i)
      std::memcpy(rows.data() + i * row_bytes + offset, column.bytes.data() + i * column.cell_bytes, column.cell_bytes);
    offset += column.cell_bytes;
  }
  return rows;
}

}  // namespace

struct H5adWriter::State {
  State(AtomicOutput& output, Options given) : options(std::move(given)), file(output, options.before_write) {}

  Options options;
  Hdf5Output file;
  std::vector<std::unique_ptr<RowStream>> rows;  // after `file`: their datasets close first
  std::vector<std::unique_ptr<MatrixStream>> matrices;
  std::string index_name;                // of obs; "" before its ids are announced
  std::vector<std::string> obs_columns;  // without the index
  bool closed = false;

  void tag_frame(const hdf5::Group& group, const std::string& index, const std::vector<std::string>& columns) const {
    hdf5::write_string_attribute(group.id(), "_index", index);
    hdf5::write_strings_attribute(group.id(), "column-order", columns);
  }

  // Takes note of a new column of obs; the ids become the index.
  void announce(RowColumn& column) {
    if (column.name.empty()) return;
    if (column.name == options.id_name && index_name.empty()) {
      if (options.text_index && column.type == CellType::int64) column.digits_name = "_index";
      index_name = column.digits_name.empty() ? column.name : column.digits_name;
      if (column.digits_name.empty()) return;
    } else if (column.name == index_name || column.name == "_index" || contains(obs_columns, column.name)) {
      throw ArgumentError(
          fmt::format("the result would hold two columns named {}{}. Nothing was written. Rename the one in the input file.",
                      shown(column.name), column.name == index_name ? ", one of them the customers' ids" : ""));
    }
    obs_columns.push_back(column.name);
  }

  template <class T>
  void write_array(const std::string& path, std::span<const std::int64_t> shape, std::span<const T> values) {
    const std::int64_t cells = std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
    if (cells != static_cast<std::int64_t>(values.size()))
      throw InternalError(fmt::format("array '{}' is announced with {} cells and given {}", path, fmt::join(shape, " x "), values.size()));
    file.write_array(path, {values.data(), hdf5::native_type<T>(), {shape.begin(), shape.end()}}, kArray);
  }

  void check_complete() const {
    const auto complete = [&](const auto& stream) { return stream->rows_written() == options.n_rows; };
    if (index_name.empty() || !std::all_of(rows.begin(), rows.end(), complete) || !std::all_of(matrices.begin(), matrices.end(), complete))
      throw InternalError("a file was closed before all of its rows were written");
  }
};

H5adWriter::H5adWriter(AtomicOutput& output, Options options) {
  if (options.n_rows <= 0) throw ArgumentError("a file of customers needs at least one row");
  state_ = std::make_unique<State>(output, std::move(options));
  Hdf5Output& file = state_->file;
  hdf5::write_string_attribute(file.root(), "encoding-type", "anndata");
  hdf5::write_string_attribute(file.root(), "encoding-version", "0.1.0");
  hdf5::write_string_attribute(file.root(), "schema", state_->options.schema);
  hdf5::write_string_attribute(file.root(), "schema_version", state_->options.schema_version);
  file.make_group("obs", kFrame);
}

H5adWriter::~H5adWriter() = default;

std::int64_t H5adWriter::n_rows() const { return state_->options.n_rows; }

RowStream& H5adWriter::open_rows(std::vector<RowColumn> columns, const std::string& table_path) {
  for (RowColumn& column : columns) state_->announce(column);
  state_->rows.push_back(
      open_row_stream(state_->file, state_->options.context, std::move(columns), state_->options.n_rows, "obs", table_path));
  return *state_->rows.back();
}

MatrixStream& H5adWriter::open_matrix(const std::string& path, const MatrixLayout& layout) {
  state_->matrices.push_back(open_matrix_stream(state_->file, path, state_->options.n_rows, layout));
  return *state_->matrices.back();
}

void H5adWriter::write_frame(const std::string& path, const DataFrame& frame) {
  check_frame(path, frame, true);
  const hdf5::Group group = state_->file.make_group(path, kFrame);
  state_->tag_frame(group, frame.index_name, column_names(frame));
  const auto write = [&](const std::string& name, const PackedColumn& column) {
    state_->file.write_array(path + "/" + name, {column.bytes.data(), column.type, {frame.n_rows()}}, column.encoding);
  };
  write(frame.index_name, packed(frame.index));
  for (const auto& [name, column] : frame.columns) write(name, packed(column));
}

void H5adWriter::write_table(const std::string& path, const DataFrame& frame) {
  check_frame(path, frame, false);
  const hdf5::Lock lock;
  std::vector<PackedColumn> columns;
  std::size_t row_bytes = 0;
  for (const auto& [name, column] : frame.columns) {
    columns.push_back(packed(column));
    row_bytes += columns.back().cell_bytes;
  }
  const hdf5::Datatype type(H5Tcreate(H5T_COMPOUND, row_bytes));
  std::size_t offset = 0;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    H5Tinsert(type.id(), frame.columns[i].first.c_str(), offset, columns[i].type.id());
    offset += columns[i].cell_bytes;
  }
  const std::vector<char> rows = interleaved(columns, frame.n_rows(), row_bytes);
  state_->file.write_array(path, {rows.data(), type, {frame.n_rows()}}, kArray, true);  // pandas opens chunked tables only
}

void H5adWriter::write_matrix(const std::string& path, std::int64_t n_rows, std::int64_t n_columns, std::span<const double> values) {
  state_->write_array(path, std::array{n_rows, n_columns}, values);
}

void H5adWriter::write_matrix(const std::string& path, std::int64_t n_rows, std::int64_t n_columns, std::span<const float> values) {
  state_->write_array(path, std::array{n_rows, n_columns}, values);
}

void H5adWriter::write_array(const std::string& path, std::span<const std::int64_t> shape, std::span<const double> values) {
  state_->write_array(path, shape, values);
}

void H5adWriter::write_value(const std::string& path, const Value& value) {
  std::visit(
      [&]<class T>(const T& v) {
        if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, std::string>) {
          const PackedColumn scalar = packed_scalar(v);
          state_->file.write_array(path, {scalar.bytes.data(), scalar.type, {}}, std::is_same_v<T, std::string> ? kString : kNumber);
        } else {
          const PackedColumn list = packed(v);
          state_->file.write_array(path, {list.bytes.data(), list.type, {v.size()}}, list.encoding);
        }
      },
      value);
}

void H5adWriter::close() {
  if (std::exchange(state_->closed, true)) return;
  state_->check_complete();
  write_value("uns/coterie/roles/id", state_->options.id_name);
  {
    const hdf5::Group obs = hdf5::open_group(state_->file.root(), "obs");
    state_->tag_frame(obs, state_->index_name, state_->obs_columns);
  }
  state_->rows.clear();
  state_->matrices.clear();
  state_->file.close();
}

void H5adWriter::commit() {
  close();
  state_->file.commit();
}

}  // namespace coterie::io
