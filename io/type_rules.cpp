#include "io/type_rules.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/column_names.hpp"
#include "host/contains.hpp"
#include "io/csv_cell.hpp"
#include "io/named_columns.hpp"
#include "io/text.hpp"

namespace coterie::io {
namespace {

bool is_code(const std::string& name, const ColumnTally& tally) {
  if (tally.whole < tally.known() || tally.min < 0) return false;
  const bool flag = tally.levels.few() && tally.levels.size() <= 2;  // "phone: 0 or 1"
  return !flag && (tally.leading_zeros > 0 || is_code_name(name));
}

ColumnKind kind_of(const std::string& name, const ColumnTally& tally) {
  if (tally.known() == 0) return ColumnKind::empty;
  if (tally.numbers == tally.known()) return is_code(name, tally) ? ColumnKind::code : ColumnKind::number;
  if (tally.dates == tally.known()) return ColumnKind::date;
  if (!tally.levels.few()) return ColumnKind::text;
  if (tally.levels.size() == 1) return ColumnKind::constant;
  return tally.levels.size() == 2 ? ColumnKind::two_valued : ColumnKind::category;
}

void set(ImportedColumn& column, ColumnUse use, std::string reason, bool warning = false) {
  column.use = use;
  column.reason = std::move(reason);
  column.warning = warning;
}

// Why a column is text when much of it is not.
std::string almost(const ColumnTally& tally) {
  if (tally.has_decimal_commas()) return "; all cells are numbers with a decimal comma: --decimal ,";
  const std::int64_t most = std::max(tally.numbers, tally.dates);
  if (2 * most <= tally.known()) return {};
  return fmt::format("; {} of {} known cells are {}, the first other one is in {}", most, tally.known(),
                     tally.numbers == most ? "numbers" : "dates",
                     tally.numbers == most ? tally.first_no_number.place : tally.first_no_date.place);
}

// Why a column that is called like an id is none.
std::string not_the_id(const ColumnTally& tally) {
  if (!tally.repeats) return {};
  if (tally.missing > 0) return fmt::format("; no id, for {} cells are empty", tally.missing);
  return *tally.repeats > 0 ? fmt::format("; no id, for {} rows repeat an earlier one", *tally.repeats) : std::string();
}

// One of two levels is train, and the other a word for those held out.
bool is_split(const std::vector<std::string>& levels) {
  const std::vector<std::string> held_out = {"test", "valid", "validation", "holdout", "held-out"};
  return contains(levels, "train") && (contains(held_out, levels.front()) || contains(held_out, levels.back()));
}

void make_two_valued(ImportedColumn& column) {
  if (is_split(column.levels)) {
    column.positive = "train";
    return set(column, ColumnUse::profile, "1 where it is 'train': whom to fit on (propensity --split)");
  }
  column.positive = affirmative(column.levels);
  if (column.positive.empty()) column.positive = column.levels.back();
  set(column, ColumnUse::active, "1 where it is " + shown(column.positive));
}

void make_date(ImportedColumn& column, const ColumnTally& tally, const ImportOptions& options) {
  const std::optional<std::int64_t> day = as_of_day(options);
  if (!day) return set(column, ColumnUse::ignore, "dates count only before a day (--as-of YYYY-MM-DD)", true);
  const bool later = tally.last_day > *day;
  set(column, ColumnUse::active,
      fmt::format("days before {}{}", options.as_of, later ? "; some dates are later, which gives negative days" : ""), later);
}

void make_feature(ImportedColumn& column, const ColumnTally& tally, const ImportOptions& options) {
  switch (column.kind) {
    case ColumnKind::empty: return set(column, ColumnUse::ignore, "no known cell", true);
    case ColumnKind::number: return set(column, ColumnUse::active, "number");
    case ColumnKind::code:
      return set(column, ColumnUse::ignore, "looks like a code, not an amount (--active or --profile takes it)" + not_the_id(tally), true);
    case ColumnKind::date: return make_date(column, tally, options);
    case ColumnKind::constant:
      return set(column, ColumnUse::ignore,
                 tally.missing == 0 ? "one level only" : "one level and empty cells; write the other level into them", true);
    case ColumnKind::two_valued: return make_two_valued(column);
    case ColumnKind::category: {
      const std::string doubt = almost(tally);
      return set(column, ColumnUse::profile, fmt::format("{} levels{}", column.levels.size(), doubt), !doubt.empty());
    }
    case ColumnKind::text:
      return set(column, ColumnUse::ignore, fmt::format("text with more than {} levels{}{}", kMostLevels, almost(tally), not_the_id(tally)),
                 true);
  }
}

void apply_role(ImportedColumn& column, const ColumnTally& tally, const ImportOptions& options) {
  if (contains(options.ignore, column.name)) return set(column, ColumnUse::ignore, "as asked");
  const bool active = contains(options.active, column.name);
  if (!active && !contains(options.profile, column.name)) return;
  const ColumnUse use = active ? ColumnUse::active : ColumnUse::profile;
  if (column.kind == ColumnKind::code && (active || !tally.levels.few())) {
    column.kind = ColumnKind::number;
    return set(column, use, "a code taken as a number, as asked", true);
  }
  if (column.kind == ColumnKind::code) {
    column.kind = ColumnKind::category;
    column.levels = tally.levels.sorted();
    return set(column, use, fmt::format("a code of {} levels, as asked", column.levels.size()));
  }
  if (column.use == ColumnUse::ignore) {
    refuse(column.name, fmt::format("cannot be {}: {}", active ? "active" : "profile", column.reason),
           "Take it out of that option, or change it.");
  }
  set(column, use, column.reason + ", as asked", column.warning);
}

// The column that holds the ids: the named one, or the best name among those without gaps and repeats. header.size() is none.
std::size_t find_id(const ImportOptions& options, const std::vector<std::string>& header, const std::vector<ColumnTally>& tallies) {
  if (!options.id.empty()) return static_cast<std::size_t>(std::find(header.begin(), header.end(), options.id) - header.begin());
  std::size_t best = header.size();
  for (std::size_t i = 0; i < header.size(); ++i) {
    if (!tallies[i].repeats || tallies[i].missing > 0 || tallies[i].known() == 0) continue;
    if (best < header.size() && id_rank(header[i]) <= id_rank(header[best])) continue;
    if (*tallies[i].repeats == 0) best = i;
  }
  return best;
}

ImportedColumn decide(const ImportOptions& options, const std::string& name, const ColumnTally& tally, bool is_id) {
  ImportedColumn column;
  column.name = name;
  column.kind = kind_of(name, tally);
  column.missing = tally.missing;
  column.fits_float32 = tally.fits_float32;
  column.sensitive = contains(options.sensitive, name);
  for (const auto& [layer, names] : options.layers)
    if (contains(names, name)) column.layer = layer;
  column.is_integer = tally.known() > 0 && tally.whole == tally.known() && tally.leading_zeros == 0 && -tally.min < kIntegersBelow &&
                      tally.max < kIntegersBelow;
  column.longest = static_cast<std::int64_t>(tally.longest);
  if (column.kind == ColumnKind::two_valued || column.kind == ColumnKind::category) column.levels = tally.levels.sorted();
  const auto outcome = std::find_if(options.outcomes.begin(), options.outcomes.end(), [&](const auto& o) { return o.name == name; });
  if (is_id) {
    make_id(column, tally);
  } else if (outcome != options.outcomes.end()) {
    make_outcome(column, tally, options, outcome->positive.empty() ? options.positive : outcome->positive);
  } else if (name == options.value || name == options.weight) {
    make_amount(column, tally, name == options.weight ? ColumnUse::weight : ColumnUse::value);
  } else {
    make_feature(column, tally, options);
    apply_role(column, tally, options);
  }
  if (column.kind == ColumnKind::number && column.use != ColumnUse::ignore && column.use != ColumnUse::id && tally.infinite > 0) {
    refuse(name, fmt::format("has {} numbers that are infinite or too large, the first in {}", tally.infinite, tally.first_infinite.place),
           "Correct or blank them, or name the column in --ignore.");
  }
  return column;
}

}  // namespace

std::string_view to_string(ColumnKind kind) {
  switch (kind) {
    case ColumnKind::empty: return "empty";
    case ColumnKind::number: return "number";
    case ColumnKind::code: return "code";
    case ColumnKind::date: return "date";
    case ColumnKind::constant: return "one level";
    case ColumnKind::two_valued: return "two levels";
    case ColumnKind::category: return "category";
    case ColumnKind::text: return "text";
  }
  return {};
}

std::string_view to_string(ColumnUse use) {
  switch (use) {
    case ColumnUse::active: return "active";
    case ColumnUse::profile: return "profile";
    case ColumnUse::ignore: return "ignore";
    case ColumnUse::id: return "id";
    case ColumnUse::outcome: return "outcome";
    case ColumnUse::value: return "value";
    case ColumnUse::weight: return "weight";
  }
  return {};
}

std::vector<ImportedColumn> decide_columns(const ImportOptions& options, const std::vector<std::string>& header,
                                           const std::vector<ColumnTally>& tallies) {
  const std::size_t id = find_id(options, header, tallies);
  std::vector<ImportedColumn> columns;
  for (std::size_t i = 0; i < header.size(); ++i) columns.push_back(decide(options, header[i], tallies[i], i == id));
  return columns;
}

}  // namespace coterie::io
