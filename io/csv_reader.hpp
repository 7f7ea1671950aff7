// A streaming reader of delimited text after RFC 4180: a header line, quoted cells with "" for a quote and with line
// breaks inside, LF, CRLF or CR line ends, an optional UTF-8 byte order mark, and one of , ; tab | as the delimiter.
// Memory is one read buffer and the longest row.
//
// A quote inside a cell that does not start with one is an ordinary character; empty lines are skipped, except in a
// file of one column, where they are rows whose only cell is empty.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/csv_bytes.hpp"

namespace coterie::io {

// The candidate of , ; tab | that splits the first lines of `head` into the most cells, the same number in each line
// where one of them does that; a comma when none occurs.
char detect_delimiter(std::string_view head);

class CsvReader {
 public:
  // Reads the header line. `bytes` must outlive the reader and stands after the header on return. `delimiter` 0 detects.
  // ArgumentError: another delimiter than those four. InputError: not text (NUL, UTF-16, HDF5, zip, Parquet, invalid UTF-8). ContentsError:
  // names that are empty, twice there or all numbers.
  explicit CsvReader(CsvBytes& bytes, char delimiter = 0);

  const std::vector<std::string>& header() const { return header_; }
  char delimiter() const { return delimiter_; }

  // The next row, false after the last. InputError with line and column: ragged row, text after a closing quote, quote
  // that is never closed, NUL, invalid UTF-8, row longer than 64 MiB.
  bool next();
  // Of the row; valid until next().
  std::size_t n_cells() const { return fields_.size(); }
  std::string_view cell(std::size_t i) const { return text().substr(fields_[i].begin, fields_[i].end - fields_[i].begin); }
  std::string_view text() const { return {buffer_.data() + row_begin_, position_ - row_begin_}; }  // in which the cells lie
  std::int64_t row() const { return row_; }                                                        // of the file, from 0
  std::int64_t line() const { return row_line_; }                                                  // where the row starts, from 1

 private:
  struct Field {  // offsets from the start of the row
    std::uint32_t begin, end;
    bool has_doubled_quotes;
  };
  enum class End { delimiter, row, file };
  using FourBytes = std::array<std::uint64_t, 4>;  // each of them eight times

  void skip_byte_order_mark();
  void read_header();
  bool read_row();
  void read_plain_fields();
  End read_field();
  End read_plain_field();
  static FourBytes four_bytes(char a, char b, char c, char d);
  std::size_t find(const FourBytes& wanted, std::size_t at) const;
  End read_quoted_field();
  End finish_field(Field field);
  void find_closing_quote(Field& field);
  void skip_line_end();
  bool skip_empty_lines();
  void finish_row();

  std::uint32_t place() const { return static_cast<std::uint32_t>(position_ - row_begin_); }  // in the row
  int peek();     // the byte at position_, or -1 at the end of the file
  bool refill();  // more bytes behind position_; false at the end of the file
  [[noreturn]] void fail(std::int64_t line, std::string_view problem, std::string_view advice) const;
  std::string column_in_row() const;  // " in column 3 ('spend')", for messages

  CsvBytes& bytes_;
  std::vector<char> buffer_;
  std::size_t row_begin_ = 0;  // offsets into buffer_
  std::size_t position_ = 0;
  std::size_t end_ = 0;
  char delimiter_;
  FourBytes ends_plain_ = {};                                  // what no plain cell holds
  FourBytes ends_quoted_ = four_bytes('"', '\n', '\0', '\0');  // what is looked at in a quoted one
  std::vector<std::string> header_;
  std::vector<Field> fields_;
  std::int64_t row_ = -1;
  std::int64_t line_ = 1;
  std::int64_t row_line_ = 1;
};

}  // namespace coterie::io
