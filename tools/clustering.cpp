#include "tools/clustering.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "host/error.hpp"
#include "host/passes.hpp"

namespace coterie::tools {

std::vector<RawColumn> raw_columns(const std::vector<io::FeatureColumn>& columns) {
  std::vector<RawColumn> raw;
  for (const io::FeatureColumn& column : columns) raw.push_back({column.name, column.role == io::Role::active});
  return raw;
}

Clustering::Clustering(Session& session, Input& input, const TransformOptions& options, std::int32_t max_clusters) : session_(session) {
  Context& context = session.context();
  const ColumnSurvey survey = survey_columns(context, input.raw(), raw_columns(input.columns()));
  chosen_ = choose_transform(context, input.raw(), survey, raw_columns(input.columns()), options);
  for (const ColumnNote& note : chosen_.notes)
    if (note.warning)
      session.warn(fmt::format("column {}: {}", input.columns()[static_cast<std::size_t>(note.source)].name, note.decision));
  rows_ = transformed(context, input.raw(), chosen_.transform);
  weighted_ = std::make_unique<ZippedSource>(*rows_, SideColumns{input.weights().steps, {}});
  grid_ = {chosen_.transform.steps(), input.weights().step};
  moments_ = kmeans::measure_moments(context, *weighted_, grid_, max_clusters);
  staged_ = session.backend().stage(*weighted_);
}

std::vector<kmeans::Model> Clustering::fit(std::span<const kmeans::Params> params) {
  const auto pass = session_.backend().kmeans_pass(grid_, staged_->n_columns());
  kmeans::Fit fit = kmeans::fit(session_.context(), *staged_, grid_, moments_, params, *pass);
  for (const std::string& warning : fit.warnings) session_.warn(warning);
  return std::move(fit.best);
}

std::vector<kmeans::Quality> Clustering::quality(std::span<const kmeans::Model> models) {
  return kmeans::measure_quality(session_.context(), *weighted_, grid_, moments_, models,
                                 [this] { return session_.backend().kmeans_predictor(); });
}

void Clustering::predict(const kmeans::Model& model, const std::function<void(std::int64_t, const kmeans::Assignment&)>& sink) {
  const auto predictor = session_.backend().kmeans_predictor();
  map_tiles(session_.context(), *staged_, *predictor, model, sink);
}

StartCenters read_start_centers(Session& session, const CentersPath& path) {
  const auto file = io::FeatureFile::open(path.file, {.x = path.dataset});
  if (file->n_rows() > kMaxClusters)
    throw ContentsError(fmt::format("file '{}', dataset '{}': {} rows are no start centers. Nothing was written.", path.file, path.dataset,
                                    file->n_rows()));
  const auto source = file->tiles(session.context());
  StartCenters centers{{}, static_cast<std::int32_t>(source->n_rows()), source->n_columns()};
  source->rewind();
  while (const Tile* tile = source->next()) {
    const std::size_t n_cells = static_cast<std::size_t>(tile->n_rows) * static_cast<std::size_t>(tile->n_columns);
    visit_cells(*tile, [&](const auto* cells) {
      for (std::size_t i = 0; i < n_cells; ++i) centers.values.push_back(static_cast<float>(cells[i]));
    });
  }
  const bool finite = std::all_of(centers.values.begin(), centers.values.end(), [](float value) { return std::isfinite(value); });
  if (!finite)
    throw ContentsError(
        fmt::format("file '{}', dataset '{}': start centers must be finite numbers. Nothing was written.", path.file, path.dataset));
  return centers;
}

}  // namespace coterie::tools
