#include "tools/granularity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace coterie::tools {

namespace {

// A segment of fewer customers than this is an anecdote, not an audience.
constexpr double kSmallestShare = 0.02;

constexpr double kLeastReturn = 1e-3;  // restarts may leave a larger k no better than a smaller one; keeps ratios finite

double smallest_share(const kmeans::Model& model) {
  const auto& weights = model.cluster_weights;
  return *std::min_element(weights.begin(), weights.end()) / std::accumulate(weights.begin(), weights.end(), 0.0);
}

// Per model: by how much the log of the unexplained variance falls per log of the number of segments, since the model before
// it; the first counts from one segment, which explains nothing. Constant where the data has no groups (inertia ~ k^(-2/d)).
std::vector<double> returns_on_segments(std::span<const kmeans::Model> models, std::span<const kmeans::Quality> qualities) {
  std::vector<double> returns;
  double unexplained = 1, n_clusters = 1;
  for (std::size_t m = 0; m < models.size(); ++m) {
    const double next_unexplained = std::max(1 - qualities[m].explained, 1e-12);  // nothing left to explain is a limit, not a zero
    const double next_n_clusters = models[m].n_clusters;
    const double growth = next_n_clusters > n_clusters ? std::log(next_n_clusters / n_clusters) : 1;
    returns.push_back(std::max(std::log(unexplained / next_unexplained) / growth, kLeastReturn));
    unexplained = next_unexplained;
    n_clusters = next_n_clusters;
  }
  return returns;
}

io::DataFrame kmeans_table(std::span<const kmeans::Model> models, std::span<const kmeans::Quality> qualities) {
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

// By what factor the return falls after a model; 0 after the last, where nobody knows.
double drop_after(const std::vector<double>& returns, std::size_t m) { return m + 1 < returns.size() ? returns[m] / returns[m + 1] : 0; }

std::string drop_text(const std::vector<double>& returns, std::size_t m) {
  constexpr double kNotable = 1.05;  // what would be printed as a factor of 1.0 is no fall
  if (returns[m + 1] <= kLeastReturn) return "the return on a further segment vanishes here";
  if (drop_after(returns, m) >= kNotable)
    return fmt::format("the return on a further segment falls most sharply here, by a factor of {:.1f}", drop_after(returns, m));
  return fmt::format("the return on a further segment nowhere falls by a factor of {}, and comes nearest to it here", kNotable);
}

// Why `best` was chosen among the models that are `eligible`, or among all where none is.
std::string reason_for(std::size_t best, const std::vector<double>& returns, const std::vector<bool>& eligible) {
  const std::string floor = fmt::format("{:.0f} % of the customers", 100 * kSmallestShare);
  const auto n_eligible = std::count(eligible.begin(), eligible.end(), true);
  if (eligible.size() == 1)
    return fmt::format("the only number that was tried, and its smallest segment holds {} {}", n_eligible == 1 ? "at least" : "less than",
                       floor);
  if (n_eligible == 0) return "every number that was tried leaves a segment of less than " + floor;
  if (n_eligible == 1) return "the only number that was tried whose smallest segment holds at least " + floor;
  bool is_sharpest = true;
  for (std::size_t m = 0; m < returns.size(); ++m) is_sharpest = is_sharpest && drop_after(returns, m) <= drop_after(returns, best);
  return drop_text(returns, best) +
         (is_sharpest ? ", and the smallest segment holds at least " : ", of the numbers whose smallest segment holds at least ") + floor;
}

Choice choose_kmeans(std::span<const kmeans::Model> models, std::span<const kmeans::Quality> qualities) {
  const std::vector<double> returns = returns_on_segments(models, qualities);
  std::vector<bool> eligible;
  for (const kmeans::Model& model : models) eligible.push_back(smallest_share(model) >= kSmallestShare);
  std::size_t best = 0;
  for (std::size_t m = 1; m < models.size(); ++m)
    if (eligible[m] && (!eligible[best] || drop_after(returns, m) > drop_after(returns, best))) best = m;
  return {best, fmt::format("{} segments: {}.", models[best].n_clusters, reason_for(best, returns, eligible))};
}

std::vector<double> bic_per_parameter(std::span<const gaussian_mixture::Model> models) {
  std::vector<double> gains{std::nan("")};
  for (std::size_t m = 1; m < models.size(); ++m) {
    const bool comparable = models[m].covariance_type == models[m - 1].covariance_type;
    const auto parameters = static_cast<double>(n_parameters(models[m]) - n_parameters(models[m - 1]));
    gains.push_back(comparable && parameters > 0 ? (models[m - 1].bic - models[m].bic) / parameters : std::nan(""));
  }
  return gains;
}

io::DataFrame mixture_table(std::span<const gaussian_mixture::Model> models) {
  io::DataFrame table{"n_components", {}, {}};
  for (const gaussian_mixture::Model& model : models) table.index.push_back(std::to_string(model.n_components));
  const auto add = [&](const char* name, const auto& value_of) {
    std::vector<decltype(value_of(models.front()))> values;
    for (const gaussian_mixture::Model& model : models) values.push_back(value_of(model));
    table.columns.emplace_back(name, std::move(values));
  };
  using gaussian_mixture::Model;
  add("covariance_type", [](const Model& model) { return name_of(model.covariance_type); });
  add("log_likelihood", [](const Model& model) { return model.log_likelihood; });
  add("parameters", [](const Model& model) { return n_parameters(model); });
  add("aic", [](const Model& model) { return model.aic; });
  add("bic", [](const Model& model) { return model.bic; });
  add("icl", [](const Model& model) { return model.icl; });
  table.columns.emplace_back("bic_per_parameter", bic_per_parameter(models));
  add("smallest_share", [](const Model& model) { return *std::min_element(model.weights.begin(), model.weights.end()); });
  add("at_floor", [](const Model& model) { return static_cast<std::int64_t>(model.at_floor.size()); });
  add("n_iter", [](const Model& model) { return std::int64_t{model.n_iter}; });
  add("converged", [](const Model& model) { return model.converged; });
  return table;
}

// How much is wrong with a model before its criterion counts: 2 an anecdote among its segments, 1 the floor.
int faults(const gaussian_mixture::Model& model) {
  return 2 * (*std::min_element(model.weights.begin(), model.weights.end()) < kSmallestShare) + !model.at_floor.empty();
}

std::string described(const gaussian_mixture::Model& model) {
  return fmt::format("{} segment{} with {} covariances", model.n_components, model.n_components == 1 ? "" : "s",
                     name_of(model.covariance_type));
}

// What its faults() mean for a model that has the fewest.
std::string faults_text(int faults, bool is_alone) {
  const std::string floor = fmt::format("{:.0f} %", 100 * kSmallestShare), every = is_alone ? "; it" : "; every model";
  switch (faults) {
    case 0: return is_alone ? "" : ", among models off the covariance floor whose smallest segment holds at least " + floor;
    case 1:
      return "; it rests on the covariance floor, " +
             (is_alone ? "" : "as every model does whose smallest segment holds at least " + floor + ", ") +
             "so compare likelihoods with care";
    case 2: return every + " leaves a segment of less than " + floor + " of the customers";
    default: return every + " leaves a segment of less than " + floor + " of the customers and rests on the covariance floor";
  }
}

Choice choose_mixture(std::span<const gaussian_mixture::Model> models) {
  if (models.size() == 1)
    return {0, fmt::format("{}: the only model that was tried{}.", described(models[0]), faults_text(faults(models[0]), true))};
  const auto icl = std::min_element(models.begin(), models.end(), [](const auto& a, const auto& b) {
    return faults(a) != faults(b) ? faults(a) < faults(b) : a.icl < b.icl;
  });
  const auto bic = std::min_element(models.begin(), models.end(), [](const auto& a, const auto& b) {
    return faults(a) != faults(b) ? faults(a) < faults(b) : a.bic < b.bic;
  });
  return {static_cast<std::size_t>(icl - models.begin()),
          fmt::format("{}: the least ICL, which asks for segments that can be told apart{}. {}.", described(*icl),
                      faults_text(faults(*icl), false), bic == icl ? "BIC agrees" : "BIC prefers " + described(*bic))};
}

}  // namespace

Comparison compare_kmeans(std::span<const kmeans::Model> models, std::span<const kmeans::Quality> qualities) {
  return {kmeans_table(models, qualities), choose_kmeans(models, qualities)};
}

Comparison compare_mixtures(std::span<const gaussian_mixture::Model> models) { return {mixture_table(models), choose_mixture(models)}; }

}  // namespace coterie::tools
