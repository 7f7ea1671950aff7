// --where: from a condition to the rows of a file that it chooses.
#pragma once

#include <string>

#include "host/row_filter.hpp"
#include "host/row_selection.hpp"
#include "io/feature_file.hpp"
#include "tools/session.hpp"

namespace coterie::tools {

// Both conditions together: those of an earlier result and of --where; either may be empty.
struct Conditions {
  std::string model;
  std::string given;
  bool empty() const { return model.empty() && given.empty(); }
};

// Columns are those of X, then those of obs. Reads `raw`, which has all columns of X, once where one of them is named.
// ArgumentError for `given`: syntax, a column or level that the file does not have. ContentsError: a column that the condition
// of the model needs; no row is chosen. ResourceError: the columns of obs that are named do not fit the budget.
RowSelection select_rows(Session& session, const io::FeatureFile& file, TileSource& raw, const Conditions& conditions);

}  // namespace coterie::tools
