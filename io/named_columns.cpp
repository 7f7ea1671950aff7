#include "io/named_columns.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/contains.hpp"
#include "host/error.hpp"
#include "io/csv_cell.hpp"
#include "io/text.hpp"

namespace coterie::io {
namespace {

[[noreturn]] void refuse_level(const std::string& column, const std::string& problem) {
  throw ArgumentError(
      fmt::format("{} {}. Nothing was written. Name the level that counts as 1: --outcome NAME=LEVEL.", shown(column), problem));
}

std::string positive_number(const ImportedColumn& column, const ColumnTally& tally, char decimal, const std::string& positive) {
  std::vector<double> values;  // empty when there are many
  for (const std::string& level : tally.levels.sorted()) values.push_back(*parse_number(level, decimal));
  if (!positive.empty()) {
    const std::optional<double> wanted = parse_number(positive, decimal);
    if (!wanted || (tally.levels.few() && !contains(values, *wanted))) refuse_level(column.name, "does not have the level that is named");
    return positive;
  }
  const auto one = [&](double value) { return value == tally.min || value == tally.max; };
  if (!tally.levels.few()) refuse_level(column.name, "is an outcome with more than two values");
  if (!std::all_of(values.begin(), values.end(), one)) return {};          // codes of a few classes
  std::string text = fmt::format("{}", tally.max == 0 ? 1.0 : tally.max);  // all 0: nobody has it yet
  std::replace(text.begin(), text.end(), '.', decimal);
  return text;
}

std::string positive_level(const ImportedColumn& column, const std::string& positive) {
  if (!positive.empty()) {
    if (!contains(column.levels, positive)) refuse_level(column.name, "does not have the level that is named");
    return positive;
  }
  if (column.levels.size() != 2) return {};
  std::string yes = affirmative(column.levels);
  if (yes.empty()) refuse_level(column.name, "is an outcome of two levels, neither of which says yes");
  return yes;
}

}  // namespace

void refuse(const std::string& column, const std::string& problem, const std::string& advice) {
  throw ContentsError(fmt::format("The column {} {}. Nothing was written. {}", shown(column), problem, advice));
}

std::string affirmative(const std::vector<std::string>& levels) {
  constexpr std::pair<std::string_view, std::string_view> kAnswers[] = {
      {"yes", "no"}, {"true", "false"}, {"y", "n"}, {"t", "f"}, {"on", "off"}};
  for (const auto& [yes, no] : kAnswers) {
    if (lower_case(levels[0]) == yes && lower_case(levels[1]) == no) return levels[0];
    if (lower_case(levels[1]) == yes && lower_case(levels[0]) == no) return levels[1];
  }
  return {};
}

void make_id(ImportedColumn& column, const ColumnTally& tally) {
  if (tally.missing > 0) {
    refuse(column.name, fmt::format("is the id, and {} of its cells are empty, the first in {}", tally.missing, tally.first_missing.place),
           "Drop those rows, or name another column in --id.");
  }
  const std::int64_t repeats = *tally.repeats;
  column.use = ColumnUse::id;
  column.reason = repeats == 0 ? "no repeats" : fmt::format("{} rows repeat the id of an earlier row", repeats);
  column.warning = repeats > 0;
}

void make_outcome(ImportedColumn& column, const ColumnTally& tally, const ImportOptions& options, const std::string& positive) {
  if (column.kind == ColumnKind::empty) refuse(column.name, "is an outcome without a known value", "Name another column in --outcome.");
  column.use = ColumnUse::outcome;
  const bool numbers = tally.numbers == tally.known();
  if (numbers) column.positive = positive_number(column, tally, options.decimal, positive);
  if (numbers && !column.positive.empty()) {
    column.kind = ColumnKind::number;
  } else if (tally.levels.few()) {
    column.kind = ColumnKind::category;
    column.levels = tally.levels.sorted();
    if (!numbers) column.positive = positive_level(column, positive);
  } else {
    refuse(column.name, fmt::format("is an outcome with more than {} levels", kMostLevels), "Name a column with two levels in --outcome.");
  }
  column.reason = column.positive.empty()
                      ? fmt::format("{} levels and no positive one: described, not scored (--outcome NAME=LEVEL)", column.levels.size())
                      : "1 where it is " + shown(column.positive);
}

void make_amount(ImportedColumn& column, const ColumnTally& tally, ColumnUse use) {
  const std::string part = use == ColumnUse::weight ? "row weight" : "value";
  if (tally.known() == 0) refuse(column.name, fmt::format("is the {} and has no known cell", part), "Name another column.");
  if (tally.numbers < tally.known()) {
    refuse(column.name, fmt::format("is the {} and holds other things than numbers, the first in {}", part, tally.first_no_number.place),
           "Correct them, or name another column.");
  }
  if (use == ColumnUse::weight && tally.missing > 0) {
    refuse(column.name, fmt::format("is the row weight and has {} empty cells, the first in {}", tally.missing, tally.first_missing.place),
           "Fill them; 0 leaves a row out.");
  }
  if (use == ColumnUse::weight && tally.min < 0) {
    refuse(column.name, fmt::format("is the row weight and has negative cells, the first in {}", tally.first_negative.place),
           "Correct them; 0 leaves a row out.");
  }
  column.kind = ColumnKind::number;
  column.use = use;
  column.reason = "number";
}

}  // namespace coterie::io
