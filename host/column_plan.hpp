// What becomes of one raw column, decided from the survey alone.
#pragma once

#include "host/transform.hpp"

namespace coterie {

struct ColumnPlan {
  ColumnTransform column;    // center and scale are still 0 and 1 when `standardise` is set
  bool dropped = false;      // no clustering column comes of it
  bool standardise = false;  // center and scale are to be the mean and standard deviation of the prepared values
  bool moved_to_profile = false;
  double min = 0, max = 0;  // known raw values
  double robust_width = 0;  // standard deviation of the prepared values as their quantiles tell it; 0: unknown
  ColumnNote note;
};

// The standard deviations that lie between the quartiles, and between the 1 % and 99 % quantile, of normal data.
inline constexpr double kNormalQuartileWidth = 1.349;
inline constexpr double kNormalPercentileWidth = 4.653;

// `missing` is error, median or keep; `fill_any_share`: one of the last two was asked for, so even columns that are mostly
// missing are used.
// With kind none or another explicit one the column is transformed as asked; automatic decides:
//   more than 30 % missing, or one known value and missing cells -> an `answered` indicator
//   one value                                                   -> dropped (by every kind but none)
//   two values                                                  -> z-score
//   heavy upper tail, nothing negative                          -> log1p, z-score
//   heavy tail, negative values                                 -> robust scale
//   anything else                                               -> z-score
// and winsorises at the 0.1 % or 99.9 % quantile on the side where the extreme lies more than 5 robust widths beyond it.
ColumnPlan plan_column(const ColumnSurvey& survey, std::int32_t source, TransformKind kind, MissingPolicy missing, bool fill_any_share);

}  // namespace coterie
