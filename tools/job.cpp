#include "tools/job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/error.hpp"
#include "io/model_file.hpp"
#include "tools/digest.hpp"
#include "tools/frames.hpp"
#include "tools/propensity_output.hpp"

namespace coterie::tools {

namespace {

// (n_columns) the decision for each raw column, "" where there is none.
std::vector<std::string> notes_by_column(const ChosenTransform& chosen, std::size_t n_columns) {
  std::vector<std::string> notes(n_columns);
  for (const ColumnNote& note : chosen.notes) {
    std::string& text = notes[static_cast<std::size_t>(note.source)];
    text += (text.empty() ? "" : "; ") + note.decision;
  }
  return notes;
}

nlohmann::ordered_json rows_json(const std::vector<double>& values, std::int32_t n_columns) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (auto row = values.begin(); row != values.end(); row += n_columns) rows.push_back(std::vector<double>(row, row + n_columns));
  return rows;
}

nlohmann::ordered_json fit_json(const kmeans::Model& model, const Transform&) {
  return {{"method", "kmeans"}, {"n_clusters", model.n_clusters}, {"inertia", model.inertia}, {"n_iter", model.n_iter}};
}

nlohmann::ordered_json fit_json(const gaussian_mixture::Model& model, const Transform& transform) {
  nlohmann::ordered_json json{{"method", "gmm"},
                              {"n_components", model.n_components},
                              {"covariance_type", name_of(model.covariance_type)},
                              {"lower_bound", model.lower_bound.back()},
                              {"log_likelihood", model.log_likelihood},
                              {"aic", model.aic},
                              {"bic", model.bic},
                              {"icl", model.icl},
                              {"weights", model.weights},
                              {"means", rows_json(model.means, model.n_columns)},
                              {"n_iter", model.n_iter},
                              {"converged", model.converged}};
  for (const char* name : {"lower_bound", "log_likelihood", "aic", "bic", "icl"}) json[name + std::string("_input_units")] = nullptr;
  if (const auto in_input_units = io::likelihoods_in_input_units(model, transform)) {
    json["lower_bound_input_units"] = in_input_units->lower_bound.back();
    json["log_likelihood_input_units"] = in_input_units->log_likelihood;
    json["aic_input_units"] = in_input_units->aic;
    json["bic_input_units"] = in_input_units->bic;
    json["icl_input_units"] = in_input_units->icl;
  }
  return json;
}

}  // namespace

void add_job(CLI::App& app, JobOptions& options) {
  add_input(app, options.input);
  add_output(app, options.output, "Write the customers as CSV too; - is standard output");
  add_transform(app, options.transform);
  add_fit(app, options.fit);
  add_placement(app, options.placement);
  add_device(app, options.resources);
  add_resources(app, options.resources);
  add_json(app, options.json);
}

Job::Job(const JobOptions& options, std::vector<std::int32_t> defaults)
    : options_(options),
      session_(options.resources),
      plan_(session_, options.fit, options.n_clusters > 0 ? std::vector{options.n_clusters} : std::vector<std::int32_t>{},
            std::move(defaults)) {
  refuse_shared_stdout(options.json, options.output.csv);
  check_placement();
  plan_.check_missing(options.transform.missing);
  session_.backend();  // a device that cannot be had is no reason to read first
  const Stopwatch stopwatch(seconds_.read);
  const std::int32_t most = plan_.most_segments();
  input_.emplace(session_, options.input);
  if (const PropensityOptions& of = options.propensity; !of.targets.empty() && !options.output.csv.empty())
    Targets(session_, *input_, of.targets, of.positive).require_events(of.min_events, options.output.csv);
  output_.emplace(session_.context(), options.output, *input_,
                  placement_bytes(most, options.placement.probabilities) + score_bytes(options.propensity.targets.size()),
                  plan_.start_file());
  if (!options.propensity.targets.empty()) output_->expect_more_columns();
  labels_memory_ = session_.context().memory().reserve("the label of every customer",
                                                       input_->n_rows() * static_cast<std::int64_t>(sizeof(std::int32_t)));
  clustering_.emplace(session_, *input_, options.transform, most);
}

void Job::check_placement() const {
  if (options_.fit.method == Method::gmm) return;
  for (const auto& [given, option] :
       {std::pair{options_.placement.outlier_share.has_value(), "--outlier-share"}, {options_.placement.probabilities, "--probabilities"}})
    if (given) throw ArgumentError(fmt::format("{} belongs to --method gmm. Leave it out, or choose that method.", option));
}

std::vector<io::FittedModel> Job::fit() {
  const Stopwatch stopwatch(seconds_.fit);
  plan_.limit_defaults(clustering_->moments().n_rows);
  return clustering_->fit(plan_.params(clustering_->chosen().transform));
}

Comparison Job::compare(std::span<const io::FittedModel> models) {
  const Stopwatch stopwatch(seconds_.fit);
  return clustering_->compare(models);
}

Segmentation Job::finish(const io::FittedModel& model, const std::optional<io::DataFrame>& sweep) {
  Segmentation result;
  result.model = model_record(model);
  const std::vector<std::int32_t> labels = place(result.model);
  clustering_->drop_rows();  // propensities stage rows of their own
  ResultDigest digest;
  digest.add_labels(labels);
  result.sha256 = digest.finish(model);
  {
    const Stopwatch stopwatch(seconds_.write);
    const Description description = describe_segments(session_, *input_, labels, io::n_segments(model));
    result.segments = segments_frame(description);
    if (sweep) output_->file().write_frame("uns/sweep", *sweep);
    if (!options_.propensity.targets.empty()) {
      const SegmentLabels segments{description.names, labels};
      add_propensities(session_, *input_, {options_.propensity, segments}, output_->file(), result.segments);
    }
    write(result.model, description, result.segments);
    session_.context().check_cancelled();
    output_->commit();
  }
  result.seconds = seconds_;
  return result;
}

io::SegmentationModel Job::model_record(const io::FittedModel& fit) {
  io::SegmentationModel record;
  record.fit = fit;
  record.transform = clustering_->chosen().transform;
  for (const io::FeatureColumn& column : input_->columns()) record.raw_columns.push_back(column.name);
  record.segment_names = segment_names(io::n_segments(fit));
  record.weight_step = input_->weights().step;
  record.seed = session_.context().seed();
  record.where = options_.input.where;
  if (options_.placement.outlier_share) {
    const Stopwatch stopwatch(seconds_.predict);
    record.outlier_log_likelihood = outlier_log_likelihood(session_, clustering_->rows(), std::get<gaussian_mixture::Model>(fit),
                                                           input_->weights().steps, *options_.placement.outlier_share);
  }
  return record;
}

std::vector<std::int32_t> Job::place(const io::SegmentationModel& model) {
  const Stopwatch stopwatch(seconds_.predict);
  std::vector<std::int32_t> labels(static_cast<std::size_t>(input_->n_rows()));
  const auto placer = make_placer(session_, model.fit, {options_.placement.probabilities, model.outlier_log_likelihood});
  double writing = 0;
  {
    const Stopwatch write_stopwatch(writing);
    output_->begin_rows(model.segment_names, placer->columns(), options_.placement.probabilities);
  }
  placer->place(clustering_->rows(), [&](const PlacedRows& rows) {
    std::copy(rows.label.begin(), rows.label.end(), labels.begin() + rows.first_row);
    const Stopwatch write_stopwatch(writing);
    output_->write_rows(rows);
  });
  seconds_.write += writing;
  seconds_.predict -= writing;
  return labels;
}

void Job::write(const io::SegmentationModel& model, const Description& description, const io::DataFrame& segments) {
  io::H5adWriter& file = output_->file();
  const std::vector<std::string> notes = notes_by_column(clustering_->chosen(), description.columns.size());
  file.write_frame("var", io::variables_frame(description.columns, notes, description.profile));
  file.write_frame("uns/segmentation/segments", segments);
  io::write_profile(file, description.profile, description.names, description.columns);
  io::write_levels(file, description.levels, description.names);
  io::write_outcomes(file, description.outcomes, description.names);
  io::write_values(file, description.values, description.names);
  io::write_model(file, model);
  write_run_record(file, session_, input_->file(), seconds_);
}

nlohmann::ordered_json segmentation_json(const Segmentation& result, const std::string& device, const std::vector<std::string>& warnings) {
  auto json = std::visit([&](const auto& fit) { return fit_json(fit, result.model.transform); }, result.model.fit);
  const Seconds& seconds = result.seconds;
  json["sizes"] = std::get<std::vector<std::int64_t>>(*result.segments.find("n"));
  json["device"] = device;
  json["seconds"] = {{"read", seconds.read}, {"fit", seconds.fit}, {"predict", seconds.predict}, {"write", seconds.write}};
  json["sha256"] = result.sha256;
  json["warnings"] = warnings;
  return json;
}

std::string segments_table(const io::DataFrame& segments) {
  std::vector<std::string> shown;
  for (const auto& [name, column] : segments.columns)
    if (name != "segment_id" && name != "weight" && !name.ends_with("_sum") && !name.ends_with("_mean")) shown.push_back(name);
  return frame_table(selected(sorted_descending(segments, "n"), shown));
}

}  // namespace coterie::tools
