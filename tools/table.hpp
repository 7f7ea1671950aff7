// Tables for people: columns as wide as their widest cell, numbers right-aligned, text left-aligned.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace coterie::tools {

enum class Align { left, right };

class Table {
 public:
  void add_column(std::string title, Align align = Align::right);
  void add_row(std::vector<std::string> cells);  // one per column
  std::string text() const;                      // lines end with '\n'

 private:
  struct Column {
    std::string title;
    Align align;
  };
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Columns a terminal gives to UTF-8 text.
std::size_t display_width(std::string_view text);
// Text of a file made safe for a terminal: control characters and bytes that are no UTF-8 become \xNN.
std::string printable(std::string_view text);
// At most `width` columns, the end replaced by an ellipsis.
std::string shortened(std::string_view text, std::size_t width);

std::string with_separators(std::int64_t number);  // 1,234,567
std::string percent(double share);                 // 12.3 %; "-" for NaN
std::string short_number(double value);            // three or four significant digits; "-" for NaN

}  // namespace coterie::tools
