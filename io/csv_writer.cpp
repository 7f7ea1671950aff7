#include "io/csv_writer.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <ostream>
#include <utility>
#include <vector>

#include "host/error.hpp"
#include "io/stored_cell.hpp"

namespace coterie::io {
namespace {

constexpr std::size_t kFlushBytes = 1 << 20;  // system calls of this size cost nothing beside formatting

bool is_formula(std::string_view cell) {
  return !cell.empty() && std::string_view("=+-@\t\r").find(cell.front()) != std::string_view::npos;
}
bool needs_quotes(std::string_view cell) { return cell.find_first_of(",\"\r\n") != std::string_view::npos; }

template <class T>
void append_number(std::string& to, T value) {
  std::array<char, 32> digits;  // the longest double takes 24
  to.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr);
}

void write_cell(CsvWriter& csv, const RowColumn& column, const Cells& cells, std::size_t row) {
  std::visit(
      [&]<class T>(const std::span<const T>& values) {
        if constexpr (std::is_same_v<T, std::string>) {
          csv.text(values[row]);
        } else if constexpr (std::is_same_v<T, std::uint8_t>) {
          csv.boolean(values[row] != 0);
        } else if constexpr (std::is_same_v<T, std::int32_t>) {
          if (column.categories.empty()) return csv.number(std::int64_t{values[row]});
          if (values[row] < 0) return csv.missing();
          csv.text(column.categories.at(static_cast<std::size_t>(values[row])));
        } else {
          csv.number(values[row]);
        }
      },
      cells);
}

void write_frame_cell(CsvWriter& csv, const DataFrame::Column& column, std::size_t row) {
  std::visit(
      [&]<class T>(const std::vector<T>& values) {
        if constexpr (std::is_same_v<T, std::string>) {
          csv.text(values[row]);
        } else if constexpr (std::is_same_v<T, bool>) {
          csv.boolean(values[row]);
        } else {
          csv.number(values[row]);
        }
      },
      column);
}

}  // namespace

CsvWriter::CsvWriter(AtomicOutput& output) : output_(&output) {}
CsvWriter::CsvWriter(std::ostream& stream) : stream_(&stream) {}
CsvWriter::~CsvWriter() = default;

std::string& CsvWriter::begin_cell() {
  if (row_begun_) buffer_ += ',';
  row_begun_ = true;
  return buffer_;
}

void CsvWriter::text(std::string_view cell) {
  std::string& to = begin_cell();
  const bool formula = is_formula(cell);
  if (!needs_quotes(cell)) {
    if (formula) to += '\'';
    to += cell;
    return;
  }
  to += formula ? "\"'" : "\"";
  for (const char c : cell) to.append(c == '"' ? 2 : 1, c);
  to += '"';
}

void CsvWriter::number(std::int64_t cell) { append_number(begin_cell(), cell); }

void CsvWriter::number(double cell) {
  std::string& to = begin_cell();
  if (!std::isnan(cell)) append_number(to, cell);
}

void CsvWriter::number(float cell) {
  std::string& to = begin_cell();
  if (!std::isnan(cell)) append_number(to, cell);
}

void CsvWriter::boolean(bool cell) { begin_cell() += cell ? "True" : "False"; }

void CsvWriter::missing() { begin_cell(); }

void CsvWriter::end_row() {
  if (buffer_.size() == row_start_) buffer_ += "\"\"";  // a lone empty cell must not become an empty line, which readers skip
  buffer_ += '\n';
  row_start_ = buffer_.size();
  row_begun_ = false;
  flush_if_full();
}

std::string CsvWriter::take() {
  row_start_ = 0;
  return std::exchange(buffer_, {});
}

void CsvWriter::append(std::string_view rows) {
  buffer_ += rows;
  row_start_ = buffer_.size();
  flush_if_full();
}

void CsvWriter::flush_if_full() {
  if (buffer_.size() >= kFlushBytes && (output_ != nullptr || stream_ != nullptr)) flush();
}

void CsvWriter::flush() {
  if (stream_ != nullptr && !stream_->write(buffer_.data(), static_cast<std::streamsize>(buffer_.size())))
    throw OutputError("the table could not be written to standard output; is it full or closed? Write to a file with --csv FILE");
  for (std::size_t done = 0; output_ != nullptr && done < buffer_.size();) {
    const ssize_t written = ::write(output_->fd(), buffer_.data() + done, buffer_.size() - done);
    if (written < 0 && errno != EINTR) output_->fail(errno);
    if (written > 0) done += static_cast<std::size_t>(written);
  }
  if (output_ != nullptr) writeback_.note(output_->fd(), buffer_.size());
  buffer_.clear();
  row_start_ = 0;
}

void CsvWriter::finish() {
  flush();
  if (output_ != nullptr) output_->commit();
  if (stream_ != nullptr && !stream_->flush())
    throw OutputError("the table could not be written to standard output; is it full or closed? Write to a file with --csv FILE");
}

void write_csv(CsvWriter& csv, const DataFrame& frame) {
  if (!frame.index_name.empty()) csv.text(frame.index_name);
  for (const auto& [name, column] : frame.columns) csv.text(name);
  csv.end_row();
  for (std::size_t row = 0; row < frame.n_rows(); ++row) {
    if (!frame.index_name.empty()) csv.text(frame.index[row]);
    for (const auto& [name, column] : frame.columns) write_frame_cell(csv, column, row);
    csv.end_row();
  }
}

void write_csv_header(CsvWriter& csv, std::span<const RowColumn> columns) {
  for (const RowColumn& column : columns) csv.text(column.name);
  csv.end_row();
}

void write_csv_rows(Context& context, CsvWriter& csv, std::span<const RowColumn> columns, std::span<const Cells> cells) {
  constexpr std::int64_t kRowsOfATask = 1 << 10;
  if (cells.size() != columns.size()) throw InternalError("a table has another number of columns than its header");
  const auto n_rows = static_cast<std::int64_t>(cells.empty() ? 0 : n_cells(cells.front()));
  std::vector<std::string> texts(static_cast<std::size_t>((n_rows + kRowsOfATask - 1) / kRowsOfATask));
  context.parallel_for(std::ssize(texts), [&](std::int64_t task, int) {
    CsvWriter part;
    const std::int64_t first = task * kRowsOfATask, last = std::min(n_rows, first + kRowsOfATask);
    for (std::int64_t row = first; row < last; ++row) {
      for (std::size_t i = 0; i < columns.size(); ++i) write_cell(part, columns[i], cells[i], static_cast<std::size_t>(row));
      part.end_row();
    }
    texts[static_cast<std::size_t>(task)] = part.take();
  });
  for (const std::string& text : texts) csv.append(text);
}

}  // namespace coterie::io
