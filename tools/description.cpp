#include "tools/description.hpp"

#include <fmt/format.h>

#include <cmath>

#include "host/contains.hpp"
#include "host/descriptors.hpp"
#include "io/result_file.hpp"
#include "tools/table.hpp"

namespace coterie::tools {

namespace {

// What a table cell has room for; the file holds all of them.
constexpr std::size_t kMarksPerSegment = 3;

void add_levels(Context& context, Description& description, const Input& input, std::span<const std::int32_t> labels) {
  for (const io::ObsColumn& column : input.file().obs()) {
    if (!column.is_category || input.text_role(column.name) == io::Role::ignore) continue;
    std::optional<io::Categories> categories = input.few_categories(column.name, kMostLevels);
    if (!categories) continue;
    description.levels.push_back(profile::measure_levels(context, column.name, std::move(categories->levels), categories->codes, labels,
                                                         input.weights(), description.profile.n_segments));
  }
}

void add_outcomes(Context& context, Description& description, const Input& input, std::span<const std::int32_t> labels) {
  for (const std::string& name : input.roles().outcomes)
    if (const std::optional<std::vector<double>> outcome = input.outcome(name))
      description.outcomes.push_back(
          profile::measure_outcome(context, name, *outcome, labels, input.weights(), description.profile.n_segments));
}

// A column of zeros and ones, whose mean is a share.
bool is_indicator(const profile::Profile& profile, std::int32_t column) {
  constexpr double kRounding = 1e-9;  // mean and share round differently
  const std::int32_t all = profile.n_segments;
  return profile.min.at(all, column) == 0 && profile.max.at(all, column) == 1 &&
         std::abs(profile.mean.at(all, column) - profile.share_nonzero.at(all, column)) < kRounding;
}

std::string mark_text(const Description& description, std::int32_t segment, std::int32_t column) {
  const profile::Profile& profile = description.profile;
  const double mean = profile.mean.at(segment, column);
  const double population = profile.mean.at(profile.n_segments, column);
  const std::string& name = description.columns[static_cast<std::size_t>(column)].name;
  if (is_indicator(profile, column)) return fmt::format("{} {:.0f} % (all {:.0f} %)", name, 100 * mean, 100 * population);
  return fmt::format("{} {} (all {})", name, short_number(mean), short_number(population));
}

// The first n_segments entries of a column that ends with the population.
std::vector<double> of_segments(const std::vector<double>& values) { return {values.begin(), values.end() - 1}; }

}  // namespace

std::vector<std::string> segment_names(std::int32_t n_segments) {
  std::vector<std::string> names;
  const std::size_t width = std::to_string(n_segments).size();
  for (std::int32_t segment = 1; segment <= n_segments; ++segment) names.push_back(fmt::format("S{:0{}}", segment, width));
  return names;
}

Description describe_segments(Session& session, Input& input, std::span<const std::int32_t> labels, std::int32_t n_segments) {
  Context& context = session.context();
  Description description;
  description.names = segment_names(n_segments);
  description.columns = input.columns();
  ZippedSource labelled(input.raw(), {input.weights().steps, labels});
  description.profile = profile::measure(context, session.backend(), labelled, n_segments, input.weights().step);
  profile::widen_effects(context, description.profile, labels, input.weights());
  add_levels(context, description, input, labels);
  add_outcomes(context, description, input, labels);
  if (!input.roles().value.empty())
    description.values.push_back(
        profile::measure_value(context, input.roles().value, input.numbers(input.roles().value), labels, input.weights(), n_segments));
  return description;
}

std::vector<std::string> marks(const Description& description, std::int32_t segment, std::size_t most) {
  const profile::Profile& profile = description.profile;
  std::vector<std::string> texts;
  std::vector<double> effects;
  for (const profile::Marker& marker : profile::markers(profile, segment, static_cast<std::size_t>(profile.n_columns))) {
    const io::FeatureColumn& column = description.columns[static_cast<std::size_t>(marker.column)];
    // What marks a segment becomes its name; the profile tables show sensitive columns too.
    if (column.role == io::Role::ignore || column.sensitive) continue;
    // Indicators of the same customers ("no internet" in five columns) have the same effect and say the same.
    if (contains(effects, marker.cohen_d)) continue;
    effects.push_back(marker.cohen_d);
    texts.push_back(mark_text(description, segment, marker.column));
    if (texts.size() == most) break;
  }
  return texts;
}

io::DataFrame segments_frame(const Description& description) {
  io::DataFrame frame = io::segments_frame(description.names, description.profile);
  for (const profile::OutcomeProfile& outcome : description.outcomes) {
    frame.columns.emplace_back(outcome.name + "_rate", of_segments(outcome.rate));
  }
  for (const profile::ValueProfile& value : description.values) {
    frame.columns.emplace_back(value.name + "_sum", of_segments(value.sum));
    frame.columns.emplace_back(value.name + "_share", of_segments(value.share));
    frame.columns.emplace_back(value.name + "_mean", of_segments(value.mean));
  }
  std::vector<std::string> marked;
  for (std::int32_t segment = 0; segment < description.profile.n_segments; ++segment)
    marked.push_back(fmt::format("{}", fmt::join(marks(description, segment, kMarksPerSegment), "; ")));
  frame.columns.emplace_back("marks", std::move(marked));
  return frame;
}

}  // namespace coterie::tools
