// coterie assign: places customers in the segments of an earlier result. Nothing is learned; the model in the result file
// says which columns count and how they are transformed.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "host/error.hpp"
#include "io/model_file.hpp"
#include "tools/digest.hpp"
#include "tools/frames.hpp"
#include "tools/placement.hpp"
#include "tools/propensity_output.hpp"
#include "tools/result_output.hpp"
#include "tools/stopwatch.hpp"
#include "tools/stored_propensities.hpp"
#include "tools/verbs.hpp"

namespace coterie::tools {

namespace {

struct AssignOptions {
  ResourceOptions resources;
  InputOptions input;
  OutputOptions output;
  std::string model;
  bool probabilities = false;
  bool json = false;
};

// The model's transform with its sources pointing at the columns of the same name in this file. ContentsError names
// what is missing; columns that the model does not know are reported.
Transform matched_transform(Session& session, const io::SegmentationModel& model, const Input& input) {
  const auto index_of = [&](const std::string& name) {
    const auto& columns = input.columns();
    return std::find_if(columns.begin(), columns.end(), [&](const io::FeatureColumn& c) { return c.name == name; }) - columns.begin();
  };
  Transform transform = model.transform;
  std::vector<std::string> missing;
  for (ColumnTransform& column : transform.columns) {
    const std::string& name = model.raw_columns[static_cast<std::size_t>(column.source)];
    const auto index = index_of(name);
    if (index == std::ssize(input.columns()))
      missing.push_back(name);
    else
      column.source = static_cast<std::int32_t>(index);
  }
  missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
  if (!missing.empty())
    throw ContentsError(
        fmt::format("file '{}' lacks columns that the model needs: {}. Nothing was written. Add them, missing cells are allowed.",
                    input.file().path().string(), fmt::join(missing, ", ")));
  std::vector<std::string> unknown;
  for (const io::FeatureColumn& column : input.columns())
    if (std::find(model.raw_columns.begin(), model.raw_columns.end(), column.name) == model.raw_columns.end())
      unknown.push_back(column.name);
  if (!unknown.empty()) session.warn(fmt::format("columns that the model does not know are ignored: {}", fmt::join(unknown, ", ")));
  return transform;
}

struct Placement {
  std::vector<std::int64_t> sizes;
  std::string sha256;
};

// labels: (n_rows) of every customer, or empty where nobody asks.
Placement place(Session& session, Input& input, const io::SegmentationModel& model, bool probabilities, std::span<std::int32_t> labels,
                ResultOutput& output) {
  const auto rows = transformed(session.context(), input.raw(), matched_transform(session, model, input));
  const auto staged = session.backend().stage(*rows);
  const auto placer = make_placer(session, model.fit, {probabilities, model.outlier_log_likelihood});
  Placement placement{std::vector<std::int64_t>(static_cast<std::size_t>(io::n_segments(model.fit))), {}};
  ResultDigest digest;
  output.begin_rows(model.segment_names, placer->columns(), probabilities);
  placer->place(*staged, [&](const PlacedRows& placed) {
    for (const std::int32_t label : placed.label) ++placement.sizes[static_cast<std::size_t>(label)];
    if (!labels.empty()) std::copy(placed.label.begin(), placed.label.end(), labels.begin() + placed.first_row);
    digest.add_labels(placed.label);
    output.write_rows(placed);
  });
  placement.sha256 = digest.finish(model.fit);
  return placement;
}

io::DataFrame sizes_frame(const std::vector<std::string>& names, const std::vector<std::int64_t>& sizes, std::int64_t n_rows) {
  std::vector<double> shares;
  for (const std::int64_t size : sizes) shares.push_back(static_cast<double>(size) / static_cast<double>(n_rows));
  return {"segment", names, {{"n", sizes}, {"share", shares}}};
}

// The model holds propensities and no segments.
void score(const AssignOptions& options, Session& session) {
  Seconds seconds;
  io::PropensityModels models = io::read_propensities(options.model);
  Input input(session, options.input, models.where);
  PropensityOutput output(session.context(), options.output, input, models.targets.size(), options.model);
  StoredPropensities stored(session, input, std::move(models), options.model);
  {
    const Stopwatch stopwatch(seconds.predict);
    output.write_scores(session, stored.rows(), stored.models(), {});
  }
  write_run_record(output.file(), session, input.file(), seconds);
  session.context().check_cancelled();
  output.commit();
  std::vector<std::string> targets;
  for (const io::StoredTarget& target : stored.models().targets) targets.push_back(target.name);
  if (options.json) print(json_line({{"targets", targets}, {"n", input.n_rows()}, {"warnings", session.warnings()}}));
  session.say(fmt::format("{} customers scored: {}. Result: {}", input.n_rows(), fmt::join(targets, ", "), options.output.path));
}

// The models of a file that has segments, too: those are for everybody, scores need events.
std::optional<io::PropensityModels> scoring_models(const AssignOptions& options, Session& session) {
  if (!io::has_propensities(options.model)) return std::nullopt;
  std::optional<io::PropensityModels> models = io::read_propensities(options.model);
  if (scores_customers(*models)) return models;
  session.warn("customers are placed and not scored: every propensity was fitted on too few customers of the rarer outcome");
  return std::nullopt;
}

struct StoredModels {
  const io::SegmentationModel& segments;
  std::optional<io::PropensityModels> propensities;
};

Placement place_and_score(const AssignOptions& options, Session& session, Input& input, StoredModels models, ResultOutput& output) {
  if (!models.propensities) return place(session, input, models.segments, options.probabilities, {}, output);
  output.expect_more_columns();
  std::vector<std::int32_t> labels;
  Reservation labels_memory;
  if (has_segment_effects(*models.propensities)) {
    labels_memory = session.context().memory().reserve("the label of every customer", input.n_rows() * std::int64_t{sizeof(std::int32_t)});
    labels.resize(static_cast<std::size_t>(input.n_rows()));
  }
  Placement placement = place(session, input, models.segments, options.probabilities, labels, output);
  StoredPropensities stored(session, input, std::move(*models.propensities), options.model, {models.segments.segment_names, labels});
  append_scores(session, {output.file(), input.selection()}, stored.rows(), stored.models(), {});
  return placement;
}

// Who is chosen by both.
std::string both_conditions(const std::string& a, const std::string& b) {
  if (a.empty() || b.empty() || a == b) return a.empty() ? b : a;
  return fmt::format("({}) && ({})", a, b);
}

void assign(const AssignOptions& options) {
  refuse_shared_stdout(options.json, options.output.csv);
  Session session(options.resources);
  session.backend();
  if (io::has_propensities(options.model) && !io::has_segmentation(options.model)) return score(options, session);
  Seconds seconds;
  const io::SegmentationModel model = io::read_model(options.model);
  std::optional<io::PropensityModels> propensities = scoring_models(options, session);
  Input input(session, options.input, both_conditions(model.where, propensities ? propensities->where : ""));
  if (options.probabilities && std::holds_alternative<kmeans::Model>(model.fit))
    throw ArgumentError(fmt::format("--probabilities: the model in '{}' is k-means, which has none. Nothing was written.", options.model));
  const std::int32_t n_clusters = io::n_segments(model.fit);
  const std::int64_t row_bytes =
      placement_bytes(n_clusters, options.probabilities) + score_bytes(propensities ? propensities->targets.size() : 0);
  ResultOutput output(session.context(), options.output, input, row_bytes, options.model);
  Placement placement;
  {
    const Stopwatch stopwatch(seconds.predict);
    placement = place_and_score(options, session, input, {model, std::move(propensities)}, output);
  }
  const io::DataFrame sizes = sizes_frame(model.segment_names, placement.sizes, input.n_rows());
  {
    const Stopwatch stopwatch(seconds.write);
    output.file().write_frame("uns/segmentation/segments", sizes);
    write_run_record(output.file(), session, input.file(), seconds);
    session.context().check_cancelled();
    output.commit();
  }
  if (options.json)
    print(json_line({{"n_clusters", n_clusters},
                     {"sizes", placement.sizes},
                     {"device", session.backend().name()},
                     {"seconds", {{"predict", seconds.predict}, {"write", seconds.write}}},
                     {"sha256", placement.sha256},
                     {"warnings", session.warnings()}}));
  else if (options.output.csv != "-")
    print(frame_table(sorted_descending(sizes, "n")));
  session.say(fmt::format("Result: {}", options.output.path));
}

}  // namespace

Verb add_assign(CLI::App& root) {
  CLI::App* app = add_verb(root, "assign", "Place customers in the segments of an earlier result, and score its propensities",
                           "new.h5ad --model result.h5ad -o labels.h5ad --csv labels.csv");
  auto options = std::make_shared<AssignOptions>();
  add_input_file(*app, options->input);
  options->input.allow_sensitive = true;  // the model says which columns count
  app->add_option("--model", options->model, "Result file of `cluster`, `run` or `propensity`")->required();
  add_output(*app, options->output, "Write the labels as CSV too; - is standard output");
  app->add_flag("--probabilities", options->probabilities, "Write the probability of every segment; the model must be a mixture");
  add_device(*app, options->resources);
  add_resources(*app, options->resources);
  add_json(*app, options->json);
  return {app, [options] { assign(*options); }};
}

}  // namespace coterie::tools
