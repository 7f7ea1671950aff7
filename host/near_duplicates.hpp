// Columns that say the same twice: a distance counts them double.
#pragma once

#include <cstdint>
#include <vector>

#include "host/context.hpp"
#include "host/transform.hpp"

namespace coterie {

struct NearDuplicate {
  std::int32_t column = 0;
  std::int32_t of = 0;     // the first column it follows, of < column
  double correlation = 0;  // Pearson's, of the sampled rows; missing cells count as the mean
};

// Among `columns` (ascending) those whose |correlation| with an earlier one is above 0.999 in the sample, whose rows must
// be sorted. With many columns fewer rows of the sample are used.
std::vector<NearDuplicate> find_near_duplicates(Context& context, const ColumnSurvey& survey, const std::vector<std::int32_t>& columns);

}  // namespace coterie
