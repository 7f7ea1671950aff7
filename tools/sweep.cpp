// coterie sweep: how many segments suit a file. Every k with all its restarts is fitted in shared sweeps over the rows.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/error.hpp"
#include "tools/clustering.hpp"
#include "tools/description.hpp"
#include "tools/frames.hpp"
#include "tools/granularity.hpp"
#include "tools/result_output.hpp"
#include "tools/verbs.hpp"

namespace coterie::tools {

namespace {

struct SweepOptions {
  ResourceOptions resources;
  InputOptions input;
  TransformOptions transform;
  FitOptions fit;
  OutputOptions output;
  std::string cluster_counts = "2:12";
  bool json = false;
};

io::RowColumn label_column(std::int32_t n_clusters) {
  const std::string name = fmt::format("segment_k{}", n_clusters);
  return {.name = name, .type = io::CellType::int32, .categories = segment_names(n_clusters), .table_name = name};
}

// obs: the ids and one segment per customer and k; uns/sweep: the table.
class SweepOutput {
 public:
  SweepOutput(Context& context, const OutputOptions& options, const Input& input, const std::vector<std::int32_t>& counts)
      : input_(input.file()),
        output_({options.path, options.overwrite, {input_.path()}, input_.n_rows() * static_cast<std::int64_t>(4 * counts.size() + 8)}),
        file_(output_, io::result_options(input_.n_rows(), input_.id_name(), &context)) {}

  void write(Clustering& clustering, std::span<const kmeans::Model> models, const io::DataFrame& sweep, Session& session,
             const Seconds& seconds) {
    file_.write_frame("uns/sweep", sweep);
    write_ids();
    for (const kmeans::Model& model : models) {
      io::RowStream& rows = file_.open_rows({label_column(model.n_clusters)});
      clustering.predict(model, [&](std::int64_t first_row, const kmeans::Assignment& assignment) {
        rows.write(first_row, std::vector<io::Cells>{assignment.label});
      });
    }
    write_run_record(file_, session, input_, seconds);
    session.context().check_cancelled();
    file_.commit();
  }

 private:
  void write_ids() {
    io::RowStream& rows = file_.open_rows({io::customer_columns(id_format(input_), {"S1"}).front()});
    constexpr std::int64_t kRowsAtOnce = 1 << 20;  // ids of a few MiB at a time
    for (std::int64_t row = 0; row < input_.n_rows(); row += kRowsAtOnce)
      rows.write(row, std::vector<io::Cells>{IdCells(input_, row, std::min(kRowsAtOnce, input_.n_rows() - row)).cells()});
  }

  const io::FeatureFile& input_;
  io::AtomicOutput output_;
  io::H5adWriter file_;
};

nlohmann::ordered_json sweep_json(std::span<const kmeans::Model> models, const io::DataFrame& frame, const Choice& choice,
                                  const Seconds& seconds, const Session& session) {
  nlohmann::ordered_json rows = frame_json(frame);
  for (std::size_t m = 0; m < models.size(); ++m) rows[m]["n_clusters"] = models[m].n_clusters;
  return {{"method", "kmeans"},
          {"sweep", rows},
          {"choice", {{"n_clusters", models[choice.index].n_clusters}, {"reason", choice.reason}}},
          {"seconds", {{"read", seconds.read}, {"fit", seconds.fit}, {"write", seconds.write}}},
          {"warnings", session.warnings()}};
}

void sweep(const SweepOptions& options) {
  if (centers_path(options.fit.init))
    throw ArgumentError("--init: start centers from a file fit one number of segments; use `coterie cluster`.");
  const std::vector<std::int32_t> counts = parse_cluster_counts(options.cluster_counts, "--k");
  Session session(options.resources);
  session.backend();
  Seconds seconds;
  std::optional<Input> input;
  std::optional<SweepOutput> output;
  std::optional<Clustering> clustering;
  {
    const Stopwatch stopwatch(seconds.read);
    input.emplace(session, options.input);
    if (!options.output.path.empty()) output.emplace(session.context(), options.output, *input, counts);
    clustering.emplace(session, *input, options.transform, counts.back());
  }
  std::vector<kmeans::Params> params;
  for (const std::int32_t k : counts) params.push_back(fit_params(options.fit, k));
  std::vector<kmeans::Model> models;
  std::vector<kmeans::Quality> qualities;
  {
    const Stopwatch stopwatch(seconds.fit);
    models = clustering->fit(params);
    qualities = clustering->quality(models);
  }
  const io::DataFrame frame = sweep_frame(models, qualities);
  if (output) {
    const Stopwatch stopwatch(seconds.write);
    output->write(*clustering, models, frame, session, seconds);
  }
  const Choice choice = choose_granularity(models, qualities);
  print(options.json ? sweep_json(models, frame, choice, seconds, session).dump() + '\n'
                     : frame_table(frame) + '\n' + choice.reason + '\n');
  session.say(fmt::format("Next: coterie cluster {} -o result.h5ad --n-clusters {}", options.input.path, models[choice.index].n_clusters));
}

}  // namespace

Verb add_sweep(CLI::App& root) {
  CLI::App* app = add_verb(root, "sweep", "Show how many segments suit a file", "customers.h5ad --k 2:12 -o sweep.h5ad");
  auto options = std::make_shared<SweepOptions>();
  add_input(*app, options->input);
  app->add_option("-k,--k,--n-clusters", options->cluster_counts, "Numbers of segments: 2:12, 2:50:4 or 3,5,8")->capture_default_str();
  add_output(*app, options->output, "")->required(false)->description("Write the table and everybody's segment for each k (.h5ad)");
  add_transform(*app, options->transform);
  add_fit(*app, options->fit);
  add_device(*app, options->resources);
  add_resources(*app, options->resources);
  add_json(*app, options->json);
  return {app, [options] { sweep(*options); }};
}

}  // namespace coterie::tools
