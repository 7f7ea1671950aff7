// Row-aligned output of a mixture, in double: strips of rows as in gaussian_sweep.cuh, then one thread per row chooses.
#include <utility>

#include "cuda/device_tile.hpp"
#include "cuda/gaussian_mixture_pass.hpp"
#include "cuda/gaussian_plan.cuh"
#include "host/gaussian_mixture_quanta.hpp"

namespace coterie::COTERIE_GPU {
namespace {

using gaussian_mixture::Model;

// Row-aligned results, each (n_rows).
struct MixtureOutput {
  std::int32_t* label;
  std::int32_t* second;  // -1 when there is one component only
  double* probability;
  double* entropy;
  double* log_likelihood;
  double* probabilities;  // (n_rows, n_components), or nullptr
};

// log_density: (n_components) of one row. Strictly larger wins, so among equals the smallest index stays. Returns the label.
__device__ inline int choose_component(const double* log_density, int n_components, std::int64_t row, const MixtureOutput& output) {
  int best = 0, second = -1;
  for (int k = 1; k < n_components; ++k) {
    if (log_density[k] > log_density[best]) {
      second = best;
      best = k;
    } else if (second < 0 || log_density[k] > log_density[second]) {
      second = k;
    }
  }
  output.label[row] = best;
  output.second[row] = second;
  return best;
}

// r: (n_components) responsibilities of one row.
__device__ inline void measure_row(const double* r, int n_components, int label, std::int64_t row, const MixtureOutput& output) {
  double entropy = 0;
  for (int k = 0; k < n_components; ++k) {
    if (r[k] > 0) entropy -= r[k] * log_of(r[k]);
    if (output.probabilities != nullptr) output.probabilities[row * n_components + k] = r[k];
  }
  output.probability[row] = r[label];
  output.entropy[row] = max(0.0, entropy);
}

// One block per strip. x: (n_rows, n_columns).
template <CovarianceType kType>
__global__ void __launch_bounds__(kStripThreads, 2)
    predict_mixture_kernel(DeviceMixture<double> mixture, StripShape shape, const float* x, std::int32_t n_rows, MixtureOutput output) {
  SHARED_BYTES(memory);
  const MixtureMemory at(kType, shape, sizeof(double), mixture.n_components, 0);
  auto* const cells = reinterpret_cast<double*>(memory + at.cells);
  auto* const densities = reinterpret_cast<double*>(memory + at.densities);
  const std::int64_t first = std::int64_t{blockIdx.x} * shape.rows;
  load_strip(x, n_rows, mixture.n_columns, mixture.center, static_cast<int>(first), shape.rows, shape.stride, cells);
  __syncthreads();
  fill_log_densities<kType>(mixture, shape, cells, reinterpret_cast<double*>(memory + at.whitened), densities);
  const int of_lane = static_cast<int>(threadIdx.x) / shape.lanes_per_row, row = static_cast<int>(threadIdx.x);
  const bool chooses = row < shape.rows && first + row < n_rows;
  int label = 0;
  if (chooses) label = choose_component(densities + row * shape.density_stride, mixture.n_components, first + row, output);
  __syncthreads();
  const RowLikelihood<double> likelihood = normalise_strip(mixture.n_components, shape, densities, [](int) { return 1.0; });
  if (row % shape.lanes_per_row == 0 && of_lane < shape.rows && first + of_lane < n_rows)
    output.log_likelihood[first + of_lane] = likelihood.log_likelihood;
  if (chooses) measure_row(densities + row * shape.density_stride, mixture.n_components, label, first + row, output);
}

using PredictKernel = void (*)(DeviceMixture<double>, StripShape, const float*, std::int32_t, MixtureOutput);

PredictKernel predict_kernel(CovarianceType type) {
  switch (type) {
    case CovarianceType::full: return predict_mixture_kernel<CovarianceType::full>;
    case CovarianceType::tied: return predict_mixture_kernel<CovarianceType::tied>;
    case CovarianceType::diag: return predict_mixture_kernel<CovarianceType::diag>;
    case CovarianceType::spherical: return predict_mixture_kernel<CovarianceType::spherical>;
  }
  return nullptr;
}

class GaussianMixturePredictor final : public gaussian_mixture::Predictor {
 public:
  GaussianMixturePredictor(DeviceContext& device, bool all_probabilities) : device_(device), all_probabilities_(all_probabilities) {}

  void begin(const Model& model) override {
    mixture_.upload(model, gaussian_mixture::mean_row(model), device_.compute.get());
    shape_ = choose_strip(model.covariance_type, sizeof(double), model.n_components, model.n_columns, device_.shared_bytes);
    shared_bytes_ = static_cast<std::size_t>(MixtureMemory(model.covariance_type, shape_, sizeof(double), model.n_components, 0).bytes);
    kernel_ = predict_kernel(model.covariance_type);
    check(cudaFuncSetAttribute(kernel_, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(device_.shared_bytes)));
  }

  gaussian_mixture::Prediction predict(const Tile& host_or_device_tile) override {
    const cudaStream_t stream = device_.compute.get();
    const Tile& tile = device_tile_.get(host_or_device_tile, stream);
    const auto n = static_cast<std::size_t>(tile.n_rows);
    const std::size_t n_probabilities = all_probabilities_ ? n * static_cast<std::size_t>(mixture_.view().n_components) : 0;
    const std::size_t n_values = 3 * n + n_probabilities;
    index_.ensure(2 * n);
    value_.ensure(n_values);
    host_index_.ensure(2 * n);
    host_value_.ensure(n_values);
    if (n > 0) {
      const MixtureOutput output{.label = index_.data(),
                                 .second = index_.data() + n,
                                 .probability = value_.data(),
                                 .entropy = value_.data() + n,
                                 .log_likelihood = value_.data() + 2 * n,
                                 .probabilities = all_probabilities_ ? value_.data() + 3 * n : nullptr};
      const auto blocks = static_cast<unsigned>((tile.n_rows + shape_.rows - 1) / shape_.rows);
      launch(kernel_, {blocks, kStripThreads, shared_bytes_, stream}, mixture_.view(), shape_, tile.x, tile.n_rows, output);
      copy_to_host(host_index_.data(), index_.data(), 2 * n, stream);
      copy_to_host(host_value_.data(), value_.data(), n_values, stream);
    }
    device_.compute.synchronize();
    const std::int32_t* const index = host_index_.data();
    const double* const value = host_value_.data();
    return {{index, n}, {index + n, n}, {value, n}, {value + n, n}, {value + 2 * n, n}, {value + 3 * n, n_probabilities}};
  }

  std::int64_t rows_at_once() const override {
    const std::size_t n_probabilities = all_probabilities_ ? static_cast<std::size_t>(mixture_.view().n_components) : 0;
    return rows_of_results(device_, 2 * sizeof(std::int32_t) + (3 + n_probabilities) * sizeof(double));
  }

 private:
  DeviceContext& device_;
  bool all_probabilities_;
  PackedMixture<double> mixture_;
  StripShape shape_{};
  std::size_t shared_bytes_ = 0;
  PredictKernel kernel_ = nullptr;
  DeviceTile device_tile_;
  DeviceBuffer<std::int32_t> index_;  // (2, n_rows) label, second
  DeviceBuffer<double> value_;        // (3, n_rows) probability, entropy, log-likelihood, then probabilities
  PinnedBuffer<std::int32_t> host_index_;
  PinnedBuffer<double> host_value_;
};

}  // namespace

std::unique_ptr<gaussian_mixture::Predictor> make_gaussian_mixture_predictor(DeviceContext& device, bool all_probabilities) {
  return std::make_unique<GaussianMixturePredictor>(device, all_probabilities);
}

}  // namespace coterie::COTERIE_GPU
