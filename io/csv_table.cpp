#include "io/csv_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "host/contains.hpp"
#include "host/error.hpp"
#include "io/text.hpp"

namespace coterie::io {
namespace {

constexpr std::int64_t kBatchesPerThread = 4;
constexpr std::size_t kHeaderBytes = std::size_t{1} << 16;  // most are shorter
constexpr std::size_t kMostBytes = std::size_t{1} << 25;    // of the batches that come at once, where rows are long

// Of a batch: with its cells in the cache of a core, but rows enough for what is kept by column to come into the cache for.
std::size_t block_bytes(std::size_t n_columns) { return std::clamp(n_columns << 9, std::size_t{1} << 16, std::size_t{1} << 22); }

bool is_number(std::string_view text) {
  double value;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

void check_names(const std::vector<std::string>& names, const std::string& file, std::int64_t line) {
  std::unordered_map<std::string, std::size_t> columns;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty())
      throw ContentsError(
          fmt::format("{}, line {}: column {} has no name. Nothing was written. Name it in the header line; a row index "
                      "that pandas added goes away with index=False.",
                      file, line, i + 1));
    const auto [first, is_new] = columns.emplace(names[i], i);
    if (!is_new)
      throw ContentsError(fmt::format("{}, line {}: columns {} and {} are both called {}. Nothing was written. Rename one of them.", file,
                                      line, first->second + 1, i + 1, shown(names[i])));
  }
  if (std::all_of(names.begin(), names.end(), is_number))
    throw ContentsError(
        fmt::format("{}, line {}: every column name is a number, so this is a row of data. Nothing was written. Put a "
                    "line of column names on top.",
                    file, line));
}

std::vector<std::string> read_header(CsvBlocks& blocks, const std::string& file) {
  std::vector<char> text;
  if (!blocks.next(kHeaderBytes, text)) throw InputError(fmt::format("{} is empty. A CSV file starts with a line of column names.", file));
  const std::size_t n_bytes = text.size();
  text.resize(n_bytes + kCsvPadding);
  CsvParser parser{std::span(text).first(n_bytes), blocks.delimiter(), {file, blocks.first_line()}};
  std::vector<CsvSpan> cells;
  parser.next(cells);
  std::vector<std::string> names;
  for (const CsvSpan cell : cells) names.emplace_back(text.data() + cell.offset, cell.size);
  check_names(names, file, parser.line());
  return names;
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

bool CsvBatch::take_block(CsvBlocks& blocks, std::size_t n_columns) {
  cells_.clear();
  lines_.clear();
  if (!blocks.next(block_bytes(n_columns), text_)) return false;
  first_line_ = blocks.first_line();
  delimiter_ = blocks.delimiter();
  return true;
}

void CsvBatch::parse(std::string_view file, const std::vector<std::string>& header) {
  const std::size_t n_bytes = text_.size();
  text_.resize(n_bytes + kCsvPadding);
  CsvParser parser{std::span(text_).first(n_bytes), delimiter_, {file, first_line_}};
  if (has_header_) parser.next(cells_);
  cells_.clear();
  parser.expect(header);
  n_columns_ = header.size();
  while (parser.next(cells_)) lines_.push_back(parser.line());
}

void CsvBatch::replace(std::int64_t row, std::size_t column, std::string_view text) {
  cells_[static_cast<std::size_t>(row) * n_columns_ + column] = {static_cast<std::uint32_t>(text_.size()),
                                                                 static_cast<std::uint32_t>(text.size())};
  text_.insert(text_.end(), text.begin(), text.end());
  text_.resize(text_.size() + kCsvPadding);
}

void CsvBatch::keep_rows(const std::vector<char>& keep, std::int64_t first_row) {
  first_row_ = first_row;
  if (!contains(keep, 0)) return;
  std::size_t kept = 0;
  for (std::size_t row = 0; row < lines_.size(); ++row) {
    if (keep[row] == 0) continue;
    std::copy_n(cells_.begin() + static_cast<std::ptrdiff_t>(row * n_columns_), n_columns_,
                cells_.begin() + static_cast<std::ptrdiff_t>(kept * n_columns_));
    lines_[kept++] = lines_[row];
  }
  cells_.resize(kept * n_columns_);
  lines_.resize(kept);
}

std::int64_t count_rows(std::span<const CsvBatch> batches) {
  std::int64_t n = 0;
  for (const CsvBatch& batch : batches) n += batch.n_rows();
  return n;
}

CsvTable::CsvTable(Context& context, const std::vector<std::filesystem::path>& paths, const std::filesystem::path& spool_folder,
                   char delimiter)
    : context_(context), delimiter_(delimiter) {
  if (paths.empty()) throw ArgumentError("No CSV file was named. Name one or more, or '-' for standard input.");
  for (const std::filesystem::path& path : paths) {
    files_.push_back(std::make_unique<CsvBytes>(context, path, spool_folder));
    CsvBlocks blocks(*files_.back(), delimiter_);
    std::vector<std::string> header = read_header(blocks, files_.back()->name());
    if (header_.empty()) header_ = header;
    check_header(header_, header, files_.front()->name(), files_.back()->name());
  }
  make_batches();
}

// At least one; more where they take no more than an eighth of the memory that is left.
void CsvTable::make_batches() {
  const auto bytes = static_cast<std::int64_t>(block_bytes(header_.size()) * batches_.size() * 3);  // text, and where its cells lie
  const std::int64_t most = std::max<std::int64_t>(context_.memory().available() / 8 / bytes, 1);
  const std::int64_t n = std::min<std::int64_t>(std::int64_t{context_.threads()} * kBatchesPerThread, most);
  context_.memory().try_reserve(n * bytes, memory_);
  for (Batches& batches : batches_) batches.all.resize(static_cast<std::size_t>(n));
}

void CsvTable::rewind() {
  if (filled_.valid()) filled_.wait();
  filled_ = {};
  blocks_.reset();
  next_file_ = 0;
  next_row_ = 0;
}

bool CsvTable::open_next_file() {
  blocks_.reset();
  if (next_file_ == files_.size()) return false;
  blocks_ = std::make_unique<CsvBlocks>(*files_[next_file_], delimiter_);
  ++next_file_;
  return true;
}

bool CsvTable::fill(CsvBatch& batch) {
  batch.has_header_ = false;
  while (!blocks_ || !batch.take_block(*blocks_, header_.size())) {
    if (!open_next_file()) return false;
    batch.has_header_ = true;
  }
  batch.file_ = next_file_ - 1;
  return true;
}

void CsvTable::fill(Batches& batches) {
  batches.n = 0;
  batches.problem = nullptr;
  try {
    for (std::size_t bytes = 0; batches.n < batches.all.size() && bytes < kMostBytes; ++batches.n) {
      CsvBatch& batch = batches.all[batches.n];
      if (!fill(batch)) return;
      bytes += batch.text_.size();
    }
  } catch (...) {
    batches.problem = std::current_exception();
  }
}

std::span<CsvBatch> CsvTable::next() {
  Batches& batches = batches_[filling_];
  filled_.valid() ? filled_.get() : fill(batches);
  filling_ = 1 - filling_;
  const auto rows = std::span(batches.all).first(batches.n);
  if (!rows.empty()) filled_ = std::async(std::launch::async, [this] { fill(batches_[filling_]); });
  context_.parallel_for(std::ssize(rows), [&](std::int64_t i, int) {
    CsvBatch& batch = rows[static_cast<std::size_t>(i)];
    batch.parse(files_[batch.file_]->name(), header_);
  });
  if (batches.problem) std::rethrow_exception(batches.problem);
  for (CsvBatch& batch : rows) {
    batch.first_row_ = next_row_;
    next_row_ += batch.n_rows();
  }
  return rows;
}

std::string CsvTable::place(const CsvBatch& batch, std::int64_t row) const {
  return fmt::format("line {} of {}", batch.lines_[static_cast<std::size_t>(row)], files_[batch.file_]->name());
}

}  // namespace coterie::io
