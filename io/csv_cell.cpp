#include "io/csv_cell.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "io/short_number.hpp"
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

double long_number(std::string_view cell) {
  double value;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (end != cell.data() + cell.size()) return kNoNumber;
  if (error == std::errc::result_out_of_range) {  // of both kinds; 1e-999 is 0
    const bool tiny = cell.find("e-") != std::string_view::npos || cell.find("E-") != std::string_view::npos;
    const double infinity = std::numeric_limits<double>::infinity();
    return tiny ? 0.0 : cell.front() == '-' ? -infinity : infinity;
  }
  return error == std::errc() ? value : kNoNumber;
}

// Of the two digits at `from`, or -1.
int two_digits(std::string_view cell, std::size_t from) {
  const char tens = cell[from], ones = cell[from + 1];
  return is_digit(tens) && is_digit(ones) ? 10 * (tens - '0') + (ones - '0') : -1;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

bool take_two_digits(std::string_view& text, int most) {
  if (text.size() < 2) return false;
  const int value = two_digits(text, 0);
  text.remove_prefix(2);
  return value >= 0 && value <= most;
}

// Nothing, Z, UTC, +02, +0200 or +02:00, also behind a space.
bool is_zone(std::string_view text) {
  if (text.empty()) return true;
  take(text, ' ');
  if (text == "Z" || text == "UTC") return true;
  if ((!take(text, '+') && !take(text, '-')) || !take_two_digits(text, 23)) return false;
  if (text.empty()) return true;
  take(text, ':');
  return take_two_digits(text, 59) && text.empty();
}

// 23:59, 23:59:59 or 23:59:59.125, and a zone.
bool is_time(std::string_view text) {
  constexpr int kLeapSecond = 60;
  if (!take_two_digits(text, 23) || !take(text, ':') || !take_two_digits(text, 59)) return false;
  if (!take(text, ':')) return is_zone(text);
  if (!take_two_digits(text, kLeapSecond)) return false;
  if (!take(text, '.')) return is_zone(text);
  if (text.empty() || !is_digit(text.front())) return false;
  while (!text.empty() && is_digit(text.front())) text.remove_prefix(1);
  return is_zone(text);
}

}  // namespace

bool is_missing_token(std::string_view cell) {
  if (cell.empty() || cell == "?") return true;
  const char first = cell.front();
  if (first != 'n' && first != 'N' && first != '#' && first != '<') return false;
  const std::string lower = lower_case(cell);
  for (const char* token : {"na", "n/a", "#n/a", "nan", "null", "<na>"})
    if (lower == token) return true;
  return false;
}

double number_or_nan(std::string_view cell, char decimal) {
  const double value = cell.size() - 1 < sizeof(std::uint64_t) ? short_number(load_bytes(cell), cell.size(), decimal) : kNoNumber;
  return std::isnan(value) ? other_number_or_nan(cell, decimal) : value;
}

double other_number_or_nan(std::string_view cell, char decimal) {
  if (cell.starts_with('+') && cell.size() > 1 && cell[1] != '-') cell.remove_prefix(1);
  if (cell.empty()) return kNoNumber;
  if (decimal == '.') return long_number(cell);
  constexpr std::size_t kLongest = 64;  // more digits than any number has that somebody measured
  char with_point[kLongest];
  if (cell.size() > kLongest || cell.find('.') != std::string_view::npos) return kNoNumber;
  std::replace_copy(cell.begin(), cell.end(), with_point, decimal, '.');
  return long_number({with_point, cell.size()});
}

bool long_survives_float32(std::string_view cell, double value) {
  constexpr double kWholeNumbers = 0x1p24;  // every whole number up to here is a float32
  if (std::abs(value) <= kWholeNumbers && value == std::trunc(value)) return true;
  if (is_normal_float32(value) && significant_digits(cell) <= std::numeric_limits<float>::digits10) return true;
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, static_cast<float>(value));
  return error == std::errc() && number_or_nan({text, static_cast<std::size_t>(end - text)}) == value;
}

bool is_all_digits(std::string_view cell) { return std::all_of(cell.begin(), cell.end(), is_digit); }

IdKey cell_key(std::string_view cell, char decimal) {
  if (!cell.empty() && cell.size() <= std::numeric_limits<double>::digits10 && cell.front() >= '1' && cell.front() <= '9') {
    std::int64_t id = 0;  // as most are: digits alone
    if (std::from_chars(cell.data(), cell.data() + cell.size(), id).ptr == cell.data() + cell.size()) return id_key(id);
  }
  const double value = has_leading_zero(cell) ? kNoNumber : number_or_nan(cell, decimal);
  const bool is_whole = value == std::trunc(value) && std::abs(value) < kIntegersBelow;
  return is_whole ? id_key(static_cast<std::int64_t>(value)) : id_key(cell);
}

std::optional<std::int64_t> parse_date(std::string_view cell) {
  constexpr std::size_t kDateLength = 10;
  if (!is_dashed(cell)) return std::nullopt;
  if (cell.size() > kDateLength) {
    const char between = cell[kDateLength];
    if ((between != 'T' && between != ' ') || !is_time(cell.substr(kDateLength + 1))) return std::nullopt;
  }
  const int century = two_digits(cell, 0), year = two_digits(cell, 2), month = two_digits(cell, 5), day = two_digits(cell, 8);
  if (century < 0 || year < 0 || month < 0 || day < 0) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(100 * century + year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date).time_since_epoch().count();
}

}  // namespace coterie::io
