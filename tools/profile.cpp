// coterie profile: what each segment of a result file is like.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "host/error.hpp"
#include "io/result_reader.hpp"
#include "tools/frames.hpp"
#include "tools/job.hpp"
#include "tools/suggest.hpp"
#include "tools/table.hpp"
#include "tools/verbs.hpp"

namespace coterie::tools {

namespace {

struct ProfileOptions {
  std::string path;
  std::string segment;  // "": all
  std::int32_t top = 8;
  bool json = false;
};

template <class T>
const std::vector<T>& cells(const io::DataFrame& frame, const std::string& column) {
  const io::DataFrame::Column* found = frame.find(column);
  if (found == nullptr || !std::holds_alternative<std::vector<T>>(*found))
    throw InputError(
        fmt::format("the table of the result file lacks a usable column {}. Make the result anew with `coterie run`.", column));
  return std::get<std::vector<T>>(*found);
}

// Rows of the long profile table that belong to one segment, the largest |effect| first.
std::vector<std::size_t> strongest_rows(const io::DataFrame& profile, const std::string& segment, std::int32_t most) {
  const auto& segments = cells<std::string>(profile, "segment");
  const auto& roles = cells<std::string>(profile, "role");
  const auto& effects = cells<double>(profile, "effect");
  std::vector<std::size_t> rows;
  for (std::size_t row = 0; row < segments.size(); ++row)
    if (segments[row] == segment && roles[row] != "ignore" && !std::isnan(effects[row])) rows.push_back(row);
  std::stable_sort(rows.begin(), rows.end(), [&](auto a, auto b) { return std::abs(effects[a]) > std::abs(effects[b]); });
  rows.resize(std::min(rows.size(), static_cast<std::size_t>(most)));
  return rows;
}

io::DataFrame segment_frame(const io::DataFrame& profile, const std::string& segment, std::int32_t most) {
  const auto& features = cells<std::string>(profile, "feature");
  const auto& means = cells<double>(profile, "mean");
  const auto population_mean = [&](const std::string& feature) {  // everybody's rows come last
    for (std::size_t row = features.size(); row-- > 0;)
      if (features[row] == feature) return means[row];
    return std::nan("");
  };
  io::DataFrame frame{"feature", {}, {}};
  const std::vector<std::size_t> rows = strongest_rows(profile, segment, most);
  for (const std::size_t row : rows) frame.index.push_back(features[row]);
  const auto add = [&](const std::string& title, const auto& value_of) {
    std::vector<double> values;
    for (const std::size_t row : rows) values.push_back(value_of(row));
    frame.columns.emplace_back(title, std::move(values));
  };
  for (const char* name : {"mean", "median"})
    add(name, [&, &column = cells<double>(profile, name)](std::size_t row) { return column[row]; });
  add("mean of all", [&](std::size_t row) { return population_mean(features[row]); });
  for (const char* name : {"index", "effect"})
    add(name, [&, &column = cells<double>(profile, name)](std::size_t row) { return column[row]; });
  return frame;
}

std::vector<std::string> chosen_segments(const io::DataFrame& segments, const std::string& wanted) {
  if (wanted.empty()) return segments.index;
  if (std::find(segments.index.begin(), segments.index.end(), wanted) != segments.index.end()) return {wanted};
  throw ArgumentError(
      fmt::format("--segment {}: there is no such segment; there are {} to {}.", wanted, segments.index.front(), segments.index.back()));
}

void profile(const ProfileOptions& options) {
  const io::ResultReader reader(options.path);
  constexpr char kProfileTable[] = "uns/segmentation/profile_table";
  if (!reader.contains(kProfileTable) && reader.contains("uns/propensity"))
    throw ContentsError(
        fmt::format("file '{}' holds propensities and no profiles. Those of its segments lie in the result of `coterie run` or "
                    "`coterie cluster` that --segments named: give that file.",
                    options.path));
  if (!reader.contains(kProfileTable))
    throw ContentsError(fmt::format("file '{}' holds no profiles ({}). They are written by `coterie run` and `coterie cluster`.",
                                    options.path, kProfileTable));
  const io::DataFrame segments = reader.frame("uns/segmentation/segments");
  const io::DataFrame table = reader.frame(kProfileTable);
  nlohmann::ordered_json json{{"segments", frame_json(segments)}};
  std::string text = segments_table(segments);
  for (const std::string& segment : chosen_segments(sorted_descending(segments, "n"), options.segment)) {
    const io::DataFrame frame = segment_frame(table, segment, options.top);
    json["profiles"][segment] = frame_json(frame);
    text += fmt::format("\n{}\n{}", printable(segment), frame_table(frame));
  }
  print(options.json ? json_line(json) : text);
}

}  // namespace

Verb add_profile(CLI::App& root) {
  CLI::App* app = add_verb(root, "profile", "Show what each segment of a result is like", "result.h5ad --segment S3 --top 10");
  auto options = std::make_shared<ProfileOptions>();
  app->add_option("FILE", options->path, "Result file of `cluster` or `run`")->required();
  app->add_option("--segment", options->segment, "One segment only");
  add_number(*app, "--top", options->top, 1, 1 << 20, "Columns shown per segment, the strongest effect first");
  add_json(*app, options->json);
  return {app, [options] { profile(*options); }};
}

}  // namespace coterie::tools
