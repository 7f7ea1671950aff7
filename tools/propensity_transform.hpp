// The transform of columns that predict. Distances want short tails, straight lines want the log-odds to be straight: `auto`
// takes each column as it is or, where the outcomes ask for it, the logarithm of it, then centers, scales and fills it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "host/transform.hpp"
#include "tools/targets.hpp"

namespace coterie::tools {

// The rows whose outcomes may be looked at: those of a fold that is not negative.
struct KnownOutcomes {
  const Targets& targets;
  std::span<const std::int8_t> fold;  // (n_rows)
};

// As choose_transform, but for TransformKind::automatic. There a column without negative values gets log1p where a line through it alone
// predicts the outcomes of sampled rows better by a likelihood ratio at the 5 % level, all targets together.
ChosenTransform choose_propensity_transform(Context& context, TileSource& raw, const ColumnSurvey& survey,
                                            const std::vector<RawColumn>& columns, const TransformOptions& options,
                                            const KnownOutcomes& outcomes);

}  // namespace coterie::tools
