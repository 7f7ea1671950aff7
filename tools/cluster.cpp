// coterie cluster: one segmentation with a given number of segments.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "host/error.hpp"
#include "tools/job.hpp"
#include "tools/verbs.hpp"

namespace coterie::tools {

namespace {

// scikit-learn's default for k-means, so that both answer the same question when nobody says how many.
constexpr std::int32_t kDefaultClusters = 8;

void cluster(const JobOptions& options) {
  if (options.fit.covariance_types.size() > 1)
    throw ArgumentError("--covariance-type: `coterie cluster` fits one. `coterie sweep` and `coterie run` compare several.");
  Job job(options, {kDefaultClusters});
  if (job.plan().counts_are_defaults())
    job.session().say(fmt::format("Number of segments: {} (the default). `coterie sweep {} --k 2:12` shows how many suit this file.",
                                  kDefaultClusters, options.input.path));
  const Segmentation result = job.finish(job.fit().front(), std::nullopt);
  if (options.json)
    print(json_line(segmentation_json(result, job.session().backend().name(), job.session().warnings())));
  else if (options.output.csv != "-")
    print(segments_table(result.segments));
  job.session().say(fmt::format("Result: {}. Next: coterie profile {}", options.output.path, options.output.path));
}

}  // namespace

Verb add_cluster(CLI::App& root) {
  CLI::App* app =
      add_verb(root, "cluster", "Segment customers with k-means or a Gaussian mixture", "customers.h5ad -o result.h5ad --n-clusters 6");
  auto options = std::make_shared<JobOptions>();
  add_job(*app, *options);
  add_number(*app, "-k,--n-clusters,--n-components", options->n_clusters, 1, kMaxClusters, "Number of segments")->default_str("8");
  return {app, [options] { cluster(*options); }};
}

}  // namespace coterie::tools
