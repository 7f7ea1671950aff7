// The bytes of a CSV text that mean something: the delimiter, line feed, carriage return, quote and NUL.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace coterie::io {

// Bytes that can be read behind a text that is looked at, so that vectors may reach beyond its end; NULs where its marks are looked for.
inline constexpr std::size_t kCsvPadding = 64;

// The whole rows of a text that begins with one.
struct CsvRows {
  std::size_t bytes = 0;
  std::int64_t lines = 0;  // line feeds, also in quotes, for editors count them so, and carriage returns without one that end rows
  bool is_regular = true;  // else a quote within a plain cell leaves the others unknown
};
// is_all: the file ends behind the text, and the last row with it.
CsvRows find_rows(std::string_view text, bool is_all, char delimiter);

// Where marks are, in order.
class CsvMarks {
 public:
  // `text` outlives this.
  CsvMarks(std::string_view text, char delimiter) : text_(text), delimiter_(delimiter) {}

  // The place of the next mark; behind the last one, the size of the text.
  std::size_t next() {
    if (next_ == n_ && !look_on()) return text_.size();
    return base_ + places_[next_++];
  }

 private:
  static constexpr std::size_t kWindow = 4096;  // bytes that are looked at at once

  bool look_on();  // false at the end

  std::string_view text_;
  char delimiter_;
  std::size_t base_ = 0, seen_ = 0;  // the window is [base_, seen_)
  std::size_t next_ = 0, n_ = 0;     // of places_
  std::array<std::uint16_t, kWindow + kCsvPadding> places_;
};

}  // namespace coterie::io
