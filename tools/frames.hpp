// Small tables on their way to people and programs.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "io/data_frame.hpp"

namespace coterie::tools {

// A table for a terminal; shares, rates and probabilities as percentages, "share", "rate" or "probability" being the end of the column's
// name.
std::string frame_table(const io::DataFrame& frame);
// The rows of `frame`, those with the largest number in `column` first.
io::DataFrame sorted_descending(const io::DataFrame& frame, const std::string& column);
// The columns named, in that order; names that are not there are skipped.
io::DataFrame selected(const io::DataFrame& frame, const std::vector<std::string>& names);
// A list of objects, the index under its name; NaN becomes null.
nlohmann::ordered_json frame_json(const io::DataFrame& frame);

}  // namespace coterie::tools
