// What bench/gpu measures on a GPU: the roofs of the device, then one iteration of k-means and of mixtures (sweep, statistics
// to the host, update) at the shapes of the targets. Rows are made on the device by a counter-based generator, so that hundreds of
// millions take no time; some of them are made again on the host and labelled by the definition. One JSON object per line.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <vector>

#include "cuda/device_buffer.hpp"
#include "cuda/gaussian_mixture_pass.hpp"
#include "cuda/kernel.hpp"
#include "cuda/kmeans_pass.hpp"
#include "host/gaussian_covariance.hpp"
#include "host/gaussian_mixture_quanta.hpp"
#include "host/passes.hpp"
#include "tests/reference/gaussian_mixture.hpp"
#include "tests/reference/kmeans.hpp"

namespace coterie::gpu {
namespace {

constexpr double kStep = 0x1p-21;  // |x| <= 4: a grid of 2^23 steps to either side

// mix64 of host/random.hpp, for both sides.
__host__ __device__ std::uint64_t mix(std::uint64_t z) {
  z += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Cell of a row: one of 16 loose blobs, unit-width noise; a whole number of steps.
__host__ __device__ float make_cell(std::int64_t row, int column) {
  const auto blob = mix(static_cast<std::uint64_t>(row)) % 16;
  const auto center = static_cast<std::int64_t>(mix(blob * 65536 + static_cast<std::uint64_t>(column)) >> 42) - (1 << 21);
  const auto noise =
      static_cast<std::int64_t>(mix(static_cast<std::uint64_t>(row) * 65536 + static_cast<std::uint64_t>(column) + (1ull << 62)) >> 42) -
      (1 << 21);
  return static_cast<float>(static_cast<double>(center + noise) * kStep);
}

// x: (n_rows, n_columns)
__global__ void make_rows_kernel(float* x, std::int64_t n_rows, int n_columns) {
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n_rows * n_columns; i += step) {
    x[i] = make_cell(i / n_columns, static_cast<int>(i % n_columns));
  }
}

// out: (blocks * threads); 2 * 8 * kRepeats operations per thread, eight independent chains.
constexpr int kRepeats = 1 << 14;
__global__ void multiply_add_kernel(float* out, float a, float b) {
  float s[8];
  for (int i = 0; i < 8; ++i) s[i] = static_cast<float>(threadIdx.x + i);
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
#pragma unroll
    for (int i = 0; i < 8; ++i) s[i] = __fmaf_rn(s[i], a, b);
  }
  float sum = 0;
  for (const float value : s) sum += value;
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

// Median seconds of `repeats` runs of f after two to warm up; f must leave the stream idle.
template <class F>
double median_seconds(int repeats, F&& f) {
  std::vector<double> seconds;
  for (int i = -2; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    f();
    if (i >= 0) seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + repeats / 2, seconds.end());
  return seconds[static_cast<std::size_t>(repeats / 2)];
}

struct Roofs {
  double bytes_per_second, operations_per_second;
};

Roofs measure_roofs(const DeviceContext& device) {
  const cudaStream_t stream = device.compute.get();
  const std::size_t bytes = std::size_t{1} << 30;  // many times the L2 cache
  DeviceBuffer<char> from(bytes), to(bytes);
  fill_zero(from.data(), bytes, stream);
  const double copy = median_seconds(20, [&] {
    check(cudaMemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyDeviceToDevice, stream));
    device.compute.synchronize();
  });
  constexpr unsigned kThreads = 256;
  const unsigned blocks = static_cast<unsigned>(device.device.multiprocessors) * 16;
  DeviceBuffer<float> out(std::size_t{blocks} * kThreads);
  const double arithmetic = median_seconds(20, [&] {
    launch(multiply_add_kernel, {blocks, kThreads, 0, stream}, out.data(), 0.999f, 0.001f);
    device.compute.synchronize();
  });
  return {2.0 * static_cast<double>(bytes) / copy, 2.0 * 8 * kRepeats * static_cast<double>(blocks) * kThreads / arithmetic};
}

struct Shape {
  std::int64_t n_rows;
  std::int32_t n_columns, n_clusters, n_models;
};

// Of 512 rows, made again on the host.
bool answer_is_right(DeviceContext& device, const kmeans::Model& model) {
  const auto d = static_cast<std::size_t>(model.n_columns);
  std::vector<float> x;
  for (std::int64_t row = 0; row < 512; ++row) {
    for (std::int32_t j = 0; j < model.n_columns; ++j) x.push_back(make_cell(row, j));
  }
  reference::KMeans expected;
  expected.centers = model.cluster_centers;
  reference::assign(x, d, expected);
  const auto predictor = make_kmeans_predictor(device);
  predictor->begin(model);
  const kmeans::Assignment found = predictor->predict({.x = x.data(), .n_rows = 512, .n_columns = model.n_columns});
  return std::equal(found.label.begin(), found.label.end(), expected.label.begin(), expected.label.end());
}

DeviceBuffer<float> make_rows(const DeviceContext& device, std::int64_t n_rows, std::int32_t n_columns) {
  DeviceBuffer<float> x(static_cast<std::size_t>(n_rows) * static_cast<std::size_t>(n_columns));
  launch(make_rows_kernel, {static_cast<unsigned>(device.device.multiprocessors) * 16, 256, 0, device.compute.get()}, x.data(), n_rows,
         n_columns);
  return x;
}

void measure_shape(DeviceContext& device, const Roofs& roofs, const Shape& shape) {
  const DeviceBuffer<float> x = make_rows(device, shape.n_rows, shape.n_columns);
  const kmeans::Grid grid{.steps = std::vector<double>(static_cast<std::size_t>(shape.n_columns), kStep)};
  std::vector<kmeans::Model> models(static_cast<std::size_t>(shape.n_models));
  std::vector<const kmeans::Model*> pointers;
  for (std::size_t m = 0; m < models.size(); ++m) {
    models[m].n_clusters = shape.n_clusters;
    models[m].n_columns = shape.n_columns;
    for (std::int32_t k = 0; k < shape.n_clusters; ++k) {
      for (std::int32_t j = 0; j < shape.n_columns; ++j)
        models[m].cluster_centers.push_back(make_cell(k * 7919 + static_cast<std::int64_t>(m), j));
    }
    pointers.push_back(&models[m]);
  }
  const auto pass = make_kmeans_pass(device, grid, shape.n_columns);
  const Tile tile{.x = x.data(), .n_rows = static_cast<std::int32_t>(shape.n_rows), .n_columns = shape.n_columns, .memory = Memory::device};
  bool counted = true;
  const double seconds = median_seconds(10, [&] {
    pass->begin(pointers);
    pass->accumulate(tile);
    const kmeans::SweepStatistics statistics = pass->finish();
    for (std::size_t m = 0; m < models.size(); ++m) {  // the centers of update(), without its inertia
      std::int64_t rows = 0;
      for (std::size_t k = 0; k < static_cast<std::size_t>(shape.n_clusters); ++k) {
        const kmeans::Statistics& s = statistics.models[m];
        rows += s.rows_in_clusters[k];
        for (std::size_t j = 0; s.weight_in_clusters[k] > 0 && j < static_cast<std::size_t>(shape.n_columns); ++j) {
          const std::size_t cell = k * static_cast<std::size_t>(shape.n_columns) + j;
          models[m].cluster_centers[cell] =
              static_cast<float>(static_cast<double>(s.center_sums.value(cell)) * kStep / static_cast<double>(s.weight_in_clusters[k]));
        }
      }
      counted = counted && rows == shape.n_rows;
    }
  });
  const double cells = static_cast<double>(shape.n_rows) * shape.n_columns;
  const double floor =
      std::max(cells * 4 / roofs.bytes_per_second, 2 * cells * shape.n_clusters * shape.n_models / roofs.operations_per_second);
  std::printf(
      "{\"stage\": \"kmeans\", \"rows\": %lld, \"columns\": %d, \"clusters\": %d, \"models\": %d, \"seconds\": %.6g, \"percent_of_roof\": "
      "%.1f, \"right\": %s}\n",
      static_cast<long long>(shape.n_rows), shape.n_columns, shape.n_clusters, shape.n_models, seconds, 100 * floor / seconds,
      counted && answer_is_right(device, models.front()) ? "true" : "false");
  std::fflush(stdout);
}

struct MixtureShape {
  std::int64_t n_rows;
  std::int32_t n_columns, n_components;
  gaussian_mixture::CovarianceType type;
};

// Means at rows, variances of the noise.
gaussian_mixture::Model make_mixture(const MixtureShape& shape) {
  const auto k = static_cast<std::size_t>(shape.n_components), d = static_cast<std::size_t>(shape.n_columns);
  gaussian_mixture::Model model{.covariance_type = shape.type, .n_components = shape.n_components, .n_columns = shape.n_columns};
  model.weights.assign(k, 1.0 / static_cast<double>(k));
  for (std::int32_t c = 0; c < shape.n_components; ++c)
    for (std::int32_t j = 0; j < shape.n_columns; ++j) model.means.push_back(static_cast<double>(make_cell(c * 7919, j)));
  constexpr double kPrecision = 3;  // of a number between -1 and 1
  const bool full = shape.type == gaussian_mixture::CovarianceType::full;
  std::vector<double> precisions(full ? k * d * d : k * d, full ? 0.0 : kPrecision);
  for (std::size_t i = 0; full && i < k * d; ++i) precisions[i / d * d * d + i % d * (d + 1)] = kPrecision;
  set_precisions(model, precisions);
  model.sweep_tolerance = gaussian_mixture::Params{}.tol / 20;  // as in a fit
  return model;
}

// The log-likelihood of 512 rows, made again on the host, within a millionth of the textbook's.
bool likelihood_is_right(const MixtureShape& shape, const gaussian_mixture::Model& model, double log_likelihood) {
  const auto d = static_cast<std::size_t>(shape.n_columns);
  std::vector<float> x;
  for (std::int64_t row = 0; row < 512; ++row) {
    for (std::int32_t j = 0; j < shape.n_columns; ++j) x.push_back(make_cell(row, j));
  }
  reference::Mixture mixture{.d = d, .weights = model.weights, .means = {}, .covariances = {}};
  for (std::size_t k = 0; k < model.weights.size(); ++k) {
    mixture.means.emplace_back(model.means.begin() + static_cast<std::ptrdiff_t>(k * d),
                               model.means.begin() + static_cast<std::ptrdiff_t>((k + 1) * d));
    std::vector<double>& covariance = mixture.covariances.emplace_back(d * d);
    for (std::size_t j = 0; j < d; ++j) covariance[j * (d + 1)] = gaussian_mixture::variance_of(model, k, j);
  }
  const double expected = reference::expect(x, std::vector<double>(512, 1.0), mixture).total;
  return std::abs(log_likelihood - expected) < 1e-6 * std::abs(expected);
}

// Bytes: of the rows, once. Operations: multiplications and additions of squares and sums for every row and component, of
// full covariances the triangles, as if no responsibility were zero.
void measure_mixture(DeviceContext& device, const Roofs& roofs, const MixtureShape& shape) {
  const DeviceBuffer<float> x = make_rows(device, shape.n_rows, shape.n_columns);
  const auto d = static_cast<std::size_t>(shape.n_columns);
  const gaussian_mixture::Grid grid{.steps = std::vector<double>(d, kStep)};
  const gaussian_mixture::GridMoments moments{
      .n_rows = shape.n_rows, .weight = shape.n_rows, .sums = WideSums(d), .squares = WideSums(d), .sample = {}};
  const gaussian_mixture::Model model = make_mixture(shape);
  const gaussian_mixture::Model* const models[] = {&model};
  const auto pass = make_gaussian_mixture_pass(device, grid, moments);
  const auto sweep = [&](std::int32_t n_rows) {
    pass->begin(models);
    pass->accumulate({.x = x.data(), .n_rows = n_rows, .n_columns = shape.n_columns, .memory = Memory::device});
    return pass->finish();
  };
  const double seconds = median_seconds(10, [&] {
    const gaussian_mixture::SweepStatistics statistics = sweep(static_cast<std::int32_t>(shape.n_rows));
    gaussian_mixture::Model next = model;
    update(next, statistics.models.front(), grid, moments, {.n_components = shape.n_components, .covariance_type = shape.type});
  });
  const double log_likelihood = static_cast<double>(sweep(512).models.front().log_likelihood.value(0)) *
                                gaussian_mixture::Quanta(model, grid, moments).log_likelihood();
  const bool full = shape.type == gaussian_mixture::CovarianceType::full;
  const double cells = static_cast<double>(shape.n_rows) * shape.n_columns, bytes = 4 * cells;
  const double operations = cells * shape.n_components * (full ? 2.0 * (shape.n_columns + 1) : 8.0);
  std::printf(
      "{\"stage\": \"gaussian_mixture\", \"covariance_type\": \"%s\", \"rows\": %lld, \"columns\": %d, \"components\": %d, "
      "\"seconds\": %.6g, \"bytes\": %.4g, \"operations\": %.4g, \"percent_of_copy_roof\": %.1f, \"percent_of_float_roof\": %.1f, "
      "\"right\": %s}\n",
      full ? "full" : "diag", static_cast<long long>(shape.n_rows), shape.n_columns, shape.n_components, seconds, bytes, operations,
      100 * bytes / roofs.bytes_per_second / seconds, 100 * operations / roofs.operations_per_second / seconds,
      likelihood_is_right(shape, model, log_likelihood) ? "true" : "false");
  std::fflush(stdout);
}

void run(bool roofs_only) {
  const Devices devices = probe();
  if (devices.usable.empty()) throw DeviceError("no device: " + devices.reason);
  DeviceContext device;
  device.device = devices.usable.front();
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device.device.index));
  device.shared_bytes = properties.sharedMemPerBlockOptin;
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total));
  device.memory_bytes = static_cast<std::int64_t>(free);
  const Roofs roofs = measure_roofs(device);
  std::printf("{\"stage\": \"roofs\", \"gpu\": \"%s\", \"copy_bytes_per_second\": %.4g, \"float_operations_per_second\": %.4g}\n",
              device.device.name.c_str(), roofs.bytes_per_second, roofs.operations_per_second);
  std::fflush(stdout);
  if (roofs_only) return;
  // Largest last, so that a machine that stops early has shown the most.
  for (const Shape& shape :
       {Shape{1'000'000, 16, 8, 1}, Shape{10'000'000, 32, 16, 1}, Shape{10'000'000, 32, 64, 1}, Shape{10'000'000, 64, 64, 1},
        Shape{10'500'000, 128, 64, 1}, Shape{10'000'000, 32, 8, 10}, Shape{1'000'000, 128, 1024, 1}, Shape{100'000'000, 32, 64, 1}}) {
    const std::int64_t bytes = shape.n_rows * shape.n_columns * 4;
    if (bytes < device.device.memory_bytes / 10 * 8) measure_shape(device, roofs, shape);
  }
  using gaussian_mixture::CovarianceType;
  for (const MixtureShape& shape :
       {MixtureShape{1'000'000, 16, 8, CovarianceType::diag}, MixtureShape{1'000'000, 16, 8, CovarianceType::full},
        MixtureShape{10'000'000, 64, 64, CovarianceType::diag}, MixtureShape{10'000'000, 64, 64, CovarianceType::full}})
    measure_mixture(device, roofs, shape);
}

}  // namespace
}  // namespace coterie::gpu

int main(int argc, char** argv) {
  try {
    coterie::gpu::run(argc == 2 && std::strcmp(argv[1], "roofs") == 0);
    return 0;
  } catch (const coterie::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.code());
  }
}
