// The CUDA pass of mixtures: uploads the models, runs one launch per tile and model, and turns the fixed-point sums of the
// device into statistics. Inside a sweep it neither allocates nor waits, but for tiles that lie on the host and for models
// that look for their unlikeliest rows.
#include "cuda/gaussian_mixture_pass.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "cuda/device_tile.hpp"
#include "cuda/gaussian_plan.cuh"
#include "host/gaussian_mixture_quanta.hpp"

namespace coterie::COTERIE_GPU {
namespace {

using gaussian_mixture::Model;
using gaussian_mixture::Quanta;
using gaussian_mixture::Statistics;

template <class T>
using SweepKernel = void (*)(MixtureSweep<T>);

template <class T>
SweepKernel<T> sweep_kernel(CovarianceType type) {
  switch (type) {
    case CovarianceType::full: return sweep_mixture_kernel<CovarianceType::full, T>;
    case CovarianceType::tied: return sweep_mixture_kernel<CovarianceType::tied, T>;
    case CovarianceType::diag: return sweep_mixture_kernel<CovarianceType::diag, T>;
    case CovarianceType::spherical: return sweep_mixture_kernel<CovarianceType::spherical, T>;
  }
  return nullptr;
}

// How many sums of each kind a model leaves behind, one after the other, and two of the likelihood.
struct SumCounts {
  std::size_t weight = 0, first = 0, second = 0, missing = 0;
  std::size_t all() const { return weight + first + second + missing + 2; }
};

SumCounts count_sums(const Model& model) {
  const auto k = static_cast<std::size_t>(model.n_components), d = static_cast<std::size_t>(model.n_columns);
  if (model.final_parameters) return {};
  const bool second = model.covariance_type != CovarianceType::tied || model.scatter.empty();
  return {k, k * d, second ? gaussian_mixture::second_cells(model.covariance_type, k, d) : 0, model.missing_at_random ? k * d : 0};
}

// The cheapest that moves the likelihood by less than the model allows: products on tensor cores, float32, double; as on the
// CPU double where cells may be missing, which may lie far from a pivot.
enum class Arithmetic { products, narrow, wide };

bool has_products(const Model& model, const gaussian_mixture::Grid& grid, std::span<const float> center, std::size_t shared_bytes) {
  switch (model.covariance_type) {
    case CovarianceType::full:
      return choose_whitened_shape(model.n_components, model.n_columns, shared_bytes).strip.rows > 0 &&
             PackedWhitening::fits(model, grid, center);
    case CovarianceType::tied: return false;
    case CovarianceType::diag:
    case CovarianceType::spherical:
      return choose_expanded_shape(model.n_components, model.n_columns, shared_bytes).strips > 0 &&
             PackedExpansion::fits(model, grid, center);
  }
  return false;
}

Arithmetic choose_arithmetic(const Model& model, const gaussian_mixture::Grid& grid, std::span<const float> center,
                             std::size_t shared_bytes) {
  if (model.final_parameters || model.missing_at_random) return Arithmetic::wide;
  if (has_products(model, grid, center, shared_bytes) && gaussian::product_error(model, grid, center) < model.sweep_tolerance)
    return Arithmetic::products;
  return gaussian::float_error(model, grid, center) < model.sweep_tolerance ? Arithmetic::narrow : Arithmetic::wide;
}

SweepKernel<float> whitened_kernel(bool held) { return held ? sweep_whitened_kernel<true> : sweep_whitened_kernel<false>; }

SweepKernel<float> expanded_kernel(int n_tiles) {
  switch (n_tiles) {
    case 1: return sweep_expanded_kernel<1>;
    case 2: return sweep_expanded_kernel<2>;
    case 4: return sweep_expanded_kernel<4>;
    default: return sweep_expanded_kernel<kMostExpandedTiles>;
  }
}

// One model during a sweep; what it has allocated serves the next model in its place.
struct Work {
  const Model* model = nullptr;
  Arithmetic arithmetic = Arithmetic::wide;
  PackedMixture<float> narrow_mixture;
  PackedMixture<double> wide_mixture;
  PackedWhitening whitening;
  PackedExpansion expansion;
  StripPlan plan;
  SumCounts counts;
  std::size_t first_sum = 0;  // among those of all models
  double per_weight = 0, per_square = 0, per_log_likelihood = 0;
  FirstRows unlikely;

  bool whitens() const { return arithmetic == Arithmetic::products && model->covariance_type == CovarianceType::full; }
  bool expands() const { return arithmetic == Arithmetic::products && model->covariance_type != CovarianceType::full; }
  bool wants_scatter() const { return model->covariance_type == CovarianceType::tied && counts.second > 0; }

  // Calls f(mixture, kernel) in the arithmetic of this model.
  template <class F>
  void visit(F&& f) const {
    switch (arithmetic) {
      case Arithmetic::products:
        return f(narrow_mixture, whitens() ? whitened_kernel(plan.whitened.half_words == 0) : expanded_kernel(plan.expanded.n_tiles));
      case Arithmetic::narrow: return f(narrow_mixture, sweep_kernel<float>(model->covariance_type));
      case Arithmetic::wide: return f(wide_mixture, sweep_kernel<double>(model->covariance_type));
    }
  }
};

class GaussianMixturePass final : public gaussian_mixture::Pass {
 public:
  GaussianMixturePass(DeviceContext& device, const gaussian_mixture::Grid& grid, const gaussian_mixture::GridMoments& moments)
      : device_(device), grid_(grid), moments_(moments), center_(center_of(grid, moments)) {
    allow_shared_memory<float>();
    allow_shared_memory<double>();
    for (const auto kernel :
         {whitened_kernel(false), whitened_kernel(true), expanded_kernel(1), expanded_kernel(2), expanded_kernel(4), expanded_kernel(8)})
      check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(device.shared_bytes)));
  }

  void begin(std::span<const Model* const> models) override {
    n_models_ = models.size();
    if (work_.size() < n_models_) work_.resize(n_models_);
    std::size_t n_sums = 0;
    host_per_bound_.clear();
    for (std::size_t m = 0; m < n_models_; ++m) {
      prepare(work_[m], *models[m], host_per_bound_);
      work_[m].first_sum = std::exchange(n_sums, n_sums + work_[m].counts.all());
    }
    per_bound_.ensure(host_per_bound_.size());
    copy_to_device(per_bound_.data(), host_per_bound_.data(), host_per_bound_.size(), stream());
    sums_.ensure(n_sums);
    host_sums_.ensure(n_sums);
    fill_zero(sums_.data(), n_sums, stream());
    reserve_scratch();
  }

  void accumulate(const Tile& host_or_device_tile) override {
    const Tile& tile = device_tile_.get(host_or_device_tile, stream());
    if (tile.n_rows == 0) return;
    for (std::size_t m = 0; m < n_models_; ++m) {
      const bool looks_for_rows = work_[m].model->lost_components > 0;
      if (looks_for_rows) row_likelihood_.ensure(static_cast<std::size_t>(tile.n_rows));
      work_[m].visit([&](const auto& mixture, const auto kernel) { sweep_model(tile, m, mixture, kernel); });
      if (looks_for_rows) offer_unlikely(tile, work_[m]);
    }
  }

  gaussian_mixture::SweepStatistics finish() override {
    std::size_t n_sums = 0;
    for (std::size_t m = 0; m < n_models_; ++m) n_sums += work_[m].counts.all();
    copy_to_host(host_sums_.data(), sums_.data(), n_sums, stream());
    device_.compute.synchronize();
    gaussian_mixture::SweepStatistics result;
    for (std::size_t m = 0; m < n_models_; ++m) result.models.push_back(model_statistics(work_[m]));
    return result;
  }

 private:
  cudaStream_t stream() const { return device_.compute.get(); }

  template <class T>
  void allow_shared_memory() const {
    const auto bytes = static_cast<int>(device_.shared_bytes);
    for (const auto type : {CovarianceType::full, CovarianceType::tied, CovarianceType::diag, CovarianceType::spherical})
      check(cudaFuncSetAttribute(sweep_kernel<T>(type), cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    check(cudaFuncSetAttribute(add_scatter_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  }

  void prepare(Work& work, const Model& model, std::vector<double>& per_bound) {
    const Quanta quanta(model, grid_, moments_);
    work.model = &model;
    work.arithmetic = choose_arithmetic(model, grid_, center_, device_.shared_bytes);
    if (work.expands())
      work.expansion.upload(model, center_, stream());
    else if (work.arithmetic == Arithmetic::wide)
      work.wide_mixture.upload(model, center_, stream());
    else
      work.narrow_mixture.upload(model, center_, stream());
    if (work.whitens()) work.whitening.upload(model, center_, stream());
    work.counts = count_sums(model);
    work.per_weight = 1 / quanta.weight();
    work.per_square = 1 / quanta.square();
    work.per_log_likelihood = 1 / quanta.log_likelihood();
    for (std::size_t j = 0; j < center_.size(); ++j) per_bound.push_back(quanta.weight() / quanta.first(j));
    work.unlikely = FirstRows(model.lost_components, model.n_columns);
    plan_strips(work);
  }

  void plan_strips(Work& work) {
    const Model& model = *work.model;
    const int k = model.n_components, d = model.n_columns;
    const std::size_t cell_bytes = work.arithmetic == Arithmetic::wide ? sizeof(double) : sizeof(float), limit = device_.shared_bytes;
    if (work.expands())
      work.plan = StripPlan(choose_expanded_shape(k, d, limit));
    else if (work.whitens())
      work.plan = StripPlan(model, choose_whitened_shape(k, d, limit));
    else
      work.plan = StripPlan(model, choose_strip(model.covariance_type, cell_bytes, k, d, limit), cell_bytes, limit);
    int per_multiprocessor = 0;
    work.visit([&](const auto&, const auto kernel) {
      check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_multiprocessor, kernel, kStripThreads, work.plan.shared_bytes));
    });
    work.plan.limit_blocks(std::int64_t{std::max(per_multiprocessor, 1)} * device_.device.multiprocessors, device_.memory_bytes);
  }

  // Models run one after the other, so they share what their running blocks need.
  void reserve_scratch() {
    std::size_t moments = 0, members = 0, weight_bytes = 0;
    for (std::size_t m = 0; m < n_models_; ++m) {
      const StripPlan& plan = work_[m].plan;
      const auto n_blocks = static_cast<std::size_t>(plan.n_blocks);
      moments = std::max(moments, n_blocks * static_cast<std::size_t>(plan.device_moments));
      members = std::max(members, n_blocks * static_cast<std::size_t>(plan.members));
      weight_bytes = std::max(weight_bytes, n_blocks * static_cast<std::size_t>(plan.members) * plan.cell_bytes);
    }
    block_moments_.ensure(moments);
    fill_zero(block_moments_.data(), moments, stream());
    member_rows_.ensure(members);
    member_weights_.ensure(weight_bytes);
  }

  MixtureSums sums_of(std::size_t m) const {
    const Work& work = work_[m];
    FixedPoint* const weight = sums_.data() + work.first_sum;
    FixedPoint* const first = weight + work.counts.weight;
    FixedPoint* const second = first + work.counts.first;
    return {.weight = weight,
            .first = first,
            .second = second,
            .missing = second + work.counts.second,
            .log_likelihood = second + work.counts.second + work.counts.missing,
            .per_bound = per_bound_.data() + m * center_.size(),
            .per_weight = work.per_weight,
            .per_square = work.per_square,
            .per_log_likelihood = work.per_log_likelihood};
  }

  template <class T>
  void sweep_model(const Tile& tile, std::size_t m, const PackedMixture<T>& mixture, SweepKernel<T> kernel) const {
    const Work& work = work_[m];
    const MixtureSweep<T> sweep{.mixture = mixture.view(),
                                .whitening = work.whitening.view(),
                                .expansion = work.expansion.view(),
                                .shape = work.plan.shape,
                                .whitened = work.plan.whitened,
                                .expanded = work.plan.expanded,
                                .x = tile.x,
                                .weight = tile.weight,
                                .n_rows = tile.n_rows,
                                .moves = !work.model->final_parameters,
                                .sums = sums_of(m),
                                .block_moments = work.plan.device_moments > 0 ? block_moments_.data() : nullptr,
                                .member_rows = member_rows_.data(),
                                .member_weights = reinterpret_cast<T*>(member_weights_.data()),
                                .row_likelihood = work.model->lost_components > 0 ? row_likelihood_.data() : nullptr};
    const std::int64_t n_row_blocks = (tile.n_rows + kBlockRows - 1) / kBlockRows;
    const auto n_blocks = static_cast<unsigned>(std::min(n_row_blocks, work.plan.n_blocks));
    launch(kernel, {n_blocks, kStripThreads, work.plan.shared_bytes, stream()}, sweep);
    if (work.wants_scatter()) launch(add_scatter_kernel<T>, {n_blocks, kStripThreads, work.plan.scatter_bytes, stream()}, sweep);
  }

  // Rare: a component of this model has lost its rows. Likelihoods come to the host, and then the few rows that are kept.
  static void offer_rows(const Tile& tile, const std::vector<double>& likelihood, const std::vector<std::int32_t>& weight, FirstRows& to) {
    for (std::size_t row = 0; row < likelihood.size(); ++row)
      if (weight[row] > 0) to.offer(ascending_key(likelihood[row]), tile.first_row + static_cast<std::int64_t>(row), nullptr);
  }

  void offer_unlikely(const Tile& tile, Work& work) {
    const auto n = static_cast<std::size_t>(tile.n_rows), d = static_cast<std::size_t>(tile.n_columns);
    std::vector<double> likelihood(n);
    std::vector<std::int32_t> weight(n, 1);
    copy_to_host(likelihood.data(), row_likelihood_.data(), n, stream());
    if (tile.weight != nullptr) copy_to_host(weight.data(), tile.weight, n, stream());
    device_.compute.synchronize();
    FirstRows here(work.model->lost_components, 0);
    offer_rows(tile, likelihood, weight, here);
    std::vector<float> values(d);
    for (std::int64_t i = 0; i < here.size(); ++i) {
      copy_to_host(values.data(), tile.x + static_cast<std::size_t>(here.row(i) - tile.first_row) * d, d, stream());
      device_.compute.synchronize();
      work.unlikely.offer(here.key(i), here.row(i), values.data());
    }
  }

  gaussian_mixture::Statistics model_statistics(Work& work) const {
    const FixedPoint* next = host_sums_.data() + work.first_sum;
    const auto take = [&next](std::size_t size) {
      WideSums sums(size);
      for (std::size_t i = 0; i < size; ++i) sums.add(i, value_of(*next++));
      return sums;
    };
    gaussian_mixture::Statistics statistics;
    statistics.weight = take(work.counts.weight);
    statistics.first = take(work.counts.first);
    statistics.second = take(work.counts.second);
    statistics.missing = take(work.counts.missing);
    statistics.log_likelihood = take(2);
    statistics.unlikely = std::move(work.unlikely);
    return statistics;
  }

  DeviceContext& device_;
  gaussian_mixture::Grid grid_;
  const gaussian_mixture::GridMoments& moments_;
  std::vector<float> center_;  // (n_columns)
  std::vector<Work> work_;     // by model, and what earlier sweeps have left
  std::size_t n_models_ = 0;
  std::vector<double> host_per_bound_;  // (n_models, n_columns)
  DeviceBuffer<double> per_bound_;
  DeviceBuffer<FixedPoint> sums_;  // of all models
  PinnedBuffer<FixedPoint> host_sums_;
  DeviceBuffer<double> block_moments_;       // MixtureSweep::block_moments of whichever model runs
  DeviceBuffer<std::uint16_t> member_rows_;  // likewise
  DeviceBuffer<std::byte> member_weights_;   // likewise
  DeviceBuffer<double> row_likelihood_;      // (rows of a tile)
  DeviceTile device_tile_;
};

}  // namespace

std::unique_ptr<gaussian_mixture::Pass> make_gaussian_mixture_pass(DeviceContext& device, const gaussian_mixture::Grid& grid,
                                                                   const gaussian_mixture::GridMoments& moments) {
  return std::make_unique<GaussianMixturePass>(device, grid, moments);
}

}  // namespace coterie::COTERIE_GPU
