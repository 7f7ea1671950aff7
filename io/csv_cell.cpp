#include "io/csv_cell.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>
#include <string>

#include "io/text.hpp"

namespace coterie::io {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Digits from the first to the last that is not 0, exponent aside; a float32 tells all numbers of kSafeDigits apart.
std::size_t significant_digits(std::string_view cell) {
  std::size_t digits = 0, up_to_last = 0;
  for (const char c : cell) {
    if (c == 'e' || c == 'E') break;
    if (!is_digit(c) || (digits == 0 && c == '0')) continue;
    ++digits;
    if (c != '0') up_to_last = digits;
  }
  return up_to_last;
}

std::optional<double> parse_plain(std::string_view cell) {
  double value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (end != cell.data() + cell.size() || std::isnan(value)) return std::nullopt;
  if (error == std::errc::result_out_of_range) {  // of both kinds; 1e-999 is 0
    const bool tiny = cell.find("e-") != std::string_view::npos || cell.find("E-") != std::string_view::npos;
    const double infinity = std::numeric_limits<double>::infinity();
    return tiny ? 0.0 : cell.front() == '-' ? -infinity : infinity;
  }
  return error == std::errc() ? std::optional(value) : std::nullopt;
}

// `n` digits at `from`, or -1.
int parse_digits(std::string_view cell, std::size_t from, std::size_t n) {
  int value = 0;
  for (const char c : cell.substr(from, n)) {
    if (!is_digit(c)) return -1;
    value = 10 * value + (c - '0');
  }
  return value;
}

}  // namespace

bool is_missing(std::string_view cell) {
  if (cell.size() > 4) return false;
  if (cell.empty() || cell == "?") return true;
  const char first = cell.front();
  if (first != 'n' && first != 'N' && first != '#' && first != '<') return false;
  const std::string lower = lower_case(cell);
  for (const char* token : {"na", "n/a", "#n/a", "nan", "null", "<na>"})
    if (lower == token) return true;
  return false;
}

std::optional<double> parse_number(std::string_view cell, char decimal) {
  if (cell.starts_with('+') && cell.size() > 1 && cell[1] != '-') cell.remove_prefix(1);
  if (cell.empty()) return std::nullopt;
  if (decimal == '.') return parse_plain(cell);
  constexpr std::size_t kLongest = 64;  // more digits than any number has that somebody measured
  char with_point[kLongest];
  if (cell.size() > kLongest || cell.find('.') != std::string_view::npos) return std::nullopt;
  std::replace_copy(cell.begin(), cell.end(), with_point, decimal, '.');
  return parse_plain({with_point, cell.size()});
}

bool survives_float32(std::string_view cell, double value) {
  constexpr double kWholeNumbers = 0x1p24;  // every whole number up to here is a float32
  if (std::abs(value) <= kWholeNumbers && value == std::trunc(value)) return true;
  constexpr double kLeastNormal = 0x1p-126;
  const bool in_range = std::abs(value) >= kLeastNormal && std::abs(value) <= std::numeric_limits<float>::max();
  if (in_range && significant_digits(cell) <= std::numeric_limits<float>::digits10) return true;
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, static_cast<float>(value));
  return error == std::errc() && parse_plain({text, static_cast<std::size_t>(end - text)}) == value;
}

bool has_leading_zero(std::string_view cell) {
  return cell.size() > 1 && cell.front() == '0' && std::all_of(cell.begin(), cell.end(), is_digit);
}

IdKey cell_key(std::string_view cell) {
  constexpr double kExact = 0x1p53;
  const bool plain = cell.find_first_not_of("-0123456789.") == std::string_view::npos && !has_leading_zero(cell);
  const std::optional<double> value = plain ? parse_number(cell) : std::nullopt;
  if (value && *value == std::trunc(*value) && std::abs(*value) <= kExact) return id_key(static_cast<std::int64_t>(*value));
  return id_key(cell);
}

std::optional<std::int64_t> parse_date(std::string_view cell) {
  constexpr std::size_t kDateLength = 10;
  if (cell.size() < kDateLength || cell[4] != '-' || cell[7] != '-') return std::nullopt;
  if (cell.size() > kDateLength && cell[kDateLength] != 'T' && cell[kDateLength] != ' ') return std::nullopt;
  const int year = parse_digits(cell, 0, 4), month = parse_digits(cell, 5, 2), day = parse_digits(cell, 8, 2);
  if (year < 0 || month < 0 || day < 0) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date).time_since_epoch().count();
}

}  // namespace coterie::io
