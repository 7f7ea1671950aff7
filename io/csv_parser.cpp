#include "io/csv_parser.hpp"

#include <fmt/format.h>

#include "host/error.hpp"
#include "io/text.hpp"

namespace coterie::io {

CsvParser::CsvParser(std::span<char> text, char delimiter, Place place)
    : text_(text),
      marks_({text.data(), text.size()}, delimiter),
      delimiter_(delimiter),
      file_(place.file),
      valid_(utf8_prefix({text.data(), text.size()})),
      line_(place.line) {}

bool CsvParser::next(std::vector<CsvSpan>& cells) {
  if (!skip_empty_lines()) return false;
  row_line_ = line_;
  column_ = 0;
  for (row_ended_ = false; !row_ended_; ++column_) {
    const std::size_t begin = at_;
    mark_ = marks_.next();
    if (text_.data()[mark_] == delimiter_) {
      at_ = mark_ + 1;
      cells.push_back(trimmed(begin, mark_));
    } else {
      cells.push_back(read_cell(begin));
    }
  }
  if (!header_.empty() && column_ != header_.size())
    fail(row_line_, fmt::format("this row has {} cells, the header names {} columns", column_, header_.size()),
         "Put cells that hold the delimiter or a line break in double quotes.");
  if (at_ > valid_) fail(row_line_, "this row is not valid UTF-8", "Convert the file, for example with: iconv -f WINDOWS-1252 -t UTF-8");
  return true;
}

bool CsvParser::skip_empty_lines() {
  while (at_ < text_.size() && (text_[at_] == '\n' || text_[at_] == '\r') && header_.size() != 1) {
    mark_ = marks_.next();
    end_line();
  }
  return at_ < text_.size();
}

CsvSpan CsvParser::read_cell(std::size_t begin) {
  if (mark_ == begin && begin < text_.size() && text_[begin] == '"') return read_quoted_cell(begin + 1);
  while (mark_ < text_.size() && text_[mark_] == '"') mark_ = marks_.next();
  const std::size_t end = mark_;
  end_cell();
  return trimmed(begin, end);
}

CsvSpan CsvParser::read_quoted_cell(std::size_t begin) {
  mark_ = marks_.next();
  if (mark_ < text_.size() && text_[mark_] == '"' && text_.data()[mark_ + 1] == delimiter_) {
    at_ = marks_.next() + 1;
    return trimmed(begin, mark_);
  }
  const bool has_doubled = find_closing_quote();
  std::size_t end = mark_;
  mark_ = marks_.next();
  if (mark_ != end + 1) fail(line_, "text follows the closing quote" + column_in_row(), "Double a quote that belongs to the text.");
  end_cell();
  if (has_doubled) {
    std::size_t to = begin;
    for (std::size_t from = begin; from < end; from += text_[from] == '"' ? 2 : 1) text_[to++] = text_[from];  // each is one of a pair
    end = to;
  }
  return trimmed(begin, end);
}

// From a mark within the quotes on.
bool CsvParser::find_closing_quote() {
  const std::int64_t opened = line_;
  const auto at_quote = [&](std::size_t place) { return place < text_.size() && text_[place] == '"'; };
  for (bool has_doubled = false;; has_doubled = true) {
    for (; !at_quote(mark_); mark_ = marks_.next()) {
      if (mark_ == text_.size())
        fail(opened, "a quote is opened" + column_in_row() + " and never closed", "Close it, or double it if it belongs to the text.");
      if (text_[mark_] == '\0') fail(line_, "there is a NUL byte" + column_in_row(), "Remove it; CSV is text.");
      if (text_[mark_] == '\n') ++line_;
    }
    if (!at_quote(mark_ + 1)) return has_doubled;
    marks_.next();
    mark_ = marks_.next();
  }
}

// At the mark behind a cell.
void CsvParser::end_cell() {
  if (mark_ == text_.size()) {
    at_ = mark_;
    row_ended_ = true;
    return;
  }
  switch (text_[mark_]) {
    case '\0': fail(line_, "there is a NUL byte" + column_in_row(), "Remove it; CSV is text.");
    case '\n':
    case '\r':
      end_line();
      row_ended_ = true;
      return;
    default: at_ = mark_ + 1;
  }
}

// At the mark that ends a line.
void CsvParser::end_line() {
  at_ = mark_ + 1;
  if (text_[mark_] == '\r' && at_ < text_.size() && text_[at_] == '\n') {
    marks_.next();
    ++at_;
  }
  ++line_;
}

CsvSpan CsvParser::trimmed(std::size_t begin, std::size_t end) const {
  const std::string_view cell = io::trimmed({text_.data() + begin, end - begin});
  return {static_cast<std::uint32_t>(cell.data() - text_.data()), static_cast<std::uint32_t>(cell.size())};
}

std::string CsvParser::column_in_row() const {
  if (column_ < header_.size()) return fmt::format(" in column {} ({})", column_ + 1, shown(header_[column_]));
  return fmt::format(" in column {}", column_ + 1);
}

void CsvParser::fail(std::int64_t line, std::string_view problem, std::string_view advice) const {
  throw InputError(fmt::format("{}, line {}: {}. Nothing was written. {}", file_, line, problem, advice));
}

}  // namespace coterie::io
