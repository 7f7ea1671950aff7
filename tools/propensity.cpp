// coterie propensity: how likely each customer is to do something, how good that guess is, and why.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "host/error.hpp"
#include "io/model_file.hpp"
#include "io/result_reader.hpp"
#include "tools/frames.hpp"
#include "tools/propensity_frames.hpp"
#include "tools/propensity_output.hpp"
#include "tools/stopwatch.hpp"
#include "tools/table.hpp"
#include "tools/verbs.hpp"

namespace coterie::tools {

namespace {

struct PropensityRequest {
  ResourceOptions resources;
  InputOptions input;
  PropensityOptions propensity;
  OutputOptions output;
  std::string segments;  // result file of a segmentation of the same customers
  bool effects = true;   // of these segments
  bool json = false;
};

[[noreturn]] void refuse_segments(const std::string& path, const std::string& what) {
  throw ContentsError(fmt::format(
      "--segments {}: {}. Nothing was written. Give the result of `coterie cluster` or `coterie run` for this file.", path, what));
}

void check_same_customers(const io::ResultReader& reader, const Input& input, const std::string& path) {
  constexpr std::int64_t kRowsAtOnce = 1 << 16;
  if (reader.n_rows() != input.file().n_rows())
    refuse_segments(path, fmt::format("it has {} customers, and the file {}", reader.n_rows(), input.file().n_rows()));
  for (std::int64_t first = 0; first < reader.n_rows(); first += kRowsAtOnce) {
    const std::int64_t count = std::min(kRowsAtOnce, reader.n_rows() - first);
    const io::ColumnCells stored = reader.rows(reader.columns().front(), first, count);
    const bool same = std::visit(
        [&](const auto& ids) {
          const auto* cells = std::get_if<std::decay_t<decltype(ids)>>(&stored);
          return cells != nullptr && *cells == ids;
        },
        input.file().ids(first, count));
    if (!same) refuse_segments(path, fmt::format("from row {} on its customers are others, or in another order", first));
  }
}

struct GivenSegments {
  std::vector<std::int32_t> labels;
  std::optional<io::SegmentationModel> model;  // stored beside the effects, so that new customers get theirs
  Reservation memory;
  SegmentLabels view;
};

void read_segments(Session& session, const Input& input, const std::string& path, bool effects, GivenSegments& segments) {
  const io::ResultReader reader(path, &session.context());
  check_same_customers(reader, input, path);
  const auto& columns = reader.columns();
  const auto column = std::find_if(columns.begin(), columns.end(), [](const io::RowColumn& c) { return c.name == "segment_id"; });
  if (column == columns.end() || !reader.contains("uns/segmentation/segments")) refuse_segments(path, "it holds no segments");
  segments.memory =
      session.context().memory().reserve("the segment of every customer", reader.n_rows() * std::int64_t{sizeof(std::int32_t)});
  segments.labels = std::get<std::vector<std::int32_t>>(reader.rows(*column, 0, reader.n_rows()));
  if (const RowSelection* selection = input.selection()) selection->compact(segments.labels);
  if (effects && io::has_segmentation(path)) segments.model = io::read_model(path);
  segments.view = {reader.frame("uns/segmentation/segments").index, segments.labels, effects};
}

// The most telling columns, for people.
io::DataFrame strongest(const Propensity& propensity, const Transform& transform) {
  constexpr std::size_t kMost = 10;
  const io::DataFrame all = selected(coefficients_frame(propensity, transform), {"coef", "std_err", "z", "p_value", "odds_ratio"});
  const auto& z = std::get<std::vector<double>>(*all.find("z"));
  std::vector<std::size_t> rows;
  for (std::size_t row = 0; row + 1 < all.index.size(); ++row)
    if (!std::isnan(z[row])) rows.push_back(row);
  std::stable_sort(rows.begin(), rows.end(), [&](auto a, auto b) { return std::abs(z[a]) > std::abs(z[b]); });
  rows.resize(std::min(rows.size(), kMost));
  io::DataFrame frame{"feature", {}, {}};
  for (const std::size_t row : rows) frame.index.push_back(all.index[row]);
  for (const auto& [name, column] : all.columns) {
    std::vector<double> values;
    for (const std::size_t row : rows) values.push_back(std::get<std::vector<double>>(column)[row]);
    frame.columns.emplace_back(name, std::move(values));
  }
  return frame;
}

std::string text_of(const Propensities& propensities, const io::DataFrame& goals) {
  std::string text;
  const std::vector<std::string>& segments = propensities.segments().names;
  for (const Propensity& propensity : propensities.results()) {
    text += summary(propensity, propensities.data().judged()) + "\n\n";
    text +=
        frame_table(selected(evaluation_frame(propensity, segments), {"n", "positives", "base_rate", "mean_probability", "auc", "auc_low",
                                                                      "auc_high", "log_loss", "brier", "calibration_slope", "verdict"})) +
        '\n';
    text += frame_table(selected(gains_frame(propensity, {}), {"group", "n", "positives", "score", "response_rate", "lift",
                                                               "cumulative_capture_rate", "kolmogorov_smirnov"})) +
            '\n';
    text += frame_table(strongest(propensity, propensities.data().transform())) + '\n';
  }
  return text + frame_table(goals);
}

nlohmann::ordered_json json_of(Session& session, const Propensities& propensities, const io::DataFrame& goals, const Seconds& seconds) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const Propensity& propensity : propensities.results()) all.push_back(propensity_json(propensities, propensity));
  nlohmann::ordered_json json = all.size() == 1 ? all.front() : nlohmann::ordered_json{{"targets", all}};
  json["segment_goals"] = frame_json(goals);
  json["device"] = session.backend().name();
  json["seconds"] = {
      {"read", seconds.read}, {"fit", seconds.fit}, {"predict", seconds.predict}, {"judge", seconds.judge}, {"write", seconds.write}};
  json["warnings"] = session.warnings();
  return json;
}

void propensity(PropensityRequest request) {
  refuse_shared_stdout(request.json, request.output.csv);
  if (request.output.path.empty() && !request.output.csv.empty())
    throw ArgumentError("--csv needs -o: the scores come from a result file.");
  if (request.propensity.transform.missing == MissingPolicy::keep)
    throw ArgumentError(
        "--missing mar belongs to --method gmm: a propensity needs a number in every cell. Leave it out, or choose median.");
  request.propensity.only_active = !request.input.active.empty();
  Session session(request.resources);
  session.backend();  // a device that cannot be had is no reason to read first
  Input input(session, request.input);
  std::optional<PropensityOutput> output;
  if (!request.output.path.empty())
    output.emplace(session.context(), request.output, input, request.propensity.targets.size(), request.segments);
  if (!request.output.csv.empty())
    Targets(session, input, request.propensity.targets, request.propensity.positive)
        .require_events(request.propensity.min_events, request.output.csv);
  find_split(session, input, request.propensity.split);
  GivenSegments segments;
  if (!request.segments.empty()) read_segments(session, input, request.segments, request.effects, segments);
  Propensities propensities(session, input, request.propensity, segments.view);
  Seconds seconds = propensities.seconds();
  const io::DataFrame goals = goals_frame(session.context(), propensities, input.weights());
  if (output) {
    const Stopwatch stopwatch(seconds.write);
    output->write(session, propensities, goals);
    if (segments.model) io::write_model(output->file(), *segments.model);
    write_run_record(output->file(), session, input.file(), seconds);
    session.context().check_cancelled();
    output->commit();
  }
  if (request.json)
    print(json_line(json_of(session, propensities, goals, seconds)));
  else if (request.output.csv != "-")
    print(text_of(propensities, goals));
  if (output) session.say(fmt::format("Result: {}", request.output.path));
}

}  // namespace

Verb add_propensity(CLI::App& root) {
  CLI::App* app = add_verb(root, "propensity",
                           "Score how likely customers are to churn, buy, convert: calibrated, judged on held-out customers, with reasons",
                           "customers.h5ad -o scores.h5ad --target churn --segments result.h5ad --goal churn:5:120");
  auto request = std::make_shared<PropensityRequest>();
  add_input(*app, request->input);
  add_propensity_options(*app, request->propensity);
  add_newton_options(*app, request->propensity);
  app->get_option("--target")->required();
  app->add_option("--segments", request->segments,
                  "Result of a segmentation of this file: judged inside each segment, with an effect for each");
  add_choice<bool>(*app, "--segment-effects", request->effects, {{"shrunk", true}, {"none", false}},
                   "shrunk: every segment has an effect, drawn towards the population; none: segments only judge");
  app->get_option("--segment-effects")->needs("--segments");
  add_transform(*app, request->propensity.transform);
  app->get_option("--transform")
      ->description(
          "What becomes of columns: none, zscore, log1p, robust, or auto: zscore, of the logarithm where that tells the outcomes better");
  add_output(*app, request->output, "Write the scores as CSV too; - is standard output")->required(false);
  add_device(*app, request->resources);
  add_resources(*app, request->resources);
  add_json(*app, request->json);
  app->footer(
      app->get_footer() +
      "\n\nBelow --min-events the model and its tables are printed and written, but no customer is scored: the result holds scores of the\n"
      "other targets only, and what asks for scores where there are none (--csv, also of `run --target`, and `coterie assign` where there\n"
      "are no segments) ends with exit code 10.");
  return {app, [request] { propensity(*request); }};
}

}  // namespace coterie::tools
