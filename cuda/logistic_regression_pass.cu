// The CUDA pass of logistic regressions: uploads the models, runs one launch per tile for all of them, and turns the
// fixed-point sums of the device into statistics. Inside a sweep it neither allocates nor waits, but for tiles that lie on
// the host.
#include "cuda/logistic_regression_pass.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <vector>

#include "cuda/device_tile.hpp"
#include "cuda/newton_gram.cuh"
#include "host/error.hpp"
#include "host/logistic_regression_quanta.hpp"

namespace coterie::COTERIE_GPU {
namespace {

using logistic_regression::Model;
using logistic_regression::Quanta;
using logistic_regression::Statistics;

class LogisticRegressionPass final : public logistic_regression::Pass {
 public:
  LogisticRegressionPass(DeviceContext& device, const logistic_regression::Grid& grid, const logistic_regression::GridMoments& moments)
      : device_(device), grid_(grid), moments_(moments), n_cells_(static_cast<int>(grid.steps.size()) + 1) {
    std::vector<float> columns = center_of(grid, moments);
    const std::vector<float> scale = logistic_regression::column_scales(grid, moments);
    columns.insert(columns.end(), scale.begin(), scale.end());
    columns_.ensure(columns.size());
    copy_to_device(columns_.data(), columns.data(), columns.size(), stream());
    device_.compute.synchronize();
    // Room for a second block beside this one, where rows are not too wide; NewtonRows and a kilobyte of the system's are not dynamic.
    const std::size_t dynamic = device.shared_bytes - sizeof(NewtonRows) - 1024;
    while (strip_rows_ > kFewestRows && shared_bytes() > dynamic / 2) strip_rows_ /= 2;
    if (shared_bytes() > dynamic)
      throw ArgumentError("these rows have more columns than this GPU's shared memory holds for a regression. Use --device cpu");
    check(cudaFuncSetAttribute(add_newton_sums_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes())));
  }

  void begin(std::span<const Model* const> models) override {
    models_.clear();
    std::vector<double> parameters, per_quantum;
    for (const Model* model : models) add_model(*model, parameters, per_quantum);
    parameters_.ensure(parameters.size());
    for (std::size_t m = 0; m < models_.size(); ++m) models_[m].parameters = parameters_.data() + m * static_cast<std::size_t>(n_cells_);
    device_models_.ensure(models_.size());
    per_quantum_.ensure(per_quantum.size());
    copy_to_device(parameters_.data(), parameters.data(), parameters.size(), stream());
    copy_to_device(device_models_.data(), models_.data(), models_.size(), stream());
    copy_to_device(per_quantum_.data(), per_quantum.data(), per_quantum.size(), stream());
    n_sums_ = per_quantum.size();
    reserve();
    device_.compute.synchronize();
  }

  void accumulate(const Tile& host_or_device_tile) override {
    const Tile& tile = device_tile_.get(host_or_device_tile, stream());
    if (tile.target == nullptr) throw InternalError("a logistic regression was given tiles without outcomes");
    for (std::int32_t first = 0; first < tile.n_rows; first += slice_rows_)
      add_slice(tile, first, std::min(slice_rows_, tile.n_rows - first));
  }

  logistic_regression::SweepStatistics finish() override {
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
  static constexpr int kFewestRows = 32;  // of a strip: a Gram matrix of fewer would wait for its sums to be added

  void add_slice(const Tile& tile, std::int32_t first, std::int32_t n_rows) {
    const NewtonSweep sweep{.models = device_models_.data(),
                            .n_models = static_cast<int>(models_.size()),
                            .n_cells = n_cells_,
                            .strip_rows = strip_rows_,
                            .x = tile.x + std::int64_t{first} * (n_cells_ - 1),
                            .weight = tile.weight != nullptr ? tile.weight + first : nullptr,
                            .target = tile.target + std::int64_t{first} * tile.n_targets,
                            .fold = tile.fold != nullptr ? tile.fold + first : nullptr,
                            .n_rows = n_rows,
                            .n_targets = tile.n_targets,
                            .first_block = (tile.first_row + first) / kBlockRows,
                            .center = columns_.data(),
                            .scale = columns_.data() + n_cells_ - 1,
                            .terms = is_wide() ? terms_.data() : nullptr,
                            .n_block_sums = static_cast<std::int64_t>(n_block_sums()),
                            .per_quantum = per_quantum_.data(),
                            .block_sums = block_sums_.data(),
                            .sums = sums_.data(),
                            .counts = counts_.data(),
                            .largest = largest_.data()};
    const auto n_blocks = static_cast<std::size_t>((n_rows + kBlockRows - 1) / kBlockRows);
    launch(add_newton_sums_kernel, {static_cast<unsigned>(std::min(n_blocks, slots_)), kStripThreads, shared_bytes(), stream()}, sweep);
    if (is_wide()) add_grams(sweep, n_blocks);
  }

  cudaStream_t stream() const { return device_.compute.get(); }
  std::size_t shared_bytes() const { return sizeof(float) * static_cast<std::size_t>(strip_rows_ * strip_stride(n_cells_ - 1)); }

  // From three panels on, adding a strip to all cells of a triangle takes longer than making it.
  bool is_wide() const { return n_cells_ > 3 * kPanel; }
  std::size_t n_block_sums() const {
    return is_wide() ? models_.size() * static_cast<std::size_t>(NewtonModel::hessian(n_cells_)) : n_sums_;
  }

  void add_grams(const NewtonSweep& sweep, std::size_t n_blocks) {
    constexpr std::size_t kMostBlocks = 1024;  // of rows at a time
    const int panels = (n_cells_ + kPanel - 1) / kPanel;
    const dim3 grid(static_cast<unsigned>(panels * (panels + 1) / 2), static_cast<unsigned>(std::min(n_blocks, kMostBlocks)));
    const Launch how{grid, kStripThreads, 0, stream()};
    for (std::size_t m = 0; m < models_.size(); ++m) {
      const NewtonModel& model = models_[m];
      const double* const curvature = sweep.terms + 2 * m * static_cast<std::size_t>(sweep.n_rows);
      if (model.hessian_every > 0) {
        const GramTask hessian{curvature, std::lcm(model.rows_every, model.hessian_every),
                               model.first_sum + NewtonModel::hessian(n_cells_)};
        if (model.precise)
          launch(add_wide_gram_kernel<double>, how, sweep, hessian);
        else
          launch(add_wide_gram_kernel<float>, how, sweep, hessian);
      }
      if (!model.wants_scores) continue;
      const GramTask scores{curvature + sweep.n_rows, model.rows_every, model.first_sum + NewtonModel::scores(n_cells_)};
      launch(add_wide_gram_kernel<double>, how, sweep, scores);
    }
  }

  void add_model(const Model& model, std::vector<double>& parameters, std::vector<double>& per_quantum) {
    if (model.penalty == logistic_regression::Penalty::firth || !model.search.effects.empty())
      throw ArgumentError("the Firth penalty and segment effects are fitted on the CPU; nothing was written. Use --device cpu");
    const auto& search = model.search;
    models_.push_back({.parameters = nullptr,
                       .target = model.target,
                       .left_out_fold = model.left_out_fold,
                       .rows_every = search.rows_every,
                       .hessian_every = search.hessian_every,
                       .precise = search.precise,
                       .wants_curvature = model.n_iter == 0 && !search.last,
                       .wants_scores = search.last,
                       .first_sum = static_cast<std::int64_t>(per_quantum.size()),
                       .first_count = static_cast<std::int32_t>(models_.size())});
    parameters.insert(parameters.end(), search.parameters.begin(), search.parameters.end());
    const Quanta quanta(model, grid_, moments_);
    per_quantum.insert(per_quantum.end(), {1 / quanta.log_likelihood(), 1 / quanta.weight(), 1 / quanta.weight()});
    const auto n = static_cast<std::size_t>(n_cells_);
    for (std::size_t i = 0; i < 2 * n; ++i) per_quantum.push_back(1 / quanta.linear(i % n));
    for (int triangle = 0; triangle < (search.last ? 2 : 1); ++triangle)
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j <= i; ++j) per_quantum.push_back(1 / quanta.square(i, j));
  }

  // Sums of blocks of rows: as many at work as fill the device, in at most a quarter of a gigabyte.
  void reserve() {
    constexpr std::size_t kScratchBytes = std::size_t{256} << 20;
    constexpr std::size_t kBlocksPerMultiprocessor = 4;
    const std::size_t busy = kBlocksPerMultiprocessor * static_cast<std::size_t>(device_.device.multiprocessors);
    reserve_terms();
    slots_ = std::clamp<std::size_t>(kScratchBytes / (sizeof(double) * std::max(n_block_sums(), std::size_t{1})), 1, busy);
    block_sums_.ensure(slots_ * n_block_sums());
    sums_.ensure(n_sums_);
    host_sums_.ensure(n_sums_);
    counts_.ensure(4 * models_.size());
    largest_.ensure(models_.size());
    fill_zero(block_sums_.data(), slots_ * n_block_sums(), stream());
    fill_zero(sums_.data(), n_sums_, stream());
    fill_zero(counts_.data(), 4 * models_.size(), stream());
    fill_zero(largest_.data(), models_.size(), stream());
  }

  // Of wide rows, the terms of a slice of a tile at a time: whole blocks, in at most 64 MiB or a sixty-fourth of the memory.
  void reserve_terms() {
    slice_rows_ = std::numeric_limits<std::int32_t>::max() / kBlockRows * kBlockRows;
    if (!is_wide()) return;
    const auto bytes = std::min(std::int64_t{64} << 20, device_.memory_bytes / 64),
               row_bytes = 2 * std::ssize(models_) * std::int64_t{sizeof(double)};
    slice_rows_ = static_cast<std::int32_t>(std::max<std::int64_t>(1, bytes / row_bytes / kBlockRows) * kBlockRows);
    terms_.ensure(2 * models_.size() * static_cast<std::size_t>(slice_rows_));
  }

  WideSums wide_sums(std::int64_t first, std::int64_t count) const {
    WideSums sums(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) {
      const FixedPoint& sum = host_sums_.data()[first + i];
      sums.add(static_cast<std::size_t>(i), (static_cast<int128>(static_cast<std::int64_t>(sum.high)) << 64) + sum.low);
    }
    return sums;
  }

  Statistics model_statistics(const NewtonModel& model) const {
    const std::int64_t triangle = NewtonModel::triangle(n_cells_);
    return {.rows = {},
            .weight = {},
            .log_likelihood = wide_sums(model.first_sum, 1),
            .gradient = wide_sums(model.first_sum + NewtonModel::kLinear, n_cells_),
            .curvature = wide_sums(model.first_sum + NewtonModel::kLinear + n_cells_, model.wants_curvature ? n_cells_ : 0),
            .hessian = wide_sums(model.first_sum + NewtonModel::hessian(n_cells_), triangle),
            .hessian_weight = wide_sums(model.first_sum + 1, 2),
            .squared_scores = wide_sums(model.first_sum + NewtonModel::scores(n_cells_), model.wants_scores ? triangle : 0),
            .segment_gradient = {},
            .segment_curvature = {},
            .segment_squared = {},
            .largest = {}};
  }

  DeviceContext& device_;
  logistic_regression::Grid grid_;
  const logistic_regression::GridMoments& moments_;
  int n_cells_;
  int strip_rows_ = kStripThreads;
  std::vector<NewtonModel> models_;
  std::int32_t slice_rows_ = kBlockRows;
  std::size_t n_sums_ = 0, slots_ = 1;
  DeviceBuffer<float> columns_;  // (2, n_columns) center, scale
  DeviceBuffer<double> parameters_, per_quantum_, block_sums_, terms_;
  DeviceBuffer<NewtonModel> device_models_;
  DeviceBuffer<FixedPoint> sums_;
  PinnedBuffer<FixedPoint> host_sums_;
  DeviceBuffer<std::int64_t> counts_;
  DeviceBuffer<std::uint64_t> largest_;
  DeviceTile device_tile_;
};

}  // namespace

std::unique_ptr<logistic_regression::Pass> make_logistic_regression_pass(DeviceContext& device, const logistic_regression::Grid& grid,
                                                                         const logistic_regression::GridMoments& moments) {
  return std::make_unique<LogisticRegressionPass>(device, grid, moments);
}

}  // namespace coterie::COTERIE_GPU
