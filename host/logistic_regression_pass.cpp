// The CPU pass of logistic regressions: blocks of kBlockRows rows run in parallel, each in stretches that are packed once
// for all models of the sweep (newton_sums.hpp).
#include <algorithm>
#include <array>
#include <cmath>

#include "host/elementary.hpp"
#include "host/error.hpp"
#include "host/logistic_regression_quanta.hpp"
#include "host/merge.hpp"
#include "host/newton_sums.hpp"
#include "host/per_worker.hpp"
#include "host/row_blocks.hpp"

namespace coterie::logistic_regression {
namespace {

using newton::RowTerms;
using newton::Stretch;

// Sums over the rows of a block, in the order of stretches: the fields of Statistics.
struct BlockSums {
  std::vector<double> gradient, curvature, hessian, squared_scores, segment_gradient, segment_curvature, segment_squared;
  double log_likelihood = 0, weight = 0;  // weight: sum of w v
};

// One model during a sweep.
struct Work {
  const Model* model;
  Quanta quanta;
  std::vector<double> parameters;  // (row_width)

  std::size_t cells() const { return static_cast<std::size_t>(model->n_columns) + 1; }
  std::size_t segments() const { return model->search.effects.size(); }
  bool wants_curvature() const { return model->n_iter == 0 && !model->search.last; }
  bool wants_rows(std::int64_t block) const { return block % model->search.rows_every == 0; }
  bool wants_hessian(std::int64_t block) const { return model->search.hessian_every > 0 && block % model->search.hessian_every == 0; }

  Statistics empty_statistics() const {
    return {.rows = std::vector<std::int64_t>(2),
            .weight = std::vector<std::int64_t>(2),
            .log_likelihood = WideSums(1),
            .gradient = WideSums(cells()),
            .curvature = WideSums(wants_curvature() ? cells() : 0),
            .hessian = WideSums(triangle_cells(cells())),
            .hessian_weight = WideSums(2),
            .squared_scores = WideSums(model->search.last ? triangle_cells(cells()) : 0),
            .segment_gradient = WideSums(segments()),
            .segment_curvature = WideSums(segments() * cells()),
            .segment_squared = WideSums(model->search.last ? segments() * cells() : 0),
            .largest = std::vector<double>(1)};
  }

  void clear(BlockSums& sums) const {
    sums.gradient.assign(cells(), 0.0);
    sums.curvature.assign(wants_curvature() ? cells() : 0, 0.0);
    sums.hessian.assign(triangle_cells(cells()), 0.0);
    sums.squared_scores.assign(model->search.last ? triangle_cells(cells()) : 0, 0.0);
    sums.segment_gradient.assign(segments(), 0.0);
    sums.segment_curvature.assign(segments() * cells(), 0.0);
    sums.segment_squared.assign(model->search.last ? segments() * cells() : 0, 0.0);
    sums.log_likelihood = sums.weight = 0;
  }

  void flush(const BlockSums& sums, bool with_hessian, Statistics& statistics) const {
    add_quanta(statistics.log_likelihood, 0, sums.log_likelihood / quanta.log_likelihood());
    add_quanta(statistics.hessian_weight, 0, sums.weight / quanta.weight());
    flush_linear(sums.gradient, statistics.gradient);
    flush_linear(sums.curvature, statistics.curvature);
    if (with_hessian) {
      add_quanta(statistics.hessian_weight, 1, sums.weight / quanta.weight());
      flush_triangle(sums.hessian, statistics.hessian);
    }
    if (model->search.last) flush_triangle(sums.squared_scores, statistics.squared_scores);
    for (std::size_t s = 0; s < segments(); ++s) add_quanta(statistics.segment_gradient, s, sums.segment_gradient[s] / quanta.weight());
    flush_linear(sums.segment_curvature, statistics.segment_curvature);
    flush_linear(sums.segment_squared, statistics.segment_squared);
  }

 private:
  void flush_linear(const std::vector<double>& sums, WideSums& to) const {
    for (std::size_t i = 0; i < sums.size(); ++i) add_quanta(to, i, sums[i] / quanta.linear(i % cells()));
  }
  void flush_triangle(const std::vector<double>& sums, WideSums& to) const {
    std::size_t cell = 0;
    for (std::size_t i = 0; i < cells(); ++i)
      for (std::size_t j = 0; j <= i; ++j, ++cell) add_quanta(to, cell, sums[cell] / quanta.square(i, j));
  }
};

struct Worker {
  std::vector<Statistics> statistics;  // by model
  std::vector<BlockSums> sums;         // by model
  std::vector<std::size_t> models;     // that take the rows of the block
  Stretch stretch;
  std::array<RowTerms, newton::kModels> rows;
  std::vector<float> float_panel;
  std::vector<double> double_panel;
};

class CpuPass final : public Pass {
 public:
  CpuPass(Context& context, const Grid& grid, const GridMoments& moments)
      : context_(context), grid_(grid), moments_(moments), center_(center_of(grid, moments)), scale_(column_scales(grid, moments)) {}

  void begin(std::span<const Model* const> models) override {
    work_.clear();
    for (const Model* model : models) {
      work_.push_back({model, Quanta(*model, grid_, moments_), model->search.parameters});
      work_.back().parameters.resize(static_cast<std::size_t>(newton::row_width(model->n_columns + 1)));
    }
    workers_ = {context_, [this] {
                  Worker worker;
                  for (const Work& work : work_) worker.statistics.push_back(work.empty_statistics());
                  worker.sums.resize(work_.size());
                  return worker;
                }};
  }

  void accumulate(const Tile& tile) override {
    if (tile.target == nullptr) throw InternalError("a logistic regression was given tiles without outcomes");
    for_each_block(context_, tile.n_rows,
                   [&](std::int64_t first, std::int64_t last, std::size_t worker) { add_block(tile, first, last, workers_.of(worker)); });
  }

  SweepStatistics finish() override {
    SweepStatistics result;
    for (const Work& work : work_) result.models.push_back(work.empty_statistics());
    PerWorker<Worker> workers = std::move(workers_);
    for (Worker* worker : workers.made())
      for (std::size_t m = 0; m < work_.size(); ++m) MergeFrom(worker->statistics[m]).into(result.models[m]);
    return result;
  }

 private:
  void add_block(const Tile& tile, std::int64_t first, std::int64_t last, Worker& worker) const {
    const std::int64_t block = (tile.first_row + first) / kBlockRows, step = newton::stretch_rows(tile.n_columns);
    prepare(block, worker);
    if (worker.models.empty()) return;
    for (std::int64_t row = first; row < last; row += step) {
      newton::pack(tile.x + row * tile.n_columns, std::min(step, last - row), center_, scale_, worker.stretch);
      for (std::size_t m = 0; m < worker.models.size(); m += newton::kModels)
        add_group(tile, row, block, std::span(worker.models).subspan(m, std::min<std::size_t>(newton::kModels, worker.models.size() - m)),
                  worker);
    }
    for (const std::size_t m : worker.models) work_[m].flush(worker.sums[m], work_[m].wants_hessian(block), worker.statistics[m]);
  }

  void prepare(std::int64_t block, Worker& worker) const {
    worker.models.clear();
    for (std::size_t m = 0; m < work_.size(); ++m) {
      if (!work_[m].wants_rows(block)) continue;
      worker.models.push_back(m);
      work_[m].clear(worker.sums[m]);
    }
  }

  // What the rows of the worker's stretch, from `row` of the tile on, give to at most newton::kModels models.
  void add_group(const Tile& tile, std::int64_t row, std::int64_t block, std::span<const std::size_t> models, Worker& worker) const {
    std::array<const double*, newton::kModels> parameters{}, residuals{};
    std::array<double*, newton::kModels> gradients{};
    std::array<RowTerms*, newton::kModels> rows{};
    const std::size_t count = models.size();
    for (std::size_t i = 0; i < count; ++i) {
      rows[i] = &worker.rows[i];
      read_rows(tile, row, worker.stretch, work_[models[i]], *rows[i], worker.statistics[models[i]]);
      parameters[i] = work_[models[i]].parameters.data();
    }
    newton::add_log_odds(worker.stretch, std::span(parameters).first(count), std::span(rows).first(count));
    for (std::size_t i = 0; i < count; ++i) {
      BlockSums& sums = worker.sums[models[i]];
      const newton::Likelihood likelihood = newton::fill_residuals(worker.stretch, *rows[i]);
      sums.log_likelihood += likelihood.log_likelihood;
      sums.weight += likelihood.curvature;
      double& largest = worker.statistics[models[i]].largest[0];
      largest = std::max(largest, likelihood.largest);
      add_hat_values(work_[models[i]], worker.stretch, *rows[i]);
      residuals[i] = rows[i]->residual.data();
      gradients[i] = sums.gradient.data();
    }
    newton::add_weighted_rows(worker.stretch, std::span<const double* const>(residuals).first(count), std::span(gradients).first(count));
    for (std::size_t i = 0; i < count; ++i) add_second_order(tile, row, block, models[i], *rows[i], worker);
  }

  // Weights and outcomes without a branch: which rows count follows no pattern.
  static void read_rows(const Tile& tile, std::int64_t first, const Stretch& stretch, const Work& work, RowTerms& rows,
                        Statistics& statistics) {
    rows.resize(stretch.capacity);
    std::int64_t n_rows = 0, weight = 0, yes_rows = 0, yes_weight = 0;
    for (std::int64_t i = 0; i < stretch.n_rows; ++i) {
      const std::int64_t row = first + i;
      const bool counts = role_of(tile, row, work.model->target, work.model->left_out_fold) == Role::fit;
      const std::int64_t yes = tile.target[row * tile.n_targets + work.model->target] > 0 ? 1 : 0;
      const std::int64_t of_row = counts ? (tile.weight != nullptr ? tile.weight[row] : 1) : 0, one = of_row > 0 ? 1 : 0;
      n_rows += one;
      yes_rows += one & yes;
      weight += of_row;
      yes_weight += of_row * yes;
      const std::size_t at = static_cast<std::size_t>(i);
      rows.weight[at] = static_cast<double>(of_row);
      rows.outcome[at] = static_cast<double>(yes);
    }
    std::fill(rows.weight.begin() + stretch.n_rows, rows.weight.end(), 0.0);
    std::fill(rows.outcome.begin() + stretch.n_rows, rows.outcome.end(), 0.0);
    statistics.rows[0] += n_rows - yes_rows;
    statistics.rows[1] += yes_rows;
    statistics.weight[0] += weight - yes_weight;
    statistics.weight[1] += yes_weight;
    start_log_odds(tile, first, stretch, work, rows.log_odds);
  }

  static void start_log_odds(const Tile& tile, std::int64_t first, const Stretch& stretch, const Work& work,
                             std::vector<double>& log_odds) {
    std::fill(log_odds.begin(), log_odds.end(), 0.0);
    if (work.segments() == 0) return;
    for (std::int64_t i = 0; i < stretch.n_rows; ++i)
      if (const std::int32_t segment = segment_of(tile, first + i, work); segment >= 0)
        log_odds[static_cast<std::size_t>(i)] = work.model->search.effects[static_cast<std::size_t>(segment)];
  }

  static std::int32_t segment_of(const Tile& tile, std::int64_t row, const Work& work) {
    if (tile.label == nullptr || work.segments() == 0) return -1;
    const std::int32_t label = tile.label[row];
    return label < static_cast<std::int32_t>(work.segments()) ? label : -1;
  }

  // firth: r = y - p + h (1/2 - p)
  static void add_hat_values(const Work& work, const Stretch& stretch, RowTerms& rows) {
    if (work.model->search.hat.empty()) return;
    rows.hat.resize(static_cast<std::size_t>(stretch.capacity));
    newton::squared_lengths(stretch, work.model->search.hat.data(), rows.hat.data());
    for (std::size_t i = 0; i < static_cast<std::size_t>(stretch.n_rows); ++i) {
      const double e = coterie::exp(-magnitude(rows.log_odds[i])), q = 1 / (1 + e);
      const double hat = std::min(e * q * q * rows.hat[i], kLargestHat);
      const double p = rows.log_odds[i] > 0 ? q : e * q;
      rows.residual[i] += rows.weight[i] * hat * (0.5 - p);
    }
  }

  void add_second_order(const Tile& tile, std::int64_t row, std::int64_t block, std::size_t m, const RowTerms& rows, Worker& worker) const {
    const Work& work = work_[m];
    BlockSums& sums = worker.sums[m];
    if (work.wants_curvature()) {
      const std::array<const double*, 1> terms{rows.curvature.data()};
      const std::array<double*, 1> to{sums.curvature.data()};
      newton::add_weighted_rows(worker.stretch, terms, to);
    }
    if (work.wants_hessian(block)) {
      if (work.model->search.precise)
        newton::add_gram(worker.stretch, rows.curvature.data(), worker.double_panel, sums.hessian.data());
      else
        newton::add_gram(worker.stretch, rows.curvature.data(), worker.float_panel, sums.hessian.data());
    }
    if (work.model->search.last) newton::add_gram(worker.stretch, rows.squared.data(), worker.double_panel, sums.squared_scores.data());
    if (work.segments() > 0) add_segments(tile, row, work, rows, worker.stretch, sums);
  }

  void add_segments(const Tile& tile, std::int64_t first, const Work& work, const RowTerms& rows, const Stretch& stretch,
                    BlockSums& sums) const {
    for (std::int64_t i = 0; i < stretch.n_rows; ++i) {
      const std::int32_t label = segment_of(tile, first + i, work);
      if (label < 0) continue;
      const std::size_t segment = static_cast<std::size_t>(label), at = static_cast<std::size_t>(i);
      sums.segment_gradient[segment] += rows.residual[at];
      const float* const x = tile.x + (first + i) * tile.n_columns;
      add_row(rows.curvature[at], x, sums.segment_curvature.data() + segment * work.cells());
      if (work.model->search.last) add_row(rows.squared[at], x, sums.segment_squared.data() + segment * work.cells());
    }
  }

  // Adds factor z. to: (n_columns + 1)
  void add_row(double factor, const float* x, double* to) const {
    const std::size_t d = center_.size();
    for (std::size_t j = 0; j < d; ++j) to[j] += factor * static_cast<double>((x[j] - center_[j]) * scale_[j]);
    to[d] += factor;
  }

  Context& context_;
  Grid grid_;
  const GridMoments& moments_;
  std::vector<float> center_, scale_;  // (n_columns)
  std::vector<Work> work_;             // by model
  PerWorker<Worker> workers_;
};

}  // namespace

std::unique_ptr<Pass> make_cpu_pass(Context& context, const Grid& grid, const GridMoments& moments) {
  return std::make_unique<CpuPass>(context, grid, moments);
}

// A double of the block and two limbs of the sweep per sum, and the inverse that the search may carry.
std::int64_t statistics_bytes(std::int32_t n_columns, std::int32_t n_segments) {
  const std::size_t cells = static_cast<std::size_t>(n_columns) + 1, segments = static_cast<std::size_t>(n_segments);
  return static_cast<std::int64_t>(((2 * triangle_cells(cells) + (2 + 2 * segments) * cells + segments + 4) * 3 + cells * cells) *
                                   sizeof(double));
}

}  // namespace coterie::logistic_regression
