// Logistic regression by Newton's method (iteratively reweighted least squares) on grid rows (transform.hpp).
//
//   P(yes | x) = 1 / (1 + exp(-eta))        eta = intercept + sum_j coefficient_j x_j + effect of the row's segment
//   maximises   sum_i w_i log P(y_i | x_i) - penalty
//
// One sweep gives likelihood, gradient and Hessian of every model that shares it: targets, folds, penalties. The gradient
// is summed in double; the Hessian of a step may be rounder, may come from a sample of the blocks or, while steps are short,
// from an earlier sweep and the gradients since (BFGS), because it moves the way to the maximum and never the maximum
// (Roosta-Khorasani and Mahoney 2019, Sub-sampled Newton methods; Nocedal and Wright 2006, section 6.1). A last
// sweep in double gives what standard errors need. Block results are added as whole quanta (fixed_point.hpp): the same
// bits for any threads, tiles, memory and ranks on one instruction set. Names and meanings follow scikit-learn and R.
//
// A row counts for a model when its outcome is known (Tile::target), its fold is not negative (Tile::fold) and not the
// one left out; a row of weight w counts as w rows.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/context.hpp"
#include "host/kmeans.hpp"
#include "host/statistics.hpp"
#include "host/tile_source.hpp"
#include "host/transform.hpp"

namespace coterie::logistic_regression {

using kmeans::Grid;
using kmeans::GridMoments;

enum class Penalty {
  none,   // maximum likelihood; columns that others explain are dropped, as R does
  l2,     // sum of squared coefficients / (2 C), as scikit-learn; the intercept is free
  firth,  // -log determinant of the information / 2 (Jeffreys prior, Heinze and Schemper 2002): finite under separation
};

struct Params {
  std::int32_t target = 0;          // column of Tile::target
  std::int32_t left_out_fold = -1;  // rows of this fold do not count; -1: every fold counts
  Penalty penalty = Penalty::l2;
  double C = 1.0;               // of Penalty::l2, in clustering units
  std::int32_t max_iter = 100;  // sweeps before the last
  double tol = 1e-6;      // stop when the squared length of a step, in standard errors, is below, or that of the step after it is sure
                          // to be; the step is taken
  bool inference = true;  // covariances; costs the last sweep
  std::int32_t n_segments = 0;  // > 0: one effect per segment (Tile::label) with a normal prior; not with Penalty::firth
};

// What a row is to a model.
enum class Role { fit, left_out, unknown };
inline Role role_of(const Tile& tile, std::int64_t row, std::int32_t target, std::int32_t left_out_fold) {
  const bool known = tile.target[row * tile.n_targets + target] >= 0;
  const std::int32_t fold = tile.fold != nullptr ? tile.fold[row] : 0;
  return !known ? Role::unknown : (fold < 0 || fold == left_out_fold) ? Role::left_out : Role::fit;
}

// Coefficients and, last, the intercept (the log-odds of a row of zeros), with their covariances: (n_columns + 1) and
// (n_columns + 1, n_columns + 1). NaN in rows and columns of aliased columns; empty when not asked for.
struct Estimates {
  std::vector<double> values;
  std::vector<double> covariance;         // inverse of the information, the penalty included
  std::vector<double> robust_covariance;  // sandwich: holds where the model is wrong or rows differ in variance (HC0)
};

struct Wald {
  double value = 0, std_err = 0, z = 0, p_value = 0;  // two-sided against zero
  double low = 0, high = 0;                           // 95 % interval
};
Wald wald(const Estimates& estimates, std::size_t i, bool robust = false);

// How far a fit has come; between sweeps only. Parameters are in the units of the pass: coefficients times the column's
// scale (column_scales), and the log-odds of the center; n of them with the effects.
struct Search {
  std::vector<double> parameters;  // (n_columns + 1)
  std::vector<double> effects;     // (n_segments)
  std::vector<double> before;      // (n) parameters and effects before the last step
  std::vector<double> gradient;    // (n) penalised, before the last step; or empty: of other rows than the next sweep's
  double objective = 0;            // penalised log-likelihood before the last step
  double decrement = 0;            // squared length of the last step in standard errors
  double rate = 1;                 // times that of the one before
  std::int32_t halvings = 0;       // of the last step
  double damping = 0;              // share of its diagonal that was added to the Hessian
  std::int64_t rows_every = 1;     // the next sweep takes every so many blocks of kBlockRows: on the way only
  std::int64_t hessian_every = 1;  // and the Hessian from every so many; 0: from none
  // Of an earlier sweep's Hessian and prior, where the next sweep takes none, or empty: the lower factor without the aliased columns, and
  // what was learnt since, as pairs of a way and the fall of the gradient on it.
  std::vector<double> factor;   // (m, m)
  std::vector<double> secants;  // (pairs, 2, n)
  double drift = 0;             // length of the way since then, in standard errors
  bool stalled = false;         // Hessians of some blocks or of earlier sweeps led nowhere
  bool precise = false;         // Hessians are taken in double: the matrix is ill-conditioned, or the rows are few
  bool last = false;            // the next sweep measures, in double, and moves nothing
  std::vector<double> hat;      // firth: (n_columns + 1, n_columns + 1) F with |F z|^2 = z^T information^-1 z; or empty
};

struct Model {
  std::int32_t n_columns = 0;
  std::int32_t target = 0;
  std::int32_t left_out_fold = -1;
  Penalty penalty = Penalty::l2;

  std::vector<double> center;            // (n_columns) the mean row, on the grid
  std::vector<double> coefficients;      // (n_columns) log-odds per clustering unit; 0 where aliased
  double at_center = 0;                  // log-odds of the mean row
  double intercept() const;              // log-odds of a row of zeros
  std::vector<double> segment_effects;   // (n_segments) shrunk to the population, 0; or empty
  std::vector<double> segment_std_errs;  // (n_segments)
  double segment_variance = 0;           // of the prior of the effects, estimated

  std::int64_t rows[2] = {0, 0};   // that count, by outcome
  double weight[2] = {0, 0};       // summed, by outcome
  double log_likelihood = 0;       // without the penalty
  double null_log_likelihood = 0;  // of the intercept alone
  double deviance() const { return -2 * log_likelihood; }
  double null_deviance() const { return -2 * null_log_likelihood; }
  std::int32_t n_parameters() const;  // coefficients that are not aliased, and the intercept
  double aic() const { return deviance() + 2 * n_parameters(); }
  Estimates estimates;

  std::int32_t n_iter = 0;
  bool converged = false;
  double gradient_norm = 0;              // largest absolute entry of the penalised gradient at the last step, clustering units
  double largest_log_odds = 0;           // largest |eta| of a row that counts
  std::vector<std::int32_t> aliased;     // columns that others explain, ascending; Penalty::none and firth
  std::vector<std::int32_t> separating;  // columns whose coefficients grow without bound: they tell the outcomes apart
  std::string refusal;                   // why there is no fit: no row counts, or all have one outcome; else empty

  Search search;
  bool settled = false;  // no further sweep needed
};

// What one sweep leaves behind for one model. z: the rows less the center, scaled, and a last column of ones; p = P(yes),
// v = p (1 - p), r = y - p.
struct Statistics {
  std::vector<std::int64_t> rows;    // (2) that count, by outcome
  std::vector<std::int64_t> weight;  // (2) summed steps, by outcome
  WideSums log_likelihood;           // (1) sum of w log P(y)
  WideSums gradient;                 // (n_columns + 1) sum of w r z; firth: r = y - p + h (1/2 - p), h the hat value
  WideSums curvature;                // (n_columns + 1) sum of w v z, in the first sweep only
  WideSums hessian;             // lower triangle of the sum of w v z z^T over the chosen blocks; zeros where the model carries a factor
  WideSums hessian_weight;      // (2) sum of w v over all blocks, over the chosen ones
  WideSums squared_scores;      // last sweep: lower triangle of the sum of w r^2 z z^T
  WideSums segment_gradient;    // (n_segments) sum of w r
  WideSums segment_curvature;   // (n_segments, n_columns + 1) sum of w v z
  WideSums segment_squared;     // last sweep: (n_segments, n_columns + 1) sum of w r^2 z
  std::vector<double> largest;  // (1) max |eta|
  void for_each_field(FieldVisitor& visitor);
};
struct SweepStatistics {
  std::vector<Statistics> models;  // in the order of the models
  void for_each_field(FieldVisitor& visitor);
};

// One sweep for many models. Tiles carry `target`; without `fold` every row is of fold 0. Implementations:
// host/logistic_regression_pass.cpp.
class Pass {
 public:
  virtual ~Pass() = default;
  virtual void begin(std::span<const Model* const> models) = 0;
  virtual void accumulate(const Tile& tile) = 0;
  virtual SweepStatistics finish() = 0;
};

// Row-aligned output of one tile for every model; the spans live until the next call. Every row is predicted, whatever
// its fold, weight and outcome. A row with a label gets the effect of its segment where the model has one.
struct Prediction {
  std::span<const double> log_odds;             // (n_rows, n_models)
  std::span<const double> probability;          // (n_rows, n_models)
  std::span<const std::int32_t> reason;         // (n_rows, n_models, n_reasons) columns of the largest |contribution|, largest
                                                // first, ties to the lower column; -1 beyond n_columns
  std::span<const double> reason_contribution;  // (n_rows, n_models, n_reasons) coefficient_j (x_j - center_j)
};
class Predictor {
 public:
  virtual ~Predictor() = default;
  virtual void begin(std::span<const Model* const> models) = 0;
  virtual Prediction predict(const Tile& tile) = 0;
  virtual std::int64_t rows_at_once() const { return kAllRows; }  // of a tile; the more, the more memory results take
};

std::unique_ptr<Pass> make_cpu_pass(Context& context, const Grid& grid, const GridMoments& moments);
// n_reasons: at most kMostReasons, or InternalError; on every backend.
inline constexpr std::int32_t kMostReasons = 4;
void check_reasons(std::int32_t n_reasons);
std::unique_ptr<Predictor> make_cpu_predictor(Context& context, std::int32_t n_reasons = 0);

// Bytes a CPU pass needs for the sums of one model, per worker.
std::int64_t statistics_bytes(std::int32_t n_columns, std::int32_t n_segments);

// The start: no effect of any column. ArgumentError when C, tol or max_iter is not positive, or firth meets segments.
Model seed(const Grid& grid, const GridMoments& moments, const Params& params);

// One Newton step (pure, the same on every rank): takes it back by halves while the objective falls, damps a Hessian
// that cannot be factorised, drops aliased columns. Sets everything else after the last sweep.
void update(Model& model, const Statistics& statistics, const Grid& grid, const GridMoments& moments, const Params& params);

struct Fit {
  std::vector<Model> models;  // one per params entry
  std::int64_t sweeps = 0;
};

// Fits every params entry in shared sweeps. `moments` are those of the source (kmeans::measure_moments, any number of
// clusters). Throws nothing over outcomes: see Model::refusal.
Fit fit(Context& context, TileSource& source, const Grid& grid, const GridMoments& moments, std::span<const Params> params, Pass& pass);

// ContentsError that says why `model` has no fit, if it has none.
void require_fit(const Model& model, std::string_view target_name);

// For people: not converged, aliased, separating (with the advice firth or l2), fewer events than columns. names: (n_columns)
std::vector<std::string> warnings_about(const Model& model, std::span<const std::string> names);

// Estimates for raw columns, where every column was only shifted and scaled; nullopt where one was not.
std::optional<Estimates> in_raw_units(const Estimates& estimates, const Transform& transform);

}  // namespace coterie::logistic_regression
