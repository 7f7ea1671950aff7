#include "tools/job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/error.hpp"
#include "io/model_file.hpp"
#include "tools/digest.hpp"
#include "tools/frames.hpp"

namespace coterie::tools {

namespace {

io::SegmentationModel model_record(const kmeans::Model& model, const Transform& transform, const Description& description,
                                   double weight_step, std::uint64_t seed) {
  io::SegmentationModel record;
  record.kmeans = model;
  record.transform = transform;
  for (const io::FeatureColumn& column : description.columns) record.raw_columns.push_back(column.name);
  record.segment_names = description.names;
  record.weight_step = weight_step;
  record.seed = seed;
  return record;
}

// (n_columns) the decision for each raw column, "" where there is none.
std::vector<std::string> notes_by_column(const ChosenTransform& chosen, std::size_t n_columns) {
  std::vector<std::string> notes(n_columns);
  for (const ColumnNote& note : chosen.notes) {
    std::string& text = notes[static_cast<std::size_t>(note.source)];
    text += (text.empty() ? "" : "; ") + note.decision;
  }
  return notes;
}

}  // namespace

void add_job(CLI::App& app, JobOptions& options) {
  add_input(app, options.input);
  add_output(app, options.output, "Write the customers as CSV too; - is standard output");
  add_transform(app, options.transform);
  add_fit(app, options.fit);
  add_device(app, options.resources);
  add_resources(app, options.resources);
  add_json(app, options.json);
}

Job::Job(const JobOptions& options, std::vector<std::int32_t> defaults) : options_(options), session_(options.resources) {
  refuse_shared_stdout(options.json, options.output.csv);
  session_.backend();  // a device that cannot be had is no reason to read first
  const Stopwatch stopwatch(seconds_.read);
  if (const auto path = centers_path(options.fit.init)) start_ = read_start_centers(session_, *path);
  settle_cluster_counts(std::move(defaults));
  const std::int32_t most = *std::max_element(cluster_counts_.begin(), cluster_counts_.end());
  input_.emplace(session_, options.input);
  output_.emplace(session_.context(), options.output, *input_, most);
  clustering_.emplace(session_, *input_, options.transform, most);
}

void Job::settle_cluster_counts(std::vector<std::int32_t> defaults) {
  cluster_counts_ = options_.n_clusters > 0 ? std::vector{options_.n_clusters} : std::move(defaults);
  if (start_.values.empty()) return;
  if (options_.n_clusters > 0 && options_.n_clusters != start_.n_clusters)
    throw ArgumentError(fmt::format("--n-clusters {} and --init {}: the file holds {} start centers. Leave --n-clusters out.",
                                    options_.n_clusters, options_.fit.init, start_.n_clusters));
  cluster_counts_ = {start_.n_clusters};
}

std::vector<kmeans::Model> Job::fit() {
  const Stopwatch stopwatch(seconds_.fit);
  const auto n_columns = static_cast<std::int32_t>(clustering_->chosen().transform.columns.size());
  std::vector<kmeans::Params> params;
  for (const std::int32_t n_clusters : cluster_counts_) params.push_back(fit_params(options_.fit, n_clusters));
  if (!start_.values.empty()) {
    if (start_.n_columns != n_columns)
      throw ContentsError(fmt::format("--init {}: the start centers have {} columns, the clustering has {}. Nothing was written.",
                                      options_.fit.init, start_.n_columns, n_columns));
    params.front().init = kmeans::Init::given;
    params.front().n_init = 1;
    params.front().given_centers = start_.values;
  }
  return clustering_->fit(params);
}

std::vector<kmeans::Quality> Job::quality(std::span<const kmeans::Model> models) {
  const Stopwatch stopwatch(seconds_.fit);
  return clustering_->quality(models);
}

Segmentation Job::finish(const kmeans::Model& model, const std::optional<io::DataFrame>& sweep) {
  Segmentation result;
  result.model = model;
  const std::vector<std::int32_t> labels = predict(model);
  ResultDigest digest;
  digest.add_labels(labels);
  result.sha256 = digest.finish(model);
  {
    const Stopwatch stopwatch(seconds_.write);
    const Description description = describe_segments(session_, *input_, labels, model.n_clusters);
    result.segments = segments_frame(description);
    if (sweep) output_->file().write_frame("uns/sweep", *sweep);
    write(model, description, result.segments);
    session_.context().check_cancelled();
    output_->commit();
  }
  result.seconds = seconds_;
  return result;
}

std::vector<std::int32_t> Job::predict(const kmeans::Model& model) {
  const Stopwatch stopwatch(seconds_.predict);
  const auto n_rows = static_cast<std::size_t>(input_->file().n_rows());
  labels_memory_ =
      session_.context().memory().reserve("the label of every customer", static_cast<std::int64_t>(n_rows * sizeof(std::int32_t)));
  std::vector<std::int32_t> labels(n_rows);
  output_->begin_rows(segment_names(model.n_clusters));
  double writing = 0;
  clustering_->predict(model, [&](std::int64_t first_row, const kmeans::Assignment& assignment) {
    std::copy(assignment.label.begin(), assignment.label.end(), labels.begin() + first_row);
    const Stopwatch write_stopwatch(writing);
    output_->write_rows(first_row, assignment);
  });
  seconds_.write += writing;
  seconds_.predict -= writing;
  return labels;
}

void Job::write(const kmeans::Model& model, const Description& description, const io::DataFrame& segments) {
  io::H5adWriter& file = output_->file();
  const ChosenTransform& chosen = clustering_->chosen();
  const std::vector<std::string> notes = notes_by_column(chosen, description.columns.size());
  file.write_frame("var", io::variables_frame(description.columns, notes, description.profile));
  file.write_frame("uns/segmentation/segments", segments);
  io::write_profile(file, description.profile, description.names, description.columns);
  io::write_levels(file, description.levels, description.names);
  io::write_outcomes(file, description.outcomes, description.names);
  io::write_values(file, description.values, description.names);
  io::write_model(file, model_record(model, chosen.transform, description, input_->weights().step, session_.context().seed()));
  write_run_record(file, session_, input_->file(), seconds_);
}

nlohmann::ordered_json segmentation_json(const Segmentation& result, const std::string& device, const std::vector<std::string>& warnings) {
  const Seconds& seconds = result.seconds;
  return {{"method", "kmeans"},
          {"n_clusters", result.model.n_clusters},
          {"inertia", result.model.inertia},
          {"n_iter", result.model.n_iter},
          {"sizes", result.model.cluster_sizes},
          {"device", device},
          {"seconds", {{"read", seconds.read}, {"fit", seconds.fit}, {"predict", seconds.predict}, {"write", seconds.write}}},
          {"sha256", result.sha256},
          {"warnings", warnings}};
}

std::string segments_table(const io::DataFrame& segments) {
  std::vector<std::string> shown;
  for (const auto& [name, column] : segments.columns)
    if (name != "segment_id" && name != "weight" && !name.ends_with("_sum") && !name.ends_with("_mean")) shown.push_back(name);
  return frame_table(selected(sorted_descending(segments, "n"), shown));
}

}  // namespace coterie::tools
