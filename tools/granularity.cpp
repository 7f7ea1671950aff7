#include "tools/granularity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace coterie::tools {

namespace {

// A segment of fewer customers than this is an anecdote, not an audience.
constexpr double kSmallestShare = 0.02;

double smallest_share(const kmeans::Model& model) {
  const auto& weights = model.cluster_weights;
  return *std::min_element(weights.begin(), weights.end()) / std::accumulate(weights.begin(), weights.end(), 0.0);
}

}  // namespace

io::DataFrame sweep_frame(std::span<const kmeans::Model> models, std::span<const kmeans::Quality> qualities) {
  std::vector<std::string> index;
  std::vector<std::int64_t> k, smallest, n_iter;
  std::vector<double> inertia, explained, silhouette, davies_bouldin, calinski_harabasz, share;
  std::vector<bool> converged;
  for (std::size_t m = 0; m < models.size(); ++m) {
    const kmeans::Model& model = models[m];
    index.push_back(std::to_string(model.n_clusters));
    k.push_back(model.n_clusters);
    inertia.push_back(model.inertia);
    explained.push_back(qualities[m].explained);
    silhouette.push_back(qualities[m].silhouette);
    davies_bouldin.push_back(qualities[m].davies_bouldin);
    calinski_harabasz.push_back(qualities[m].calinski_harabasz);
    smallest.push_back(*std::min_element(model.cluster_sizes.begin(), model.cluster_sizes.end()));
    share.push_back(smallest_share(model));
    n_iter.push_back(model.n_iter);
    converged.push_back(model.converged);
  }
  return {"n_clusters",
          index,
          {{"inertia", inertia},
           {"explained", explained},
           {"silhouette", silhouette},
           {"davies_bouldin", davies_bouldin},
           {"calinski_harabasz", calinski_harabasz},
           {"smallest", smallest},
           {"smallest_share", share},
           {"n_iter", n_iter},
           {"converged", converged}}};
}

Choice choose_granularity(std::span<const kmeans::Model> models, std::span<const kmeans::Quality> qualities) {
  std::size_t best = 0;
  bool found = false;
  for (std::size_t m = 0; m < models.size(); ++m) {
    if (smallest_share(models[m]) < kSmallestShare) continue;
    if (!found || qualities[m].silhouette > qualities[best].silhouette) best = m;
    found = true;
  }
  return {best, fmt::format("{} segments: the clearest separation (simplified silhouette {:.3f}) among the tried numbers of segments whose "
                            "smallest segment holds at least {:.0f} % of the customers.",
                            models[best].n_clusters, qualities[best].silhouette, 100 * kSmallestShare)};
}

}  // namespace coterie::tools
