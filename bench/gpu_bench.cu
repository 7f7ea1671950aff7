// What bench/gpu measures on a GPU: the roofs of the device, then every pass at the shapes of the targets (gpu_bench [all|roofs|kmeans|
// predict|profile|mixture|regression|judge [SHAPE]]; SHAPE, as 10000000x32x64x1, leaves one of them, for a profiler, or for k-means any
// other). Some rows are made again on the host and labelled by the definition. One JSON object per line.
#include <algorithm>
#include <bit>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <vector>

#include "bench/gpu_judging_bench.cuh"
#include "bench/gpu_mixture_bench.cuh"
#include "bench/gpu_regression_bench.cuh"
#include "bench/gpu_stage.cuh"
#include "cuda/kmeans_pass.hpp"
#include "cuda/profile_pass.hpp"
#include "host/passes.hpp"
#include "tests/reference/kmeans.hpp"

namespace coterie::gpu {
namespace {

kmeans::Model start_model(const Shape& shape, std::int64_t restart) {
  kmeans::Model model;
  model.n_clusters = shape.n_clusters;
  model.n_columns = shape.n_columns;
  for (std::int32_t k = 0; k < shape.n_clusters; ++k) {
    for (std::int32_t j = 0; j < shape.n_columns; ++j) model.cluster_centers.push_back(make_cell(k * 7919 + restart, j));
  }
  return model;
}

// Of 512 rows, or fewer where the definition takes long, made again on the host.
bool labels_are_right(Bench& bench, const kmeans::Model& model) {
  const auto d = static_cast<std::size_t>(model.n_columns);
  const std::int64_t n_rows = std::clamp<std::int64_t>((1 << 28) / (std::int64_t{model.n_clusters} * model.n_columns), 32, 512);
  std::vector<float> x;
  for (std::int64_t row = 0; row < n_rows; ++row) {
    for (std::int32_t j = 0; j < model.n_columns; ++j) x.push_back(make_cell(row, j));
  }
  reference::KMeans expected{.centers = model.cluster_centers, .label = {}, .second = {}, .squared_distance = {}};
  reference::assign(x, d, expected);
  const auto predictor = make_kmeans_predictor(bench.context, bench.device);
  predictor->begin(model);
  const kmeans::Assignment found =
      predictor->predict({.x = x.data(), .n_rows = static_cast<std::int32_t>(n_rows), .n_columns = model.n_columns});
  return std::equal(found.label.begin(), found.label.end(), expected.label.begin()) &&
         std::equal(found.second.begin(), found.second.end(), expected.second.begin());
}

template <class F>
double seconds_of(F&& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Iterations of some models in shared sweeps: sweep, statistics to the host, new centers.
class Iterations {
 public:
  Iterations(Bench& bench, const DeviceBuffer<float>& x, const Shape& shape, std::vector<kmeans::Model> models, SweepTally* tally = nullptr)
      : bench_(bench),
        tile_(tile_of(x, shape)),
        grid_{.steps = std::vector<double>(static_cast<std::size_t>(shape.n_columns), kStep)},
        models_(std::move(models)),
        pass_(make_kmeans_pass(bench.context, bench.device, grid_, shape.n_columns, tally)) {}

  void run() {
    std::vector<const kmeans::Model*> pointers;
    for (const kmeans::Model& model : models_) pointers.push_back(&model);
    pass_->begin(pointers);
    pass_->accumulate(tile_);
    kmeans::SweepStatistics statistics = pass_->finish();
    const auto d = grid_.steps.size();
    const kmeans::GridMoments moments{
        .n_rows = tile_.n_rows, .weight = tile_.n_rows, .sums = WideSums(d), .squares = WideSums(d), .sample = {}};
    for (std::size_t m = 0; m < models_.size(); ++m) {
      const kmeans::Params params{.n_clusters = models_[m].n_clusters, .max_iter = 1 << 30, .tol = -1, .given_centers = {}};
      const auto& rows = statistics.models[m].rows_in_clusters;
      counted_ = std::accumulate(rows.begin(), rows.end(), std::int64_t{0}) == tile_.n_rows && counted_;
      statistics.models[m].farthest = FirstRows(1, tile_.n_columns + 2);  // none: an empty cluster keeps its center
      kmeans::update(bench_.context, models_[m], statistics.models[m], grid_, moments, params);
    }
  }
  const std::vector<kmeans::Model>& models() const { return models_; }
  bool counted() const { return counted_; }

 private:
  Bench& bench_;
  Tile tile_;
  kmeans::Grid grid_;
  std::vector<kmeans::Model> models_;
  std::unique_ptr<kmeans::Pass> pass_;
  bool counted_ = true;  // every row in a cluster
};

// The first iteration adds every row to its center, the others move those that change.
void measure_kmeans(Bench& bench, const Shape& shape) {
  if (!is_wanted(bench, shape)) return;
  const DeviceBuffer<float> x = make_rows(bench.device, shape.n_rows, shape.n_columns);
  std::vector<kmeans::Model> start;
  for (std::int32_t m = 0; m < shape.n_models; ++m) start.push_back(start_model(shape, m));
  SweepTally tally;
  std::optional<Iterations> iterations;
  std::vector<double> first;
  for (int i = 0; i < 3; ++i) {
    iterations.emplace(bench, x, shape, start, &tally);
    first.push_back(seconds_of([&] { iterations->run(); }));
  }
  const double seconds = median_seconds(8, [&] { iterations->run(); });
  const std::int32_t clusters = shape.n_clusters * shape.n_models;
  const Work work{.bytes = 4 * shape.cells(), .operations = 2 * shape.cells() * clusters, .operations_per_second = bench.roofs.half};
  char more[128];
  std::snprintf(more, sizeof more, ", \"first_seconds\": %.6g, \"percent_rechecked\": %.3f, \"percent_exact\": %.4f",
                *std::min_element(first.begin(), first.end()),
                100.0 * static_cast<double>(tally.rechecked) / static_cast<double>(shape.n_rows) / shape.n_models,
                100.0 * static_cast<double>(tally.exact) / static_cast<double>(shape.n_rows) / shape.n_models);
  print_line(bench, "kmeans", shape, seconds, work, iterations->counted() && labels_are_right(bench, iterations->models().front()), more);
}

// Every number of segments from 2 on in shared sweeps, beside one after another; both must end with the same centers.
void measure_granularity(Bench& bench, const Shape& shape) {
  if (!is_wanted(bench, shape)) return;
  constexpr int kRuns = 5;
  const DeviceBuffer<float> x = make_rows(bench.device, shape.n_rows, shape.n_columns);
  std::vector<kmeans::Model> start;
  double clusters = 0, alone = 0;
  for (std::int32_t k = 2; k <= shape.n_clusters; ++k) {
    start.push_back(start_model({shape.n_rows, shape.n_columns, k, 1}, 0));
    clusters += k;
  }
  Iterations together(bench, x, shape, start);
  const double seconds = median_seconds(kRuns, [&] { together.run(); });
  bool right = together.counted();
  for (std::size_t m = 0; m < start.size(); ++m) {
    Iterations one(bench, x, shape, {start[m]});
    alone += median_seconds(kRuns, [&] { one.run(); });
    right = right && one.models().front().cluster_centers == together.models()[m].cluster_centers;
  }
  const Work work{.bytes = 4 * shape.cells(), .operations = 2 * shape.cells() * clusters, .operations_per_second = bench.roofs.half};
  char more[64];
  std::snprintf(more, sizeof more, ", \"alone_seconds\": %.6g", alone);
  print_line(bench, "kmeans of 2 and more", shape, seconds, work, right, more);
}

void measure_predictor(Bench& bench, const Shape& shape) {
  if (!is_wanted(bench, shape)) return;
  const DeviceBuffer<float> x = make_rows(bench.device, shape.n_rows, shape.n_columns);
  const kmeans::Model model = start_model(shape, 0);
  const auto predictor = make_kmeans_predictor(bench.context, bench.device);
  predictor->begin(model);
  const double seconds = median_seconds(3, [&] { (void)predictor->predict(tile_of(x, shape)); });
  const double results = 24.0 * static_cast<double>(shape.n_rows);      // two labels and two distances, written and sent to the host
  const double sent = results / bench.roofs.upload * bench.roofs.copy;  // as bytes of device memory that take as long
  print_line(bench, "predict", shape, seconds, {4 * shape.cells() + results + sent, 2 * shape.cells() * shape.n_clusters, bench.roofs.half},
             labels_are_right(bench, model), "");
}

// One sweep of each kind: counts, the first digit of the quantiles, a later one, moments. `check` looks at the statistics.
void measure_profile(Bench& bench, const Shape& shape) {
  if (!is_wanted(bench, shape)) return;
  DeviceContext& device = bench.device;
  const DeviceBuffer<float> x = make_rows(device, shape.n_rows, shape.n_columns);
  const DeviceBuffer<std::int32_t> label(static_cast<std::size_t>(shape.n_rows));
  launch(make_labels_kernel, {static_cast<unsigned>(device.device.multiprocessors) * 16, 256, 0, device.compute.get()}, label.data(),
         shape.n_rows);
  Tile tile = tile_of(x, shape);
  tile.label = label.data();
  const SegmentScope scope{shape.n_clusters, 0, shape.n_columns};
  const Work work{4 * shape.cells() + 4.0 * static_cast<double>(shape.n_rows), shape.cells(), bench.roofs.float32};
  profile::Passes passes = make_profile_passes(device);
  const auto measure = [&](const char* stage, auto& pass, const auto& models, auto&& is_right) {
    bool right = true;
    const double seconds = median_seconds(5, [&] {
      pass.begin(models);
      pass.accumulate(tile);
      right = is_right(pass.finish()) && right;
    });
    print_line(bench, stage, shape, seconds, work, right, "");
  };
  measure("profile counts", *passes.counts, scope, [&](const profile::Counts& counts) {
    std::int64_t rows = 0;
    for (const std::int64_t of_group : counts.rows) rows += of_group;
    return rows == shape.n_rows;
  });
  quantiles::Search search = quantiles::start(scope, {100, 500, 900}, false);
  quantiles::Statistics digits;
  const auto keep = [&](quantiles::Statistics found) {
    digits = std::move(found);
    return !digits.histogram.empty();
  };
  measure("profile first digit", *passes.quantiles, search, keep);
  quantiles::update(search, digits);
  measure("profile next digit", *passes.quantiles, search, keep);
  const std::size_t n = scope.n_cells();
  const auto weight_bits = static_cast<std::int32_t>(std::bit_width(static_cast<std::uint64_t>(shape.n_rows)));
  const profile::Frame frame{scope, std::vector<double>(n), std::vector<std::int32_t>(n, 3),
                             std::vector<std::int32_t>(n, 104 - weight_bits)};
  measure("profile moments", *passes.moments, frame, [&](const profile::MomentSums& sums) { return sums.squares.value(0) > 0; });
}

void measure(Bench& bench, const char* stages) {
  const auto wanted = [&](const char* stage) { return std::strcmp(stages, "all") == 0 || std::strcmp(stages, stage) == 0; };
  const Roofs& roofs = bench.roofs;
  std::printf(
      "{\"stage\": \"roofs\", \"gpu\": \"%s\", \"copy_bytes_per_second\": %.4g, \"upload_bytes_per_second\": %.4g, "
      "\"float32_operations_per_second\": %.4g, \"half_operations_per_second\": %.4g}\n",
      bench.device.device.name.c_str(), roofs.copy, roofs.upload, roofs.float32, roofs.half);
  std::fflush(stdout);
  // Largest last, so that a machine that stops early has shown the most.
  if (wanted("kmeans")) {
    Shape only{};
    if (std::sscanf(bench.shape.c_str(), "%" SCNd64 "x%dx%dx%d", &only.n_rows, &only.n_columns, &only.n_clusters, &only.n_models) == 4) {
      measure_kmeans(bench, only);
    } else {
      for (const Shape& shape : {Shape{1'000'000, 16, 8, 1}, Shape{10'000'000, 32, 16, 1}, Shape{10'000'000, 32, 64, 1},
                                 Shape{10'000'000, 64, 64, 1}, Shape{10'500'000, 128, 64, 1}, Shape{10'000'000, 32, 8, 10},
                                 Shape{10'500'000, 128, 1024, 1}, Shape{100'000'000, 32, 64, 1}, Shape{1'000'000, 512, 16384, 1}})
        measure_kmeans(bench, shape);
      for (const Shape& shape : {Shape{10'000'000, 32, 50, 49}, Shape{10'000'000, 64, 50, 49}}) measure_granularity(bench, shape);
    }
  }
  if (wanted("predict")) {
    for (const Shape& shape : {Shape{10'000'000, 32, 8, 1}, Shape{10'000'000, 32, 64, 1}}) measure_predictor(bench, shape);
  }
  if (wanted("profile")) measure_profile(bench, {10'000'000, 32, 8, 1});
  if (wanted("mixture")) {
    using gaussian_mixture::CovarianceType;
    for (const MixtureShape& shape :
         {MixtureShape{1'000'000, 16, 8, CovarianceType::diag}, MixtureShape{1'000'000, 16, 8, CovarianceType::full},
          MixtureShape{10'000'000, 64, 64, CovarianceType::diag}, MixtureShape{10'000'000, 64, 64, CovarianceType::full}})
      measure_mixture(bench, shape);
  }
  if (wanted("regression")) {
    for (const Shape& shape :
         {Shape{1'000'000, 16, 1, 1}, Shape{1'000'000, 1000, 1, 1}, Shape{10'000'000, 64, 1, 1}, Shape{10'000'000, 64, 4, 1}})
      measure_regression(bench, shape, {"regression"});
    measure_regression(bench, {10'000'000, 64, 4, 1}, {"regression with errors", true});
    measure_regression(bench, {1'000'000, 1000, 1, 1}, {"regression with errors", true});
    measure_regression(bench, {1'000'000, 1000, 1, 1}, {"regression with errors, own kernel", true, true});
    measure_regression(bench, {10'000'000, 64, 1, 1}, {"regression with effects of 8 segments", false, false, 8});
  }
  if (wanted("judge")) {
    measure_ranking(bench, {10'000'000, 1, 8, 1}, false);
    measure_ranking(bench, {10'000'000, 1, 8, 1}, true);
    measure_ranking(bench, {100'000'000, 1, 0, 1}, false);
  }
}

void run(const char* stages, const char* shape) {
  const Devices devices = probe();
  if (devices.usable.empty()) throw DeviceError("no device: " + devices.reason);
  Bench bench;
  bench.shape = shape;
  bench.device.device = devices.usable.front();
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, bench.device.device.index));
  bench.device.shared_bytes = properties.sharedMemPerBlockOptin;
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total));
  bench.device.memory_bytes = static_cast<std::int64_t>(free);
  bench.roofs = measure_roofs(bench.device);
  measure(bench, stages);
}

}  // namespace
}  // namespace coterie::gpu

int main(int argc, char** argv) {
  try {
    coterie::gpu::run(argc > 1 ? argv[1] : "all", argc > 2 ? argv[2] : "");
    return 0;
  } catch (const coterie::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.code());
  }
}
