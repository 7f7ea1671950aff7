// How much every clustering column counts. A weight w multiplies the column's part of each squared distance, so its values are
// scaled by sqrt(w). Columns have the weights that they are given, 1 where others have one; without any weight, layers that are
// named count alike: w = (total variance / layers) / variance of the layer, and columns without a layer make up one more.
#pragma once

#include <vector>

#include "host/column_plan.hpp"

namespace coterie {

// Does anything here change a scale? Then the plans need their variances.
bool has_layer_weights(const std::vector<RawColumn>& columns);

// Scales the plans that are not dropped; weight 0 drops one. variances: (plans) of the values in clustering units, n - 1.
// ContentsError: a weight so large or small that float32 would not hold the values.
void apply_layer_weights(const std::vector<RawColumn>& columns, const std::vector<double>& variances, std::vector<ColumnPlan>& plans);

}  // namespace coterie
