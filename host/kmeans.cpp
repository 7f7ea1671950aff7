#include "host/kmeans.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

#include "host/error.hpp"
#include "host/shared_sweeps.hpp"

namespace coterie::kmeans {
namespace {

__extension__ typedef __float128 float128;  // 113 bits: inertia is a small difference of large exact sums

double mean_variance(const Grid& grid, const GridMoments& moments) {
  float128 total = 0;
  for (std::size_t j = 0; j < grid.steps.size(); ++j) {
    const float128 step = grid.steps[j], weight = moments.weight, mean = moments.sums.value(j) / weight;
    total += step * step * (moments.squares.value(j) / weight - mean * mean);
  }
  return static_cast<double>(total) / static_cast<double>(grid.steps.size());
}

// Some hundred microseconds of moved centers. A term of the inertia takes longer.
constexpr std::int64_t kCellsOfATask = 1 << 15, kTermsOfATask = 1 << 10;

// sum of w |x - c|^2 = sum of w x^2 - sum over clusters of (2 c . S - W c . c), all in exact sums.
double inertia_of(Context& context, const Model& model, const Statistics& statistics, const Grid& grid, const GridMoments& moments) {
  const std::size_t d = static_cast<std::size_t>(model.n_columns);
  std::vector<float128> columns(d);
  const auto add_columns = [&](std::int64_t first_column, std::int64_t last_column) {
    const auto first = static_cast<std::size_t>(first_column), last = static_cast<std::size_t>(last_column);
    for (std::size_t j = first; j < last; ++j) {
      const float128 step = grid.steps[j];
      columns[j] = step * step * static_cast<float128>(moments.squares.value(j));
    }
    for (std::size_t k = 0; k < statistics.weight_in_clusters.size(); ++k) {
      const float128 weight = statistics.weight_in_clusters[k];
      for (std::size_t j = first; j < last; ++j) {
        const double center = model.cluster_centers[k * d + j];  // double holds its products, and 113 bits those with the sums
        columns[j] -= static_cast<float128>(2 * center * grid.steps[j]) * static_cast<float128>(statistics.center_sums.value(k * d + j));
        columns[j] += weight * static_cast<float128>(center * center);
      }
    }
  };
  constexpr std::int64_t kLeastColumns = 8;  // of a line of memory
  context.parallel_stretches(model.n_columns, std::max(kLeastColumns, kTermsOfATask / model.n_clusters), add_columns);
  const float128 total = std::accumulate(columns.begin(), columns.end(), float128{0});
  return std::max(0.0, static_cast<double>(total * static_cast<float128>(grid.weight_step)));
}

void settle(Context& context, Model& model, const Statistics& statistics, const Grid& grid, const GridMoments& moments) {
  model.inertia = inertia_of(context, model, statistics, grid, moments);
  model.cluster_sizes = statistics.rows_in_clusters;
  model.cluster_weights.resize(statistics.weight_in_clusters.size());
  std::transform(statistics.weight_in_clusters.begin(), statistics.weight_in_clusters.end(), model.cluster_weights.begin(),
                 [&](std::int64_t steps) { return static_cast<double>(steps) * grid.weight_step; });
  model.settled = true;
}

// The clusters after empty ones have taken the rows farthest from their centers: their weights, and what the sums of those concerned
// have more or less than the statistics say.
struct Clusters {
  std::vector<std::int64_t> weight;                   // (n_clusters)
  std::map<std::size_t, std::vector<int128>> gained;  // (n_columns) by cluster
};

Clusters clusters_of(const Model& model, const Statistics& statistics, const Grid& grid) {
  Clusters clusters{.weight = statistics.weight_in_clusters, .gained = {}};
  const std::size_t d = static_cast<std::size_t>(model.n_columns);
  const FirstRows& farthest = statistics.farthest;
  std::int64_t next = 0;
  for (std::size_t k = 0; k < clusters.weight.size() && next < farthest.size(); ++k) {
    if (statistics.weight_in_clusters[k] != 0) continue;
    if (farthest.key(next) == descending_key(0.0)) break;  // every row lies on a center: fewer distinct rows than clusters
    const auto values = farthest.values(next++);
    const std::size_t donor = static_cast<std::size_t>(values[d]);
    const std::int64_t weight = static_cast<std::int64_t>(values[d + 1]);
    for (const std::size_t cluster : {donor, k}) clusters.gained[cluster].resize(d);
    for (std::size_t j = 0; j < d; ++j) {
      const int128 moved = static_cast<int128>(static_cast<std::int64_t>(static_cast<double>(values[j]) / grid.steps[j])) * weight;
      clusters.gained[donor][j] -= moved;
      clusters.gained[k][j] += moved;
    }
    clusters.weight[donor] -= weight;
    clusters.weight[k] += weight;
  }
  return clusters;
}

// Moves a center to its sum / weight. Returns the squared shift.
double move_center(std::span<float> center, double weight, const Grid& grid, auto&& sum_of_column) {
  double shift = 0;
  for (std::size_t j = 0; j < center.size(); ++j) {
    const float moved = static_cast<float>(sum_of_column(j) * grid.steps[j] / weight);
    const double by = static_cast<double>(moved) - static_cast<double>(center[j]);
    shift += by * by;
    center[j] = moved;
  }
  return shift;
}

// Returns the squared shift of all centers together. A cluster without rows keeps its center.
double move_centers(Context& context, Model& model, const Statistics& statistics, const Grid& grid) {
  const std::size_t d = static_cast<std::size_t>(model.n_columns);
  const Clusters clusters = clusters_of(model, statistics, grid);
  const WideSums& sums = statistics.center_sums;
  std::vector<double> shifts(clusters.weight.size());
  context.parallel_stretches(model.n_clusters, kCellsOfATask / model.n_columns + 1, [&](std::int64_t first, std::int64_t last) {
    for (auto k = static_cast<std::size_t>(first); k < static_cast<std::size_t>(last); ++k) {
      if (clusters.weight[k] == 0) continue;
      const std::span center = std::span(model.cluster_centers).subspan(k * d, d);
      const double weight = static_cast<double>(clusters.weight[k]);
      if (const auto gained = clusters.gained.find(k); gained == clusters.gained.end())
        shifts[k] = move_center(center, weight, grid, [&](std::size_t j) { return sums.real(k * d + j); });
      else
        shifts[k] = move_center(center, weight, grid,
                                [&](std::size_t j) { return static_cast<double>(sums.value(k * d + j) + gained->second[j]); });
    }
  });
  return std::accumulate(shifts.begin(), shifts.end(), 0.0);
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

// Of every params entry, the labels of the best model that has settled so far; by the order of best_of.
class BestLabels {
 public:
  BestLabels(Context& context, const Pass& pass, std::int64_t n_rows, std::span<const Params> params)
      : context_(context), pass_(pass), n_rows_(n_rows), params_(params), holders_(params.size()), labels_(params.size()) {}

  void offer(const Model& model, const Params& params) {
    const auto entry = static_cast<std::size_t>(&params - params_.data());
    const Model*& holder = holders_[entry];
    if (holder != nullptr && std::pair(holder->inertia, holder) < std::pair(model.inertia, &model)) return;
    holder = &model;
    Labels& labels = labels_[entry];
    if (!has_room(labels) || !pass_.read_labels(model, labels.of_rows)) labels = {};
  }

  std::vector<Labels> take() { return std::move(labels_); }

 private:
  bool has_room(Labels& labels) {
    if (!labels.of_rows.empty()) return true;
    const std::int64_t bytes = n_rows_ * std::int64_t{sizeof(std::int32_t)};
    if (2 * bytes > context_.memory().available() || !context_.memory().try_reserve(bytes, labels.memory)) return false;
    labels.of_rows.resize(static_cast<std::size_t>(n_rows_));
    return true;
  }

  Context& context_;
  const Pass& pass_;
  std::int64_t n_rows_;
  std::span<const Params> params_;
  std::vector<const Model*> holders_;
  std::vector<Labels> labels_;
};

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

void update(Context& context, Model& model, const Statistics& statistics, const Grid& grid, const GridMoments& moments,
            const Params& params) {
  const bool final_centers = model.converged || model.n_iter >= params.max_iter;
  if (final_centers) return settle(context, model, statistics, grid, moments);
  const std::int32_t empty = count_empty(statistics);
  if (empty > 0 && statistics.farthest.capacity() == 0) {
    model.empty_clusters = empty;  // look for the farthest rows in one more sweep, with the same centers
    return;
  }
  model.empty_clusters = 0;
  const double shift = move_centers(context, model, statistics, grid);
  ++model.n_iter;
  model.converged = shift <= params.tol * mean_variance(grid, moments);
  if (shift == 0) settle(context, model, statistics, grid, moments);
}

Fit fit(Context& context, TileSource& source, const Grid& grid, const GridMoments& moments, std::span<const Params> params, Pass& pass,
        const FitOptions& options) {
  for (const Params& entry : params) check_params(grid, moments, entry);
  Jobs jobs;
  for (const Params& entry : params)
    for (Model& model : seed(context, grid, moments, entry)) jobs.push_back({std::move(model), &entry});
  Fit result;
  const SumsMemory memory{"the sums of k-means", [](const Model& model) { return statistics_bytes(model.n_clusters, model.n_columns); }};
  pass.expect_rows(source.n_rows());
  BestLabels labels(context, pass, source.n_rows(), params);
  result.sweeps =
      sweep_until_settled(context, source, pass, jobs, memory, [&](Model& model, const Statistics& statistics, const Params& own) {
        update(context, model, statistics, grid, moments, own);
        if (options.labels && model.settled) labels.offer(model, own);
      });
  result.labels = labels.take();
  for (const Params& entry : params) {
    result.best.push_back(best_of(jobs, entry));
    warn_about(result.best.back(), entry, result.warnings);
  }
  return result;
}

}  // namespace coterie::kmeans
