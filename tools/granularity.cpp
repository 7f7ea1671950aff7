#include "tools/granularity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace coterie::tools {

namespace {

// A segment of fewer customers than this is an anecdote, not an audience.
constexpr double kSmallestShare = 0.02;

double smallest_share(const kmeans::Model& model) {
  const auto& weights = model.cluster_weights;
  return *std::min_element(weights.begin(), weights.end()) / std::accumulate(weights.begin(), weights.end(), 0.0);
}

// Per model: by how much the log of the unexplained variance falls per log of the number of segments, since the model before
// it; the first counts from one segment, which explains nothing. Constant where the data has no groups (inertia ~ k^(-2/d)).
std::vector<double> returns_on_segments(std::span<const kmeans::Model> models, std::span<const kmeans::Quality> qualities) {
  constexpr double kLeast = 1e-3;  // restarts may leave a larger k no better than a smaller one; keeps ratios finite
  std::vector<double> returns;
  double unexplained = 1, n_clusters = 1;
  for (std::size_t m = 0; m < models.size(); ++m) {
    const double next_unexplained = std::max(1 - qualities[m].explained, 1e-12);  // nothing left to explain is a limit, not a zero
    const double next_n_clusters = models[m].n_clusters;
    const double growth = next_n_clusters > n_clusters ? std::log(next_n_clusters / n_clusters) : 1;
    returns.push_back(std::max(std::log(unexplained / next_unexplained) / growth, kLeast));
    unexplained = next_unexplained;
    n_clusters = next_n_clusters;
  }
  return returns;
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
  const std::vector<double> returns = returns_on_segments(models, qualities);
  const auto drop_after = [&](std::size_t m) { return m + 1 < models.size() ? returns[m] / returns[m + 1] : 0; };
  const auto is_eligible = [&](std::size_t m) { return smallest_share(models[m]) >= kSmallestShare; };
  std::size_t best = 0;
  for (std::size_t m = 1; m < models.size(); ++m)
    if (is_eligible(m) && (!is_eligible(best) || drop_after(m) > drop_after(best))) best = m;
  const std::string floor = fmt::format("{:.0f} % of the customers", 100 * kSmallestShare);
  if (!is_eligible(best))
    return {best,
            fmt::format("{} segments: every number that was tried leaves a segment of less than {}.", models[best].n_clusters, floor)};
  return {best, fmt::format(
                    "{} segments: the return on a further segment falls most sharply here, by a factor of {:.1f}, and the smallest segment "
                    "holds at least {}.",
                    models[best].n_clusters, drop_after(best), floor)};
}

}  // namespace coterie::tools
