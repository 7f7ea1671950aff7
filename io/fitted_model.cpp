#include "io/fitted_model.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "io/stored_fields.hpp"
#include "io/text.hpp"

namespace coterie::io {
namespace {

using gaussian_mixture::CovarianceType;
using gaussian_mixture::kCovarianceTypes;

constexpr double kSumRounding = 1e-9;  // weights are quotients of one sum, so they sum to 1 up to a few roundings

// Centers are float32 in the file; a (k, d) dataset read as double and narrowed is exact.
void read_centers(const StoredFields& fields, kmeans::Model& model) {
  const Array centers = fields.finite_array("cluster_centers", 2);
  model.n_clusters = static_cast<std::int32_t>(centers.shape[0]);
  model.n_columns = static_cast<std::int32_t>(centers.shape[1]);
  for (const double value : centers.values) {
    model.cluster_centers.push_back(static_cast<float>(value));
    if (model.cluster_centers.back() != value) fields.refuse("cluster_centers", "a center is no finite float32 number");
  }
}

void write_kmeans(H5adWriter& file, const std::string& root, const kmeans::Model& model) {
  const auto write = [&](const char* field, const Value& value) { file.write_value(root + "/" + field, value); };
  file.write_matrix(root + "/cluster_centers", model.n_clusters, model.n_columns, std::span<const float>(model.cluster_centers));
  write("cluster_sizes", model.cluster_sizes);
  write("cluster_weights", model.cluster_weights);
  write("inertia", model.inertia);
  write("n_iter", std::int64_t{model.n_iter});
  write("restart", std::int64_t{model.restart});
  write("converged", model.converged);
}

kmeans::Model read_kmeans(const StoredFields& fields) {
  kmeans::Model model;
  read_centers(fields, model);
  model.cluster_sizes = fields.list<std::int64_t>("cluster_sizes", model.n_clusters);
  model.cluster_weights = fields.list<double>("cluster_weights", model.n_clusters);
  if (std::any_of(model.cluster_sizes.begin(), model.cluster_sizes.end(), [](std::int64_t size) { return size < 0; }))
    fields.refuse("cluster_sizes", "a size is negative");
  if (!std::all_of(model.cluster_weights.begin(), model.cluster_weights.end(), [](double w) { return w >= 0 && std::isfinite(w); }))
    fields.refuse("cluster_weights", "a weight is negative or not finite");
  model.restart = static_cast<std::int32_t>(fields.count("restart", 0));
  model.n_iter = static_cast<std::int32_t>(fields.count("n_iter", 0));
  model.inertia = fields.finite("inertia");
  if (model.inertia < 0) fields.refuse("inertia", "it is negative");
  model.converged = fields.get<bool>("converged");
  model.settled = true;
  return model;
}

std::vector<std::int64_t> covariance_shape(const gaussian_mixture::Model& model) {
  const std::int64_t k = model.n_components, d = model.n_columns;
  switch (model.covariance_type) {
    case CovarianceType::full: return {k, d, d};
    case CovarianceType::tied: return {d, d};
    case CovarianceType::diag: return {k, d};
    case CovarianceType::spherical: return {k};
  }
  return {};
}

bool has_matrices(CovarianceType type) { return type == CovarianceType::full || type == CovarianceType::tied; }

std::vector<std::int64_t> widened(const std::vector<std::int32_t>& values) { return {values.begin(), values.end()}; }

void write_mixture(H5adWriter& file, const std::string& root, const gaussian_mixture::Model& model) {
  const auto write = [&](const char* field, const Value& value) { file.write_value(root + "/" + field, value); };
  write("covariance_type", name_of(model.covariance_type));
  write("weights", model.weights);
  file.write_matrix(root + "/means", model.n_components, model.n_columns, std::span<const double>(model.means));
  file.write_array(root + "/covariances", covariance_shape(model), model.covariances);
  file.write_array(root + "/precisions_cholesky", covariance_shape(model), model.precisions_cholesky);
  write("missing_at_random", model.missing_at_random);
  write("lower_bound", model.lower_bound);
  write("row_weight", model.row_weight);
  write("log_likelihood", model.log_likelihood);
  write("aic", model.aic);
  write("bic", model.bic);
  write("icl", model.icl);
  write("n_iter", std::int64_t{model.n_iter});
  write("restart", std::int64_t{model.restart});
  write("converged", model.converged);
  write("at_floor", widened(model.at_floor));
  write("too_light", widened(model.too_light));
  std::vector<std::int64_t> components, iterations;
  for (const gaussian_mixture::Reseeding& reseeding : model.reseedings) {
    components.push_back(reseeding.component);
    iterations.push_back(reseeding.iteration);
  }
  write("reseeded", components);
  write("reseeded_after", iterations);
}

CovarianceType read_covariance_type(const StoredFields& fields) {
  const auto name = fields.get<std::string>("covariance_type");
  for (const auto& [type, known] : kCovarianceTypes)
    if (name == known) return type;
  fields.refuse("covariance_type", "this program does not know " + shown(name));
}

std::vector<std::int32_t> read_components(const StoredFields& fields, const char* field, std::int32_t n_components) {
  std::vector<std::int32_t> components;
  for (const std::int64_t component : fields.get<std::vector<std::int64_t>>(field)) {
    if (component < 0 || component >= n_components) fields.refuse(field, "a component is out of range");
    components.push_back(static_cast<std::int32_t>(component));
  }
  return components;
}

// What decides a label: weights, means, and scales that are positive on the diagonal.
void read_parameters(const StoredFields& fields, gaussian_mixture::Model& model) {
  model.covariance_type = read_covariance_type(fields);
  Array means = fields.finite_array("means", 2);
  model.n_components = static_cast<std::int32_t>(means.shape[0]);
  model.n_columns = static_cast<std::int32_t>(means.shape[1]);
  model.means = std::move(means.values);
  model.weights = fields.list<double>("weights", model.n_components);
  if (!std::all_of(model.weights.begin(), model.weights.end(), [](double weight) { return weight >= 0; }) ||
      !(std::abs(std::accumulate(model.weights.begin(), model.weights.end(), -1.0)) <= kSumRounding))
    fields.refuse("weights", "a weight is negative, or they do not sum to 1");
  model.covariances = fields.finite_values("covariances", covariance_shape(model));
  model.precisions_cholesky = fields.finite_values("precisions_cholesky", covariance_shape(model));
  const auto n = static_cast<std::size_t>(model.n_columns);
  for (std::size_t i = 0; i < model.precisions_cholesky.size(); ++i) {
    const std::size_t row = i / n % n, column = i % n;
    const double p = model.precisions_cholesky[i];
    if (!has_matrices(model.covariance_type) || row == column ? p <= 0 : row > column && p != 0)
      fields.refuse("precisions_cholesky", "it is not upper triangular with a positive diagonal");
  }
}

gaussian_mixture::Model read_mixture(const StoredFields& fields) {
  gaussian_mixture::Model model;
  read_parameters(fields, model);
  model.missing_at_random = fields.get<bool>("missing_at_random");
  if (model.missing_at_random && has_matrices(model.covariance_type))
    fields.refuse("missing_at_random", "matrices of covariances know no missing cells");
  model.n_iter = static_cast<std::int32_t>(fields.count("n_iter", 1));
  model.lower_bound = fields.finite_values("lower_bound", {model.n_iter});
  model.row_weight = fields.finite("row_weight");
  if (model.row_weight <= 0) fields.refuse("row_weight", "it is not positive");
  model.log_likelihood = fields.finite("log_likelihood");
  model.aic = fields.finite("aic");
  model.bic = fields.finite("bic");
  model.icl = fields.finite("icl");
  model.restart = static_cast<std::int32_t>(fields.count("restart", 0));
  model.converged = fields.get<bool>("converged");
  model.at_floor = read_components(fields, "at_floor", model.n_components);
  model.too_light = read_components(fields, "too_light", model.n_components);
  const std::vector<std::int32_t> reseeded = read_components(fields, "reseeded", model.n_components);
  const auto after = fields.list<std::int64_t>("reseeded_after", std::ssize(reseeded));
  for (std::size_t i = 0; i < reseeded.size(); ++i) {
    if (after[i] < 0 || after[i] > model.n_iter) fields.refuse("reseeded_after", "an iteration is out of range");
    model.reseedings.push_back({.iteration = static_cast<std::int32_t>(after[i]), .component = reseeded[i]});
  }
  model.final_parameters = model.settled = true;
  return model;
}

}  // namespace

std::string algorithm_of(const FittedModel& model) { return std::holds_alternative<kmeans::Model>(model) ? "kmeans" : "gmm"; }

std::int32_t n_segments(const FittedModel& model) {
  const auto* mixture = std::get_if<gaussian_mixture::Model>(&model);
  return mixture != nullptr ? mixture->n_components : std::get<kmeans::Model>(model).n_clusters;
}

std::int32_t n_columns(const FittedModel& model) {
  return std::visit([](const auto& fit) { return fit.n_columns; }, model);
}

void write_fitted(H5adWriter& file, const std::string& root, const FittedModel& model) {
  if (const auto* mixture = std::get_if<gaussian_mixture::Model>(&model))
    write_mixture(file, root, *mixture);
  else
    write_kmeans(file, root, std::get<kmeans::Model>(model));
}

FittedModel read_fitted(const StoredFields& fields, const std::string& algorithm) {
  if (algorithm == "kmeans") return read_kmeans(fields);
  if (algorithm == "gmm") return read_mixture(fields);
  fields.refuse("algorithm", "this program cannot place customers with " + shown(algorithm));
}

}  // namespace coterie::io
