// One or more CSV files with the same header, read as one table, any number of times. Rows come in batches, several at a time, a task for a
// thread each; while they are used, a thread reads on.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/context.hpp"
#include "io/csv_blocks.hpp"
#include "io/csv_parser.hpp"

namespace coterie::io {

// Consecutive rows. Cells are trimmed and live as long as the batch; kCsvPadding bytes from where they begin can be read.
class CsvBatch {
 public:
  std::int64_t first_row() const { return first_row_; }  // of the table
  std::int64_t n_rows() const { return static_cast<std::int64_t>(lines_.size()); }
  std::string_view cell(std::int64_t row, std::size_t column) const {  // row from 0 within the batch
    const CsvSpan span = cells_[static_cast<std::size_t>(row) * n_columns_ + column];
    return {text_.data() + span.offset, span.size};
  }
  void replace(std::int64_t row, std::size_t column, std::string_view text);
  void keep_rows(const std::vector<char>& keep, std::int64_t first_row);  // (n_rows); what is left starts at first_row of a table

 private:
  friend class CsvTable;
  bool take_block(CsvBlocks& blocks, std::size_t n_columns);  // false at the end of the file
  void parse(std::string_view file, const std::vector<std::string>& header);

  std::int64_t first_row_ = 0;
  std::size_t n_columns_ = 0;
  std::vector<char> text_;
  std::vector<CsvSpan> cells_;       // (n_rows, n_columns)
  std::vector<std::int64_t> lines_;  // (n_rows) where each row starts in its file
  std::size_t file_ = 0;
  std::int64_t first_line_ = 0;
  char delimiter_ = ',';
  bool has_header_ = false;  // on top
};

class CsvTable {
 public:
  // Opens every file and reads the headers. `context` must outlive this. ContentsError: headers that differ; names that are empty, twice
  // there or all numbers. Otherwise the errors of CsvBytes, CsvBlocks and CsvParser.
  CsvTable(Context& context, const std::vector<std::filesystem::path>& paths, const std::filesystem::path& spool_folder, char delimiter);

  const std::vector<std::string>& header() const { return header_; }
  void rewind();
  // The rows that come next, valid until the following call; empty after the last row. Throws what is wrong with them.
  std::span<CsvBatch> next();
  std::string place(const CsvBatch& batch, std::int64_t row) const;  // "line 17 of file 'x.csv'"
  // InputError: the batch holds what an earlier reading has not found, though its file looks unchanged.
  [[noreturn]] void refuse_changed(const CsvBatch& batch) const { files_[batch.file_]->refuse_changed(); }

 private:
  struct Batches {
    std::vector<CsvBatch> all;
    std::size_t n = 0;           // of them that hold rows
    std::exception_ptr problem;  // behind those rows
  };
  void make_batches();
  void fill(Batches& batches);
  bool fill(CsvBatch& batch);  // false after the last row
  bool open_next_file();

  Context& context_;
  char delimiter_;
  std::vector<std::unique_ptr<CsvBytes>> files_;
  std::vector<std::string> header_;
  std::unique_ptr<CsvBlocks> blocks_;
  std::size_t next_file_ = 0;
  std::int64_t next_row_ = 0;
  Reservation memory_;
  std::array<Batches, 2> batches_;  // in use, and being filled
  std::size_t filling_ = 0;
  std::future<void> filled_;  // the last member: its end waits for the thread
};

// Calls f(first, last) for stretches of the batch's rows that lie in a core's first cache, for loops over their columns.
inline constexpr std::size_t kMostOfStretch = 1024;
template <class F>
void for_each_stretch(const CsvBatch& batch, std::size_t n_columns, F&& f) {
  constexpr std::size_t kLeast = 64;  // as many as make it worth while to turn to another column
  const auto rows = static_cast<std::int64_t>(std::max(kMostOfStretch / n_columns, kLeast));
  for (std::int64_t first = 0; first < batch.n_rows(); first += rows) f(first, std::min(first + rows, batch.n_rows()));
}

// How many rows these batches hold.
std::int64_t count_rows(std::span<const CsvBatch> batches);

}  // namespace coterie::io
