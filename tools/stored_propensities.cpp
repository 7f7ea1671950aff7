#include "tools/stored_propensities.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "host/error.hpp"

namespace coterie::tools {

namespace {

std::vector<io::PredictorColumn> needed_columns(const io::PropensityModels& models) {
  std::vector<io::PredictorColumn> needed;
  for (const ColumnTransform& column : models.transform.columns)
    needed.push_back(models.raw_columns[static_cast<std::size_t>(column.source)]);
  return needed;
}

}  // namespace

bool scores_customers(const io::PropensityModels& models) {
  return std::any_of(models.targets.begin(), models.targets.end(),
                     [](const io::StoredTarget& target) { return target.events >= target.min_events; });
}

bool has_segment_effects(const io::PropensityModels& models) {
  return std::any_of(models.targets.begin(), models.targets.end(),
                     [](const io::StoredTarget& target) { return !target.segment_names.empty(); });
}

StoredPropensities::StoredPropensities(Session& session, Input& input, io::PropensityModels models, const std::string& path,
                                       const SegmentLabels& segments)
    : models_(std::move(models)) {
  require_events(path);
  drop_effects(session, segments.names);
  predictors_ = std::make_unique<Predictors>(session, input, needed_columns(models_), std::vector<std::string>());
  rows_ = transformed(session.context(), predictors_->source(), matched_transform(input));
  labelled_ = std::make_unique<ZippedSource>(*rows_, SideColumns{.weight = {}, .label = segments.labels});
  staged_ = session.backend().stage(*labelled_);
  report(session, input);
}

void StoredPropensities::require_events(const std::string& path) const {
  if (scores_customers(models_)) return;
  const io::StoredTarget& target = models_.targets.front();
  throw PolicyError(
      fmt::format("model '{}': {} was fitted on {} customers of the rarer outcome, too few to score single customers ({} are needed). "
                  "Nothing was written. Fit it on more customers, or with `coterie propensity --min-events {}`.",
                  path, target.name, target.events, target.min_events, target.events));
}

Transform StoredPropensities::matched_transform(const Input& input) const {
  Transform transform = models_.transform;
  std::set<std::string> missing;
  const auto& columns = predictors_->columns();
  for (ColumnTransform& column : transform.columns) {
    const std::string& name = models_.raw_columns[static_cast<std::size_t>(column.source)].name;
    const auto found = std::find_if(columns.begin(), columns.end(), [&](const io::FeatureColumn& c) { return c.name == name; });
    if (found == columns.end()) missing.insert(name);
    column.source = static_cast<std::int32_t>(found - columns.begin());
  }
  if (!missing.empty())
    throw ContentsError(
        fmt::format("file '{}' lacks columns that the propensities need: {}. Nothing was written. Add them, missing cells are allowed.",
                    input.file().path().string(), fmt::join(missing, ", ")));
  return transform;
}

void StoredPropensities::report(Session& session, const Input& input) const {
  std::set<std::string> known, texts, unknown;
  for (const io::PredictorColumn& column : models_.raw_columns) {
    known.insert(column.name);
    if (!column.onehot_of.empty()) texts.insert(column.onehot_of);
  }
  for (const io::FeatureColumn& column : input.columns())
    if (!known.contains(column.name) && !texts.contains(column.onehot_of)) unknown.insert(column.name);
  if (!unknown.empty()) session.warn(fmt::format("columns that the propensities do not know are ignored: {}", fmt::join(unknown, ", ")));
  for (const io::ObsColumn& column : input.file().obs()) {
    if (!column.is_category || !texts.contains(column.name)) continue;
    std::vector<std::string> levels;
    for (const std::string& name : known)
      if (name.starts_with(column.name + "=")) levels.push_back(name.substr(column.name.size() + 1));
    const std::vector<std::int32_t> codes = input.level_codes(column.name, levels);
    const auto n_unseen = std::count(codes.begin(), codes.end(), static_cast<std::int32_t>(levels.size()));
    if (n_unseen > 0)
      session.warn(fmt::format("{}: {} customers have a level that the propensities have not seen; they count as none of the known",
                               column.name, n_unseen));
  }
}

void StoredPropensities::drop_effects(Session& session, const std::vector<std::string>& segment_names) {
  for (io::StoredTarget& target : models_.targets) {
    if (target.segment_names.empty() || target.segment_names == segment_names) continue;
    target.model.segment_effects.clear();
    session.warn(fmt::format("{}: the effects of segments need the segments of these customers; they are scored without", target.name));
  }
}

}  // namespace coterie::tools
