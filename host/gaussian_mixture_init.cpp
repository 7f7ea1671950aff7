// Where a mixture starts: the rows of the seeding sample, each in one component (k-means on the sample, or the nearest
// of random rows), and one M-step over them; or the likeliest of such random starts after a few iterations on the sample. Given
// weights, means and precisions take their places.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "host/error.hpp"
#include "host/gaussian_covariance.hpp"
#include "host/gaussian_mixture.hpp"
#include "host/gaussian_mixture_quanta.hpp"
#include "host/shared_sweeps.hpp"

namespace coterie::gaussian_mixture {
namespace {

// A sweep may err by a twentieth of the tolerance of the fit, so that no stop is decided by rounding.
constexpr double kSweepsPerTolerance = 20;

void check_shape(const char* name, const std::vector<double>& values, std::size_t expected) {
  if (!values.empty() && values.size() != expected)
    throw ArgumentError(fmt::format("the given {} hold {} values; this mixture needs {}", name, values.size(), expected));
  if (!std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); }))
    throw ArgumentError(fmt::format("the given {} are not all finite", name));
}

void check_weights(const std::vector<double>& weights) {
  if (weights.empty()) return;
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (!std::all_of(weights.begin(), weights.end(), [](double weight) { return weight >= 0; }) || std::abs(sum - 1) > 1e-6)
    throw ArgumentError(fmt::format("the given weights must not be negative and must sum to 1; they sum to {}", sum));
}

// The seeding sample as rows.
struct Sample {
  std::int32_t n_columns = 0;
  std::vector<float> x;              // (n_rows, n_columns)
  std::vector<std::int32_t> weight;  // (n_rows) steps
  std::span<const float> row(std::size_t i) const {
    return std::span(x).subspan(i * static_cast<std::size_t>(n_columns), static_cast<std::size_t>(n_columns));
  }
};

// As many rows as a fit of this many components alone would have sampled, so that company never changes a result.
Sample sample_of(const GridMoments& moments, const Params& params) {
  const FirstRows& rows = moments.sample;
  Sample sample{.n_columns = rows.n_values() - 1, .x = {}, .weight = {}};
  const std::int64_t n = std::min(rows.size(), kmeans::sample_rows(moments.n_rows, sample.n_columns, params.n_components));
  for (std::int64_t i = 0; i < n; ++i) {
    const auto values = rows.values(i);
    sample.x.insert(sample.x.end(), values.begin(), values.end() - 1);
    sample.weight.push_back(static_cast<std::int32_t>(values.back()));
  }
  return sample;
}

// The sample as a source. Every rank holds the same one, so the first brings it and the others none.
class SampleSource {
 public:
  SampleSource(Context& context, const Sample& sample)
      : brought_(context.communicator().rank() == 0 ? sample.weight.size() : 0),
        rows_(std::span(sample.x).first(brought_ * static_cast<std::size_t>(sample.n_columns)), sample.n_columns),
        source_(rows_, {.weight = std::span(sample.weight).first(brought_), .label = {}}) {}
  TileSource& get() { return source_; }

 private:
  std::size_t brought_;
  MemoryTileSource rows_;
  ZippedSource source_;
};

// Cluster centers for every start.
std::vector<kmeans::Model> cluster(Context& context, const Grid& grid, SampleSource& sample, const GridMoments& moments,
                                   const Params& params) {
  std::vector<kmeans::Model> seeds =
      kmeans::seed(context, grid, moments,
                   {.n_clusters = params.n_components,
                    .n_init = params.init == Init::short_em ? params.n_init * kShortStarts : params.n_init,
                    .init = params.init == Init::kmeans ? kmeans::Init::kmeans_plus_plus : kmeans::Init::random});
  if (params.init != Init::kmeans) return seeds;
  std::vector<kmeans::Params> from_seeds;
  from_seeds.reserve(seeds.size());
  for (const kmeans::Model& model : seeds)
    from_seeds.push_back(
        {.n_clusters = params.n_components, .n_init = 1, .init = kmeans::Init::given, .given_centers = model.cluster_centers});
  const auto pass = kmeans::make_cpu_pass(context, grid, sample.get().n_columns());
  return kmeans::fit(context, sample.get(), grid, moments, from_seeds, *pass).best;
}

std::vector<std::int32_t> nearest_clusters(Context& context, const Sample& sample, const kmeans::Model& clusters) {
  MemoryTileSource source(std::span(sample.x), sample.n_columns);
  std::vector<std::int32_t> label;
  const auto predictor = kmeans::make_cpu_predictor(context);
  map_tiles(context, source, *predictor, clusters,
            [&](std::int64_t, const kmeans::Assignment& rows) { label.insert(label.end(), rows.label.begin(), rows.label.end()); },
            {.phase = "survey"});
  return label;
}

void add_lower_triangle(const std::vector<double>& t, double weight, double* triangle) {
  for (std::size_t i = 0; i < t.size(); ++i)
    for (std::size_t j = 0; j <= i; ++j) *triangle++ += weight * t[i] * t[j];
}

// Moments about the means of `model` when row i lies in component label[i].
Moments hard_moments(const Model& model, const Sample& sample, const std::vector<std::int32_t>& label, std::span<const float> center) {
  const std::size_t d = static_cast<std::size_t>(model.n_columns), k = static_cast<std::size_t>(model.n_components);
  Moments moments{.pivots = model.means,
                  .weight = std::vector<double>(k),
                  .first = std::vector<double>(k * d),
                  .second = std::vector<double>(second_cells(model.covariance_type, k, d))};
  std::vector<double> t(d), of_center(d);
  for (std::size_t i = 0; i < label.size(); ++i) {
    const std::size_t own = static_cast<std::size_t>(label[i]);
    const double weight = sample.weight[i];
    const auto x = sample.row(i);
    moments.weight[own] += weight;
    for (std::size_t j = 0; j < d; ++j) {
      t[j] = static_cast<double>(x[j]) - model.means[own * d + j];
      of_center[j] = static_cast<double>(x[j]) - static_cast<double>(center[j]);
      moments.first[own * d + j] += weight * t[j];
      if (model.covariance_type == CovarianceType::diag) moments.second[own * d + j] += weight * t[j] * t[j];
      if (model.covariance_type == CovarianceType::spherical) moments.second[own] += weight * of_center[j] * of_center[j];
    }
    if (model.covariance_type == CovarianceType::full) add_lower_triangle(t, weight, moments.second.data() + own * triangle_cells(d));
    if (model.covariance_type == CovarianceType::tied) add_lower_triangle(of_center, weight, moments.second.data());
  }
  return moments;
}

// The starts, kShortIterations iterations on the sample later and with the likelihood they have come to there.
void run_short(Context& context, const Grid& grid, SampleSource& sample, const GridMoments& moments, const Params& params,
               std::vector<Model>& starts) {
  Params few = params;
  few.max_iter = kShortIterations;
  std::vector<Job<Model, Params>> jobs;
  for (Model& start : starts) jobs.push_back({.model = std::move(start), .params = &few});
  const auto pass = make_cpu_pass(context, grid, moments);
  const SumsMemory memory{"the sums of short runs",
                          [](const Model& model) { return statistics_bytes(model.covariance_type, model.n_components, model.n_columns); }};
  sweep_until_settled(context, sample.get(), *pass, jobs, memory, [&](Model& model, const Statistics& statistics, const Params& own) {
    update(model, statistics, grid, moments, own);
  });
  for (std::size_t i = 0; i < jobs.size(); ++i) starts[i] = std::move(jobs[i].model);
}

// Of every kShortStarts runs the best, ties to the first: its parameters, and nothing else of it.
std::vector<Model> likeliest(const std::vector<Model>& runs, const Model& start) {
  std::vector<Model> models;
  for (auto first = runs.begin(); first != runs.end(); first += kShortStarts) {
    const Model& best = *std::max_element(first, first + kShortStarts, [](const Model& a, const Model& b) { return is_better(b, a); });
    Model& model = models.emplace_back(start);
    model.weights = best.weights;
    model.means = best.means;
    model.covariances = best.covariances;
    model.precisions_cholesky = best.precisions_cholesky;
  }
  return models;
}

void set_given(Model& model, const Params& params) {
  if (!params.weights_init.empty()) model.weights = params.weights_init;
  if (!params.means_init.empty()) model.means = params.means_init;
  if (!params.precisions_init.empty()) set_precisions(model, params.precisions_init);
  model.final_parameters = params.max_iter < 1;
}

}  // namespace

void check_params(const Grid& grid, const GridMoments& moments, const Params& params) {
  const std::size_t n_columns = grid.steps.size();
  if (params.n_components < 1) throw ArgumentError(fmt::format("n_components is {}; it must be at least 1", params.n_components));
  if (params.n_init < 1) throw ArgumentError(fmt::format("n_init is {}; it must be at least 1", params.n_init));
  if (params.n_components > moments.n_rows)
    throw ArgumentError(fmt::format("n_components is {}, but there are only {} rows of positive weight; ask for at most {}",
                                    params.n_components, moments.n_rows, moments.n_rows));
  if (params.missing_at_random && (params.covariance_type == CovarianceType::full || params.covariance_type == CovarianceType::tied))
    throw ArgumentError(fmt::format(
        "{} covariances need every cell: a row with missing ones would need an inverse of its own for every component; take diag "
        "or spherical ones, or fill the cells",
        name_of(params.covariance_type)));
  if (!(params.tol >= 0) || !(params.reg_covar >= 0) || !(params.covariance_floor >= 0))
    throw ArgumentError("tol, reg_covar and covariance_floor must not be negative");
  const Model shape{
      .covariance_type = params.covariance_type, .n_components = params.n_components, .n_columns = static_cast<std::int32_t>(n_columns)};
  const std::size_t n_components = static_cast<std::size_t>(params.n_components);
  check_shape("weights", params.weights_init, n_components);
  check_weights(params.weights_init);
  check_shape("means", params.means_init, n_components * n_columns);
  check_shape("precisions", params.precisions_init,
              covariance_cells(shape) * (params.covariance_type == CovarianceType::tied ? 1 : n_components));
}

std::vector<Model> seed(Context& context, const Grid& grid, const GridMoments& moments, const Params& params) {
  check_params(grid, moments, params);
  Model start{.covariance_type = params.covariance_type,
              .n_components = params.n_components,
              .n_columns = static_cast<std::int32_t>(grid.steps.size()),
              .missing_at_random = params.missing_at_random,
              .sweep_tolerance = params.tol / kSweepsPerTolerance};
  if (!params.weights_init.empty() && !params.means_init.empty() && !params.precisions_init.empty()) {
    set_given(start, params);
    return {start};
  }
  const Sample sample = sample_of(moments, params);
  SampleSource of_sample(context, sample);
  const GridMoments sample_moments = kmeans::measure_moments(context, of_sample.get(), grid, params.n_components);
  const Floor floor(grid, moments, params);
  const std::vector<float> center = center_of(grid, moments);
  std::vector<Model> models;
  for (const kmeans::Model& clusters : cluster(context, grid, of_sample, sample_moments, params)) {
    Model& model = models.emplace_back(start);
    model.missing_at_random = false;  // the sample is filled
    model.means.assign(clusters.cluster_centers.begin(), clusters.cluster_centers.end());
    maximise(model, hard_moments(model, sample, nearest_clusters(context, sample, clusters), center), center, floor);
  }
  if (params.init == Init::short_em) {
    run_short(context, grid, of_sample, sample_moments, params, models);
    models = likeliest(models, start);
  }
  for (std::size_t i = 0; i < models.size(); ++i) {
    models[i].restart = static_cast<std::int32_t>(i);
    models[i].missing_at_random = params.missing_at_random;
    set_given(models[i], params);
  }
  return models;
}

}  // namespace coterie::gaussian_mixture
