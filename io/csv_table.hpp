// One or more CSV files with the same header, read as one table in batches of rows, any number of times. While a batch is used, a thread
// reads the next.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/csv_reader.hpp"

namespace coterie::io {

// Consecutive rows, at most CsvTable::batch_rows(). Cells are trimmed and live until the next batch.
class CsvBatch {
 public:
  std::int64_t first_row() const { return first_row_; }  // of the table
  std::int64_t n_rows() const { return static_cast<std::int64_t>(lines_.size()); }
  std::string_view cell(std::int64_t row, std::size_t column) const {  // row from 0 within the batch
    const Span span = cells_[static_cast<std::size_t>(row) * n_columns_ + column];
    return {text_.data() + span.offset, span.size};
  }
  void replace(std::int64_t row, std::size_t column, std::string_view text);
  void keep_rows(const std::vector<char>& keep, std::int64_t first_row);  // (n_rows); what is left starts at first_row of a table

 private:
  friend class CsvTable;
  void add_row(const CsvReader& reader);
  struct Span {  // of text_, which is shorter than 2^32 bytes
    std::uint32_t offset;
    std::uint32_t size;
  };
  std::int64_t first_row_ = 0;
  std::size_t n_columns_ = 0;
  std::vector<char> text_;
  std::vector<Span> cells_;          // (n_rows, n_columns)
  std::vector<std::int64_t> lines_;  // (n_rows) where each row starts in its file
  std::size_t file_ = 0;
};

class CsvTable {
 public:
  // Opens every file and reads the headers. ContentsError: headers that differ. Otherwise the errors of CsvBytes and CsvReader.
  CsvTable(const Context& context, const std::vector<std::filesystem::path>& paths, const std::filesystem::path& spool_folder,
           char delimiter);

  const std::vector<std::string>& header() const { return header_; }
  std::int64_t batch_rows() const { return batch_rows_; }
  void rewind();
  CsvBatch* next();                                                  // nullptr after the last row; throws what is wrong with its own rows
  std::string place(const CsvBatch& batch, std::int64_t row) const;  // "line 17 of file 'x.csv'"

 private:
  bool fill(CsvBatch& batch);  // false after the last row
  bool open_next_file();

  char delimiter_;
  std::vector<std::unique_ptr<CsvBytes>> files_;
  std::vector<std::string> header_;
  std::int64_t batch_rows_ = 0;
  std::unique_ptr<CsvReader> reader_;
  std::size_t next_file_ = 0;
  std::int64_t next_row_ = 0;
  std::array<CsvBatch, 2> batches_;  // in use, and being filled
  std::size_t filling_ = 0;
  std::future<bool> filled_;  // the last member: its end waits for the thread
};

}  // namespace coterie::io
