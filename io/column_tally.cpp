#include "io/column_tally.hpp"

#include <algorithm>
#include <cmath>

#include "io/csv_cell.hpp"

namespace coterie::io {
namespace {

constexpr std::size_t kLongestLevel = 200;  // bytes; longer is prose, not the name of a level

void keep_first(FirstCell& first, const FirstCell& other) {
  if (other.row < first.row) first = other;
}

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

void Levels::merge(const Levels& other) {
  for (const std::string& level : other.levels_) add(level);
  overflow_ = overflow_ || other.overflow_;
  if (overflow_) levels_.clear();
}

std::vector<std::string> Levels::sorted() const {
  std::vector<std::string> levels(levels_.begin(), levels_.end());
  std::sort(levels.begin(), levels.end());
  return levels;
}

void ColumnTally::add(const CsvTable& table, const CsvBatch& batch, std::int64_t first, std::int64_t last, std::size_t column,
                      char decimal) {
  rows += last - first;
  for (std::int64_t row = first; row < last; ++row) {
    const std::string_view cell = batch.cell(row, column);
    const auto note = [&](FirstCell& cell_of_kind) {
      if (batch.first_row() + row < cell_of_kind.row) cell_of_kind = {batch.first_row() + row, table.place(batch, row)};
    };
    if (is_missing(cell)) {
      ++missing;
      note(first_missing);
      continue;
    }
    longest = std::max(longest, cell.size());
    levels.add(cell);
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

void ColumnTally::merge(const ColumnTally& other) {
  rows += other.rows;
  missing += other.missing;
  numbers += other.numbers;
  whole += other.whole;
  infinite += other.infinite;
  leading_zeros += other.leading_zeros;
  dates += other.dates;
  last_day = std::max(last_day, other.last_day);
  decimal_commas += other.decimal_commas;
  min = std::min(min, other.min);
  max = std::max(max, other.max);
  fits_float32 = fits_float32 && other.fits_float32;
  longest = std::max(longest, other.longest);
  levels.merge(other.levels);
  keep_first(first_missing, other.first_missing);
  keep_first(first_infinite, other.first_infinite);
  keep_first(first_negative, other.first_negative);
  keep_first(first_no_number, other.first_no_number);
  keep_first(first_no_date, other.first_no_date);
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

ColumnTallies::ColumnTallies(Context& context, const CsvTable& table, char decimal, const std::vector<bool>& may_be_id)
    : context_(context),
      table_(table),
      decimal_(decimal),
      tallies_(static_cast<std::size_t>(context.threads()), std::vector<ColumnTally>(may_be_id.size())) {
  for (std::size_t column = 0; column < may_be_id.size(); ++column)
    if (may_be_id[column]) ids_.push_back({column, RepeatCounter(context.memory())});
}

void ColumnTallies::add(std::span<const CsvBatch> batches) {
  context_.parallel_for(std::ssize(batches), [&](std::int64_t i, int worker) {
    std::vector<ColumnTally>& tallies = tallies_[static_cast<std::size_t>(worker)];
    const CsvBatch& batch = batches[static_cast<std::size_t>(i)];
    for_each_stretch(batch, tallies.size(), [&](std::int64_t first, std::int64_t last) {
      for (std::size_t column = 0; column < tallies.size(); ++column) tallies[column].add(table_, batch, first, last, column, decimal_);
    });
  });
  if (!ids_.empty()) add_ids(batches);
}

void ColumnTallies::add_ids(std::span<const CsvBatch> batches) {
  keys_.resize(std::max(keys_.size(), batches.size()));
  for (Ids& ids : ids_) {
    context_.parallel_for(std::ssize(batches), [&](std::int64_t i, int) {
      const CsvBatch& batch = batches[static_cast<std::size_t>(i)];
      std::vector<IdKey>& keys = keys_[static_cast<std::size_t>(i)];
      keys.clear();
      for (std::int64_t row = 0; row < batch.n_rows(); ++row)
        if (const std::string_view cell = batch.cell(row, ids.column); !is_missing(cell)) keys.push_back(id_key(cell));
    });
    for (std::size_t i = 0; i < batches.size(); ++i) ids.counter.add(std::span<const IdKey>(keys_[i]));  // in order, which sorts faster
  }
}

std::vector<ColumnTally> ColumnTallies::finish() {
  std::vector<ColumnTally> all = std::move(tallies_.front());
  for (std::size_t worker = 1; worker < tallies_.size(); ++worker)
    for (std::size_t column = 0; column < all.size(); ++column) all[column].merge(tallies_[worker][column]);
  for (Ids& ids : ids_) {
    ids.counter.finish(context_);
    all[ids.column].repeats = ids.counter.repeats();
  }
  return all;
}

}  // namespace coterie::io
