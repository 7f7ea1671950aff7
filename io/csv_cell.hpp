// What one cell of a CSV file says. Cells come trimmed.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

#include "host/id_key.hpp"
#include "io/short_number.hpp"

namespace coterie::io {

// Empty, ? or, in any case, NA, N/A, #N/A, NaN, null, <NA>.
bool is_missing_token(std::string_view cell);
inline bool is_missing(std::string_view cell) {  // most cells are told apart by their size and first byte
  return cell.size() <= 4 && (cell.empty() || cell.front() < '0' || cell.front() > '9') && is_missing_token(cell);
}

// A decimal number, with `decimal` ('.' or ',') before its fraction; no thousands separators, no units. "inf" and numbers
// beyond float64 are infinite. NaN: something else, or missing.
double number_or_nan(std::string_view cell, char decimal = '.');
inline std::optional<double> parse_number(std::string_view cell, char decimal = '.') {
  const double value = number_or_nan(cell, decimal);
  return std::isnan(value) ? std::nullopt : std::optional(value);
}

double other_number_or_nan(std::string_view cell, char decimal);  // the same of what is no short number (short_number.hpp)
// The same of a cell from whose begin 8 bytes can be read, as of every cell of a CsvBatch.
inline double padded_number_or_nan(std::string_view cell, char decimal = '.') {
  const double value = padded_short_number(cell, decimal);
  return std::isnan(value) ? other_number_or_nan(cell, decimal) : value;
}

inline bool is_normal_float32(double value) {
  return std::abs(value) >= std::numeric_limits<float>::min() && std::abs(value) <= std::numeric_limits<float>::max();
}
bool long_survives_float32(std::string_view cell, double value);
// Does the nearest float32 print as the same number? True for up to 6 digits; `value` is what `cell` says.
inline bool survives_float32(std::string_view cell, double value) {
  constexpr std::size_t kSafeBytes = std::numeric_limits<float>::digits10 + 1;  // a point, or the e of an exponent, is no digit
  return (cell.size() <= kSafeBytes && is_normal_float32(value)) || long_survives_float32(cell, value);
}

bool is_all_digits(std::string_view cell);
// "00501": digits that a number would lose.
inline bool has_leading_zero(std::string_view cell) { return cell.size() > 1 && cell.front() == '0' && is_all_digits(cell); }

// A whole number below this in magnitude is a float64, and no other rounds to it: 2^53 may have been 2^53 + 1.
inline constexpr double kIntegersBelow = 0x1p53;

// The key of an id: a whole number by its value, as files keep it, however it is written (17, +17, 17.0, 1.7e1); everything else, digits
// behind a zero too, by its bytes.
IdKey cell_key(std::string_view cell, char decimal);

// Days since 1970-01-01 of "2026-10-31", also with a time behind T or a space, whatever its zone: the day is as it is written.
std::optional<std::int64_t> parse_date(std::string_view cell);
// Whatever is a date is dashed; no number is.
inline bool is_dashed(std::string_view cell) { return cell.size() >= 10 && cell[4] == '-' && cell[7] == '-'; }

}  // namespace coterie::io
