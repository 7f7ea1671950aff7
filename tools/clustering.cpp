#include "tools/clustering.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <utility>

#include "host/contains.hpp"
#include "host/row_selection.hpp"
#include "tools/placement.hpp"

namespace coterie::tools {

std::vector<RawColumn> raw_columns(const std::vector<io::FeatureColumn>& columns) {
  std::vector<RawColumn> raw;
  for (const io::FeatureColumn& column : columns)
    raw.push_back({column.name, column.role == io::Role::active, column.layer, column.weight});
  return raw;
}

namespace {

// The rows that a transform is chosen by: a weight of 0 means that a row is absent.
class PresentRows {
 public:
  PresentRows(Context& context, Input& input) : rows_(&input.raw()) {
    const std::vector<std::int32_t>& weight = input.weights().steps;
    if (!contains(weight, 0)) return;
    selection_.emplace(context.memory(), std::ssize(weight));
    for (const std::int32_t steps : weight) selection_->append(std::array{static_cast<char>(steps > 0)});
    selected_ = selected(context, input.raw(), *selection_);
    rows_ = selected_.get();
  }
  TileSource& get() { return *rows_; }
  bool are_all() const { return !selection_; }

 private:
  std::optional<RowSelection> selection_;
  std::unique_ptr<TileSource> selected_;
  TileSource* rows_;
};

ChosenTransform choose_by(Context& context, TileSource& rows, const std::vector<RawColumn>& columns, const TransformOptions& options) {
  const ColumnSurvey survey = survey_columns(context, rows, columns);
  return choose_transform(context, rows, survey, columns, options);
}

ChosenTransform choose(Context& context, Input& input, const TransformOptions& options) {
  const std::vector<RawColumn> columns = raw_columns(input.columns());
  PresentRows present(context, input);
  try {
    return choose_by(context, present.get(), columns, options);
  } catch (const ContentsError&) {
    if (!present.are_all()) choose_by(context, input.raw(), columns, options);  // which counts the rows it names as the file does
    throw;
  }
}

}  // namespace

Clustering::Clustering(Session& session, Input& input, const TransformOptions& options, std::int32_t max_clusters) : session_(session) {
  Context& context = session.context();
  chosen_ = choose(context, input, options);
  for (const ColumnNote& note : chosen_.notes)
    if (note.warning)
      session.warn(fmt::format("column {}: {}", input.columns()[static_cast<std::size_t>(note.source)].name, note.decision));
  grid_ = {chosen_.transform.steps(), input.weights().step};
  Transform filled = chosen_.transform;  // moments and the seeding sample are of filled rows
  filled.keep_missing = false;
  transform_rows(input, filled);
  moments_ = kmeans::measure_moments(context, *weighted_, grid_, max_clusters);
  if (chosen_.transform.keep_missing) transform_rows(input, chosen_.transform);
  staged_ = session.backend().stage(*weighted_);
}

void Clustering::transform_rows(Input& input, const Transform& transform) {
  weighted_.reset();
  rows_.reset();
  rows_ = transformed(session_.context(), input.raw(), transform);
  weighted_ = std::make_unique<ZippedSource>(*rows_, SideColumns{input.weights().steps, {}});
}

void Clustering::drop_rows() {
  staged_.reset();
  weighted_.reset();
  rows_.reset();
}

std::vector<io::FittedModel> Clustering::fit(const FitParams& params, bool keeps_labels) {
  labels_.clear();
  if (const auto* mixtures = std::get_if<std::vector<gaussian_mixture::Params>>(&params)) return fit_mixtures(*mixtures);
  return fit_kmeans(std::get<std::vector<kmeans::Params>>(params), keeps_labels);
}

std::span<const std::int32_t> Clustering::labels(std::size_t model) const {
  if (labels_.empty()) return {};
  return labels_[model].of_rows;
}

std::vector<io::FittedModel> Clustering::fit_kmeans(std::span<const kmeans::Params> params, bool keeps_labels) {
  const auto pass = session_.backend().kmeans_pass(grid_, staged_->n_columns());
  kmeans::Fit fit = kmeans::fit(session_.context(), *staged_, grid_, moments_, params, *pass, {.labels = keeps_labels});
  warn(fit.warnings);
  labels_ = std::move(fit.labels);
  return {std::make_move_iterator(fit.best.begin()), std::make_move_iterator(fit.best.end())};
}

std::vector<io::FittedModel> Clustering::fit_mixtures(std::span<const gaussian_mixture::Params> params) {
  const auto pass = session_.backend().gaussian_mixture_pass(grid_, moments_);
  gaussian_mixture::Fit fit = gaussian_mixture::fit(session_.context(), *staged_, grid_, moments_, params, *pass);
  warn(fit.warnings);
  return {std::make_move_iterator(fit.best.begin()), std::make_move_iterator(fit.best.end())};
}

void Clustering::warn(const std::vector<std::string>& warnings) {
  for (const std::string& warning : warnings) session_.warn(warning);
}

Comparison Clustering::compare(std::span<const io::FittedModel> models) {
  if (std::holds_alternative<gaussian_mixture::Model>(models.front())) {
    std::vector<gaussian_mixture::Model> mixtures;
    for (const io::FittedModel& model : models) mixtures.push_back(std::get<gaussian_mixture::Model>(model));
    return compare_mixtures(mixtures);
  }
  std::vector<kmeans::Model> clusterings;
  for (const io::FittedModel& model : models) clusterings.push_back(std::get<kmeans::Model>(model));
  return compare_kmeans(clusterings, kmeans::measure_quality(session_.context(), *weighted_, grid_, moments_, clusterings,
                                                             [this] { return session_.backend().kmeans_predictor(); }));
}

}  // namespace coterie::tools
