// The CUDA pass of k-means: uploads the models, runs one launch per tile and group of models, and brings the sums home. Inside a sweep it
// neither allocates nor waits, but for tiles that lie on the host and for models that look for their farthest rows.
#include "cuda/kmeans_pass.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "cuda/device_tile.hpp"
#include "cuda/kmeans_exact.cuh"
#include "cuda/kmeans_predict.cuh"
#include "cuda/sweep_plan.cuh"
#include "cuda/sweep_sums.hpp"
#include "host/nearest_centers.hpp"

namespace coterie::COTERIE_GPU {
namespace {

constexpr std::int64_t kLabelShare = 10;  // of the device's memory, one such part is for labels

// Whether kernels of warpgroups have a body for the device.
bool has_warpgroups([[maybe_unused]] const Device& device) {
#if defined(COTERIE_EMULATED) || defined(COTERIE_SM_90A)
  return device.compute_major == 9;
#else
  return false;
#endif
}

// As many blocks as the device runs at a time, but no more than have work.
template <class Parameters>
unsigned count_persistent_blocks(void (*kernel)(Parameters), int threads, std::size_t shared_bytes, const Device& device, int most) {
  int per_multiprocessor = 0;
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_multiprocessor, kernel, threads, shared_bytes));
  return static_cast<unsigned>(std::min(most, std::max(per_multiprocessor, 1) * device.multiprocessors));
}

class KMeansPass final : public kmeans::Pass {
 public:
  KMeansPass(Context& context, DeviceContext& device, const kmeans::Grid& grid, std::int32_t n_columns, SweepTally* tally)
      : context_(context),
        device_(device),
        n_columns_(n_columns),
        certainty_(n_columns),
        tally_(tally),
        limits_(n_columns, has_warpgroups(device.device), device.shared_bytes),
        memory_(device.memory_bytes / kLabelShare) {
    upload_scale(grid);
    for (const bool weighted : {false, true}) {
      allow_shared_memory(choose_narrow_kernel(weighted));
      allow_shared_memory(choose_wide_kernel(weighted));
    }
    if (limits_.warpgroup_shape.warpgroups == 0) return;
    for (const bool deciding : {false, true}) allow_shared_memory(choose_warpgroup_kernel(deciding));
  }

  void begin(std::span<const kmeans::Model* const> models) override {
    models_.assign(models.begin(), models.end());
    memory_.begin(models);
    layouts_.clear();
    for (const kmeans::Model* model : models) layouts_.push_back(limits_.layout_of(model->n_clusters));
    packed_.upload(context_, models, memory_.places(), layouts_, n_columns_, stream());
    fragments_.pack(packed_, stream());
    sums_.begin(models, packed_, stream());
    for (const bool weighted : {false, true}) groups_[weighted] = group_models(packed_, limits_, weighted);
    farthest_.clear();
    for (const kmeans::Model* model : models) farthest_.emplace_back(model->empty_clusters, n_columns_ + 2);
  }

  void accumulate(const Tile& host_or_device_tile) override {
    const Tile& tile = device_tile_.get(host_or_device_tile, stream());
    if (tile.n_rows == 0) return;
    if (first_row_ < 0) first_row_ = tile.first_row;
    memory_.grow(tile.first_row - first_row_ + tile.n_rows, stream());
    for (const SweepGroup& group : groups_[tile.weight != nullptr]) {
      const SweepShape shape = fit_rows(limits_.shape, tile.n_rows);
      const auto first_model = static_cast<std::size_t>(group.first_model);
      if (group.kind == SweepKind::warpgroups) {
        label_by_warpgroups(tile, first_model);
        move_rows(tile, first_model);
      } else if (shape.rows > 0 && scale_is_one_float_) {
        sweep_group(tile, group, shape);
      } else {
        for (std::size_t m = first_model; m < first_model + static_cast<std::size_t>(group.n_models); ++m) {
          label_exactly(tile, m);
          move_rows(tile, m);
        }
      }
    }
    for (std::size_t m = 0; m < models_.size(); ++m) {
      if (models_[m]->empty_clusters > 0) offer_farthest(tile, m);
    }
  }

  kmeans::SweepStatistics finish() override {
    sums_.finish(stream());
    device_.compute.synchronize();
    memory_.finish();
    kmeans::SweepStatistics result;
    for (std::size_t m = 0; m < models_.size(); ++m) {
      result.models.push_back(sums_.statistics(m));
      result.models.back().farthest = std::move(farthest_[m]);
    }
    const std::int64_t* const counters = sums_.on_host() + sums_.layout().counters();
    if (tally_ != nullptr) *tally_ = {counters[0], counters[1]};
    return result;
  }

 private:
  cudaStream_t stream() const { return device_.compute.get(); }
  std::int64_t* weights() const { return sums_.on_device() + sums_.layout().weights(); }
  std::int64_t* rows() const { return sums_.on_device() + sums_.layout().rows(); }

  // 1 / step as two floats, because it alone may not be one: x * scale[0] * scale[1] is exact. Only of data near the end of float32 is
  // the second not 1.
  void upload_scale(const kmeans::Grid& grid) {
    const auto d = static_cast<std::size_t>(n_columns_);
    std::vector<float> scale(2 * d);
    for (std::size_t j = 0; j < d; ++j) {
      const int exponent = -std::ilogb(grid.steps[j]);
      constexpr int kLargest = 127;
      scale_is_one_float_ = scale_is_one_float_ && exponent <= kLargest;
      scale[j] = std::ldexp(1.0f, std::min(exponent, kLargest));
      scale[d + j] = std::ldexp(1.0f, std::max(exponent - kLargest, 0));
    }
    upload(scale_, scale, stream());
  }

  using Kernel = void (*)(Sweep);
  template <class Job>
  void allow_shared_memory(void (*kernel)(Job)) const {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(device_.shared_bytes)));
  }
  static Kernel choose_wide_kernel(bool weighted) { return weighted ? sweep_wide_kernel<true> : sweep_wide_kernel<false>; }
  Kernel choose_narrow_kernel(bool weighted) const {
    static constexpr Kernel kKernels[][2] = {
        {sweep_narrow_kernel<1, false>, sweep_narrow_kernel<1, true>}, {sweep_narrow_kernel<2, false>, sweep_narrow_kernel<2, true>},
        {sweep_narrow_kernel<3, false>, sweep_narrow_kernel<3, true>}, {sweep_narrow_kernel<4, false>, sweep_narrow_kernel<4, true>},
        {sweep_narrow_kernel<6, false>, sweep_narrow_kernel<6, true>}, {sweep_narrow_kernel<8, false>, sweep_narrow_kernel<8, true>}};
    const int steps = std::min(count_steps(n_columns_), 8);
    return kKernels[steps <= 4 ? steps - 1 : steps / 2 + 1][weighted];
  }

  using WarpgroupKernel = void (*)(WarpgroupSweep);
  WarpgroupKernel choose_warpgroup_kernel(bool deciding) const {
    if (limits_.warpgroup_shape.warpgroups == 2) return deciding ? decide_rows_kernel<2> : label_rows_kernel<2>;
    return deciding ? decide_rows_kernel<4> : label_rows_kernel<4>;
  }

  void sweep_group(const Tile& tile, const SweepGroup& group, const SweepShape& shape) {
    const Sweep sweep{.shape = shape,
                      .tile = {tile.x, tile.n_rows},
                      .weight = tile.weight,
                      .centers = packed_.centers(),
                      .tensor = fragments_.on_device(packed_),
                      .models = packed_.device_layout(),
                      .labels = labels_of(tile),
                      .first_model = group.first_model,
                      .n_models = group.n_models,
                      .n_pairs = group.n_pairs,
                      .group = group.group,
                      .group_cells = group.cells,
                      .shared_sums = group.shared_sums,
                      .sums = sums_.on_device(),
                      .weights = weights(),
                      .rows = rows(),
                      .n_cells = packed_.n_cells(),
                      .scale = scale_.data(),
                      .certain_ratio = certainty_.ratio,
                      .certain_underflow = nearest::Certainty::kUnderflow,
                      .rechecked = sums_.on_device() + sums_.layout().counters()};
    const bool weighted = tile.weight != nullptr;
    const bool narrow = group.kind == SweepKind::narrow;
    const int threads = narrow ? kNarrowThreads : kWideThreads;
    const int rows = narrow ? kNarrowWarps * kLeastNarrowRows : shape.rows;  // of a block at a time
    const Kernel kernel = narrow ? choose_narrow_kernel(weighted) : choose_wide_kernel(weighted);
    const unsigned blocks = count_persistent_blocks(kernel, threads, group.shared_bytes, device_.device, (tile.n_rows - 1) / rows + 1);
    launch(kernel, {blocks, static_cast<unsigned>(threads), group.shared_bytes, stream()}, sweep);
  }

  KeptLabels labels_of(const Tile& tile) const { return memory_.labels_from(tile.first_row - first_row_); }

  void assign_exact(const Tile& tile, std::size_t m, ExactOutput output) const {
    const auto blocks = static_cast<unsigned>((tile.n_rows + kExactThreads - 1) / kExactThreads);
    launch(assign_exact_kernel, {blocks, kExactThreads, 0, stream()}, tile.x, tile.n_rows, n_columns_,
           packed_.centers() + packed_.layout()[m].centers, packed_.padded_columns(), models_[m]->n_clusters, output);
  }

  void label_by_warpgroups(const Tile& tile, std::size_t m) {
    const auto n = static_cast<std::size_t>(tile.n_rows);
    label_.ensure(n);
    open_.ensure(n);
    n_open_.ensure(1);
    fill_zero(n_open_.data(), 1, stream());
    const WarpgroupSweep sweep{.shape = limits_.warpgroup_shape,
                               .tile = {tile.x, tile.n_rows},
                               .weight = tile.weight,
                               .centers = {packed_.centers() + packed_.layout()[m].centers, n_columns_, packed_.padded_columns()},
                               .n_clusters = models_[m]->n_clusters,
                               .tensor = fragments_.on_device(packed_),
                               .model = static_cast<int>(m),
                               .certain_ratio = 1 + 8 * (n_columns_ + 8) * 0x1p-53,
                               .kept_bits = kKeptBits,
                               .label = label_.data(),
                               .open = open_.data(),
                               .n_open = n_open_.data(),
                               .rechecked = sums_.on_device() + sums_.layout().counters()};
    const int bytes = warpgroup_memory(sweep.shape).bytes, most = (tile.n_rows - 1) / sweep.shape.rows() + 1;
    const auto blocks = static_cast<unsigned>(std::min(most, device_.device.multiprocessors));
    for (const bool deciding : {false, true})
      launch(choose_warpgroup_kernel(deciding),
             {blocks, static_cast<unsigned>(sweep.shape.threads()), static_cast<std::size_t>(bytes), stream()}, sweep);
  }

  void label_exactly(const Tile& tile, std::size_t m) {
    label_.ensure(static_cast<std::size_t>(tile.n_rows));
    assign_exact(tile, m, {.label = label_.data(), .second = nullptr, .squared_distance = nullptr, .second_squared_distance = nullptr});
  }

  // Whose labels are in label_.
  void move_rows(const Tile& tile, std::size_t m) {
    const PackedModel& model = packed_.layout()[m];
    std::int64_t* const sums = sums_.on_device() + model.cells;
    const ModelSums to{sums, sums + sums_.layout().high(), weights() + model.clusters, rows() + model.clusters};
    constexpr unsigned kBlocksPerMultiprocessor = 8;  // enough threads to hide the latency of the atomics
    launch(move_rows_kernel, {kBlocksPerMultiprocessor * static_cast<unsigned>(device_.device.multiprocessors), kExactThreads, 0, stream()},
           tile.x, tile.weight, tile.n_rows, n_columns_, label_.data(), scale_.data(), labels_of(tile), model.labels, to);
  }

  // Rare: a cluster of this model was empty. Distances come to the host, and then the few rows that are kept.
  void offer_farthest(const Tile& tile, std::size_t m) {
    const auto n = static_cast<std::size_t>(tile.n_rows), d = static_cast<std::size_t>(n_columns_);
    label_.ensure(n);
    distance_.ensure(n);
    assign_exact(tile, m,
                 {.label = label_.data(), .second = nullptr, .squared_distance = distance_.data(), .second_squared_distance = nullptr});
    std::vector<std::int32_t> label(n), weight(n, 1);
    std::vector<double> distance(n);
    copy_to_host(label.data(), label_.data(), n, stream());
    copy_to_host(distance.data(), distance_.data(), n, stream());
    if (tile.weight != nullptr) copy_to_host(weight.data(), tile.weight, n, stream());
    device_.compute.synchronize();
    FirstRows here(models_[m]->empty_clusters, 0);
    for (std::size_t i = 0; i < n; ++i) {
      if (weight[i] > 0) here.offer(descending_key(distance[i]), static_cast<std::int64_t>(i), nullptr);
    }
    std::vector<float> values(d + 2);
    for (std::int64_t i = 0; i < here.size(); ++i) {
      const auto row = static_cast<std::size_t>(here.row(i));
      copy_to_host(values.data(), tile.x + row * d, d, stream());
      device_.compute.synchronize();
      values[d] = static_cast<float>(label[row]);
      values[d + 1] = static_cast<float>(weight[row]);
      farthest_[m].offer(here.key(i), tile.first_row + here.row(i), values.data());
    }
  }

  Context& context_;
  DeviceContext& device_;
  std::int32_t n_columns_;
  nearest::Certainty certainty_;
  SweepTally* tally_;
  SweepLimits limits_;
  SweepMemory memory_;
  std::int64_t first_row_ = -1;  // of the pass
  DeviceBuffer<float> scale_;    // (2, n_columns)
  bool scale_is_one_float_ = true;
  std::vector<const kmeans::Model*> models_;
  PackedModels packed_;
  CenterFragments fragments_;
  std::vector<SweepGroup> groups_[2];  // without and with weights
  std::vector<CenterLayout> layouts_;  // by model
  std::vector<FirstRows> farthest_;    // by model
  SweepSums sums_;
  DeviceTile device_tile_;
  DeviceBuffer<std::int32_t> label_;  // (rows of a tile)
  DeviceBuffer<double> distance_;     // (rows of a tile)
  DeviceBuffer<OpenRow> open_;        // (rows of a tile)
  DeviceBuffer<int> n_open_;
};

class KMeansPredictor final : public kmeans::Predictor {
 public:
  KMeansPredictor(Context& context, DeviceContext& device) : context_(context), device_(device) {
    check(cudaFuncSetAttribute(predict_rows_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(device.shared_bytes)));
  }

  void begin(const kmeans::Model& model) override {
    n_clusters_ = model.n_clusters;
    const kmeans::Model* const models[] = {&model};
    packed_.upload(context_, models, {}, {}, model.n_columns, device_.compute.get());
    shape_ = choose_shape(model.n_columns, device_.shared_bytes);
    fragments_.pack(packed_, device_.compute.get());
  }

  kmeans::Assignment predict(const Tile& host_or_device_tile) override {
    const cudaStream_t stream = device_.compute.get();
    const Tile& tile = device_tile_.get(host_or_device_tile, stream);
    const auto n = static_cast<std::size_t>(tile.n_rows);
    index_.ensure(2 * n);
    distance_.ensure(2 * n);
    host_index_.ensure(2 * n);
    host_distance_.ensure(2 * n);
    for (std::size_t first = 0; first < n; first += kRowsOnTheirWay) {  // results leave while the next rows are labelled
      const std::size_t count = std::min(kRowsOnTheirWay, n - first);
      predict_into({.x = tile.x + first * static_cast<std::size_t>(tile.n_columns),
                    .n_rows = static_cast<std::int32_t>(count),
                    .n_columns = tile.n_columns},
                   {index_.data() + first, index_.data() + n + first, distance_.data() + first, distance_.data() + n + first});
      labelled_.record(device_.compute);
      labelled_.hold(device_.copies);
      for (const std::size_t at : {first, n + first}) {
        copy_to_host(host_index_.data() + at, index_.data() + at, count, device_.copies.get());
        copy_to_host(host_distance_.data() + at, distance_.data() + at, count, device_.copies.get());
      }
    }
    device_.copies.synchronize();
    const std::int32_t* const index = host_index_.data();
    const double* const distance = host_distance_.data();
    return {{index, n}, {index + n, n}, {distance, n}, {distance + n, n}};
  }

  std::int64_t rows_at_once() const override { return rows_of_results(device_, 2 * (sizeof(std::int32_t) + sizeof(double))); }

 private:
  void predict_into(const Tile& tile, const ExactOutput& output) const {
    const SweepShape shape = fit_rows(shape_, tile.n_rows);
    if (shape.rows == 0) {
      const auto blocks = static_cast<unsigned>((tile.n_rows + kExactThreads - 1) / kExactThreads);
      launch(assign_exact_kernel, {blocks, kExactThreads, 0, device_.compute.get()}, tile.x, tile.n_rows, tile.n_columns, packed_.centers(),
             packed_.padded_columns(), n_clusters_, output);
      return;
    }
    const Prediction job{.shape = shape,
                         .tile = {tile.x, tile.n_rows},
                         .centers = {packed_.centers(), tile.n_columns, packed_.padded_columns()},
                         .tensor = fragments_.on_device(packed_),
                         .n_clusters = n_clusters_,
                         .output = output};
    const std::size_t shared_bytes = words_to_bytes(predict_tile_memory(shape).words);
    const unsigned blocks =
        count_persistent_blocks(predict_rows_kernel, kWideThreads, shared_bytes, device_.device, (tile.n_rows - 1) / shape.rows + 1);
    launch(predict_rows_kernel, {blocks, kWideThreads, shared_bytes, device_.compute.get()}, job);
  }

  static constexpr std::size_t kRowsOnTheirWay = std::size_t{1} << 21;

  Context& context_;
  DeviceContext& device_;
  Event labelled_;
  std::int32_t n_clusters_ = 0;
  SweepShape shape_{};
  PackedModels packed_;
  CenterFragments fragments_;
  DeviceTile device_tile_;
  DeviceBuffer<std::int32_t> index_;  // (2, n_rows) label, second
  DeviceBuffer<double> distance_;     // (2, n_rows)
  PinnedBuffer<std::int32_t> host_index_;
  PinnedBuffer<double> host_distance_;
};

}  // namespace

std::unique_ptr<kmeans::Pass> make_kmeans_pass(Context& context, DeviceContext& device, const kmeans::Grid& grid, std::int32_t n_columns,
                                               SweepTally* tally) {
  return std::make_unique<KMeansPass>(context, device, grid, n_columns, tally);
}

std::unique_ptr<kmeans::Predictor> make_kmeans_predictor(Context& context, DeviceContext& device) {
  return std::make_unique<KMeansPredictor>(context, device);
}

}  // namespace coterie::COTERIE_GPU
