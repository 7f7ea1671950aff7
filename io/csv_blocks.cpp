#include "io/csv_blocks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "host/error.hpp"
#include "io/csv_marks.hpp"

namespace coterie::io {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;
constexpr std::size_t kMostRowBytes = std::size_t{1} << 26;  // no table has such a row; a quote that is never closed does
constexpr std::string_view kDelimiters = ",;\t|";

// Cells per line of the first lines of `head` that are not empty; the last line counts only when it is complete.
std::vector<std::int64_t> widths(std::string_view head, char delimiter) {
  constexpr std::size_t kLines = 32;
  std::vector<std::int64_t> lines;
  std::int64_t width = 1;
  bool quoted = false, empty = true;
  for (const char c : head) {
    const bool line_end = !quoted && (c == '\n' || c == '\r');
    if (line_end && !std::exchange(empty, true)) lines.push_back(std::exchange(width, 1));
    if (lines.size() == kLines) break;
    if (line_end) continue;
    empty = false;
    if (c == '"') quoted = !quoted;
    if (!quoted && c == delimiter) ++width;
  }
  if (lines.empty()) lines.push_back(width);
  return lines;
}

struct Signature {
  std::string_view magic;
  std::string_view what;
};
constexpr Signature kSignatures[] = {
    {"\x89HDF\r\n\x1a\n", "an HDF5 file; the other commands read it without an import"},
    {"PK\x03\x04", "a zip archive or an Excel workbook; unpack it, or save the sheet as CSV"},
    {"PAR1", "a Parquet file; convert it with: python3 -c \"import pandas; pandas.read_parquet('FILE').to_csv('FILE.csv', index=False)\""},
    {"version https://git-lfs.", "a Git LFS pointer, which stands for a file that was not fetched; fetch it with: git lfs pull"},
    {"\xff\xfe", "UTF-16 text; convert it with: iconv -f UTF-16 -t UTF-8"},
    {"\xfe\xff", "UTF-16 text; convert it with: iconv -f UTF-16 -t UTF-8"},
};

// The same as find_rows(), byte by byte, which knows a quote within a plain cell from one that opens a cell.
CsvRows find_rows_by_bytes(std::string_view text, bool is_all, char delimiter) {
  CsvRows rows;
  std::int64_t lines = 0;
  bool quoted = false, cell_begins = true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i], following = i + 1 < text.size() ? text[i + 1] : '\0';
    if (quoted) {
      if (c == '\n') ++lines;
      if (c == '"' && following == '"') ++i;
      if (c == '"' && following != '"') quoted = cell_begins = false;
      continue;
    }
    quoted = cell_begins && c == '"';
    const bool row_ends = c == '\n' || (c == '\r' && following != '\n' && (is_all || i + 1 < text.size()));
    if (row_ends) rows = {i + 1, ++lines};
    cell_begins = row_ends || c == delimiter;
  }
  return is_all ? CsvRows{text.size(), lines} : rows;
}

}  // namespace

char detect_delimiter(std::string_view head) {
  char best = kDelimiters.front();
  std::pair<bool, std::int64_t> best_score{false, 1};
  for (const char delimiter : kDelimiters) {
    const std::vector<std::int64_t> lines = widths(head, delimiter);
    const bool even = lines.front() > 1 && std::all_of(lines.begin(), lines.end(), [&](auto w) { return w == lines.front(); });
    const std::pair<bool, std::int64_t> score{even, lines.front()};
    if (score <= best_score) continue;
    best_score = score;
    best = delimiter;
  }
  return best;
}

CsvBlocks::CsvBlocks(CsvBytes& bytes, char delimiter) : bytes_(bytes), buffer_(kBufferBytes + kCsvPadding), delimiter_(delimiter) {
  if (delimiter != 0 && kDelimiters.find(delimiter) == std::string_view::npos) {
    throw ArgumentError("The delimiter of a CSV file is one of comma, semicolon, tab and |.");
  }
  bytes_.rewind();
  while (end_ < kBufferBytes && refill()) {
  }
  for (const Signature& signature : kSignatures)
    if (ahead().starts_with(signature.magic)) throw InputError(fmt::format("{} is not CSV text but {}.", bytes_.name(), signature.what));
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (ahead().starts_with(kByteOrderMark)) begin_ += kByteOrderMark.size();
  if (delimiter_ == 0) delimiter_ = detect_delimiter(ahead());
  find_first_row();
}

void CsvBlocks::find_first_row() {
  for (bool after_return = false; begin_ < end_ || refill(); ++begin_) {
    const char c = buffer_[begin_];
    if (c != '\n' && c != '\r') return;
    if (c == '\r' || !after_return) ++line_;
    after_return = c == '\r';
  }
}

bool CsvBlocks::next(std::size_t bytes, std::vector<char>& text) {
  CsvRows rows;
  for (std::size_t window = bytes;; window *= 2) {
    while (ahead().size() < window && refill()) {
    }
    if (ahead().empty()) return false;
    const std::string_view seen = ahead().substr(0, window);
    const bool is_all = at_end_ && seen.size() == ahead().size();
    rows = find_rows(seen, is_all, delimiter_);
    if (!rows.is_regular) rows = find_rows_by_bytes(seen, is_all, delimiter_);
    if (rows.bytes > 0) break;
    if (window >= kMostRowBytes)
      throw InputError(
          fmt::format("{}, line {}: the row that starts here is longer than 64 MiB. Nothing was written. Look for a quote that is opened "
                      "and never closed.",
                      bytes_.name(), line_));
  }
  const std::string_view block = ahead().substr(0, rows.bytes);
  text.assign(block.begin(), block.end());
  begin_ += rows.bytes;
  block_line_ = line_;
  line_ += rows.lines;
  return true;
}

bool CsvBlocks::refill() {
  if (at_end_) return false;
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ + kCsvPadding == buffer_.size()) buffer_.resize(2 * buffer_.size());
  const std::size_t n = bytes_.read(buffer_.data() + end_, buffer_.size() - kCsvPadding - end_);
  end_ += n;
  at_end_ = n == 0;
  return n > 0;
}

}  // namespace coterie::io
