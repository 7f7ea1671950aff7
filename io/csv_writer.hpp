// CSV as RFC 4180 quotes it, with plain newlines. Text that a spreadsheet would run as a formula (= + - @ TAB CR first)
// gets an apostrophe in front; numbers are written as numbers, as short as they read back exactly; missing is empty.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <span>
#include <string>
#include <string_view>

#include "host/context.hpp"
#include "io/atomic_output.hpp"
#include "io/data_frame.hpp"
#include "io/row_stream.hpp"
#include "io/writeback.hpp"

namespace coterie::io {

class CsvWriter {
 public:
  CsvWriter() = default;                     // keeps what is written until take()
  explicit CsvWriter(AtomicOutput& output);  // appears when finish() commits it
  explicit CsvWriter(std::ostream& stream);  // standard output
  ~CsvWriter();
  CsvWriter(const CsvWriter&) = delete;
  CsvWriter& operator=(const CsvWriter&) = delete;

  void text(std::string_view cell);
  void number(std::int64_t cell);
  void number(double cell);  // NaN is missing
  void number(float cell);   // the digits that a float32 needs
  void boolean(bool cell);   // True or False, as pandas writes them
  void missing();
  void end_row();

  std::string take();                  // what no file and no stream got
  void append(std::string_view rows);  // whole rows of another writer

  // Writes what is buffered; commits the file. OutputError when something did not get through.
  void finish();

 private:
  std::string& begin_cell();
  void flush_if_full();
  void flush();

  AtomicOutput* output_ = nullptr;
  std::ostream* stream_ = nullptr;
  Writeback writeback_;
  std::string buffer_;
  std::size_t row_start_ = 0;  // of the current row in the buffer
  bool row_begun_ = false;
};

// Header and rows of a small table.
void write_csv(CsvWriter& csv, const DataFrame& frame);

// Rows of the columns a RowStream takes; categorical codes become their text.
void write_csv_header(CsvWriter& csv, std::span<const RowColumn> columns);
void write_csv_rows(Context& context, CsvWriter& csv, std::span<const RowColumn> columns, std::span<const Cells> cells);

}  // namespace coterie::io
