// Scores, outcomes, weights and segments of rows that a test makes up.
#pragma once

#include <cstdint>
#include <vector>

#include "host/ranked_scores.hpp"

namespace coterie::testing {

struct ScoredColumns {
  std::vector<double> score;
  std::vector<std::int8_t> outcome;
  std::vector<std::int32_t> weight, label;
  ScoredRows rows() const { return {score, outcome, weight, label}; }
};

}  // namespace coterie::testing
