#include "io/csv_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "host/error.hpp"
#include "io/bytes_of_word.hpp"
#include "io/text.hpp"

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

bool is_number(std::string_view text) {
  double value;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
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

CsvReader::CsvReader(CsvBytes& bytes, char delimiter) : bytes_(bytes), buffer_(kBufferBytes), delimiter_(delimiter) {
  if (delimiter != 0 && kDelimiters.find(delimiter) == std::string_view::npos) {
    throw ArgumentError("The delimiter of a CSV file is one of comma, semicolon, tab and |.");
  }
  bytes_.rewind();
  while (end_ < buffer_.size() && refill()) {
  }
  const std::string_view head(buffer_.data(), end_);
  for (const Signature& signature : kSignatures)
    if (head.starts_with(signature.magic)) throw InputError(fmt::format("{} is not CSV text but {}.", bytes_.name(), signature.what));
  skip_byte_order_mark();
  if (delimiter_ == 0) delimiter_ = detect_delimiter(head.substr(position_));
  ends_plain_ = four_bytes(delimiter_, '\n', '\r', '\0');
  read_header();
}

void CsvReader::skip_byte_order_mark() {
  constexpr std::string_view kMark = "\xef\xbb\xbf";
  if (std::string_view(buffer_.data(), end_).starts_with(kMark)) position_ = kMark.size();
}

void CsvReader::read_header() {
  if (!read_row()) throw InputError(fmt::format("{} is empty. A CSV file starts with a line of column names.", bytes_.name()));
  finish_row();
  std::unordered_map<std::string, std::size_t> columns;
  bool all_numbers = true;
  for (std::size_t i = 0; i < n_cells(); ++i) {
    const std::string name(trimmed(cell(i)));
    if (name.empty()) {
      throw ContentsError(
          fmt::format("{}, line {}: column {} has no name. Nothing was written. Name it in the header line; a row index "
                      "that pandas added goes away with index=False.",
                      bytes_.name(), row_line_, i + 1));
    }
    const auto [first, is_new] = columns.emplace(name, i);
    if (!is_new) {
      throw ContentsError(fmt::format("{}, line {}: columns {} and {} are both called {}. Nothing was written. Rename one of them.",
                                      bytes_.name(), row_line_, first->second + 1, i + 1, shown(name)));
    }
    all_numbers = all_numbers && is_number(name);
    header_.push_back(name);
  }
  if (all_numbers) {
    throw ContentsError(
        fmt::format("{}, line {}: every column name is a number, so this is a row of data. Nothing was written. Put a "
                    "line of column names on top.",
                    bytes_.name(), row_line_));
  }
}

bool CsvReader::next() {
  if (!read_row()) return false;
  if (fields_.size() != header_.size()) {
    fail(row_line_, fmt::format("this row has {} cells, the header names {} columns", fields_.size(), header_.size()),
         "Put cells that hold the delimiter or a line break in double quotes.");
  }
  finish_row();
  ++row_;
  return true;
}

// Leaves the offsets of the row's cells in fields_.
bool CsvReader::read_row() {
  fields_.clear();
  row_begin_ = position_;
  if (!skip_empty_lines()) return false;
  row_line_ = line_;
  End end;
  do {
    read_plain_fields();
    end = read_field();
  } while (end == End::delimiter);
  if (end == End::row) skip_line_end();
  return true;
}

bool CsvReader::skip_empty_lines() {
  int c = peek();
  while ((c == '\n' || c == '\r') && header_.size() != 1) {
    skip_line_end();
    row_begin_ = position_;
    c = peek();
  }
  return c >= 0;
}

void CsvReader::skip_line_end() {
  const int c = peek();
  ++position_;
  if (c == '\r' && peek() == '\n') ++position_;
  ++line_;
}

// Plain cells, as far as they and the delimiters behind them are in the buffer.
void CsvReader::read_plain_fields() {
  std::size_t at = position_;
  while (at < end_ && buffer_[at] != '"') {
    const std::size_t end = find(ends_plain_, at);
    if (end == end_ || buffer_[end] != delimiter_) break;
    fields_.push_back({static_cast<std::uint32_t>(at - row_begin_), static_cast<std::uint32_t>(end - row_begin_), false});
    at = end + 1;
  }
  position_ = at;
}

CsvReader::End CsvReader::read_field() { return peek() == '"' ? read_quoted_field() : read_plain_field(); }

CsvReader::End CsvReader::read_plain_field() {
  Field field{place(), 0, false};
  do position_ = find(ends_plain_, position_);
  while (position_ == end_ && refill());
  field.end = place();
  return finish_field(field);
}

CsvReader::FourBytes CsvReader::four_bytes(char a, char b, char c, char d) {
  const auto repeated = [](char byte) { return kEachByte * static_cast<unsigned char>(byte); };
  return {repeated(a), repeated(b), repeated(c), repeated(d)};
}

// The first of these bytes from `at` on, or end_.
std::size_t CsvReader::find(const FourBytes& wanted, std::size_t at) const {
  const auto is_wanted = [&](char byte) {
    return std::any_of(wanted.begin(), wanted.end(), [&](std::uint64_t repeated) { return byte == static_cast<char>(repeated); });
  };
  for (std::uint64_t word; at + sizeof word <= end_; at += sizeof word) {
    std::memcpy(&word, buffer_.data() + at, sizeof word);
    std::uint64_t found = 0;
    for (const std::uint64_t repeated : wanted) found |= mark_zero_byte(word ^ repeated);
    if (found != 0) return at + static_cast<std::size_t>(first_marked(found));
  }
  while (at < end_ && !is_wanted(buffer_[at])) ++at;
  return at;
}

CsvReader::End CsvReader::read_quoted_field() {
  ++position_;
  Field field{place(), 0, false};
  const std::int64_t opened = line_;
  find_closing_quote(field);
  if (peek() != '"') {
    fail(opened, "a quote is opened" + column_in_row() + " and never closed", "Close it, or double it if it belongs to the text.");
  }
  field.end = place();
  ++position_;
  return finish_field(field);
}

// Stops at the closing quote or at the end of the file.
void CsvReader::find_closing_quote(Field& field) {
  for (;; ++position_) {
    do position_ = find(ends_quoted_, position_);
    while (position_ == end_ && refill());
    const int c = peek();
    if (c == '\n') ++line_;
    if (c == 0) fail(line_, "there is a NUL byte" + column_in_row(), "Remove it; CSV is text.");
    if (c < 0) return;
    if (c != '"') continue;
    ++position_;
    if (peek() != '"') {
      --position_;
      return;
    }
    field.has_doubled_quotes = true;
  }
}

CsvReader::End CsvReader::finish_field(Field field) {
  fields_.push_back(field);
  const int c = peek();
  if (c < 0) return End::file;
  if (c == delimiter_) {
    ++position_;
    return End::delimiter;
  }
  if (c == '\n' || c == '\r') return End::row;
  fields_.pop_back();
  if (c == 0) fail(line_, "there is a NUL byte" + column_in_row(), "Remove it; CSV is text.");
  fail(line_, "text follows the closing quote" + column_in_row(), "Double a quote that belongs to the text.");
}

void CsvReader::finish_row() {
  if (!is_utf8(text())) {
    fail(row_line_, "this row is not valid UTF-8", "Convert the file, for example with: iconv -f WINDOWS-1252 -t UTF-8");
  }
  for (Field& field : fields_) {
    if (!field.has_doubled_quotes) continue;
    char* const row = buffer_.data() + row_begin_;
    char* to = row + field.begin;
    for (const char* from = to; from < row + field.end; from += *from == '"' ? 2 : 1) *to++ = *from;  // every quote is one of a pair
    field.end = static_cast<std::uint32_t>(to - row);
  }
}

int CsvReader::peek() {
  if (position_ == end_ && !refill()) return -1;
  return static_cast<unsigned char>(buffer_[position_]);
}

bool CsvReader::refill() {
  if (row_begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + row_begin_, end_ - row_begin_);
    position_ -= row_begin_;
    end_ -= row_begin_;
    row_begin_ = 0;
  }
  if (end_ == buffer_.size()) {
    if (buffer_.size() >= kMostRowBytes) {
      fail(row_line_, "the row that starts here is longer than 64 MiB", "Look for a quote that is opened and never closed.");
    }
    buffer_.resize(2 * buffer_.size());
  }
  const std::size_t n = bytes_.read(buffer_.data() + end_, buffer_.size() - end_);
  end_ += n;
  return n > 0;
}

std::string CsvReader::column_in_row() const {
  const std::size_t column = fields_.size();
  if (column < header_.size()) return fmt::format(" in column {} ({})", column + 1, shown(header_[column]));
  return fmt::format(" in column {}", column + 1);
}

void CsvReader::fail(std::int64_t line, std::string_view problem, std::string_view advice) const {
  throw InputError(fmt::format("{}, line {}: {}. Nothing was written. {}", bytes_.name(), line, problem, advice));
}

}  // namespace coterie::io
