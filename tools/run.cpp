// coterie run: from a file to described segments, the number of segments included.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "host/error.hpp"
#include "tools/frames.hpp"
#include "tools/granularity.hpp"
#include "tools/job.hpp"
#include "tools/verbs.hpp"

namespace coterie::tools {

namespace {

// The range that people give names to; finer segmentations are for machines and ask for --n-clusters.
constexpr std::int32_t kPersonaCounts[] = {2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

void run(const JobOptions& options) {
  Job job(options, {std::begin(kPersonaCounts), std::end(kPersonaCounts)});
  const std::vector<io::FittedModel> models = job.fit();
  std::optional<io::DataFrame> sweep;
  Choice choice;
  if (models.size() > 1 || job.plan().counts_are_defaults()) {
    Comparison comparison = job.compare(models);
    sweep = std::move(comparison.table);
    choice = std::move(comparison.choice);
  }
  const Segmentation result = job.finish(models[choice.index], sweep);
  if (options.json) {
    auto json = segmentation_json(result, job.session().backend().name(), job.session().warnings());
    json["choice"] = choice.reason;
    json["segments"] = frame_json(result.segments);
    print(json_line(json));
  } else if (options.output.csv != "-") {
    print((sweep ? frame_table(*sweep) + '\n' + choice.reason + "\n\n" : "") + segments_table(result.segments));
  }
  job.session().say(fmt::format("Result: {}. Next: coterie profile {}", options.output.path, options.output.path));
}

// Defaults, which a --config that was printed holds too, ask for nothing.
void refuse_without_targets(const std::vector<const CLI::Option*>& of_targets) {
  for (const CLI::Option* option : of_targets)
    if (option->count() > 0 && fmt::format("{}", fmt::join(option->results(), ",")) != option->get_default_str())
      throw ArgumentError(fmt::format("{} asks for scores, but no outcome is to be predicted. Name one with --target, or leave it out.",
                                      option->get_name()));
}

}  // namespace

Verb add_run(CLI::App& root) {
  CLI::App* app = add_verb(root, "run", "Segment customers, describe the segments, and choose how many when not told",
                           "customers.h5ad -o result.h5ad --csv segments.csv");
  auto options = std::make_shared<JobOptions>();
  add_job(*app, *options);
  const std::size_t before = app->get_options().size();
  add_propensity_options(*app, options->propensity);
  std::vector<const CLI::Option*> of_targets;
  for (std::size_t i = before; i < app->get_options().size(); ++i) of_targets.push_back(app->get_options()[i]);
  add_number(*app, "-k,--n-clusters,--n-components", options->n_clusters, 1, kMaxClusters,
             "Number of segments; without it, one is chosen among 2..12")
      ->default_str("");
  return {app, [options, of_targets] {
            if (options->propensity.targets.empty()) refuse_without_targets(of_targets);
            options->propensity.only_active = !options->input.active.empty();
            options->propensity.transform = options->transform;
            run(*options);
          }};
}

}  // namespace coterie::tools
