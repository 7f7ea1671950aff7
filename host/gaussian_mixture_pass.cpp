// The CPU pass and predictor of mixtures: blocks of kBlockRows rows run in parallel, each in stretches that are packed
// once for all models of the sweep (gaussian_density.hpp).
#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "host/elementary.hpp"
#include "host/gaussian_density.hpp"
#include "host/gaussian_mixture.hpp"
#include "host/gaussian_mixture_quanta.hpp"
#include "host/per_worker.hpp"
#include "host/row_blocks.hpp"

namespace coterie::gaussian_mixture {
namespace {

using gaussian::BlockSums;
using gaussian::Components;
using gaussian::Scratch;
using gaussian::Stretch;

// The last sweep is in double, and so are rows with missing cells, which may lie far from a pivot.
gaussian::Parts parts_of_sweep(const Model& model, const Grid& grid, std::span<const float> center) {
  if (model.final_parameters || model.missing_at_random) return {.narrow = {}, .wide = gaussian::all_of(model)};
  return gaussian::parts_of(model, grid, center);
}

// One model during a sweep.
struct Work {
  const Model* model;
  Components<float> narrow;
  Components<double> wide;
  Quanta quanta;

  Work(const Model& m, const Grid& grid, const GridMoments& moments, std::span<const float> center) : model(&m), quanta(m, grid, moments) {
    const gaussian::Parts parts = parts_of_sweep(m, grid, center);
    take(parts.narrow, center, narrow);
    take(parts.wide, center, wide);
  }

  template <class T>
  void take(const std::vector<std::int32_t>& numbers, std::span<const float> center, Components<T>& components) const {
    if (numbers.empty()) return;
    components = Components<T>(*model, center, numbers);
    components.add_directions(*model);
  }

  template <class T>
  const Components<T>& part() const {
    if constexpr (sizeof(T) == sizeof(float))
      return narrow;
    else
      return wide;
  }

  bool wants_scatter() const {
    return model->covariance_type == CovarianceType::tied && model->scatter.empty() && !model->final_parameters;
  }

  Statistics empty_statistics() const {
    const std::size_t k = static_cast<std::size_t>(model->n_components), d = static_cast<std::size_t>(model->n_columns);
    const bool moves = !model->final_parameters;
    const bool second = moves && (model->covariance_type != CovarianceType::tied || wants_scatter());
    return {.weight = WideSums(moves ? k : 0),
            .first = WideSums(moves ? k * d : 0),
            .second = WideSums(second ? second_cells(model->covariance_type, k, d) : 0),
            .missing = WideSums(moves && model->missing_at_random ? k * d : 0),
            .log_likelihood = WideSums(2),
            .unlikely = FirstRows(model->lost_components, model->n_columns)};
  }

  void flush(BlockSums& sums, Statistics& statistics) const {
    const std::size_t d = static_cast<std::size_t>(model->n_columns);
    for (std::size_t k = 0; k < sums.weight.size(); ++k) add_quanta(statistics.weight, k, sums.weight[k] / quanta.weight());
    for (std::size_t i = 0; i < sums.first.size(); ++i) add_quanta(statistics.first, i, sums.first[i] / quanta.first(i % d));
    flush_second(sums.second, statistics.second);
    for (std::size_t i = 0; i < sums.missing.size(); ++i) add_quanta(statistics.missing, i, sums.missing[i] / quanta.weight());
    add_quanta(statistics.log_likelihood, 0, sums.log_likelihood / quanta.log_likelihood());
    add_quanta(statistics.log_likelihood, 1, sums.log_certainty / quanta.log_likelihood());
  }

 private:
  void flush_second(const std::vector<double>& sums, WideSums& second) const {
    const std::size_t d = static_cast<std::size_t>(model->n_columns);
    std::size_t row = 0, column = 0;  // of a lower triangle
    for (std::size_t i = 0; i < sums.size(); ++i) {
      switch (model->covariance_type) {
        case CovarianceType::full:
        case CovarianceType::tied:
          add_quanta(second, i, sums[i] / quanta.second(row, column));
          if (++column > row) column = 0, row = row + 1 < d ? row + 1 : 0;
          break;
        case CovarianceType::diag: add_quanta(second, i, sums[i] / quanta.second(i % d, i % d)); break;
        case CovarianceType::spherical: add_quanta(second, i, sums[i] / quanta.square()); break;
      }
    }
  }
};

template <class T>
struct Buffers {
  Stretch<T> stretch;
  Scratch<T> scratch;
};

struct Worker {
  std::tuple<Buffers<float>, Buffers<double>> buffers;
  std::vector<BlockSums> sums;         // by model, of one block
  std::vector<Statistics> statistics;  // by model, of all blocks of this worker
};

void merge(WideSums& to, WideSums& from) {
  for (std::size_t i = 0; i < to.size(); ++i) to.add(i, from.value(i));
}

class CpuPass final : public Pass {
 public:
  CpuPass(Context& context, Grid grid, const GridMoments& moments)
      : context_(context), grid_(std::move(grid)), moments_(moments), center_(center_of(grid_, moments)) {}

  void begin(std::span<const Model* const> models) override {
    work_.clear();
    for (const Model* model : models) work_.emplace_back(*model, grid_, moments_, center_);
    workers_ = {context_, [this] {
                  Worker worker;
                  for (const Work& work : work_) worker.statistics.push_back(work.empty_statistics());
                  return worker;
                }};
  }

  void accumulate(const Tile& tile) override {
    for_each_block(context_, tile.n_rows,
                   [&](std::int64_t first, std::int64_t last, std::size_t worker) { add_block(tile, first, last, workers_.of(worker)); });
  }

  SweepStatistics finish() override {
    SweepStatistics result;
    for (const Work& work : work_) result.models.push_back(work.empty_statistics());
    PerWorker<Worker> workers = std::move(workers_);
    for (Worker* worker : workers.made())
      for (std::size_t m = 0; m < work_.size(); ++m) {
        Statistics& from = worker->statistics[m];
        Statistics& to = result.models[m];
        merge(to.weight, from.weight);
        merge(to.first, from.first);
        merge(to.second, from.second);
        merge(to.missing, from.missing);
        merge(to.log_likelihood, from.log_likelihood);
        to.unlikely.merge(from.unlikely);
      }
    return result;
  }

 private:
  void prepare(Worker& worker) const {
    worker.sums.resize(work_.size());
    for (std::size_t m = 0; m < work_.size(); ++m) {
      const Statistics& shape = worker.statistics[m];
      worker.sums[m].weight.assign(shape.weight.size(), 0.0);
      worker.sums[m].first.assign(shape.first.size(), 0.0);
      worker.sums[m].second.assign(shape.second.size(), 0.0);
      worker.sums[m].missing.assign(shape.missing.size(), 0.0);
      worker.sums[m].log_likelihood = worker.sums[m].log_certainty = 0;
    }
  }

  void add_block(const Tile& tile, std::int64_t first, std::int64_t last, Worker& worker) {
    prepare(worker);
    const std::int64_t step = gaussian::stretch_rows(tile.n_columns);
    for (std::int64_t row = first; row < last; row += step) {
      pack<float>(tile, row, std::min(step, last - row), worker);
      pack<double>(tile, row, std::min(step, last - row), worker);
      for (std::size_t m = 0; m < work_.size(); ++m)
        work_[m].narrow.n_components() > 0 ? add_stretch<float>(m, tile, row, worker) : add_stretch<double>(m, tile, row, worker);
    }
    for (std::size_t m = 0; m < work_.size(); ++m) work_[m].flush(worker.sums[m], worker.statistics[m]);
  }

  template <class T>
  void pack(const Tile& tile, std::int64_t row, std::int64_t n_rows, Worker& worker) const {
    const auto wants = [](const Work& work) { return work.part<T>().n_components() > 0; };
    if (std::none_of(work_.begin(), work_.end(), wants)) return;
    auto& stretch = std::get<Buffers<T>>(worker.buffers).stretch;
    gaussian::pack(tile.x + row * tile.n_columns, tile.weight != nullptr ? tile.weight + row : nullptr, n_rows, center_, stretch);
    if (work_.front().model->missing_at_random) gaussian::find_missing(stretch);
  }

  // T: of the responsibilities. Where that is float, double components bring their log densities behind the others'.
  template <class T>
  void add_stretch(std::size_t m, const Tile& tile, std::int64_t row, Worker& worker) const {
    const Work& work = work_[m];
    const Components<T>& components = work.part<T>();
    auto& [stretch, scratch] = std::get<Buffers<T>>(worker.buffers);
    auto& precise = std::get<Buffers<double>>(worker.buffers);
    const std::int32_t n_wide = sizeof(T) == sizeof(float) ? work.wide.n_components() : 0;
    gaussian::counting_densities(stretch, components, scratch);
    const std::int64_t behind = components.n_components() * stretch.stride;
    if (n_wide > 0) {
      gaussian::counting_densities(precise.stretch, work.wide, precise.scratch);
      scratch.log_density.resize(static_cast<std::size_t>(behind + n_wide * stretch.stride));
      copy(precise.scratch.log_density.data(), precise.stretch, n_wide, scratch.log_density.data() + behind, stretch);
    }
    gaussian::responsibilities(stretch, work.model->n_components, scratch);
    gaussian::add_likelihood(stretch, scratch, worker.sums[m]);
    if (work.model->lost_components > 0) offer_unlikely(tile, row, stretch, scratch, worker.statistics[m].unlikely);
    if (work.model->final_parameters) return;
    gaussian::add_moments(stretch, components, scratch, worker.sums[m]);
    if (n_wide > 0) {
      copy(scratch.log_density.data() + behind, stretch, n_wide, precise.scratch.log_density.data(), precise.stretch);
      gaussian::add_moments(precise.stretch, work.wide, precise.scratch, worker.sums[m]);
    }
    if (work.wants_scatter()) gaussian::add_scatter(stretch, scratch, worker.sums[m].second);
  }

  // What the rows of a stretch have of n components, to the stretch of the same rows in another type.
  template <class From, class To>
  static void copy(const From* from, const Stretch<From>& of_from, std::int32_t n, To* to, const Stretch<To>& of_to) {
    const std::int64_t rows = gaussian::stretch_rows(of_from.n_columns);  // whole vectors
    for (std::int32_t k = 0; k < n; ++k)
      std::transform(from + k * of_from.stride, from + k * of_from.stride + rows, to + k * of_to.stride,
                     [](From value) { return static_cast<To>(value); });
  }

  template <class T>
  static void offer_unlikely(const Tile& tile, std::int64_t first, const Stretch<T>& stretch, const Scratch<T>& scratch,
                             FirstRows& unlikely) {
    for (std::int64_t i = 0; i < stretch.n_rows; ++i) {
      const std::size_t at = static_cast<std::size_t>(i);
      if (stretch.weight[at] > 0)
        unlikely.offer(ascending_key(static_cast<double>(scratch.row_likelihood[at])), tile.first_row + first + i,
                       tile.x + (first + i) * tile.n_columns);
    }
  }

  Context& context_;
  Grid grid_;
  const GridMoments& moments_;
  std::vector<float> center_;  // (n_columns)
  std::vector<Work> work_;     // by model
  PerWorker<Worker> workers_;
};

class CpuPredictor final : public Predictor {
 public:
  CpuPredictor(Context& context, bool all_probabilities) : context_(context), all_probabilities_(all_probabilities) {}

  void begin(const Model& model) override {
    center_ = mean_row(model);
    components_ = Components<double>(model, center_);
    missing_at_random_ = model.missing_at_random;
    workers_ = {context_, [] { return Buffers<double>(); }};
  }

  Prediction predict(const Tile& tile) override {
    const std::size_t n = static_cast<std::size_t>(tile.n_rows);
    label_.resize(n);
    second_.resize(n);
    probability_.resize(n);
    entropy_.resize(n);
    log_likelihood_.resize(n);
    if (all_probabilities_) probabilities_.resize(n * static_cast<std::size_t>(components_.n_components()));
    const std::int64_t step = gaussian::stretch_rows(tile.n_columns);
    context_.parallel_for((tile.n_rows + step - 1) / step, [&](std::int64_t stretch, int worker) {
      predict_stretch(tile, stretch * step, workers_.of(static_cast<std::size_t>(worker)));
    });
    return {label_, second_, probability_, entropy_, log_likelihood_, probabilities_};
  }

 private:
  void predict_stretch(const Tile& tile, std::int64_t first, Buffers<double>& buffers) {
    const std::int64_t n_rows = std::min<std::int64_t>(gaussian::stretch_rows(tile.n_columns), tile.n_rows - first);
    gaussian::pack(tile.x + first * tile.n_columns, nullptr, n_rows, center_, buffers.stretch);
    if (missing_at_random_) gaussian::find_missing(buffers.stretch);
    gaussian::log_densities(buffers.stretch, components_, buffers.scratch);
    const double* const of_row = buffers.scratch.log_density.data();
    for (std::int64_t i = 0; i < n_rows; ++i) choose(of_row + i, buffers.stretch.stride, static_cast<std::size_t>(first + i));
    gaussian::responsibilities(buffers.stretch, components_.n_components(), buffers.scratch);
    for (std::int64_t i = 0; i < n_rows; ++i) {
      log_likelihood_[static_cast<std::size_t>(first + i)] = buffers.scratch.row_likelihood[static_cast<std::size_t>(i)];
      measure(of_row + i, buffers.stretch.stride, static_cast<std::size_t>(first + i));
    }
  }

  // log_density: of one row, `stride` apart. Strictly larger wins, so among equals the smallest index stays.
  void choose(const double* log_density, std::int64_t stride, std::size_t row) {
    std::int32_t best = 0, second = -1;
    for (std::int32_t k = 1; k < components_.n_components(); ++k) {
      if (log_density[k * stride] > log_density[best * stride])
        second = std::exchange(best, k);
      else if (second < 0 || log_density[k * stride] > log_density[second * stride])
        second = k;
    }
    label_[row] = best;
    second_[row] = second;
  }

  // r: the responsibilities of one row, `stride` apart.
  void measure(const double* r, std::int64_t stride, std::size_t row) {
    const std::int32_t n = components_.n_components();
    double entropy = 0;
    for (std::int32_t k = 0; k < n; ++k) {
      const double probability = r[k * stride];
      if (probability > 0) entropy -= probability * coterie::log(probability);
      if (all_probabilities_) probabilities_[row * static_cast<std::size_t>(n) + static_cast<std::size_t>(k)] = probability;
    }
    probability_[row] = r[label_[row] * stride];
    entropy_[row] = std::max(0.0, entropy);
  }

  Context& context_;
  bool all_probabilities_;
  bool missing_at_random_ = false;
  std::vector<float> center_;  // (n_columns)
  Components<double> components_;
  PerWorker<Buffers<double>> workers_;
  std::vector<std::int32_t> label_, second_;
  std::vector<double> probability_, entropy_, log_likelihood_, probabilities_;
};

}  // namespace

std::unique_ptr<Pass> make_cpu_pass(Context& context, const Grid& grid, const GridMoments& moments) {
  return std::make_unique<CpuPass>(context, grid, moments);
}

std::unique_ptr<Predictor> make_cpu_predictor(Context& context, bool all_probabilities) {
  return std::make_unique<CpuPredictor>(context, all_probabilities);
}

// A double of the block and two limbs of the sweep per sum, and the log-densities of a stretch.
std::int64_t statistics_bytes(CovarianceType type, std::int32_t n_components, std::int32_t n_columns) {
  const std::size_t k = static_cast<std::size_t>(n_components), d = static_cast<std::size_t>(n_columns);
  const std::size_t log_densities = k * static_cast<std::size_t>(gaussian::stretch_rows(n_columns));
  return static_cast<std::int64_t>(((k + 2 * k * d + second_cells(type, k, d)) * 3 + log_densities) * sizeof(double));
}

}  // namespace coterie::gaussian_mixture
