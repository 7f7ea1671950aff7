// Row-aligned output of logistic regressions, one thread per row and model. Log-odds and reasons are the CPU's to the last bit: the same
// products and sums of doubles, in the order of the columns.
#include <algorithm>
#include <vector>

#include "cuda/device_tile.hpp"
#include "cuda/kernel.hpp"
#include "cuda/logistic_regression_pass.hpp"
#include "host/error.hpp"

namespace coterie::COTERIE_GPU {
namespace {

using logistic_regression::Model;

inline constexpr int kPredictThreads = 128;

struct ScoringModels {
  const double* coefficients;  // (n_models, n_columns)
  const double* center;        // (n_models, n_columns)
  const double* at_center;     // (n_models)
  const double* effects;       // (n_models, n_segments) zeros where a model has none
  int n_models, n_columns, n_segments;
};

struct ScoreOutput {
  double* log_odds;      // (n_rows, n_models)
  double* probability;   // (n_rows, n_models)
  std::int32_t* reason;  // (n_rows, n_models, n_reasons)
  double* contribution;  // (n_rows, n_models, n_reasons)
  int n_reasons;
};

// How many rows a block takes and how they lie in shared memory: an odd number of cells from row to row, so that neighbouring rows lie in
// different banks. Behind them the reasons of every thread: (n_reasons, kPredictThreads) contributions, then columns.
struct ScoreShape {
  int rows, stride;
  std::size_t reasons_at;
  std::size_t bytes;
};

ScoreShape shape_of(int rows, int n_columns, int n_reasons) {
  const int stride = n_columns | 1;
  const std::size_t cells = sizeof(float) * static_cast<std::size_t>(rows) * static_cast<std::size_t>(stride);
  const std::size_t at = (cells + sizeof(double) - 1) / sizeof(double) * sizeof(double);
  return {rows, stride, at, at + static_cast<std::size_t>(n_reasons) * kPredictThreads * (sizeof(double) + sizeof(std::int32_t))};
}

__device__ inline double size_of(double x) { return x < 0 ? -x : x; }

// The list of one thread, the largest |contribution| first; strictly larger moves up, so among equals the lower column stays.
struct ReasonList {
  double* contribution;  // strides of kPredictThreads
  std::int32_t* column;
  int n_reasons;

  __device__ void clear() {
    for (int r = 0; r < n_reasons; ++r) {
      contribution[r * kPredictThreads] = 0;
      column[r * kPredictThreads] = -1;
    }
  }
  __device__ void insert(std::int32_t of, double term) {
    int at = n_reasons - 1;
    if (at < 0 || !precedes(term, at)) return;
    for (; at > 0 && precedes(term, at - 1); --at) {
      contribution[at * kPredictThreads] = contribution[(at - 1) * kPredictThreads];
      column[at * kPredictThreads] = column[(at - 1) * kPredictThreads];
    }
    contribution[at * kPredictThreads] = term;
    column[at * kPredictThreads] = of;
  }

 private:
  __device__ bool precedes(double term, int r) const {
    return column[r * kPredictThreads] < 0 || size_of(term) > size_of(contribution[r * kPredictThreads]);
  }
};

// One block per shape.rows rows; its threads share out the pairs of row and model, rows first. x: (n_rows, n_columns); label: (n_rows) or
// nullptr.
__global__ void __launch_bounds__(kPredictThreads)
    predict_log_odds_kernel(ScoringModels models, ScoreShape shape, const float* x, const std::int32_t* label, std::int32_t n_rows,
                            ScoreOutput output) {
  SHARED_BYTES(memory);
  auto* const cells = reinterpret_cast<float*>(memory);
  const int thread = static_cast<int>(threadIdx.x), n = models.n_columns;
  const std::int64_t first = std::int64_t{blockIdx.x} * shape.rows;
  const int here = static_cast<int>(min(std::int64_t{shape.rows}, n_rows - first));
  for (int i = thread; i < here * n; i += kPredictThreads) cells[i / n * shape.stride + i % n] = x[first * n + i];
  __syncthreads();
  auto* const contributions = reinterpret_cast<double*>(memory + shape.reasons_at);
  auto* const columns = reinterpret_cast<std::int32_t*>(contributions + output.n_reasons * kPredictThreads);
  ReasonList reasons{contributions + thread, columns + thread, output.n_reasons};
  for (int pair = thread; pair < here * models.n_models; pair += kPredictThreads) {
    const int row = pair % here, m = pair / here;
    const double* const coefficient = models.coefficients + std::int64_t{m} * n;
    const double* const center = models.center + std::int64_t{m} * n;
    double eta = models.at_center[m];
    reasons.clear();
    for (int j = 0; j < n; ++j) {
      const double term = coefficient[j] * (static_cast<double>(cells[row * shape.stride + j]) - center[j]);
      eta += term;
      reasons.insert(j, term);
    }
    const std::int32_t segment = label != nullptr ? label[first + row] : -1;
    if (segment >= 0 && segment < models.n_segments) eta += models.effects[std::int64_t{m} * models.n_segments + segment];
    const double e = ::exp(-size_of(eta)), q = 1 / (1 + e);
    const std::int64_t cell = (first + row) * models.n_models + m;
    output.log_odds[cell] = eta;
    output.probability[cell] = eta > 0 ? q : e * q;
    for (int r = 0; r < output.n_reasons; ++r) {
      output.contribution[cell * output.n_reasons + r] = reasons.contribution[r * kPredictThreads];
      output.reason[cell * output.n_reasons + r] = reasons.column[r * kPredictThreads];
    }
  }
}

class LogisticRegressionPredictor final : public logistic_regression::Predictor {
 public:
  LogisticRegressionPredictor(DeviceContext& device, std::int32_t n_reasons) : device_(device), n_reasons_(n_reasons) {}

  void begin(std::span<const Model* const> models) override {
    std::size_t n_segments = 0;
    for (const Model* model : models) n_segments = std::max(n_segments, model->segment_effects.size());
    std::vector<double> values;
    for (const Model* model : models) values.insert(values.end(), model->coefficients.begin(), model->coefficients.end());
    for (const Model* model : models) values.insert(values.end(), model->center.begin(), model->center.end());
    for (const Model* model : models) values.push_back(model->at_center);
    for (const Model* model : models) {
      values.insert(values.end(), model->segment_effects.begin(), model->segment_effects.end());
      values.resize(values.size() + n_segments - model->segment_effects.size());
    }
    upload(values_, values, stream());
    const std::int32_t n_columns = models.front()->n_columns;
    const std::size_t n_coefficients = models.size() * static_cast<std::size_t>(n_columns);
    models_ = {.coefficients = values_.data(),
               .center = values_.data() + n_coefficients,
               .at_center = values_.data() + 2 * n_coefficients,
               .effects = values_.data() + 2 * n_coefficients + models.size(),
               .n_models = static_cast<int>(models.size()),
               .n_columns = n_columns,
               .n_segments = static_cast<int>(n_segments)};
    choose_shape();
  }

  logistic_regression::Prediction predict(const Tile& host_or_device_tile) override {
    const Tile& tile = device_tile_.get(host_or_device_tile, stream());
    const std::size_t n_cells = static_cast<std::size_t>(tile.n_rows) * static_cast<std::size_t>(models_.n_models),
                      n_reasons = n_cells * static_cast<std::size_t>(n_reasons_), n_numbers = 2 * n_cells + n_reasons;
    numbers_.ensure(n_numbers);
    reason_.ensure(n_reasons);
    host_numbers_.ensure(n_numbers);
    host_reason_.ensure(n_reasons);
    if (tile.n_rows > 0) {
      const ScoreOutput output{.log_odds = numbers_.data(),
                               .probability = numbers_.data() + n_cells,
                               .reason = reason_.data(),
                               .contribution = numbers_.data() + 2 * n_cells,
                               .n_reasons = n_reasons_};
      const auto n_blocks = static_cast<unsigned>((tile.n_rows + shape_.rows - 1) / shape_.rows);
      launch(predict_log_odds_kernel, {n_blocks, kPredictThreads, shape_.bytes, stream()}, models_, shape_, tile.x, tile.label, tile.n_rows,
             output);
      copy_to_host(host_numbers_.data(), numbers_.data(), n_numbers, stream());
      copy_to_host(host_reason_.data(), reason_.data(), n_reasons, stream());
    }
    device_.compute.synchronize();
    const double* const numbers = host_numbers_.data();
    return {{numbers, n_cells}, {numbers + n_cells, n_cells}, {host_reason_.data(), n_reasons}, {numbers + 2 * n_cells, n_reasons}};
  }

  std::int64_t rows_at_once() const override {
    const std::size_t reason_bytes = sizeof(double) + sizeof(std::int32_t);
    return rows_of_results(
        device_, static_cast<std::size_t>(models_.n_models) * (2 * sizeof(double) + static_cast<std::size_t>(n_reasons_) * reason_bytes));
  }

 private:
  cudaStream_t stream() const { return device_.compute.get(); }

  // As many rows as a block has threads, or the largest power of two of them that leaves room for a second block.
  void choose_shape() {
    shape_ = shape_of(kPredictThreads, models_.n_columns, n_reasons_);
    while (shape_.rows > 1 && shape_.bytes > device_.shared_bytes / 2) shape_ = shape_of(shape_.rows / 2, models_.n_columns, n_reasons_);
    if (shape_.bytes > device_.shared_bytes)
      throw ArgumentError("these rows have more columns than this GPU's shared memory holds. Use --device cpu");
    check(cudaFuncSetAttribute(predict_log_odds_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape_.bytes)));
  }

  DeviceContext& device_;
  int n_reasons_;
  ScoringModels models_{};
  ScoreShape shape_{};
  DeviceTile device_tile_;
  DeviceBuffer<double> values_;   // what models_ points to
  DeviceBuffer<double> numbers_;  // log-odds, probabilities, contributions
  DeviceBuffer<std::int32_t> reason_;
  PinnedBuffer<double> host_numbers_;
  PinnedBuffer<std::int32_t> host_reason_;
};

}  // namespace

std::unique_ptr<logistic_regression::Predictor> make_logistic_regression_predictor(DeviceContext& device, std::int32_t n_reasons) {
  logistic_regression::check_reasons(n_reasons);
  return std::make_unique<LogisticRegressionPredictor>(device, n_reasons);
}

}  // namespace coterie::COTERIE_GPU
