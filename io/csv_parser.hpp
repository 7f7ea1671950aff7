// Takes rows of delimited text apart after RFC 4180: quoted cells with "" for a quote and with line breaks inside, LF, CRLF or CR line
// ends.
//
// A quote inside a cell that does not start with one is an ordinary character; empty lines are skipped, except in a
// table of one column, where they are rows whose only cell is empty.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/csv_marks.hpp"

namespace coterie::io {

struct CsvSpan {  // of a text shorter than 2^32 bytes
  std::uint32_t offset;
  std::uint32_t size;
};

class CsvParser {
 public:
  struct Place {
    std::string_view file;  // for messages: "file 'x.csv'"
    std::int64_t line = 1;  // where the text begins, from 1
  };

  // `text`: whole rows, in front of kCsvPadding NULs; quotes that are doubled in it become single ones. It must outlive the parser, as
  // `place.file` must.
  CsvParser(std::span<char> text, char delimiter, Place place);

  // From here on every row has these columns; before, any number. `header` must outlive the parser.
  void expect(const std::vector<std::string>& header) { header_ = header; }

  // Appends where the next row's cells lie, without blanks around them; false after the last row. InputError with line and column:
  // ragged row, text after a closing quote, quote that is never closed, NUL, invalid UTF-8.
  bool next(std::vector<CsvSpan>& cells);
  std::int64_t line() const { return row_line_; }  // where the row starts

 private:
  bool skip_empty_lines();
  CsvSpan read_cell(std::size_t begin);  // which ends with no delimiter, or holds quotes
  CsvSpan read_quoted_cell(std::size_t begin);
  bool find_closing_quote();  // are there doubled ones before it
  void end_cell();
  void end_line();
  CsvSpan trimmed(std::size_t begin, std::size_t end) const;
  [[noreturn]] void fail(std::int64_t line, std::string_view problem, std::string_view advice) const;
  std::string column_in_row() const;  // " in column 3 ('spend')", for messages

  std::span<char> text_;
  CsvMarks marks_;
  char delimiter_;
  std::string_view file_;
  std::span<const std::string> header_;
  std::size_t valid_;       // bytes of text_ before one that is not UTF-8
  std::size_t at_ = 0;      // in text_
  std::size_t mark_ = 0;    // the last one taken from marks_
  std::size_t column_ = 0;  // of the row
  bool row_ended_ = false;
  std::int64_t line_;
  std::int64_t row_line_ = 0;
};

}  // namespace coterie::io
