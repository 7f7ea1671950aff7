#include "io/column_tally.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>

#include "io/csv_cell.hpp"
#include "io/short_number.hpp"

namespace coterie::io {
namespace {

constexpr std::size_t kLongestLevel = 200;  // bytes; longer is prose, not the name of a level

// What a column may take: a level's text and, with its node, its places in both tables and the allocator's part, 128 bytes more.
constexpr std::size_t kMostBytes = sizeof(ColumnTally) + kMostLevels * (kLongestLevel + 128);

void keep_first(FirstCell& first, const FirstCell& other) {
  if (other.row < first.row) first = other;
}

}  // namespace

void Levels::insert(std::string_view level) {
  if (levels_.find(level) != levels_.end()) return;
  if (levels_.size() == kMostLevels || level.size() > kLongestLevel) {
    *this = {};
    overflow_ = true;
    return;
  }
  levels_.emplace(level);
}

void Levels::merge(const Levels& other) {
  if (other.overflow_) *this = other;
  for (const std::string& level : other.levels_) add(level);
}

std::vector<std::string> Levels::sorted() const {
  std::vector<std::string> levels(levels_.begin(), levels_.end());
  std::sort(levels.begin(), levels.end());
  return levels;
}

inline void ColumnTally::add_number(const Row& row, std::string_view cell, double value) {
  longest = std::max(longest, cell.size());
  levels.add(cell);
  note(row, first_no_date);
  ++numbers;
  min = std::min(min, value);
  max = std::max(max, value);
  if (value < 0) note(row, first_negative);
  if (std::isinf(value)) {
    ++infinite;
    note(row, first_infinite);
  }
  if (value == std::trunc(value)) ++whole;
  if (has_leading_zero(cell)) ++leading_zeros;
  if (fits_float32) fits_float32 = survives_float32(cell, value);
}

// Short numbers in a loop of their own: the processor works on several of them at once.
void ColumnTally::add(const CsvTable& table, const CsvBatch& batch, std::int64_t first, std::int64_t last, std::size_t column,
                      char decimal) {
  std::array<double, kMostOfStretch> values;
  for (std::int64_t row = first; row < last; ++row)
    values[static_cast<std::size_t>(row - first)] = padded_short_number(batch.cell(row, column), decimal);
  rows += last - first;
  for (std::int64_t row = first; row < last; ++row) {
    const double value = values[static_cast<std::size_t>(row - first)];
    const std::string_view cell = batch.cell(row, column);
    std::isnan(value) ? add_other({table, batch, row}, cell, decimal) : add_number({table, batch, row}, cell, value);
  }
}

void ColumnTally::add_other(const Row& row, std::string_view cell, char decimal) {
  if (is_missing(cell)) {
    ++missing;
    return note(row, first_missing);
  }
  const bool is_date = is_dashed(cell) && add_date(cell);
  if (const double value = is_date ? kNoNumber : other_number_or_nan(cell, decimal); !std::isnan(value))
    return add_number(row, cell, value);
  longest = std::max(longest, cell.size());
  levels.add(cell);
  note(row, first_no_number);
  if (is_date) return;
  note(row, first_no_date);
  if (cell.find(',') != std::string_view::npos && parse_number(cell, ',')) ++decimal_commas;
}

void ColumnTally::note(const Row& row, FirstCell& first) {
  if (row.batch.first_row() + row.row < first.row) first = {row.batch.first_row() + row.row, row.table.place(row.batch, row.row)};
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

bool ColumnTally::add_date(std::string_view cell) {
  const std::optional<std::int64_t> day = parse_date(cell);
  if (!day) return false;
  ++dates;
  last_day = std::max(last_day, *day);
  return true;
}

ColumnTallies::ColumnTallies(Context& context, const CsvTable& table, char decimal, const std::vector<bool>& may_be_id)
    : context_(context), table_(table), decimal_(decimal) {
  const auto bytes = static_cast<std::int64_t>(may_be_id.size() * kMostBytes);
  const std::int64_t most = std::max<std::int64_t>(context.memory().available() / 8 / bytes, 1);
  const std::int64_t n_workers = std::min<std::int64_t>(context.threads(), most);
  if (!context.memory().try_reserve(n_workers * bytes, memory_))  // which few tables need
    memory_ = context.memory().reserve("what is known of every column", static_cast<std::int64_t>(may_be_id.size() * sizeof(ColumnTally)));
  tallies_.assign(static_cast<std::size_t>(n_workers), std::vector<ColumnTally>(may_be_id.size()));
  for (std::size_t column = 0; column < may_be_id.size(); ++column)
    if (may_be_id[column]) ids_.push_back({column, RepeatCounter(context.memory())});
}

void ColumnTallies::add(std::span<const CsvBatch> batches) {
  std::atomic<std::size_t> next = 0;
  context_.parallel_for(std::ssize(tallies_), [&](std::int64_t worker, int) {
    for (std::size_t i = next++; i < batches.size(); i = next++) tally(batches[i], tallies_[static_cast<std::size_t>(worker)]);
  });
  if (!ids_.empty()) add_ids(batches);
}

void ColumnTallies::tally(const CsvBatch& batch, std::vector<ColumnTally>& tallies) const {
  for_each_stretch(batch, tallies.size(), [&](std::int64_t first, std::int64_t last) {
    for (std::size_t column = 0; column < tallies.size(); ++column) tallies[column].add(table_, batch, first, last, column, decimal_);
  });
}

void ColumnTallies::add_ids(std::span<const CsvBatch> batches) {
  keys_.resize(std::max(keys_.size(), batches.size()));
  for (Ids& ids : ids_) {
    context_.parallel_for(std::ssize(batches), [&](std::int64_t i, int) {
      const CsvBatch& batch = batches[static_cast<std::size_t>(i)];
      std::vector<IdKey>& keys = keys_[static_cast<std::size_t>(i)];
      keys.clear();
      for (std::int64_t row = 0; row < batch.n_rows(); ++row)
        if (const std::string_view cell = batch.cell(row, ids.column); !is_missing(cell)) keys.push_back(cell_key(cell, decimal_));
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
