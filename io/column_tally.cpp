#include "io/column_tally.hpp"

#include <algorithm>
#include <cmath>

#include "io/csv_cell.hpp"

namespace coterie::io {
namespace {

constexpr std::size_t kLongestLevel = 200;  // bytes; longer is prose, not the name of a level

}  // namespace

void Levels::add(std::string_view level) {
  if (overflow_ || levels_.find(level) != levels_.end()) return;
  if (levels_.size() == kMostLevels || level.size() > kLongestLevel) {
    overflow_ = true;
    levels_.clear();
    return;
  }
  levels_.emplace(level);
}

std::vector<std::string> Levels::sorted() const {
  std::vector<std::string> levels(levels_.begin(), levels_.end());
  std::sort(levels.begin(), levels.end());
  return levels;
}

void ColumnTally::add(const CsvTable& table, const CsvBatch& batch, std::size_t column, char decimal) {
  for (std::int64_t row = 0; row < batch.n_rows(); ++row, ++rows) {
    const std::string_view cell = batch.cell(row, column);
    const auto note = [&](std::string& first) {
      if (first.empty()) first = table.place(batch, row);
    };
    if (is_missing(cell)) {
      ++missing;
      note(first_missing);
      continue;
    }
    longest = std::max(longest, cell.size());
    levels.add(cell);
    if (repeats) repeats->add(cell);
    if (is_dashed(cell) && add_date(cell)) {
      note(first_no_number);
    } else if (const double value = number_or_nan(cell, decimal); !std::isnan(value)) {
      add_number(cell, value);
      note(first_no_date);
      if (std::isinf(value)) note(first_infinite);
      if (value < 0) note(first_negative);
    } else {
      if (cell.find(',') != std::string_view::npos && parse_number(cell, ',')) ++decimal_commas;
      note(first_no_number);
      note(first_no_date);
    }
  }
}

void ColumnTally::add_number(std::string_view cell, double value) {
  ++numbers;
  min = std::min(min, value);
  max = std::max(max, value);
  if (std::isinf(value)) ++infinite;
  if (value == std::trunc(value)) ++whole;
  if (has_leading_zero(cell)) ++leading_zeros;
  if (fits_float32) fits_float32 = survives_float32(cell, value);
}

bool ColumnTally::add_date(std::string_view cell) {
  const std::optional<std::int64_t> day = parse_date(cell);
  if (!day) return false;
  ++dates;
  last_day = std::max(last_day, *day);
  return true;
}

}  // namespace coterie::io
