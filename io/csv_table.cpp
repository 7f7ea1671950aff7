#include "io/csv_table.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/error.hpp"
#include "io/text.hpp"

namespace coterie::io {
namespace {

constexpr std::size_t kBatchBytes = std::size_t{1} << 25;  // ends a batch where rows are long

// Enough for every thread to find work, few enough for a shared cache.
std::int64_t rows_of_batch(std::size_t n_columns) {
  constexpr std::int64_t kCells = 1 << 18, kLeast = 1 << 10, kMost = 1 << 14;
  return std::clamp(kCells / static_cast<std::int64_t>(n_columns), kLeast, kMost);
}

void check_header(const std::vector<std::string>& first, const std::vector<std::string>& other, const std::string& first_name,
                  const std::string& other_name) {
  if (first == other) return;
  const auto [mine, theirs] = std::mismatch(first.begin(), first.end(), other.begin(), other.end());
  const auto name = [](auto at, const std::vector<std::string>& header) { return at == header.end() ? "nothing" : shown(*at); };
  throw ContentsError(
      fmt::format("{} has another header than {}: column {} is {}, not {}. Nothing was written. All files of one table "
                  "have the same columns in the same order.",
                  other_name, first_name, mine - first.begin() + 1, name(theirs, other), name(mine, first)));
}

}  // namespace

void CsvBatch::add_row(const CsvReader& reader) {
  const std::string_view row = reader.text();
  const std::size_t offset = text_.size();
  text_.insert(text_.end(), row.begin(), row.end());
  const std::size_t first = cells_.size();
  cells_.resize(first + n_columns_);
  for (std::size_t column = 0; column < n_columns_; ++column) {
    const std::string_view text = trimmed(reader.cell(column));
    cells_[first + column] = {static_cast<std::uint32_t>(offset + static_cast<std::size_t>(text.data() - row.data())),
                              static_cast<std::uint32_t>(text.size())};
  }
  lines_.push_back(reader.line());
}

void CsvBatch::replace(std::int64_t row, std::size_t column, std::string_view text) {
  cells_[static_cast<std::size_t>(row) * n_columns_ + column] = {static_cast<std::uint32_t>(text_.size()),
                                                                 static_cast<std::uint32_t>(text.size())};
  text_.insert(text_.end(), text.begin(), text.end());
}

void CsvBatch::keep_rows(const std::vector<char>& keep, std::int64_t first_row) {
  std::size_t kept = 0;
  for (std::size_t row = 0; row < lines_.size(); ++row) {
    if (keep[row] == 0) continue;
    std::copy_n(cells_.begin() + static_cast<std::ptrdiff_t>(row * n_columns_), n_columns_,
                cells_.begin() + static_cast<std::ptrdiff_t>(kept * n_columns_));
    lines_[kept++] = lines_[row];
  }
  cells_.resize(kept * n_columns_);
  lines_.resize(kept);
  first_row_ = first_row;
}

CsvTable::CsvTable(const Context& context, const std::vector<std::filesystem::path>& paths, const std::filesystem::path& spool_folder,
                   char delimiter)
    : delimiter_(delimiter) {
  if (paths.empty()) throw ArgumentError("No CSV file was named. Name one or more, or '-' for standard input.");
  for (const std::filesystem::path& path : paths) {
    files_.push_back(std::make_unique<CsvBytes>(context, path, spool_folder));
    std::vector<std::string> header = CsvReader(*files_.back(), delimiter_).header();
    if (header_.empty()) header_ = header;
    check_header(header_, header, files_.front()->name(), files_.back()->name());
  }
  batch_rows_ = rows_of_batch(header_.size());
  for (CsvBatch& batch : batches_) batch.n_columns_ = header_.size();
}

void CsvTable::rewind() {
  if (filled_.valid()) filled_.wait();
  filled_ = {};
  reader_.reset();
  next_file_ = 0;
  next_row_ = 0;
}

bool CsvTable::open_next_file() {
  reader_.reset();
  if (next_file_ == files_.size()) return false;
  reader_ = std::make_unique<CsvReader>(*files_[next_file_], delimiter_);
  ++next_file_;
  return true;
}

bool CsvTable::fill(CsvBatch& batch) {
  batch.text_.clear();
  batch.cells_.clear();
  batch.lines_.clear();
  batch.first_row_ = next_row_;
  while (batch.n_rows() == 0) {
    if (!reader_ && !open_next_file()) return false;
    batch.file_ = next_file_ - 1;
    while (batch.n_rows() < batch_rows_ && batch.text_.size() < kBatchBytes) {
      if (!reader_->next()) {
        reader_.reset();
        break;
      }
      batch.add_row(*reader_);
    }
  }
  next_row_ += batch.n_rows();
  return true;
}

CsvBatch* CsvTable::next() {
  CsvBatch& batch = batches_[filling_];
  if (!(filled_.valid() ? filled_.get() : fill(batch))) return nullptr;
  filling_ = 1 - filling_;
  filled_ = std::async(std::launch::async, [this] { return fill(batches_[filling_]); });
  return &batch;
}

std::string CsvTable::place(const CsvBatch& batch, std::int64_t row) const {
  return fmt::format("line {} of {}", batch.lines_[static_cast<std::size_t>(row)], files_[batch.file_]->name());
}

}  // namespace coterie::io
