// How many rows repeat an earlier row, cell by cell. The statistic is the rows with the smallest 64-bit digests: all copies
// of a row share its digest, so the repeats among those rows are exact for a small table and an unbiased share for a large one.
#pragma once

#include <cstdint>

#include "host/context.hpp"
#include "host/tile_source.hpp"

namespace coterie {

struct RepeatedRows {
  std::int64_t rows = 0;
  bool exact = true;  // false: estimated from 2^20 rows; where 1 % repeat, that is known to a hundredth of itself
};

// One sweep. -0 equals 0, and a missing cell equals a missing cell. ResourceError when the digests do not fit the budget.
RepeatedRows count_repeated_rows(Context& context, TileSource& raw);

}  // namespace coterie
