// What the segments are like: profiles in raw units, outcome rates, value shares, and the few facts that mark each one.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "host/profile.hpp"
#include "io/data_frame.hpp"
#include "tools/input.hpp"
#include "tools/session.hpp"

namespace coterie::tools {

struct Description {
  std::vector<std::string> names;          // (n_segments)
  std::vector<io::FeatureColumn> columns;  // of X
  profile::Profile profile;
  std::vector<profile::LevelProfile> levels;      // obs categories of at most kMostLevels levels
  std::vector<profile::OutcomeProfile> outcomes;  // numeric outcomes; those that are categories are among the levels
  std::vector<profile::ValueProfile> values;      // at most one
};

// More levels than this describe nobody.
inline constexpr std::size_t kMostLevels = 50;

// "S1", "S2", ... in the order of the centers, as wide as the last so that they sort.
std::vector<std::string> segment_names(std::int32_t n_segments);

// labels: (n_rows). Reads the raw matrix anew.
Description describe_segments(Session& session, Input& input, std::span<const std::int32_t> labels, std::int32_t n_segments);

// "tenure 57.3 (all 32.4)", strongest first; empty for a segment that is like everybody.
std::vector<std::string> marks(const Description& description, std::int32_t segment, std::size_t most);

// One row per segment: n, weight, share, <outcome>_rate, <value>_sum, _share, _mean, marks.
io::DataFrame segments_frame(const Description& description);

}  // namespace coterie::tools
