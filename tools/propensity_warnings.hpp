// What an analyst should know before believing a propensity: columns that tell too much, too few events, flattering judgements.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/propensities.hpp"

namespace coterie::tools {

// One sentence each, without the name of the target. min_events: of single customers' scores
std::vector<std::string> warnings_about(const PropensityData& data, const Propensity& propensity, std::int64_t min_events);

}  // namespace coterie::tools
