// What the cells of one CSV column look like, all of them: the first pass of an import. Memory is bounded: at most
// kMostLevels short texts, and 16 bytes per row for a column that may be the id.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "host/repeat_counter.hpp"
#include "io/csv_table.hpp"

namespace coterie::io {

inline constexpr std::size_t kMostLevels = 50;  // more make no description of a segment that anybody reads

// The distinct texts of a column, as long as they are few and short.
class Levels {
 public:
  void add(std::string_view level);
  bool few() const { return !overflow_; }              // at most kMostLevels
  std::size_t size() const { return levels_.size(); }  // 0 when not few()
  std::vector<std::string> sorted() const;             // by bytes; empty when not few()

 private:
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::unordered_set<std::string, Hash, std::equal_to<>> levels_;
  bool overflow_ = false;
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
  bool fits_float32 = true;              // every number does
  std::size_t longest = 0;               // bytes
  Levels levels;                         // of the known cells
  std::optional<RepeatCounter> repeats;  // of the known cells; set where the column may be the id
  // The first cell of a kind: "line 17 of ...", or "" when there is none.
  std::string first_missing, first_infinite, first_negative, first_no_number, first_no_date;

  std::int64_t known() const { return rows - missing; }
  void add(const CsvTable& table, const CsvBatch& batch, std::size_t column, char decimal);

 private:
  void add_number(std::string_view cell, double value);
  bool add_date(std::string_view cell);  // is it one
};

}  // namespace coterie::io
