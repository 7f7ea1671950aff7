#include "tools/table.hpp"

#include <fmt/format.h>
#include <wchar.h>

#include <algorithm>
#include <clocale>
#include <cmath>

namespace coterie::tools {

namespace {

// The C library's own UTF-8 tables, whatever locale the process runs in.
class Utf8 {
 public:
  Utf8() : previous_(uselocale(tables())) {}
  ~Utf8() { uselocale(previous_); }
  Utf8(const Utf8&) = delete;
  Utf8& operator=(const Utf8&) = delete;

  // Calls f(bytes, code point) for each character; bytes that are no UTF-8 come one by one with code point WEOF.
  template <class F>
  void for_each(std::string_view text, F&& f) const {
    while (!text.empty()) {
      std::mbstate_t state{};
      wchar_t character = 0;
      const std::size_t length = std::mbrtowc(&character, text.data(), text.size(), &state);
      const bool valid = length != 0 && length <= text.size();
      f(text.substr(0, valid ? length : 1), valid ? static_cast<wint_t>(character) : WEOF);
      text.remove_prefix(valid ? length : 1);
    }
  }

 private:
  static locale_t tables() {
    static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);  // reads files: once a process, not once a cell
    return locale;
  }
  locale_t previous_;
};

// Controls, and the bidirectional overrides that make a terminal show text in another order.
bool is_unsafe(wint_t c) {
  return c == WEOF || c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

void append_padded(std::string& line, const std::string& cell, std::size_t width, Align align) {
  const std::string padding(width - display_width(cell), ' ');
  line += align == Align::right ? padding + cell : cell + padding;
}

}  // namespace

void Table::add_column(std::string title, Align align) { columns_.push_back({std::move(title), align}); }
void Table::add_row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

std::string Table::text() const {
  std::vector<std::size_t> widths;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    widths.push_back(display_width(columns_[c].title));
    for (const auto& row : rows_) widths[c] = std::max(widths[c], display_width(row[c]));
  }
  std::string text;
  const auto append_line = [&](const auto& cell_of) {
    std::string line;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      if (c > 0) line += "  ";
      append_padded(line, cell_of(c), widths[c], columns_[c].align);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  };
  append_line([&](std::size_t c) { return columns_[c].title; });
  for (const auto& row : rows_) append_line([&](std::size_t c) { return row[c]; });
  return text;
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  Utf8().for_each(text, [&](std::string_view, wint_t c) {
    width += c == WEOF ? 1 : static_cast<std::size_t>(std::max(0, wcwidth(static_cast<wchar_t>(c))));
  });
  return width;
}

std::string printable(std::string_view text) {
  std::string safe;
  Utf8().for_each(text, [&](std::string_view bytes, wint_t c) {
    if (!is_unsafe(c)) {
      safe += bytes;
      return;
    }
    for (const char byte : bytes) safe += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  });
  return safe;
}

std::string shortened(std::string_view text, std::size_t width) {
  if (display_width(text) <= width) return std::string(text);
  std::string kept;
  std::size_t used = 0;
  Utf8().for_each(text, [&](std::string_view bytes, wint_t) {
    used += display_width(bytes);
    if (used < width) kept += bytes;
  });
  return kept + "…";
}

std::string with_separators(std::int64_t number) {
  std::string digits = std::to_string(number);
  const std::size_t first = number < 0 ? 1 : 0;
  for (std::size_t i = digits.size(); i > first + 3; i -= 3) digits.insert(i - 3, 1, ',');
  return digits;
}

std::string percent(double share) { return std::isnan(share) ? "-" : fmt::format("{:.1f} %", 100 * share); }

std::string short_number(double value) {
  if (std::isnan(value)) return "-";
  const double size = std::abs(value);
  if (size < 1e15 && value == std::round(value)) return with_separators(std::llround(value));
  if (size >= 1000 && size < 1e15) return with_separators(std::llround(value));
  return size != 0 && (size < 0.001 || size >= 1e15) ? fmt::format("{:.2e}", value) : fmt::format("{:.{}f}", value, size < 10 ? 2 : 1);
}

}  // namespace coterie::tools
