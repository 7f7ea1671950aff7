// coterie sweep: how many segments suit a file. Every k with all its restarts is fitted in shared sweeps over the rows.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/error.hpp"
#include "tools/clustering.hpp"
#include "tools/config.hpp"
#include "tools/description.hpp"
#include "tools/frames.hpp"
#include "tools/granularity.hpp"
#include "tools/placement.hpp"
#include "tools/result_output.hpp"
#include "tools/spread_rows.hpp"
#include "tools/verbs.hpp"

namespace coterie::tools {

namespace {

constexpr const char* kDefaultCounts = "2:12";

struct SweepOptions {
  ResourceOptions resources;
  InputOptions input;
  TransformOptions transform;
  FitOptions fit;
  OutputOptions output;
  std::string cluster_counts = kDefaultCounts;
  bool json = false;
};

// "segment_k3", or "segment_k3_full" where models differ in more than the number of segments.
io::RowColumn label_column(const io::FittedModel& model, bool with_type) {
  std::string name = fmt::format("segment_k{}", io::n_segments(model));
  if (with_type) name += "_" + name_of(std::get<gaussian_mixture::Model>(model).covariance_type);
  return {.name = name, .type = io::CellType::int32, .categories = segment_names(io::n_segments(model)), .table_name = name};
}

// Calls write(first row, rows) for cells of a few MiB at a time.
template <class Write>
void in_stretches(std::int64_t n_rows, const Write& write) {
  constexpr std::int64_t kRowsAtOnce = 1 << 20;
  for (std::int64_t row = 0; row < n_rows; row += kRowsAtOnce) write(row, std::min(kRowsAtOnce, n_rows - row));
}

// obs: the ids and one segment per customer and k; uns/sweep: the table.
class SweepOutput {
 public:
  // read: another file that is read, which must not be overwritten ("": none).
  SweepOutput(Context& context, const OutputOptions& options, const Input& input, std::size_t n_models, const std::string& read)
      : input_(input.file()),
        selection_(input.selection()),
        output_(output_request(options, input_, read, input_.n_rows() * static_cast<std::int64_t>(4 * n_models + 8))),
        file_(output_, io::result_options(input_.n_rows(), input_.id_name(), &context)) {
    input_.start_fingerprint();
  }

  void write(Clustering& clustering, std::span<const io::FittedModel> models, bool with_type, const io::DataFrame& sweep, Session& session,
             const Seconds& seconds) {
    file_.write_frame("uns/sweep", sweep);
    write_ids();
    for (std::size_t m = 0; m < models.size(); ++m) {
      io::RowStream& rows = file_.open_rows({label_column(models[m], with_type)});
      const auto write_rows = [&](const PlacedRows& placed) {
        spread_rows(selection_, placed, [&](const PlacedRows& all) { rows.write(all.first_row, std::vector<io::Cells>{all.label}); });
      };
      if (const auto labels = clustering.labels(m); !labels.empty())
        in_stretches(std::ssize(labels), [&](std::int64_t row, std::int64_t n_rows) {
          write_rows({row, labels.subspan(static_cast<std::size_t>(row), static_cast<std::size_t>(n_rows)), {}, {}, {}});
        });
      else
        make_placer(session, models[m])->place(clustering.rows(), write_rows);
    }
    write_run_record(file_, session, input_, seconds);
    session.context().check_cancelled();
    file_.commit();
  }

 private:
  void write_ids() {
    io::RowStream& rows = file_.open_rows({io::customer_columns(id_format(input_), {"S1"}).front()});
    in_stretches(input_.n_rows(), [&](std::int64_t row, std::int64_t n_rows) {
      rows.write(row, std::vector<io::Cells>{IdCells(input_, row, n_rows).cells()});
    });
  }

  const io::FeatureFile& input_;
  const RowSelection* selection_;  // nullptr: every row
  io::AtomicOutput output_;
  io::H5adWriter file_;
};

nlohmann::ordered_json sweep_json(std::span<const io::FittedModel> models, const Comparison& comparison, const Seconds& seconds,
                                  const Session& session) {
  nlohmann::ordered_json rows = frame_json(comparison.table);
  const std::string count = comparison.table.index_name;  // n_clusters or n_components
  for (std::size_t m = 0; m < models.size(); ++m) rows[m][count] = io::n_segments(models[m]);
  const auto& [index, reason] = comparison.choice;
  nlohmann::ordered_json choice{{count, rows[index][count]}};
  if (rows[index].contains("covariance_type")) choice["covariance_type"] = rows[index]["covariance_type"];
  choice["reason"] = reason;
  return {{"method", io::algorithm_of(models.front())},
          {"sweep", rows},
          {"choice", choice},
          {"seconds", {{"read", seconds.read}, {"fit", seconds.fit}, {"judge", seconds.judge}, {"write", seconds.write}}},
          {"warnings", session.warnings()}};
}

// The command that fits what was chosen: all that was asked of the sweep, and the chosen model where the sweep had several.
std::string next_command(const CLI::App& verb, const io::FittedModel& model) {
  std::string command = fmt::format("coterie cluster{} -o result.h5ad --n-clusters {}",
                                    given_options(verb, {"k", "covariance-type", "output", "overwrite", "json"}), io::n_segments(model));
  if (const auto* mixture = std::get_if<gaussian_mixture::Model>(&model))
    command += fmt::format(" --covariance-type {}", name_of(mixture->covariance_type));
  return command;
}

void sweep(const SweepOptions& options, const CLI::App& verb) {
  const std::vector<std::int32_t> counts = parse_cluster_counts(options.cluster_counts, "--k");
  if (counts.size() > 1 && options.fit.init && centers_path(*options.fit.init))
    throw ArgumentError("--init: start centers from a file fit one number of segments; name it by --k.");
  Session session(options.resources);
  const bool is_default = options.cluster_counts == kDefaultCounts;
  FitPlan plan(session, options.fit, is_default ? std::vector<std::int32_t>{} : counts, counts);
  plan.check_missing(options.transform.missing);
  session.backend();
  Seconds seconds;
  std::optional<Input> input;
  std::optional<SweepOutput> output;
  std::optional<Clustering> clustering;
  const std::size_t n_types = std::max<std::size_t>(1, plan.options().covariance_types.size());
  {
    const Stopwatch stopwatch(seconds.read);
    input.emplace(session, options.input);
    if (!options.output.path.empty())
      output.emplace(session.context(), options.output, *input, plan.counts().size() * n_types, plan.start_file());
    clustering.emplace(session, *input, options.transform, plan.most_segments());
    plan.limit_defaults(clustering->moments().n_rows);
  }
  std::vector<io::FittedModel> models;
  Comparison comparison;
  {
    const Stopwatch stopwatch(seconds.fit);
    models = clustering->fit(plan.params(clustering->chosen().transform), output.has_value());
  }
  {
    const Stopwatch stopwatch(seconds.judge);
    comparison = clustering->compare(models);
  }
  if (output) {
    const Stopwatch stopwatch(seconds.write);
    output->write(*clustering, models, n_types > 1, comparison.table, session, seconds);
  }
  print(options.json ? json_line(sweep_json(models, comparison, seconds, session))
                     : frame_table(comparison.table) + '\n' + comparison.choice.reason + '\n');
  session.say("Next: " + next_command(verb, models[comparison.choice.index]));
}

}  // namespace

Verb add_sweep(CLI::App& root) {
  CLI::App* app = add_verb(root, "sweep", "Show how many segments suit a file", "customers.h5ad --k 2:12 -o sweep.h5ad");
  auto options = std::make_shared<SweepOptions>();
  add_input(*app, options->input);
  app->add_option("-k,--k,--n-clusters,--n-components", options->cluster_counts, "Numbers of segments: 2:12, 2:50:4 or 3,5,8")
      ->capture_default_str();
  add_output(*app, options->output, "")->required(false)->description("Write the table and everybody's segment for each k (.h5ad)");
  add_transform(*app, options->transform);
  add_fit(*app, options->fit);
  add_device(*app, options->resources);
  add_resources(*app, options->resources);
  add_json(*app, options->json);
  return {app, [options, app] { sweep(*options, *app); }};
}

}  // namespace coterie::tools
