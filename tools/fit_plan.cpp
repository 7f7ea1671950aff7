#include "tools/fit_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "host/error.hpp"
#include "io/feature_file.hpp"
#include "tools/warm_start.hpp"

namespace coterie::tools {

namespace {

using gaussian_mixture::CovarianceType;

[[noreturn]] void refuse_foreign(const char* option) {
  throw ArgumentError(fmt::format("{} belongs to --method gmm. Leave it out, or choose that method.", option));
}

// Of more segments, k-means++ draws the start for longer than the fit then takes.
constexpr std::int32_t kMostOneByOne = 100;

std::optional<kmeans::Init> kmeans_start(const std::string& name) {
  if (name == "k-means++") return kmeans::Init::kmeans_plus_plus;
  if (name == "k-means||") return kmeans::Init::kmeans_parallel;
  if (name == "mini-batch") return kmeans::Init::mini_batch;
  if (name == "random") return kmeans::Init::random;
  return std::nullopt;
}

bool is_named_start(const FitOptions& options) {
  if (!options.init) return true;
  if (options.method == Method::kmeans) return kmeans_start(*options.init).has_value();
  return *options.init == "random" || *options.init == "kmeans" || *options.init == "short-em";
}

}  // namespace

std::optional<CentersPath> centers_path(const std::string& init) {
  const auto colon = init.rfind(":/");
  if (colon == std::string::npos || colon == 0) return std::nullopt;
  return CentersPath{init.substr(0, colon), init.substr(colon + 1)};
}

FitPlan::FitPlan(Session& session, const FitOptions& options, std::vector<std::int32_t> asked, std::vector<std::int32_t> defaults)
    : options_(options) {
  check_options();
  read_start(session);
  counts_ = asked;
  if (const std::int32_t n_segments = start_segments(); n_segments > 0) {
    if (!asked.empty() && asked != std::vector{n_segments})
      throw ArgumentError(fmt::format("--n-clusters {} and --init {}: the file holds {} start centers. Leave --n-clusters out.",
                                      fmt::join(asked, ","), *options.init, n_segments));
    counts_ = {n_segments};
  }
  counts_are_defaults_ = counts_.empty();
  if (counts_are_defaults_) counts_ = std::move(defaults);
  settle_covariance_types();
}

void FitPlan::check_options() const {
  if (options_.method == Method::gmm) return;
  if (!options_.covariance_types.empty()) refuse_foreign("--covariance-type");
  if (options_.reg_covar) refuse_foreign("--reg-covar");
  if (options_.covariance_floor) refuse_foreign("--covariance-floor");
}

void FitPlan::read_start(Session& session) {
  if (is_named_start(options_)) return;
  const std::string& init = *options_.init;
  const bool gmm = options_.method == Method::gmm;
  if (const auto path = centers_path(init)) {
    centers_ = read_centers(session, *path);
    start_file_ = path->file;
  } else if (gmm && (std::filesystem::path(init).has_extension() || std::filesystem::exists(init))) {
    start_model_ = io::read_model(init);
    start_file_ = init;
  } else {
    throw ArgumentError(fmt::format("--init {}: expected {}random, {}or FILE.h5:/dataset with the start centers.", init,
                                    gmm ? "kmeans, short-em, " : "k-means++, k-means||, mini-batch, ",
                                    gmm ? "a result file of `coterie cluster`, " : ""));
  }
}

FitPlan::Centers FitPlan::read_centers(Session& session, const CentersPath& path) const {
  const auto file = io::FeatureFile::open(path.file, {.x = path.dataset});
  if (file->n_rows() > kMaxClusters)
    throw ContentsError(fmt::format("file '{}', dataset '{}': {} rows are no start centers. Nothing was written.", path.file, path.dataset,
                                    file->n_rows()));
  const auto source = file->tiles(session.context());
  Centers centers{{}, static_cast<std::int32_t>(source->n_rows()), source->n_columns()};
  source->rewind();
  while (const Tile* tile = source->next()) {
    const std::size_t n_cells = static_cast<std::size_t>(tile->n_rows) * static_cast<std::size_t>(tile->n_columns);
    visit_cells(*tile, [&](const auto* cells) {
      for (std::size_t i = 0; i < n_cells; ++i) centers.values.push_back(static_cast<float>(cells[i]));
    });
  }
  const bool finite = std::all_of(centers.values.begin(), centers.values.end(), [](float value) { return std::isfinite(value); });
  if (!finite)
    throw ContentsError(
        fmt::format("file '{}', dataset '{}': start centers must be finite numbers. Nothing was written.", path.file, path.dataset));
  return centers;
}

std::int32_t FitPlan::start_segments() const {
  if (centers_) return centers_->n_segments;
  return start_model_ ? io::n_segments(start_model_->fit) : 0;
}

// As the start has them; else full, as scikit-learn.
void FitPlan::settle_covariance_types() {
  if (options_.method != Method::gmm) return;
  std::vector<CovarianceType>& types = options_.covariance_types;
  if (const auto* mixture = start_model_ ? std::get_if<gaussian_mixture::Model>(&start_model_->fit) : nullptr) {
    if (types.empty()) types = {mixture->covariance_type};
    if (types != std::vector{mixture->covariance_type})
      throw ArgumentError(
          fmt::format("--covariance-type and --init {}: the model in the file has {} covariances. Leave --covariance-type out.",
                      *options_.init, name_of(mixture->covariance_type)));
  }
  if (types.empty()) types = {CovarianceType::full};
}

void FitPlan::check_missing(MissingPolicy missing) const {
  if (missing != MissingPolicy::keep) return;
  const auto needs_every_cell = [](CovarianceType type) { return type == CovarianceType::full || type == CovarianceType::tied; };
  if (options_.method != Method::gmm)
    throw ArgumentError("--missing mar: k-means needs every cell. Choose --missing median, or --method gmm.");
  if (std::any_of(options_.covariance_types.begin(), options_.covariance_types.end(), needs_every_cell))
    throw ArgumentError(
        "--missing mar: full and tied covariances need every cell, for without it each pattern of missing cells asks for an inverse of its "
        "own. Add --covariance-type diag or spherical, or choose --missing median.");
}

void FitPlan::limit_defaults(std::int64_t n_rows) {
  while (counts_are_defaults_ && counts_.size() > 1 && counts_.back() > n_rows) counts_.pop_back();
}

FitParams FitPlan::params(const Transform& transform) const {
  check_columns(transform);
  if (options_.method == Method::gmm) return mixture_params(transform);
  return kmeans_params();
}

void FitPlan::check_columns(const Transform& transform) const {
  const auto n_columns = static_cast<std::int32_t>(transform.columns.size());
  if (centers_ && centers_->n_columns != n_columns)
    throw ContentsError(fmt::format("--init {}: the start centers have {} columns, the clustering has {}. Nothing was written.",
                                    *options_.init, centers_->n_columns, n_columns));
}

std::vector<kmeans::Params> FitPlan::kmeans_params() const {
  std::vector<kmeans::Params> all;
  for (const std::int32_t n_clusters : counts_) {
    kmeans::Params params{.n_clusters = n_clusters};
    if (n_clusters > kMostOneByOne) params.init = kmeans::Init::kmeans_parallel;
    params.n_init = options_.n_init.value_or(params.n_init);
    params.max_iter = options_.max_iter.value_or(params.max_iter);
    params.tol = options_.tol.value_or(params.tol);
    if (options_.init && !centers_) params.init = kmeans_start(*options_.init).value();
    if (centers_) {
      params.init = kmeans::Init::given;
      params.n_init = 1;
      params.given_centers = centers_->values;
    }
    all.push_back(std::move(params));
  }
  return all;
}

std::vector<gaussian_mixture::Params> FitPlan::mixture_params(const Transform& transform) const {
  std::vector<gaussian_mixture::Params> all;
  for (const CovarianceType type : options_.covariance_types)
    for (const std::int32_t n_components : counts_) {
      gaussian_mixture::Params params{.n_components = n_components, .covariance_type = type};
      params.n_init = options_.n_init.value_or(params.n_init);
      params.max_iter = options_.max_iter.value_or(params.max_iter);
      params.tol = options_.tol.value_or(params.tol);
      params.reg_covar = options_.reg_covar.value_or(params.reg_covar);
      params.covariance_floor = options_.covariance_floor.value_or(params.covariance_floor);
      params.missing_at_random = transform.keep_missing;
      if (options_.init == "random") params.init = gaussian_mixture::Init::random;
      if (options_.init == "short-em") params.init = gaussian_mixture::Init::short_em;
      if (centers_) params.means_init.assign(centers_->values.begin(), centers_->values.end());
      if (start_model_) start_from(*start_model_, *options_.init, transform, params);
      all.push_back(std::move(params));
    }
  return all;
}

}  // namespace coterie::tools
