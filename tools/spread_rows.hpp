// With --where, from the customers who are placed to the rows of the file: the others have label -1, missing numbers and no mark.
#pragma once

#include <functional>

#include "host/row_selection.hpp"
#include "tools/placement.hpp"

namespace coterie::tools {

// Calls sink for consecutive rows of the file that `placed` and those left out in front of them make up, in row order; with
// placed itself where selection is nullptr.
void spread_rows(const RowSelection* selection, const PlacedRows& placed, const std::function<void(const PlacedRows&)>& sink);

}  // namespace coterie::tools
