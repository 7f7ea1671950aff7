// The text of a CSV file in blocks of whole rows, which threads can take apart independently (csv_parser.hpp).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "io/csv_bytes.hpp"

namespace coterie::io {

// The candidate of , ; tab | that splits the first lines of `head` into the most cells, the same number in each line
// where one of them does that; a comma when none occurs.
char detect_delimiter(std::string_view head);

class CsvBlocks {
 public:
  // From the first byte on. `bytes` must outlive this; `delimiter` 0 detects. ArgumentError: another delimiter than those four.
  // InputError: see CsvBytes; not text (UTF-16, HDF5, zip, Parquet).
  CsvBlocks(CsvBytes& bytes, char delimiter);

  char delimiter() const { return delimiter_; }
  // Puts the next rows into `text`, up to `bytes` or one longer row; false after the last. The header comes first, without a byte order
  // mark or empty lines before it. InputError: see CsvBytes; a row longer than 64 MiB.
  bool next(std::size_t bytes, std::vector<char>& text);
  std::int64_t first_line() const { return block_line_; }  // of that text, from 1

 private:
  void find_first_row();
  std::string_view ahead() const { return {buffer_.data() + begin_, end_ - begin_}; }
  bool refill();  // more bytes behind those ahead; false at the end of the file

  CsvBytes& bytes_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // of what is ahead
  bool at_end_ = false;              // of the file: all the rest is ahead
  char delimiter_;
  std::int64_t line_ = 1;  // of what is ahead
  std::int64_t block_line_ = 1;
};

}  // namespace coterie::io
