#include "host/gaussian_mixture.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "host/elementary.hpp"
#include "host/gaussian_covariance.hpp"
#include "host/gaussian_mixture_quanta.hpp"
#include "host/shared_sweeps.hpp"

namespace coterie::gaussian_mixture {
namespace {

std::vector<double> in_units(const WideSums& sums, const auto& quantum_of) {
  std::vector<double> values(sums.size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(sums.value(i)) * quantum_of(i);
  return values;
}

std::vector<double> second_in_units(const Model& model, const WideSums& second, const Quanta& quanta) {
  const std::size_t d = static_cast<std::size_t>(model.n_columns);
  if (model.covariance_type == CovarianceType::spherical) return in_units(second, [&](std::size_t) { return quanta.square(); });
  if (model.covariance_type == CovarianceType::diag) return in_units(second, [&](std::size_t i) { return quanta.second(i % d, i % d); });
  std::vector<double> of_cell;
  for (std::size_t i = 0; i < d; ++i)
    for (std::size_t j = 0; j <= i; ++j) of_cell.push_back(quanta.second(i, j));
  return in_units(second, [&](std::size_t i) { return of_cell[i % of_cell.size()]; });
}

Moments moments_of(const Model& model, const Statistics& statistics, const Quanta& quanta, std::span<const float> center) {
  const std::size_t d = static_cast<std::size_t>(model.n_columns);
  Moments moments{.pivots = pivots_of(model, center),
                  .weight = in_units(statistics.weight, [&](std::size_t) { return quanta.weight(); }),
                  .first = in_units(statistics.first, [&](std::size_t i) { return quanta.first(i % d); }),
                  .second = second_in_units(model, statistics.second, quanta)};
  for (std::size_t i = 0; i < moments.pivots.size(); ++i) moments.pivots[i] += static_cast<double>(center[i % d]);
  return moments;
}

// What missing cells are expected to add, given the component: its mean and variance before the M-step.
void add_expected(const Model& model, const std::vector<double>& missing, std::span<const float> center, Moments& moments) {
  const std::size_t d = static_cast<std::size_t>(model.n_columns);
  for (std::size_t i = 0; i < missing.size(); ++i) {
    const bool diag = model.covariance_type == CovarianceType::diag;
    const double from_pivot = model.means[i] - moments.pivots[i];
    const double from_base = diag ? from_pivot : model.means[i] - static_cast<double>(center[i % d]);  // second moments are about it
    moments.first[i] += missing[i] * from_pivot;
    moments.second[diag ? i : i / d] += missing[i] * (from_base * from_base + variance_of(model, i / d, i % d));
  }
}

// Rows that a component's covariance needs to be more than a guess.
std::int32_t rows_needed(const Model& model) {
  switch (model.covariance_type) {
    case CovarianceType::full: return model.n_columns + 1;
    case CovarianceType::tied: return 1;
    case CovarianceType::diag:
    case CovarianceType::spherical: return 2;
  }
  return 1;
}

// Components lighter than the rows they need; a row counts as its mean weight where weights are below 1.
std::vector<std::int32_t> too_light(const Model& model, const Moments& moments, const Grid& grid, const GridMoments& grid_moments) {
  const double mean_weight = static_cast<double>(grid_moments.weight) / static_cast<double>(grid_moments.n_rows);
  const double least = rows_needed(model) * std::min(mean_weight, 1 / grid.weight_step);
  std::vector<std::int32_t> components;
  for (std::size_t k = 0; k < moments.weight.size(); ++k)
    if (moments.weight[k] < least) components.push_back(static_cast<std::int32_t>(k));
  return components;
}

// Those of `components` that may still start over: once each, and never the only one.
std::vector<std::int32_t> lost_among(const Model& model, std::vector<std::int32_t> components) {
  if (model.n_components == 1) return {};
  std::erase_if(components, [&](std::int32_t k) {
    return std::any_of(model.reseedings.begin(), model.reseedings.end(), [&](const Reseeding& r) { return r.component == k; });
  });
  return components;
}

void reseed(Model& model, const std::vector<std::int32_t>& lost, const FirstRows& unlikely, std::span<const float> center,
            const Floor& floor) {
  for (std::size_t i = 0; i < lost.size() && static_cast<std::int64_t>(i) < unlikely.size(); ++i) {
    const auto row = unlikely.values(static_cast<std::int64_t>(i));
    std::vector<float> mean(row.begin(), row.end());
    for (std::size_t j = 0; j < mean.size(); ++j)
      if (std::isnan(mean[j])) mean[j] = center[j];
    start_over(model, static_cast<std::size_t>(lost[i]), mean, floor);
    model.reseedings.push_back({.iteration = model.n_iter, .component = lost[i]});
  }
}

bool has_converged(const Model& model, const Params& params) {
  const std::size_t n = model.lower_bound.size();
  if (n < 2 || model.lost_components > 0) return false;
  if (!model.reseedings.empty() && model.reseedings.back().iteration >= model.n_iter - 1) return false;
  return std::abs(model.lower_bound[n - 1] - model.lower_bound[n - 2]) < params.tol;
}

// Component `order[i]` of the model becomes component i.
void permute(Model& model, const std::vector<std::int32_t>& order) {
  std::vector<std::int32_t> place(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) place[static_cast<std::size_t>(order[i])] = static_cast<std::int32_t>(i);
  const auto permute_values = [&](std::vector<double>& values) {
    const std::vector<double> before = values;
    const std::size_t cells = values.size() / order.size();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = before[static_cast<std::size_t>(order[i / cells]) * cells + i % cells];
  };
  permute_values(model.weights);
  permute_values(model.means);
  if (model.covariance_type != CovarianceType::tied) {
    permute_values(model.covariances);
    permute_values(model.precisions_cholesky);
  }
  for (auto* components : {&model.at_floor, &model.too_light}) {
    for (std::int32_t& k : *components) k = place[static_cast<std::size_t>(k)];
    std::sort(components->begin(), components->end());
  }
  for (Reseeding& reseeding : model.reseedings) reseeding.component = place[static_cast<std::size_t>(reseeding.component)];
}

void sort_components(Model& model) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(model.n_components));
  std::iota(order.begin(), order.end(), 0);
  const auto mean = [&, d = static_cast<std::size_t>(model.n_columns)](std::int32_t k) {
    return std::span(model.means).subspan(static_cast<std::size_t>(k) * d, d);
  };
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    const double of_a = model.weights[static_cast<std::size_t>(a)], of_b = model.weights[static_cast<std::size_t>(b)];
    if (of_a != of_b) return of_a > of_b;
    return std::lexicographical_compare(mean(a).begin(), mean(a).end(), mean(b).begin(), mean(b).end());
  });
  permute(model, order);
}

void settle(Model& model, double log_likelihood, double log_certainty, double weight) {
  const double parameters = static_cast<double>(n_parameters(model));
  model.row_weight = weight;
  model.log_likelihood = log_likelihood;
  model.aic = -2 * log_likelihood + 2 * parameters;
  model.bic = -2 * log_likelihood + parameters * coterie::log(weight);
  model.icl = model.bic - 2 * log_certainty;
  model.scatter.clear();
  sort_components(model);
  model.settled = true;
}

// The first iteration after which the mean log-likelihood was lower than before by more than rounding, though no component had started
// over; 0: none.
std::int32_t first_fall(const Model& model) {
  constexpr double kRounding = 1e-9;  // relative, of sums in double over a dozen iterations
  for (std::int32_t i = 1; i < std::ssize(model.lower_bound); ++i) {
    const double before = model.lower_bound[static_cast<std::size_t>(i) - 1], after = model.lower_bound[static_cast<std::size_t>(i)];
    const bool started_over =
        std::any_of(model.reseedings.begin(), model.reseedings.end(), [&](const Reseeding& reseeding) { return reseeding.iteration == i; });
    if (!started_over && after < before - 2 * model.sweep_tolerance - kRounding * std::abs(before)) return i;
  }
  return 0;
}

using Jobs = std::vector<Job<Model, Params>>;

// Ties go to the first restart.
Model best_of(const Jobs& jobs, const Params& params) {
  std::vector<const Model*> restarts;
  for (const auto& job : jobs)
    if (job.params == &params) restarts.push_back(&job.model);
  return **std::max_element(restarts.begin(), restarts.end(), [](const Model* a, const Model* b) { return is_better(*b, *a); });
}

void warn_about(const Model& model, const Params& params, std::vector<std::string>& warnings) {
  const auto warn = [&](std::string text) {
    warnings.push_back(fmt::format("{} {} components: {}", model.n_components, name_of(model.covariance_type), std::move(text)));
  };
  if (!model.converged) warn(fmt::format("the likelihood still grew after {} iterations; raise --max-iter or --tol", params.max_iter));
  if (const std::int32_t fall = first_fall(model); params.reg_covar > 0 && fall > 0)
    warn(fmt::format("the likelihood fell after iteration {}: reg_covar {} widens covariances beyond the likeliest ones; lower --reg-covar",
                     fall, params.reg_covar));
  for (const Reseeding& reseeding : model.reseedings)
    warn(fmt::format("component {} had fewer rows than its covariance needs after iteration {} and started over from an unlikely row",
                     reseeding.component, reseeding.iteration));
  if (!model.at_floor.empty())
    warn(fmt::format(
        "the covariance floor {} or reg_covar holds up component {}: their rows lie on a point, a line or a plane, and the likelihood "
        "depends on these two",
        params.covariance_floor, fmt::join(model.at_floor, ", ")));
  if (!model.too_light.empty())
    warn(fmt::format("component {} has fewer rows than its covariance needs; ask for fewer components or a simpler covariance type",
                     fmt::join(model.too_light, ", ")));
}

}  // namespace

void Statistics::for_each_field(FieldVisitor& visitor) {
  visitor.wide(weight);
  visitor.wide(first);
  visitor.wide(second);
  visitor.wide(missing);
  visitor.wide(log_likelihood);
  visitor.first_rows(unlikely);
}

void SweepStatistics::for_each_field(FieldVisitor& visitor) {
  for (Statistics& statistics : models) statistics.for_each_field(visitor);
}

std::string name_of(CovarianceType type) {
  return std::find_if(kCovarianceTypes.begin(), kCovarianceTypes.end(), [&](const auto& entry) { return entry.first == type; })->second;
}

std::int64_t n_parameters(const Model& model) {
  const std::int64_t k = model.n_components, d = model.n_columns, means_and_weights = k * d + k - 1;
  switch (model.covariance_type) {
    case CovarianceType::full: return means_and_weights + k * (d * (d + 1) / 2);
    case CovarianceType::tied: return means_and_weights + d * (d + 1) / 2;
    case CovarianceType::diag: return means_and_weights + k * d;
    case CovarianceType::spherical: return means_and_weights + k;
  }
  return 0;
}

bool is_better(const Model& a, const Model& b) {
  if (a.at_floor.empty() != b.at_floor.empty()) return a.at_floor.empty();
  return a.log_likelihood > b.log_likelihood;
}

void update(Model& model, const Statistics& statistics, const Grid& grid, const GridMoments& moments, const Params& params) {
  const Quanta quanta(model, grid, moments);
  const double weight = static_cast<double>(moments.weight) * grid.weight_step;
  const double log_likelihood = static_cast<double>(statistics.log_likelihood.value(0)) * quanta.log_likelihood() * grid.weight_step;
  if (model.final_parameters)
    return settle(model, log_likelihood,
                  static_cast<double>(statistics.log_likelihood.value(1)) * quanta.log_likelihood() * grid.weight_step, weight);
  const Floor floor(grid, moments, params);
  const std::vector<float> center = center_of(grid, moments);
  Moments sums = moments_of(model, statistics, quanta, center);
  add_expected(model, in_units(statistics.missing, [&](std::size_t) { return quanta.weight(); }), center, sums);
  if (model.covariance_type == CovarianceType::tied) {
    if (model.scatter.empty()) model.scatter = sums.second;
    sums.second = model.scatter;
  }
  maximise(model, sums, center, floor);
  ++model.n_iter;
  model.lower_bound.push_back(log_likelihood / weight);
  model.too_light = too_light(model, sums, grid, moments);
  const std::vector<std::int32_t> lost = lost_among(model, model.too_light);
  const bool looked_for_rows = model.lost_components > 0;
  if (looked_for_rows) reseed(model, lost, statistics.unlikely, center, floor);
  model.lost_components = looked_for_rows ? 0 : static_cast<std::int32_t>(lost.size());
  model.converged = has_converged(model, params);
  model.final_parameters = model.converged || model.n_iter >= params.max_iter;
}

Fit fit(Context& context, TileSource& source, const Grid& grid, const GridMoments& moments, std::span<const Params> params, Pass& pass) {
  for (const Params& entry : params) check_params(grid, moments, entry);
  Jobs jobs;
  for (const Params& entry : params)
    for (Model& model : seed(context, grid, moments, entry)) jobs.push_back({std::move(model), &entry});
  Fit result;
  const SumsMemory memory{"the sums of the mixture",
                          [](const Model& model) { return statistics_bytes(model.covariance_type, model.n_components, model.n_columns); }};
  result.sweeps = sweep_until_settled(
      context, source, pass, jobs, memory,
      [&](Model& model, const Statistics& statistics, const Params& own) { update(model, statistics, grid, moments, own); });
  for (const Params& entry : params) {
    result.best.push_back(best_of(jobs, entry));
    warn_about(result.best.back(), entry, result.warnings);
  }
  return result;
}

}  // namespace coterie::gaussian_mixture
