// What the cells of the columns of a CSV table look like, all of them: the first pass of an import. Every thread tallies the rows that it
// has, and tallies merge; where the memory is too small for that, fewer threads do. Memory is bounded: at most kMostLevels short texts per
// column and thread, and 16 bytes per row for a column that may be the id.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "host/context.hpp"
#include "host/repeat_counter.hpp"
#include "io/bytes_of_word.hpp"
#include "io/csv_table.hpp"

namespace coterie::io {

inline constexpr std::size_t kMostLevels = 50;  // more make no description of a segment that anybody reads

// The distinct texts of a column, as long as they are few and short.
class Levels {
 public:
  void add(std::string_view level) {  // not empty
    if (!overflow_ && !was_seen(level)) insert(level);
  }
  void merge(const Levels& other);
  bool few() const { return !overflow_; }              // at most kMostLevels
  std::size_t size() const { return levels_.size(); }  // 0 when not few()
  std::vector<std::string> sorted() const;             // by bytes; empty when not few()

 private:
  void insert(std::string_view level);
  // Most cells of a column of few levels hold one that came before: short ones are found by their bytes.
  bool was_seen(std::string_view level) {
    if (level.size() > sizeof(std::uint64_t)) return false;
    constexpr std::uint64_t kSpread = 0x9e3779b97f4a7c15;
    const std::uint64_t bytes = load_bytes(level);
    if (short_levels_.empty()) short_levels_.resize(kPlaces);
    std::size_t place = bytes * kSpread >> (64 - kPlaceBits);
    while (short_levels_[place] != 0 && short_levels_[place] != bytes) place = (place + 1) % kPlaces;
    return std::exchange(short_levels_[place], bytes) == bytes;
  }
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  static constexpr int kPlaceBits = 7;
  static constexpr std::size_t kPlaces = std::size_t{1} << kPlaceBits;
  static_assert(kPlaces > 2 * kMostLevels);
  std::vector<std::uint64_t> short_levels_;  // each at its hash, or at the first place behind it that was free; empty without any
  std::unordered_set<std::string, Hash, std::equal_to<>> levels_;
  bool overflow_ = false;
};

// The first cell of a kind, in the order of rows.
struct FirstCell {
  std::int64_t row = std::numeric_limits<std::int64_t>::max();  // of the table
  std::string place;                                            // "line 17 of ...", or "" when there is none
};

struct ColumnTally {
  std::int64_t rows = 0;
  std::int64_t missing = 0;
  std::int64_t numbers = 0;  // of the known cells, as the next five
  std::int64_t whole = 0;
  std::int64_t infinite = 0;
  std::int64_t leading_zeros = 0;
  std::int64_t dates = 0;
  std::int64_t last_day = std::numeric_limits<std::int64_t>::min();  // of the dates, since 1970-01-01
  std::int64_t decimal_commas = 0;                                   // no numbers, but they would be with a decimal comma
  double min = std::numeric_limits<double>::infinity();              // of the numbers
  double max = -std::numeric_limits<double>::infinity();
  bool fits_float32 = true;             // every number does
  std::size_t longest = 0;              // bytes
  Levels levels;                        // of the known cells
  std::optional<std::int64_t> repeats;  // rows whose id an earlier row has; where the column may be the id
  FirstCell first_missing, first_infinite, first_negative, first_no_number, first_no_date;

  std::int64_t known() const { return rows - missing; }
  // Would all be numbers with a decimal comma, and are not without?
  bool has_decimal_commas() const { return decimal_commas > 0 && decimal_commas + numbers == known(); }
  // Rows [first, last) of the batch, kMostOfStretch at most.
  void add(const CsvTable& table, const CsvBatch& batch, std::int64_t first, std::int64_t last, std::size_t column, char decimal);
  void merge(const ColumnTally& other);  // but for repeats

 private:
  struct Row {
    const CsvTable& table;
    const CsvBatch& batch;
    std::int64_t row;  // of the batch
  };
  static void note(const Row& row, FirstCell& first);
  void add_other(const Row& row, std::string_view cell, char decimal);  // than a short number
  void add_number(const Row& row, std::string_view cell, double value);
  bool add_date(std::string_view cell);  // is it one
};

// The tallies of all columns.
class ColumnTallies {
 public:
  // may_be_id: (columns) whose repeats are counted. `context` and `table` must outlive this. ResourceError, here and in add(): not
  // even the tallies of one thread fit, and see RepeatCounter.
  ColumnTallies(Context& context, const CsvTable& table, char decimal, const std::vector<bool>& may_be_id);
  void add(std::span<const CsvBatch> batches);  // in the table's order
  std::vector<ColumnTally> finish();            // after the last one

 private:
  struct Ids {
    std::size_t column;
    RepeatCounter counter;
  };
  void tally(const CsvBatch& batch, std::vector<ColumnTally>& tallies) const;
  void add_ids(std::span<const CsvBatch> batches);

  Context& context_;
  const CsvTable& table_;
  char decimal_;
  Reservation memory_;
  std::vector<std::vector<ColumnTally>> tallies_;  // (workers, columns)
  std::vector<Ids> ids_;
  std::vector<std::vector<IdKey>> keys_;  // (batches) of a column of ids
};

}  // namespace coterie::io
