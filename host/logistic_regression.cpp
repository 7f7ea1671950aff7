#include "host/logistic_regression.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "host/elementary.hpp"
#include "host/error.hpp"
#include "host/logistic_regression_estimates.hpp"
#include "host/logistic_regression_newton.hpp"
#include "host/shared_sweeps.hpp"

namespace coterie::logistic_regression {
namespace {

constexpr std::int32_t kMostHalvings = 12;
// Below this many rows a Hessian of all of them in double costs nothing.
constexpr std::int64_t kFewRows = std::int64_t{1} << 16;
// A Hessian of so many rows of the rarer outcome per parameter errs by 1/16, and so many steps digits come per step.
constexpr std::int64_t kRowsPerParameter = 256;
constexpr std::int64_t kLeastRowsPerParameter = 16;  // with fewer a sample would lead astray
constexpr std::int64_t kMostSparse = 16;             // blocks of which one is taken
constexpr std::int64_t kSparserAtFirst = 4;  // where all rows of the sample have the same curvature, none is lost on the rarer outcome
// Log-odds that have moved by so much, squared and on average, leave a Hessian that is still good for a digit per step; by so much more
// after the sample, one that with secants costs fewer sweeps than a new one of all rows costs time.
constexpr double kMostDrift = 1.0 / 64, kMostDriftOfAll = 1.0 / 4;
// Columns up to which a Hessian of all rows of a sweep costs about as much as the rest of it on a CPU.
constexpr std::int64_t kCheapColumns = 8;
// Pivots below it leave sums in float32, and a GPU's products that err by 2^-17, no digits to find a good step with.
constexpr double kIllConditioned = 1e-4;
// Squared share of a column that the ones before it do not explain and rounding of sums of doubles could have left.
constexpr double kAliased = 1e-10;

std::int64_t sparsity(std::int64_t rows, std::int32_t n_columns) {
  return std::clamp<std::int64_t>(rows / (kRowsPerParameter * (n_columns + 1)), 1, kMostSparse);
}

double xlogy(double x, double y) { return x > 0 ? x * coterie::log(y) : 0; }

// The way to the neighbourhood of the maximum leads through a sample of the blocks, where many rows and a ridge leave
// nothing that only all rows would tell.
std::int64_t first_sparsity(const Model& model, const Params& params, std::int64_t n_rows) {
  if (params.penalty != Penalty::l2 || params.n_segments > 0 || model.search.precise) return 1;
  return sparsity(n_rows, model.n_columns);
}

// The sample has done its work, or cannot do it.
void take_all_rows(Search& search) {
  search.rows_every = 1;
  search.gradient.clear();  // of the sample, and so is the objective: no measure for all rows
  search.objective = -std::numeric_limits<double>::infinity();
}

// Rows and weights by outcome, and what follows from them alone.
void count(Model& model, const Statistics& statistics, double weight_step) {
  for (std::size_t y = 0; y < 2; ++y) {
    model.rows[y] = statistics.rows[y] * model.search.rows_every;
    model.weight[y] = static_cast<double>(statistics.weight[y]) * weight_step;
  }
  const double total = model.weight[0] + model.weight[1];
  model.null_log_likelihood = xlogy(model.weight[1], model.weight[1] / total) + xlogy(model.weight[0], model.weight[0] / total);
  if (total == 0)
    model.refusal = "no row with a known outcome counts";
  else if (model.weight[0] == 0 || model.weight[1] == 0)
    model.refusal = model.weight[1] == 0 ? "no row with a known outcome says yes" : "every row with a known outcome says yes";
}

// False when aliased columns can only be told from ill-conditioned ones with a Hessian of all rows in double.
bool choose_columns(Model& model, const Point& point) {
  const Eigen::Index n = model.n_columns + 1;
  const Vector pivots = pivots_of(point.hessian.topLeftCorner(n, n), model.search.precise ? kAliased : 0.0);
  if (pivots.minCoeff() < kIllConditioned && !model.search.precise) {
    model.search.precise = true;
    return false;
  }
  if (model.penalty == Penalty::l2) return true;
  for (std::int32_t j = 0; j < model.n_columns; ++j)
    if (pivots[j] <= kAliased) model.aliased.push_back(j);
  return true;
}

double penalty_of(const Vector& parameters, const Vector& precision) { return 0.5 * precision.dot(parameters.cwiseAbs2()); }

void set_parameters(Model& model, const Vector& parameters) {
  Search& search = model.search;
  const Eigen::Index n = model.n_columns + 1;
  search.parameters.assign(parameters.begin(), parameters.begin() + n);
  search.effects.assign(parameters.begin() + n, parameters.end());
}

// Whether steps may go on with a Hessian that only comes near that of all rows where they are.
bool takes_rough_hessians(const Model& model) {
  return !model.search.stalled && model.search.effects.empty() && model.penalty != Penalty::firth;
}

void ask_for_hessian(Model& model) {
  Search& search = model.search;
  search.factor.clear();
  search.secants.clear();
  search.hessian_every = search.rows_every;
  if (search.rows_every == 1) search.hessian_every = sparsity(std::min(model.rows[0], model.rows[1]), model.n_columns);
  if (search.precise || !takes_rough_hessians(model)) search.hessian_every = 1;
}

void carry_factor(Search& search, const Matrix& lower, std::vector<double> secants) {
  search.factor.assign(lower.reshaped().begin(), lower.reshaped().end());
  search.secants = std::move(secants);
  search.hessian_every = 0;
}

// Half way back when the objective fell, for as long as that is worth while.
bool step_back(Model& model, const Point& point, double objective) {
  Search& search = model.search;
  if (model.n_iter == 0 || search.halvings >= kMostHalvings || !search.hat.empty()) return false;
  const double slack = 1e-12 * (1 + std::abs(search.objective));  // rounding of sums may hide what a step gains
  if (objective >= search.objective - slack) return false;
  const Vector before = Eigen::Map<const Vector>(search.before.data(), point.parameters.size());
  set_parameters(model, 0.5 * (before + point.parameters));
  ++search.halvings;
  ask_for_hessian(model);
  return true;
}

// Squared length of the step after one of `decrement`, in standard errors: steps shrink at a steady rate or, with new Hessians of all
// rows, ever faster. Twice as much as they did is allowed for. An earlier Hessian is right where its steps began and off all the way since,
// so twice that, and secants may have been lucky once, so the slower of two steps counts. With Firth's penalty and segment effects a step
// also answers to what changes beside it.
double next_decrement(Model& model, double decrement) {
  Search& search = model.search;
  const bool steady = search.rows_every == 1 && search.halvings == 0 && search.effects.empty() && model.penalty != Penalty::firth;
  const double before = search.rate;
  search.rate = search.decrement > 0 ? decrement / search.decrement : 1;
  if (!steady || !(decrement < search.decrement)) return decrement;
  const double shrinks_by = search.factor.empty() ? 2 * search.rate : 4 * std::max(search.rate, before);
  return std::min(1.0, shrinks_by) * decrement;
}

// Columns that move by more than a tenth of their spread while the likelihood stands still tell the outcomes apart.
void find_separation(Model& model, const Vector& step) {
  constexpr double kStillMoves = 0.1;
  const double largest = step.head(model.n_columns).cwiseAbs().maxCoeff();
  if (model.penalty != Penalty::none || largest < kStillMoves) return;
  for (std::int32_t j = 0; j < model.n_columns; ++j)
    if (std::abs(step[j]) >= kStillMoves * largest) model.separating.push_back(j);
}

// What a step was made by, and what it leaves to be known of its Hessian.
struct StepSource {
  StepMaker maker;
  std::vector<double> secants;  // of the maker
  double log_determinant = 0, damping = 0;
  double smallest_pivot = 1;  // of a Hessian of this sweep
};

// Whether steps may go on by the same for the time being: with a sample's among all rows, too, because secants and a new Hessian where
// steps do not shrink make up for what it errs by.
bool may_carry(const Model& model, const StepSource& by, double total_curvature) {
  const Search& search = model.search;
  const bool is_sound = by.damping == 0 && (search.precise || by.smallest_pivot >= kIllConditioned);
  const double most = search.rows_every > 1 ? kMostDrift : kMostDriftOfAll;
  return is_sound && takes_rough_hessians(model) && search.drift * search.drift <= most * total_curvature;
}

// How the next sweep goes about it, after a step of this squared length.
void plan_next(Model& model, double decrement, StepSource& by, double total_curvature) {
  Search& search = model.search;
  search.drift = (search.factor.empty() ? 0 : search.drift) + std::sqrt(decrement);
  search.stalled = search.stalled || (model.n_iter > 1 && decrement > 0.1 * search.decrement && decrement < model.n_columns + 1);
  if (search.rows_every > 1 && decrement < static_cast<double>(search.rows_every * (model.n_columns + 1))) take_all_rows(search);
  const bool carries = may_carry(model, by, total_curvature);
  if (by.smallest_pivot < kIllConditioned) search.precise = true;
  ask_for_hessian(model);
  const bool is_cheap = model.n_columns < kCheapColumns * (search.hessian_every / search.rows_every);
  if (carries && !is_cheap) carry_factor(search, by.maker.lower(), std::move(by.secants));
}

// Reduced inverse as a factor F with F^T F = inverse: hat values are squared lengths.
std::vector<double> hat_factor(const Matrix& inverse) {
  const Eigen::Index n = inverse.rows();
  std::vector<double> factor(static_cast<std::size_t>(n * n));
  Matrix left = inverse;  // outer-product Cholesky from the last row on: inverse = F^T F with F lower triangular
  for (Eigen::Index k = n - 1; k >= 0; --k) {
    if (!(left(k, k) > 0)) continue;
    const Vector row = left.row(k) / std::sqrt(left(k, k));
    for (Eigen::Index j = 0; j <= k; ++j) factor[static_cast<std::size_t>(k * n + j)] = row[j];
    left.topLeftCorner(k + 1, k + 1) -= row.head(k + 1) * row.head(k + 1).transpose();
  }
  return factor;
}

// Firth: another sweep at the same parameters, with the hat values that its gradient needs.
void ask_for_hat_values(Model& model, const Point& point) {
  set_parameters(model, point.parameters);
  model.search.hat = hat_factor(invert(point.hessian, free_parameters(model, point.parameters.size())).inverse);
}

void note_parameters(Model& model, const std::vector<float>& scales) {
  for (std::size_t j = 0; j < scales.size(); ++j) model.coefficients[j] = model.search.parameters[j] * static_cast<double>(scales[j]);
  model.at_center = model.search.parameters.back();
  model.segment_effects = model.search.effects;
}

// Schall's estimate, where there are segments; true when it stands.
bool update_segment_variance(Model& model, const Point& point, const Params& params, const std::vector<float>& scales) {
  if (model.search.effects.empty()) return true;
  if (model.n_iter == 1) return false;
  const Eigen::Index s = static_cast<Eigen::Index>(model.search.effects.size());
  const Matrix information = information_of(point, prior_precision(model, params, scales));
  const Solved now = invert(information, free_parameters(model, point.parameters.size()));
  const double before = model.segment_variance;
  model.segment_variance = next_segment_variance(before, point.parameters.tail(s), now.inverse.bottomRightCorner(s, s));
  return std::abs(model.segment_variance - before) <= 1e-4 * before;
}

// Of what an earlier sweep left, and the secant of the step since.
StepSource carried_source(const Model& model, const Point& point, const Vector& gradient) {
  const Search& search = model.search;
  const Eigen::Index n = point.parameters.size();
  std::vector<Eigen::Index> free = free_parameters(model, n);
  const auto m = static_cast<Eigen::Index>(free.size());
  StepSource carried{.maker = StepMaker(Eigen::Map<const Matrix>(search.factor.data(), m, m), std::move(free)), .secants = search.secants};
  for (const double* secant = search.secants.data(); secant < search.secants.data() + search.secants.size(); secant += 2 * n)
    carried.maker.add_secant(Eigen::Map<const Vector>(secant, n), Eigen::Map<const Vector>(secant + n, n));
  if (search.gradient.empty()) return carried;
  const Vector moved = point.parameters - Eigen::Map<const Vector>(search.before.data(), n);
  const Vector fell = Eigen::Map<const Vector>(search.gradient.data(), n) - gradient;
  if (!carried.maker.add_secant(moved, fell)) return carried;
  carried.secants.insert(carried.secants.end(), moved.begin(), moved.end());
  carried.secants.insert(carried.secants.end(), fell.begin(), fell.end());
  return carried;
}

// Of the point's Hessian and the prior.
StepSource fresh_source(const Model& model, const Point& point, const Vector& precision) {
  std::vector<Eigen::Index> free = free_parameters(model, point.parameters.size());
  Factor factor = factorise(information_of(point, precision), free);
  const auto n_effects = static_cast<Eigen::Index>(model.search.effects.size());  // last, and not asked about
  const double smallest = factor.pivots.head(factor.pivots.size() - n_effects).minCoeff();
  return {.maker = StepMaker(std::move(factor.lower), std::move(free)),
          .secants = {},
          .log_determinant = factor.log_determinant,
          .damping = factor.damping,
          .smallest_pivot = smallest};
}

void newton_step(Model& model, const Point& point, const Params& params, const std::vector<float>& scales) {
  Search& search = model.search;
  const bool variance_stands = update_segment_variance(model, point, params, scales);
  const Vector precision = prior_precision(model, params, scales);
  const Vector gradient = point.gradient - precision.cwiseProduct(point.parameters);
  StepSource by = search.factor.empty() ? fresh_source(model, point, precision) : carried_source(model, point, gradient);
  const Vector step = by.maker.step(gradient);
  const double decrement = gradient.dot(step);
  if (!(decrement >= 0) && !search.factor.empty()) {  // rounding has spoilt it
    ask_for_hessian(model);
    return;
  }
  search.before.assign(point.parameters.begin(), point.parameters.end());
  search.objective = point.log_likelihood - penalty_of(point.parameters, precision);
  if (model.penalty == Penalty::firth) {
    search.objective += 0.5 * by.log_determinant;
    search.hat.clear();
  }
  search.gradient.assign(gradient.begin(), gradient.end());
  const double next = next_decrement(model, decrement);
  search.halvings = 0;
  search.damping = by.damping;
  model.gradient_norm = 0;
  for (std::size_t j = 0; j < scales.size(); ++j)
    model.gradient_norm = std::max(model.gradient_norm, std::abs(gradient[static_cast<Eigen::Index>(j)]) / static_cast<double>(scales[j]));
  set_parameters(model, point.parameters + step);
  model.converged = next < params.tol && variance_stands && search.rows_every == 1;
  model.log_likelihood = search.objective + 0.5 * decrement + penalty_of(point.parameters + step, precision);
  if (model.converged) find_separation(model, step);
  plan_next(model, decrement, by, point.curvature);
  search.decrement = decrement;
}

}  // namespace

void Statistics::for_each_field(FieldVisitor& visitor) {
  visitor.integers(rows, Merge::sum);
  visitor.integers(weight, Merge::sum);
  for (WideSums* sums : {&log_likelihood, &gradient, &curvature, &hessian, &hessian_weight, &squared_scores, &segment_gradient,
                         &segment_curvature, &segment_squared})
    visitor.wide(*sums);
  visitor.reals(largest, Merge::max);
}

void SweepStatistics::for_each_field(FieldVisitor& visitor) {
  for (Statistics& statistics : models) statistics.for_each_field(visitor);
}

Model seed(const Grid& grid, const GridMoments& moments, const Params& params) {
  if (!(params.C > 0) || !(params.tol > 0) || params.max_iter < 1)
    throw ArgumentError("a logistic regression needs C, tol and max-iter above 0");
  if (params.penalty == Penalty::firth && params.n_segments > 0)
    throw ArgumentError("the Firth penalty and segment effects do not go together; leave out one of them");
  const std::size_t d = grid.steps.size();
  const std::vector<float> center = center_of(grid, moments);
  Model model;
  model.n_columns = static_cast<std::int32_t>(d);
  model.target = params.target;
  model.left_out_fold = params.left_out_fold;
  model.penalty = params.penalty;
  model.center.assign(center.begin(), center.end());
  model.coefficients.assign(d, 0.0);
  model.segment_variance = params.n_segments > 0 ? 1 : 0;
  model.search.parameters.assign(d + 1, 0.0);
  model.search.effects.assign(static_cast<std::size_t>(params.n_segments), 0.0);
  model.search.precise = moments.n_rows <= kFewRows;
  model.search.rows_every = first_sparsity(model, params, moments.n_rows);
  model.search.hessian_every = model.search.rows_every * (model.search.rows_every > 1 ? kSparserAtFirst : 1);
  return model;
}

void update(Model& model, const Statistics& statistics, const Grid& grid, const GridMoments& moments, const Params& params) {
  Search& search = model.search;
  if (search.rows_every > 1 && std::min(statistics.rows[0], statistics.rows[1]) < kLeastRowsPerParameter * (model.n_columns + 1)) {
    take_all_rows(search);
    return;
  }
  const double weight_step = grid.weight_step * static_cast<double>(search.rows_every);
  count(model, statistics, weight_step);
  if (!model.refusal.empty()) {
    model.settled = true;
    return;
  }
  const std::vector<float> scales = column_scales(grid, moments);
  const Point point = point_of(model, statistics, Quanta(model, grid, moments), weight_step);
  model.largest_log_odds = statistics.largest[0];
  if (search.last) {
    model.log_likelihood = point.log_likelihood;
    set_estimates(model, point, prior_precision(model, params, scales), scales);
    model.settled = true;
    return;
  }
  if (model.n_iter == 0 && !choose_columns(model, point)) return;
  const Vector precision = prior_precision(model, params, scales);
  double objective = point.log_likelihood - penalty_of(point.parameters, precision);
  if (model.penalty == Penalty::firth)
    objective += 0.5 * invert(point.hessian, free_parameters(model, point.parameters.size())).log_determinant;
  const bool stepped_back = step_back(model, point, objective);
  ++model.n_iter;
  if (!stepped_back && model.penalty == Penalty::firth && search.hat.empty())
    ask_for_hat_values(model, point);
  else if (!stepped_back)
    newton_step(model, point, params, scales);
  note_parameters(model, scales);
  if (!model.converged && model.n_iter < params.max_iter) return;
  search.factor = {};
  search.secants = {};
  search.last = params.inference || params.penalty == Penalty::firth || !model.converged;
  if (search.last) {
    search.precise = true;
    search.rows_every = search.hessian_every = 1;
  } else {
    set_values(model);
    model.settled = true;
  }
}

Fit fit(Context& context, TileSource& source, const Grid& grid, const GridMoments& moments, std::span<const Params> params, Pass& pass) {
  std::vector<Job<Model, Params>> jobs;
  for (const Params& entry : params) jobs.push_back({seed(grid, moments, entry), &entry});
  const SumsMemory memory{"the sums of logistic regressions", [](const Model& model) {
                            return statistics_bytes(model.n_columns, static_cast<std::int32_t>(model.search.effects.size()));
                          }};
  Fit result;
  result.sweeps = sweep_until_settled(
      context, source, pass, jobs, memory,
      [&](Model& model, const Statistics& statistics, const Params& own) { update(model, statistics, grid, moments, own); });
  for (auto& job : jobs) result.models.push_back(std::move(job.model));
  return result;
}

}  // namespace coterie::logistic_regression
