// CSV as RFC 4180 quotes it, with plain newlines. Text that a spreadsheet would run as a formula (= + - @ TAB CR first)
// gets an apostrophe in front; numbers are written as numbers, as short as they read back exactly; missing is empty.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/context.hpp"
#include "io/atomic_output.hpp"
#include "io/data_frame.hpp"
#include "io/row_stream.hpp"
#include "io/writeback.hpp"

namespace coterie::io {

// Rows in memory.
class CsvText {
 public:
  void text(std::string_view cell);
  void number(std::int64_t cell);
  void number(double cell);  // NaN is missing
  void number(float cell);   // the digits that a float32 needs
  void boolean(bool cell);   // True or False, as pandas writes them
  void missing();
  void end_row();

  std::string_view view() const { return {bytes_.data(), size_}; }
  void clear() { size_ = row_start_ = 0; }

 private:
  char* make_room(std::size_t n_bytes);      // behind what there is
  char* begin_cell(std::size_t most_bytes);  // where it goes
  void end_cell(const char* end) { size_ = static_cast<std::size_t>(end - bytes_.data()); }
  template <class T>
  void write_number(T cell);

  std::vector<char> bytes_;  // the first size_ of them
  std::size_t size_ = 0;
  std::size_t row_start_ = 0;  // of the current row
  bool row_begun_ = false;
};

class CsvWriter {
 public:
  explicit CsvWriter(AtomicOutput& output);  // appears when finish() commits it
  explicit CsvWriter(std::ostream& stream);  // standard output
  CsvWriter(const CsvWriter&) = delete;
  CsvWriter& operator=(const CsvWriter&) = delete;

  void text(std::string_view cell) { text_.text(cell); }
  template <class T>
  void number(T cell) {
    text_.number(cell);
  }
  void boolean(bool cell) { text_.boolean(cell); }
  void missing() { text_.missing(); }
  void end_row();

  // Rows of the columns a RowStream takes, on all threads of `context`; categorical codes become their text.
  void rows(Context& context, std::span<const RowColumn> columns, std::span<const Cells> cells);

  // Writes what is buffered; commits the file. OutputError when something did not get through.
  void finish();

 private:
  void flush();
  void write(std::string_view text);

  AtomicOutput* output_ = nullptr;
  std::ostream* stream_ = nullptr;
  Writeback writeback_;
  CsvText text_;
  std::vector<CsvText> parts_;  // of rows(), kept for their memory
};

// Header and rows of a small table.
void write_csv(CsvWriter& csv, const DataFrame& frame);

void write_csv_header(CsvWriter& csv, std::span<const RowColumn> columns);

}  // namespace coterie::io
