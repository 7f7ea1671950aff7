#include "io/csv_writer.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <ostream>

#include "host/error.hpp"
#include "io/stored_cell.hpp"

namespace coterie::io {
namespace {

constexpr std::size_t kFlushBytes = 1 << 20;  // system calls of this size cost nothing beside formatting

bool is_formula(std::string_view cell) {
  return !cell.empty() && std::string_view("=+-@\t\r").find(cell.front()) != std::string_view::npos;
}
bool needs_quotes(std::string_view cell) {
  return std::any_of(cell.begin(), cell.end(), [](char c) { return c == ',' || c == '"' || c == '\r' || c == '\n'; });
}

void write_cell(CsvText& csv, const RowColumn& column, const Cells& cells, std::size_t row) {
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

char* CsvText::make_room(std::size_t n_bytes) {
  if (bytes_.size() - size_ < n_bytes) bytes_.resize(std::max(2 * bytes_.size(), size_ + n_bytes));
  return bytes_.data() + size_;
}

char* CsvText::begin_cell(std::size_t most_bytes) {
  char* to = make_room(most_bytes + 1);
  if (row_begun_) *to++ = ',';
  row_begun_ = true;
  return to;
}

void CsvText::text(std::string_view cell) {
  char* to = begin_cell(2 * cell.size() + 3);
  const bool quoted = needs_quotes(cell);
  if (quoted) *to++ = '"';
  if (is_formula(cell)) *to++ = '\'';
  if (!quoted) return end_cell(std::copy(cell.begin(), cell.end(), to));
  for (const char c : cell) {
    if (c == '"') *to++ = '"';
    *to++ = c;
  }
  *to++ = '"';
  end_cell(to);
}

template <class T>
void CsvText::write_number(T cell) {
  constexpr std::size_t kMost = 32;  // the longest double takes 24
  char* const to = begin_cell(kMost);
  end_cell(std::to_chars(to, to + kMost, cell).ptr);
}

void CsvText::number(std::int64_t cell) { write_number(cell); }
void CsvText::number(double cell) { std::isnan(cell) ? missing() : write_number(cell); }
void CsvText::number(float cell) { std::isnan(cell) ? missing() : write_number(cell); }

void CsvText::boolean(bool cell) {
  const std::string_view word = cell ? "True" : "False";
  end_cell(std::copy(word.begin(), word.end(), begin_cell(word.size())));
}

void CsvText::missing() { end_cell(begin_cell(0)); }

void CsvText::end_row() {
  char* to = make_room(3);
  if (size_ == row_start_) to = std::fill_n(to, 2, '"');  // a lone empty cell must not become an empty line, which readers skip
  *to++ = '\n';
  end_cell(to);
  row_start_ = size_;
  row_begun_ = false;
}

CsvWriter::CsvWriter(AtomicOutput& output) : output_(&output) {}
CsvWriter::CsvWriter(std::ostream& stream) : stream_(&stream) {}

void CsvWriter::end_row() {
  text_.end_row();
  if (text_.view().size() >= kFlushBytes) flush();
}

void CsvWriter::rows(Context& context, std::span<const RowColumn> columns, std::span<const Cells> cells) {
  constexpr std::int64_t kRowsOfATask = 1 << 12;
  if (cells.size() != columns.size()) throw InternalError("a table has another number of columns than its header");
  const auto n_rows = static_cast<std::int64_t>(cells.empty() ? 0 : n_cells(cells.front()));
  const auto n_parts = static_cast<std::size_t>((n_rows + kRowsOfATask - 1) / kRowsOfATask);
  parts_.resize(std::max(parts_.size(), n_parts));
  context.parallel_for(static_cast<std::int64_t>(n_parts), [&](std::int64_t task, int) {
    CsvText& part = parts_[static_cast<std::size_t>(task)];
    part.clear();
    const std::int64_t first = task * kRowsOfATask, last = std::min(n_rows, first + kRowsOfATask);
    for (std::int64_t row = first; row < last; ++row) {
      for (std::size_t i = 0; i < columns.size(); ++i) write_cell(part, columns[i], cells[i], static_cast<std::size_t>(row));
      part.end_row();
    }
  });
  flush();
  for (std::size_t i = 0; i < n_parts; ++i) write(parts_[i].view());
}

void CsvWriter::flush() {
  write(text_.view());
  text_.clear();
}

void CsvWriter::write(std::string_view text) {
  if (stream_ != nullptr && !stream_->write(text.data(), static_cast<std::streamsize>(text.size())))
    throw OutputError("the table could not be written to standard output; is it full or closed? Write to a file with --csv FILE");
  for (std::size_t done = 0; output_ != nullptr && done < text.size();) {
    const ssize_t written = ::write(output_->fd(), text.data() + done, text.size() - done);
    if (written < 0 && errno != EINTR) output_->fail(errno);
    if (written > 0) done += static_cast<std::size_t>(written);
  }
  if (output_ != nullptr) writeback_.note(output_->fd(), text.size());
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

}  // namespace coterie::io
