// The CUDA pass of logistic regressions: uploads the models, runs launches per tile for a few of them at a time, then the Gram matrices
// and sums by segment of those that want them, and turns the fixed-point sums of the device into statistics. Inside a sweep it neither
// allocates nor waits, but for tiles that lie on the host.
#include "cuda/logistic_regression_pass.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "cuda/device_tile.hpp"
#include "cuda/newton_segments.cuh"
#include "cuda/wide_gram.cuh"
#include "host/error.hpp"
#include "host/logistic_regression_quanta.hpp"

namespace coterie::COTERIE_GPU {
namespace {

using logistic_regression::Model;
using logistic_regression::Quanta;
using logistic_regression::Statistics;

class LogisticRegressionPass final : public logistic_regression::Pass {
 public:
  LogisticRegressionPass(DeviceContext& device, const logistic_regression::Grid& grid, const logistic_regression::GridMoments& moments,
                         bool own_products)
      : device_(device), grid_(grid), moments_(moments), n_cells_(static_cast<int>(grid.steps.size()) + 1), own_products_(own_products) {
    std::vector<float> columns = center_of(grid, moments);
    const std::vector<float> scale = logistic_regression::column_scales(grid, moments);
    columns.insert(columns.end(), scale.begin(), scale.end());
    upload(columns_, columns, stream());
    shape_ = choose_shape(device.shared_bytes);
    allow_shared_memory(std::make_integer_sequence<int, kNewtonModels>());
  }

  void begin(std::span<const Model* const> models) override {
    models_.clear();
    n_terms_ = 0;
    std::vector<double> parameters, effects, per_quantum;
    for (const Model* model : models) add_model(*model, parameters, effects, per_quantum);
    parameters_.ensure(parameters.size());
    effects_.ensure(effects.size());
    per_quantum_.ensure(per_quantum.size());
    copy_to_device(parameters_.data(), parameters.data(), parameters.size(), stream());
    copy_to_device(effects_.data(), effects.data(), effects.size(), stream());
    copy_to_device(per_quantum_.data(), per_quantum.data(), per_quantum.size(), stream());
    device_.compute.synchronize();
    n_sums_ = per_quantum.size();
    reserve();
  }

  void accumulate(const Tile& host_or_device_tile) override {
    const Tile& tile = device_tile_.get(host_or_device_tile, stream());
    if (tile.target == nullptr) throw InternalError("a logistic regression was given tiles without outcomes");
    for (std::int64_t first = 0; first < tile.n_rows; first += slice_rows_) {
      const auto at = static_cast<std::int32_t>(first);
      add_slice(tile, at, std::min(slice_rows_, tile.n_rows - at));
    }
  }

  logistic_regression::SweepStatistics finish() override {
    if (wide_grams_) wide_grams_->finish();
    std::vector<std::int64_t> counts(4 * models_.size());
    std::vector<std::uint64_t> largest(models_.size());
    copy_to_host(host_sums_.data(), sums_.data(), n_sums_, stream());
    copy_to_host(counts.data(), counts_.data(), counts.size(), stream());
    copy_to_host(largest.data(), largest_.data(), largest.size(), stream());
    device_.compute.synchronize();
    logistic_regression::SweepStatistics result;
    for (std::size_t m = 0; m < models_.size(); ++m) {
      Statistics statistics = model_statistics(models_[m]);
      statistics.rows.assign(counts.begin() + static_cast<std::ptrdiff_t>(4 * m), counts.begin() + static_cast<std::ptrdiff_t>(4 * m + 2));
      statistics.weight.assign(counts.begin() + static_cast<std::ptrdiff_t>(4 * m + 2),
                               counts.begin() + static_cast<std::ptrdiff_t>(4 * m + 4));
      statistics.largest = {std::bit_cast<double>(largest[m])};
      result.models.push_back(std::move(statistics));
    }
    return result;
  }

 private:
  // Strips of as many rows as there are lanes where a second block of threads finds room beside this one; of wide rows, of those that fit.
  // They must not depend on the models, for they say in which order rows are added.
  NewtonShape choose_shape(std::size_t shared_bytes) const {
    constexpr int kFewRows = 4;                                                       // fewer are worse than no second block
    constexpr std::size_t kNotDynamic = sizeof(NewtonMeeting<kNewtonModels>) + 1024;  // the kernel's and the system's
    const auto takes = [&](int rows, bool with_curvature) {
      return NewtonShape(n_cells_ - 1, rows, with_curvature).bytes(kNewtonModels) + kNotDynamic;
    };
    int rows = 32;
    while (rows > kFewRows && takes(rows, false) > shared_bytes / 2) rows /= 2;
    while (rows > 1 && takes(rows, true) > shared_bytes) rows /= 2;
    if (takes(rows, true) > shared_bytes)
      throw ArgumentError("these rows have more columns than this GPU's shared memory holds for a regression. Use --device cpu");
    return {n_cells_ - 1, rows, false};
  }

  template <int... kFewer>
  void allow_shared_memory(std::integer_sequence<int, kFewer...>) const {
    const NewtonShape largest(n_cells_ - 1, shape_.strip_rows, true);
    (check(cudaFuncSetAttribute(add_newton_sums_kernel<kFewer + 1>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                static_cast<int>(largest.bytes(kFewer + 1)))),
     ...);
  }

  void add_slice(const Tile& tile, std::int32_t first, std::int32_t n_rows) {
    const NewtonRows rows{.x = tile.x + std::int64_t{first} * (n_cells_ - 1),
                          .weight = tile.weight != nullptr ? tile.weight + first : nullptr,
                          .target = tile.target + std::int64_t{first} * tile.n_targets,
                          .fold = tile.fold != nullptr ? tile.fold + first : nullptr,
                          .label = tile.label != nullptr ? tile.label + first : nullptr,
                          .n_rows = n_rows,
                          .n_targets = tile.n_targets,
                          .n_cells = n_cells_,
                          .first_block = (tile.first_row + first) / kBlockRows,
                          .center = columns_.data(),
                          .scale = columns_.data() + n_cells_ - 1,
                          .terms = terms_.data(),
                          .term_rows = term_rows_,
                          .terms_every = terms_every_,
                          .per_quantum = per_quantum_.data(),
                          .sums = sums_.data()};
    const std::span<const NewtonModel> models(models_);
    for (std::size_t m = 0; m < models.size(); m += kNewtonModels) {
      const auto few = models.subspan(m, std::min<std::size_t>(kNewtonModels, models.size() - m));
      switch (few.size()) {
        case 1: add_linear_sums<1>(rows, few); break;
        case 2: add_linear_sums<2>(rows, few); break;
        case 3: add_linear_sums<3>(rows, few); break;
        default: add_linear_sums<4>(rows, few);
      }
    }
    add_grams(rows);
    if (rows.label != nullptr) add_segments(rows);
  }

  template <int kModels>
  void add_linear_sums(const NewtonRows& rows, std::span<const NewtonModel> models) {
    constexpr std::int64_t kBlocksPerMultiprocessor = 4;
    NewtonSweep<kModels> sweep{.rows = rows, .shape = shape_, .models = {}, .blocks_every = 0, .copies_vectors = copies_vectors(rows.x)};
    for (std::size_t m = 0; m < models.size(); ++m) {
      sweep.models[m] = models[m];
      sweep.shape.with_curvature = sweep.shape.with_curvature || models[m].wants_curvature;
      sweep.blocks_every = std::gcd(sweep.blocks_every, models[m].rows_every);
    }
    const std::int64_t n_blocks = count_blocks(rows, sweep.blocks_every), busy = kBlocksPerMultiprocessor * device_.device.multiprocessors;
    if (n_blocks == 0) return;
    launch(add_newton_sums_kernel<kModels>,
           {static_cast<unsigned>(std::min(n_blocks, busy)), kStripThreads, sweep.shape.bytes(kModels), stream()}, sweep);
  }

  void add_grams(const NewtonRows& rows) {
    std::vector<GramTask> rough, precise;
    for (const NewtonModel& model : models_) {
      if (model.hessian_every > 0)
        (model.precise ? precise : rough)
            .push_back({terms_of(model.curvature_term), std::lcm(model.rows_every, model.hessian_every),
                        model.first_sum + NewtonModel::hessian(n_cells_)});
      if (model.scores_term >= 0)
        precise.push_back({terms_of(model.scores_term), model.rows_every, model.first_sum + NewtonModel::scores(n_cells_)});
    }
    add_grams(add_rough_gram_kernel, kRoughPanel, rows, rough);
    if (wide_grams_)
      wide_grams_->add(rows, precise);
    else
      add_grams(add_precise_gram_kernel, kPrecisePanel, rows, precise);
  }

  void add_grams(void (*kernel)(NewtonRows, GramTasks), int panel, const NewtonRows& rows, std::span<const GramTask> all) {
    const int panels = (n_cells_ + panel - 1) / panel;
    for_each_launch<GramTasks>(all, [&](const GramTasks& tasks, std::span<const GramTask> some) {
      std::int64_t n_blocks = 0;
      for (const GramTask& task : some) n_blocks = std::max(n_blocks, count_blocks(rows, task.every) * kBlockRows / gram_rows(n_cells_));
      if (n_blocks == 0) return;
      const dim3 grid(static_cast<unsigned>(panels * (panels + 1) / 2), static_cast<unsigned>(n_blocks),
                      static_cast<unsigned>(some.size()));
      launch(kernel, {grid, kStripThreads, 0, stream()}, rows, tasks);
    });
  }

  void add_segments(const NewtonRows& rows) {
    std::vector<SegmentTask> tasks;
    for (const NewtonModel& model : models_) {
      if (model.n_segments == 0) continue;
      const std::int64_t residual = model.first_sum + model.segments(n_cells_), curvature = residual + model.n_segments;
      tasks.push_back(
          {terms_of(model.curvature_term), terms_of(model.residual_term), model.rows_every, curvature, residual, model.n_segments});
      if (model.wants_scores)
        tasks.push_back({terms_of(model.scores_term), nullptr, model.rows_every, curvature + std::int64_t{model.n_segments} * n_cells_, 0,
                         model.n_segments});
    }
    add_segments(rows, tasks);
  }

  void add_segments(const NewtonRows& rows, std::span<const SegmentTask> all) {
    const SegmentShape shape(n_cells_);
    for_each_launch<SegmentTasks>(all, [&](const SegmentTasks& tasks, std::span<const SegmentTask> some) {
      std::int64_t n_blocks = 0;
      std::int32_t most = 0;
      for (const SegmentTask& task : some) {
        n_blocks = std::max(n_blocks, count_blocks(rows, task.every));
        most = std::max(most, task.n_segments);
      }
      if (n_blocks == 0) return;
      const int at_once = std::min(most, shape.most_segments), n_turns = (most + at_once - 1) / at_once;
      const dim3 grid(static_cast<unsigned>(n_blocks), static_cast<unsigned>(n_turns), static_cast<unsigned>(some.size()));
      launch(add_segment_sums_kernel, {grid, kStripThreads, shape.bytes(at_once), stream()}, rows, tasks, shape);
    });
  }

  // Calls take(tasks, some) for all tasks, as many at a time as a launch has room for.
  template <class Tasks, class Task, class Take>
  static void for_each_launch(std::span<const Task> all, Take&& take) {
    while (!all.empty()) {
      const auto some = all.first(std::min<std::size_t>(Tasks::kMost, all.size()));
      all = all.subspan(some.size());
      Tasks tasks{};
      std::copy(some.begin(), some.end(), tasks.task);
      take(tasks, some);
    }
  }

  const double* terms_of(std::int32_t term) const { return term < 0 ? nullptr : terms_.data() + term * term_rows_; }

  // Blocks of rows that are multiples of `every`.
  static std::int64_t count_blocks(const NewtonRows& rows, std::int64_t every) {
    return (std::max<std::int64_t>(0, rows.n_blocks() - rows.first_of(every)) + every - 1) / every;
  }

  bool copies_vectors(const float* x) const { return (n_cells_ - 1) % 4 == 0 && reinterpret_cast<std::uintptr_t>(x) % 16 == 0; }

  cudaStream_t stream() const { return device_.compute.get(); }

  void add_model(const Model& model, std::vector<double>& parameters, std::vector<double>& effects, std::vector<double>& per_quantum) {
    if (model.penalty == logistic_regression::Penalty::firth)
      throw ArgumentError("the Firth penalty is fitted on the CPU; nothing was written. Use --device cpu");
    const auto& search = model.search;
    const std::size_t n = static_cast<std::size_t>(n_cells_), n_segments = search.effects.size();
    models_.push_back({.parameters = nullptr,
                       .effects = nullptr,
                       .n_segments = static_cast<std::int32_t>(n_segments),
                       .target = model.target,
                       .left_out_fold = model.left_out_fold,
                       .rows_every = search.rows_every,
                       .hessian_every = search.hessian_every,
                       .precise = search.precise,
                       .wants_curvature = model.n_iter == 0 && !search.last,
                       .wants_scores = search.last,
                       .curvature_term = search.hessian_every > 0 || n_segments > 0 ? n_terms_++ : -1,
                       .residual_term = n_segments > 0 ? n_terms_++ : -1,
                       .scores_term = search.last ? n_terms_++ : -1,
                       .first_sum = static_cast<std::int64_t>(per_quantum.size()),
                       .counts = nullptr,
                       .largest = nullptr});
    parameters.insert(parameters.end(), search.parameters.begin(), search.parameters.end());
    effects.insert(effects.end(), search.effects.begin(), search.effects.end());
    const Quanta quanta(model, grid_, moments_);
    per_quantum.insert(per_quantum.end(), {1 / quanta.log_likelihood(), 1 / quanta.weight(), 1 / quanta.weight()});
    const auto add_linear = [&](std::size_t times) {
      for (std::size_t i = 0; i < times * n; ++i) per_quantum.push_back(1 / quanta.linear(i % n));
    };
    add_linear(2);
    for (int triangle = 0; triangle < (search.last ? 2 : 1); ++triangle)
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j <= i; ++j) per_quantum.push_back(1 / quanta.square(i, j));
    per_quantum.insert(per_quantum.end(), n_segments, 1 / quanta.weight());
    add_linear((search.last ? 2 : 1) * n_segments);
  }

  void reserve() {
    reserve_terms();
    sums_.ensure(n_sums_);
    host_sums_.ensure(n_sums_);
    counts_.ensure(4 * models_.size());
    largest_.ensure(models_.size());
    const double* effects = effects_.data();
    for (std::size_t m = 0; m < models_.size(); ++m) {
      models_[m].parameters = parameters_.data() + m * static_cast<std::size_t>(n_cells_);
      if (models_[m].n_segments > 0) models_[m].effects = std::exchange(effects, effects + models_[m].n_segments);
      models_[m].counts = counts_.data() + 4 * m;
      models_[m].largest = largest_.data() + m;
    }
    reserve_wide_grams();
    fill_zero(sums_.data(), n_sums_, stream());
    fill_zero(counts_.data(), 4 * models_.size(), stream());
    fill_zero(largest_.data(), models_.size(), stream());
  }

  // The terms of a slice of a tile at a time, of those blocks that a Gram matrix or segments take: all there may be, in at most 256 MiB or
  // a sixty-fourth of the memory.
  void reserve_terms() {
    slice_rows_ = std::numeric_limits<std::int32_t>::max() / kBlockRows * kBlockRows;
    term_rows_ = terms_every_ = 0;
    if (n_terms_ == 0) return;
    for (const NewtonModel& model : models_) {
      if (model.hessian_every > 0) terms_every_ = std::gcd(terms_every_, std::lcm(model.rows_every, model.hessian_every));
      if (model.scores_term >= 0 || model.n_segments > 0) terms_every_ = std::gcd(terms_every_, model.rows_every);
    }
    const auto bytes = std::min(std::int64_t{256} << 20, device_.memory_bytes / 64),
               block_bytes = n_terms_ * std::int64_t{sizeof(double)} * kBlockRows;
    const std::int64_t all = moments_.n_rows / kBlockRows / terms_every_ + 1, in_a_grid = 65535 * gram_rows(n_cells_) / kBlockRows;
    const std::int64_t n_blocks = std::clamp<std::int64_t>(bytes / block_bytes, 1, std::min(all, in_a_grid));
    term_rows_ = n_blocks * kBlockRows;
    slice_rows_ = static_cast<std::int32_t>(std::min<std::int64_t>(slice_rows_, term_rows_ * terms_every_));
    terms_.ensure(static_cast<std::size_t>(n_terms_ * term_rows_));
  }

  void reserve_wide_grams() {
    const bool is_precise = std::ranges::any_of(models_, [](const NewtonModel& model) { return model.precise || model.wants_scores; });
    if (!wide_grams_ && is_precise && n_cells_ - 1 > kNarrowColumns && !own_products_) {
      if (!device_.products) device_.products = open_dense_products(stream());
      if (device_.products) wide_grams_.emplace(*device_.products, n_cells_, device_.device.multiprocessors, stream());
    }
    if (wide_grams_) wide_grams_->begin(per_quantum_.data(), sums_.data());
  }

  WideSums wide_sums(std::int64_t first, std::int64_t count) const {
    WideSums sums(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) sums.add(static_cast<std::size_t>(i), value_of(host_sums_.data()[first + i]));
    return sums;
  }

  Statistics model_statistics(const NewtonModel& model) const {
    const std::int64_t triangle = NewtonModel::triangle(n_cells_), n_segments = model.n_segments, cells = n_segments * n_cells_;
    const std::int64_t segments = model.first_sum + model.segments(n_cells_);
    return {.rows = {},
            .weight = {},
            .log_likelihood = wide_sums(model.first_sum, 1),
            .gradient = wide_sums(model.first_sum + NewtonModel::kLinear, n_cells_),
            .curvature = wide_sums(model.first_sum + NewtonModel::kLinear + n_cells_, model.wants_curvature ? n_cells_ : 0),
            .hessian = wide_sums(model.first_sum + NewtonModel::hessian(n_cells_), triangle),
            .hessian_weight = wide_sums(model.first_sum + 1, 2),
            .squared_scores = wide_sums(model.first_sum + NewtonModel::scores(n_cells_), model.wants_scores ? triangle : 0),
            .segment_gradient = wide_sums(segments, n_segments),
            .segment_curvature = wide_sums(segments + n_segments, cells),
            .segment_squared = wide_sums(segments + n_segments + cells, model.wants_scores ? cells : 0),
            .largest = {}};
  }

  DeviceContext& device_;
  logistic_regression::Grid grid_;
  const logistic_regression::GridMoments& moments_;
  int n_cells_;
  bool own_products_;
  NewtonShape shape_;
  std::vector<NewtonModel> models_;
  std::int32_t slice_rows_ = kBlockRows, n_terms_ = 0;
  std::int64_t term_rows_ = 0, terms_every_ = 0;
  std::size_t n_sums_ = 0;
  DeviceBuffer<float> columns_;  // (2, n_columns) center, scale
  DeviceBuffer<double> parameters_, effects_, per_quantum_;
  DeviceBuffer<double> terms_;  // (n_terms, term_rows)
  DeviceBuffer<FixedPoint> sums_;
  PinnedBuffer<FixedPoint> host_sums_;
  DeviceBuffer<std::int64_t> counts_;
  DeviceBuffer<std::uint64_t> largest_;
  std::optional<WideGrams> wide_grams_;  // where cuBLAS takes those in double
  DeviceTile device_tile_;
};

}  // namespace

std::unique_ptr<logistic_regression::Pass> make_logistic_regression_pass(DeviceContext& device, const logistic_regression::Grid& grid,
                                                                         const logistic_regression::GridMoments& moments,
                                                                         bool own_products) {
  return std::make_unique<LogisticRegressionPass>(device, grid, moments, own_products);
}

}  // namespace coterie::COTERIE_GPU
