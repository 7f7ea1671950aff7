// Gaussian mixtures by expectation and maximisation (Dempster, Laird and Rubin 1977) on grid rows (transform.hpp).
//
//   log p(x) = log sum_k weights_k N(x; means_k, covariances_k)
//   E: r_k = weights_k N_k / p(x), by log-sum-exp        M: weights, means and covariances of the rows weighted by r_k
//
// One sweep does both: responsibilities live for a few hundred rows only. Names, meanings and the stopping rule follow
// scikit-learn; a row of weight w counts as w rows. Within a block of kBlockRows rows sums run in a fixed order, block
// results are added as whole numbers of a quantum that follows from column ranges, weights and model: bit-identical for
// any threads, tiles, memory and ranks on one instruction set.
//
// Missing cells (NaN), where the params take them as missing at random: diag and spherical densities of a row are those of
// its known columns, and the M-step counts what is expected of the others (Ghahramani and Jordan 1994). No cell is imputed.
//
// No fit aborts: with columns scaled to variance 1 no eigenvalue of a covariance falls below covariance_floor
// (clipping is the exact M-step under that constraint), and a component that has too few rows is seeded anew once.
//
// The mean log-likelihood never falls between sweeps but for their rounding (sweep_tolerance), for components seeded anew, and for
// reg_covar r > 0, which moves the M-step off its maximum: there by at most the mean over the components, by their weights, of
// the sum of (r / 2s)^2 over the eigenvalues s of the covariance before r is added. Of columns of variance 1, one with s = 1e-2
// lets it fall by 2.5e-9 under the default r; fit() warns of what rounding does not explain.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "host/context.hpp"
#include "host/kmeans.hpp"
#include "host/statistics.hpp"
#include "host/tile_source.hpp"

namespace coterie::gaussian_mixture {

using kmeans::Grid;
using kmeans::GridMoments;

enum class CovarianceType { full, tied, diag, spherical };
inline constexpr std::array<std::pair<CovarianceType, const char*>, 4> kCovarianceTypes = {{{CovarianceType::full, "full"},
                                                                                            {CovarianceType::tied, "tied"},
                                                                                            {CovarianceType::diag, "diag"},
                                                                                            {CovarianceType::spherical, "spherical"}}};
std::string name_of(CovarianceType type);

// How rows of the seeding sample get their first component: by k-means++ and Lloyd, or by the nearest of random rows. short_em
// starts from the likeliest of kShortStarts random starts after kShortIterations iterations on the sample (Biernacki, Celeux
// and Govaert 2003).
enum class Init { kmeans, random, short_em };
inline constexpr std::int32_t kShortStarts = 10, kShortIterations = 5;

struct Params {
  std::int32_t n_components = 1;
  CovarianceType covariance_type = CovarianceType::full;
  std::int32_t n_init = 1;  // restarts; 1 when weights, means and precisions are all given
  std::int32_t max_iter = 100;
  double tol = 1e-3;               // stop when the mean log-likelihood of a unit of weight changes by less
  double reg_covar = 1e-6;         // added to every variance, clustering units
  double covariance_floor = 1e-6;  // least eigenvalue of a covariance, in units of the columns' variances
  Init init = Init::kmeans;
  bool missing_at_random = false;       // rows may hold NaN; diag and spherical only
  std::vector<double> weights_init;     // (n_components) or empty; clustering units as all that follow
  std::vector<double> means_init;       // (n_components, n_columns) or empty
  std::vector<double> precisions_init;  // inverse covariances in the shape of Model::covariances, or empty
};

// A component that had fewer rows than its covariance needs and took an outlying row as its mean after iteration `iteration`.
struct Reseeding {
  std::int32_t iteration = 0;
  std::int32_t component = 0;
  bool operator==(const Reseeding&) const = default;
};

// covariances and precisions_cholesky: full (n_components, n_columns, n_columns), tied (n_columns, n_columns),
// diag (n_components, n_columns), spherical (n_components). precisions_cholesky holds the upper triangular P with
// P P^T = covariance^-1, or 1 / standard deviation.
struct Model {
  CovarianceType covariance_type = CovarianceType::full;
  std::int32_t n_components = 0;
  std::int32_t n_columns = 0;
  bool missing_at_random = false;
  std::vector<double> weights;  // (n_components) sum 1; descending in a finished fit, ties by means
  std::vector<double> means;    // (n_components, n_columns) clustering units
  std::vector<double> covariances;
  std::vector<double> precisions_cholesky;

  std::int32_t restart = 0;
  double sweep_tolerance = 0;  // by how much rounding may move the mean log-likelihood of a sweep: float32 where it allows
  std::int32_t n_iter = 0;
  bool converged = false;
  std::vector<double> lower_bound;      // (n_iter) mean log-likelihood of a unit of weight before each M-step
  std::vector<Reseeding> reseedings;    // at most one per component; the likelihood may fall after them
  std::vector<std::int32_t> at_floor;   // components whose covariance without reg_covar lies below the floor (tied: every component)
  std::vector<std::int32_t> too_light;  // components with fewer rows than their covariance needs

  bool final_parameters = false;     // the next sweep only measures the likelihood, in double
  std::int32_t lost_components = 0;  // > 0: the next sweep also looks for the rows of least likelihood
  std::vector<double> scatter;       // tied: lower triangle of the sum of w (x - c)(x - c)^T, w in steps, from the first sweep on

  bool settled = false;       // the following belong to the parameters above: no further sweep needed
  double row_weight = 0;      // summed over all rows
  double log_likelihood = 0;  // summed over the weight of all rows
  double aic = 0, bic = 0;    // -2 log_likelihood + penalty: smaller is better
  double icl = 0;             // bic - 2 sum of log max_k r_k
};

// What one sweep leaves behind for one model. p: the pivots, c: the center (gaussian_mixture_quanta.hpp).
struct Statistics {
  WideSums weight;  // (n_components) sum of w r
  WideSums first;   // (n_components, n_columns) sum of w r (x - p)
  // full: (n_components, n_columns (n_columns + 1) / 2) lower triangles of the sum of w r (x - p)(x - p)^T; diag:
  // (n_components, n_columns) its diagonals; spherical: (n_components) sum of w r |x - c|^2; tied: in the first sweep one
  // lower triangle of the sum of w (x - c)(x - c)^T.
  WideSums second;
  WideSums missing;         // (n_components, n_columns) sum of w r over rows whose cell is missing; empty unless missing at random
  WideSums log_likelihood;  // (2) sum of w log p(x), sum of w log max_k r_k
  FirstRows unlikely;       // lost_components rows of least likelihood; values: row
  void for_each_field(FieldVisitor& visitor);
};
struct SweepStatistics {
  std::vector<Statistics> models;  // in the order of the models
  void for_each_field(FieldVisitor& visitor);
};

// One sweep for many models. Implementation: host/gaussian_mixture_pass.cpp.
class Pass {
 public:
  virtual ~Pass() = default;
  virtual void begin(std::span<const Model* const> models) = 0;
  virtual void accumulate(const Tile& tile) = 0;
  virtual SweepStatistics finish() = 0;
};

// Row-aligned output of one tile; the spans live until the next call. Rows of weight zero are treated like any other.
struct Prediction {
  std::span<const std::int32_t> label;     // (n_rows) component of the largest log density, the smallest among equals
  std::span<const std::int32_t> second;    // (n_rows) of the second largest, likewise; -1 when there is one component only
  std::span<const double> probability;     // (n_rows) largest responsibility
  std::span<const double> entropy;         // (n_rows) -sum_k r_k log r_k
  std::span<const double> log_likelihood;  // (n_rows) log p(x), clustering units
  std::span<const double> probabilities;   // (n_rows, n_components), or empty when not asked for
};
class Predictor {
 public:
  virtual ~Predictor() = default;
  virtual void begin(const Model& model) = 0;
  virtual Prediction predict(const Tile& tile) = 0;
  virtual std::int64_t rows_at_once() const { return kAllRows; }  // of a tile; the more, the more memory results take
};

std::unique_ptr<Pass> make_cpu_pass(Context& context, const Grid& grid, const GridMoments& moments);
std::unique_ptr<Predictor> make_cpu_predictor(Context& context, bool all_probabilities = false);

// Bytes a CPU pass needs for the sums of one model, per worker.
std::int64_t statistics_bytes(CovarianceType type, std::int32_t n_components, std::int32_t n_columns);

// Free parameters: weights, means and covariances.
std::int64_t n_parameters(const Model& model);

// ArgumentError when n_components is below 1 or exceeds the rows of positive weight, a tolerance is negative, given
// weights, means or precisions have another shape, are not finite, or are not positive definite, or cells may be missing under
// full or tied covariances.
void check_params(const Grid& grid, const GridMoments& moments, const Params& params);

// Start models for every restart, from the sample of kmeans::measure_moments; every rank must call it together. The moments are those of
// rows without missing cells: filled ones. The errors of check_params.
std::vector<Model> seed(Context& context, const Grid& grid, const GridMoments& moments, const Params& params);

// Whether a makes the better start or result: a likelihood that only the floor keeps finite is no merit.
bool is_better(const Model& a, const Model& b);

// The M-step (pure, the same on every rank). Sets n_iter, lower_bound, converged, reseedings; after the last sweep
// settles: log_likelihood, aic, bic, icl, canonical order.
void update(Model& model, const Statistics& statistics, const Grid& grid, const GridMoments& moments, const Params& params);

struct Fit {
  std::vector<Model> best;            // one per params entry: the restart of largest likelihood off the floor, ties to the first
  std::vector<std::string> warnings;  // not converged, likelihood fell, seeded anew, at the floor, too few rows
  std::int64_t sweeps = 0;
};

// Fits every params entry (several K or covariance types, say) with all its restarts in shared sweeps.
Fit fit(Context& context, TileSource& source, const Grid& grid, const GridMoments& moments, std::span<const Params> params, Pass& pass);

}  // namespace coterie::gaussian_mixture
