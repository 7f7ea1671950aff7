#include "host/kmeans.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "host/error.hpp"
#include "host/shared_sweeps.hpp"

namespace coterie::kmeans {
namespace {

__extension__ typedef __float128 float128;  // 113 bits: inertia is a small difference of large exact sums

double mean_variance(const Grid& grid, const GridMoments& moments) {
  float128 total = 0;
  for (std::size_t j = 0; j < grid.steps.size(); ++j) {
    const float128 step = grid.steps[j], weight = moments.weight, sum = moments.sums.value(j);
    total += step * step * (static_cast<float128>(moments.squares.value(j)) / weight - (sum / weight) * (sum / weight));
  }
  return static_cast<double>(total) / static_cast<double>(grid.steps.size());
}

// sum of w |x - c|^2 = sum of w x^2 - sum over clusters of (2 c . S - W c . c), all in exact sums.
double inertia_of(const Model& model, const Statistics& statistics, const Grid& grid, const GridMoments& moments) {
  float128 total = 0;
  for (std::int32_t j = 0; j < model.n_columns; ++j) {
    const std::size_t column = static_cast<std::size_t>(j);
    const float128 step = grid.steps[column];
    float128 of_column = step * step * static_cast<float128>(moments.squares.value(column));
    for (std::int32_t k = 0; k < model.n_clusters; ++k) {
      const std::size_t cell = static_cast<std::size_t>(k) * static_cast<std::size_t>(model.n_columns) + column;
      const float128 center = model.cluster_centers[cell];
      of_column -= 2 * center * step * static_cast<float128>(statistics.center_sums.value(cell));
      of_column += static_cast<float128>(statistics.weight_in_clusters[static_cast<std::size_t>(k)]) * center * center;
    }
    total += of_column;
  }
  return std::max(0.0, static_cast<double>(total * static_cast<float128>(grid.weight_step)));
}

void settle(Model& model, const Statistics& statistics, const Grid& grid, const GridMoments& moments) {
  model.inertia = inertia_of(model, statistics, grid, moments);
  model.cluster_sizes = statistics.rows_in_clusters;
  model.cluster_weights.resize(statistics.weight_in_clusters.size());
  std::transform(statistics.weight_in_clusters.begin(), statistics.weight_in_clusters.end(), model.cluster_weights.begin(),
                 [&](std::int64_t steps) { return static_cast<double>(steps) * grid.weight_step; });
  model.settled = true;
}

// Sums and weights of the clusters, after empty clusters have taken the rows farthest from their centers.
struct Clusters {
  std::vector<int128> sums;          // (n_clusters, n_columns)
  std::vector<std::int64_t> weight;  // (n_clusters)
};

Clusters clusters_of(const Model& model, const Statistics& statistics, const Grid& grid) {
  Clusters clusters{.sums = std::vector<int128>(statistics.center_sums.size()), .weight = statistics.weight_in_clusters};
  for (std::size_t i = 0; i < clusters.sums.size(); ++i) clusters.sums[i] = statistics.center_sums.value(i);
  const std::size_t d = static_cast<std::size_t>(model.n_columns);
  const FirstRows& farthest = statistics.farthest;
  std::int64_t next = 0;
  for (std::size_t k = 0; k < clusters.weight.size() && next < farthest.size(); ++k) {
    if (statistics.weight_in_clusters[k] != 0) continue;
    if (farthest.key(next) == descending_key(0.0)) break;  // every row lies on a center: fewer distinct rows than clusters
    const auto values = farthest.values(next++);
    const std::size_t donor = static_cast<std::size_t>(values[d]);
    const std::int64_t weight = static_cast<std::int64_t>(values[d + 1]);
    for (std::size_t j = 0; j < d; ++j) {
      const int128 moved = static_cast<int128>(static_cast<std::int64_t>(static_cast<double>(values[j]) / grid.steps[j])) * weight;
      clusters.sums[donor * d + j] -= moved;
      clusters.sums[k * d + j] += moved;
    }
    clusters.weight[donor] -= weight;
    clusters.weight[k] += weight;
  }
  return clusters;
}

// Returns the squared shift of all centers together. A cluster without rows keeps its center.
double move_centers(Model& model, const Clusters& clusters, const Grid& grid) {
  double shift = 0;
  const std::size_t d = static_cast<std::size_t>(model.n_columns);
  for (std::size_t k = 0; k < clusters.weight.size(); ++k) {
    if (clusters.weight[k] == 0) continue;
    for (std::size_t j = 0; j < d; ++j) {
      float& center = model.cluster_centers[k * d + j];
      const float moved =
          static_cast<float>(static_cast<double>(clusters.sums[k * d + j]) * grid.steps[j] / static_cast<double>(clusters.weight[k]));
      const double by = static_cast<double>(moved) - static_cast<double>(center);
      shift += by * by;
      center = moved;
    }
  }
  return shift;
}

std::int32_t count_empty(const Statistics& statistics) {
  return static_cast<std::int32_t>(std::count(statistics.weight_in_clusters.begin(), statistics.weight_in_clusters.end(), 0));
}

using Jobs = std::vector<Job<Model, Params>>;

// The restart of least inertia, ties to the first.
Model best_of(const Jobs& jobs, const Params& params) {
  std::vector<const Model*> restarts;
  for (const auto& job : jobs)
    if (job.params == &params) restarts.push_back(&job.model);
  return **std::min_element(restarts.begin(), restarts.end(), [](const Model* a, const Model* b) { return a->inertia < b->inertia; });
}

void warn_about(const Model& model, const Params& params, std::vector<std::string>& warnings) {
  if (const auto empty = std::count(model.cluster_sizes.begin(), model.cluster_sizes.end(), 0); empty > 0)
    warnings.push_back(fmt::format("{} of {} segments are empty: there are fewer distinct rows than segments; ask for at most {}", empty,
                                   model.n_clusters, model.n_clusters - empty));
  if (!model.converged)
    warnings.push_back(fmt::format("{} segments: the centers still moved after {} iterations; raise --max-iter or --tol", model.n_clusters,
                                   params.max_iter));
}

}  // namespace

void Statistics::for_each_field(FieldVisitor& visitor) {
  visitor.wide(center_sums);
  visitor.integers(weight_in_clusters, Merge::sum);
  visitor.integers(rows_in_clusters, Merge::sum);
  visitor.first_rows(farthest);
}

void SweepStatistics::for_each_field(FieldVisitor& visitor) {
  for (Statistics& statistics : models) statistics.for_each_field(visitor);
}

double margin(double squared_distance, double second_squared_distance) {
  if (second_squared_distance == 0) return 0;
  if (std::isinf(second_squared_distance)) return 1;
  return 1 - std::sqrt(squared_distance) / std::sqrt(second_squared_distance);
}

void update(Model& model, const Statistics& statistics, const Grid& grid, const GridMoments& moments, const Params& params) {
  const bool final_centers = model.converged || model.n_iter >= params.max_iter;
  if (final_centers) return settle(model, statistics, grid, moments);
  const std::int32_t empty = count_empty(statistics);
  if (empty > 0 && statistics.farthest.capacity() == 0) {
    model.empty_clusters = empty;  // look for the farthest rows in one more sweep, with the same centers
    return;
  }
  model.empty_clusters = 0;
  const double shift = move_centers(model, clusters_of(model, statistics, grid), grid);
  ++model.n_iter;
  model.converged = shift <= params.tol * mean_variance(grid, moments);
  if (shift == 0) settle(model, statistics, grid, moments);
}

Fit fit(Context& context, TileSource& source, const Grid& grid, const GridMoments& moments, std::span<const Params> params, Pass& pass) {
  Jobs jobs;
  for (const Params& entry : params)
    for (Model& model : seed(context, grid, moments, entry)) jobs.push_back({std::move(model), &entry});
  Fit result;
  const SumsMemory memory{"the sums of k-means", [](const Model& model) { return statistics_bytes(model.n_clusters, model.n_columns); }};
  result.sweeps = sweep_until_settled(
      context, source, pass, jobs, memory,
      [&](Model& model, const Statistics& statistics, const Params& own) { update(model, statistics, grid, moments, own); });
  for (const Params& entry : params) {
    result.best.push_back(best_of(jobs, entry));
    warn_about(result.best.back(), entry, result.warnings);
  }
  return result;
}

}  // namespace coterie::kmeans
