// What becomes of a CSV column: from its name, all of its cells (column_tally.hpp) and the options. First rule that fits:
//
//   named in the options  id, outcome, value, weight: beside X (obs), never in it
//   nothing known         ignored
//   all numbers           X, active. Whole numbers that look like codes (leading zeros, or a name such as zip or store_id)
//                         are ignored, unless --active takes them as numbers or --profile as a category
//   all ISO dates         days before --as-of in X, active; ignored without --as-of
//   one level             ignored
//   two levels            X, active: 1 for the one that says yes (yes/no, true/false, y/n, t/f, on/off); of other pairs 1
//                         for the later in byte order, which the name in X then tells: "gender=Male"
//   up to 50 levels       one column per level in X, profile: "plan=Gold"; and as a categorical in obs
//   more                  ignored
//
// --active, --profile and --ignore change the role that a rule gives.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/column_tally.hpp"
#include "io/import_options.hpp"

namespace coterie::io {

enum class ColumnKind { empty, number, code, date, constant, two_valued, category, text };
enum class ColumnUse { active, profile, ignore, id, outcome, value, weight };

std::string_view to_string(ColumnKind kind);  // "number", "two levels", ...
std::string_view to_string(ColumnUse use);    // "active", ...

// One column of the CSV file, and what became of it.
struct ImportedColumn {
  std::string name;
  ColumnKind kind = ColumnKind::empty;
  ColumnUse use = ColumnUse::ignore;
  std::string reason;               // one clause for the analyst
  bool warning = false;             // worth a look: something was left out, or is not what its name says
  std::int64_t missing = 0;         // cells
  std::vector<std::string> levels;  // of two_valued, category and constant columns, in byte order
  std::string positive;             // what 1 stands for in two_valued columns and outcomes; "" where there is no such level
  bool fits_float32 = true;
  bool sensitive = false;
  std::string layer = {};
  bool is_integer = false;   // whole numbers that an int64 and a float64 hold, without leading zeros
  std::int64_t longest = 0;  // bytes of the longest cell
};

// ContentsError: infinite numbers, a column that cannot play the part the options give it. ArgumentError: an outcome whose
// positive level is neither named nor obvious.
std::vector<ImportedColumn> decide_columns(const ImportOptions& options, const std::vector<std::string>& header,
                                           const std::vector<ColumnTally>& tallies);

}  // namespace coterie::io
