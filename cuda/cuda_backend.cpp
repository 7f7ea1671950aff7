#include "cuda/cuda_backend.hpp"

#include <fmt/format.h>

#include <optional>

#include "cuda/device_budget.hpp"
#include "cuda/gaussian_mixture_pass.hpp"
#include "cuda/kmeans_pass.hpp"
#include "cuda/logistic_regression_pass.hpp"
#include "cuda/profile_pass.hpp"
#include "cuda/ranked_scores.hpp"
#include "cuda/staged_source.hpp"

namespace coterie::COTERIE_GPU {
namespace {

Device find_device(int index) {
  const Devices devices = probe();
  for (const Device& device : devices.usable) {
    if (device.index == index) return device;
  }
  const std::string reason = devices.usable.empty() || !devices.reason.empty() ? devices.reason : "there is no such device";
  throw DeviceError(fmt::format(
      "--device cuda:{} cannot be used: {}. Nothing was read or written. Run `coterie devices`, or use --device cpu.", index, reason));
}

class CudaBackend final : public Backend {
 public:
  CudaBackend(Context& context, const Device& device, std::int64_t gpu_memory_bytes) : context_(context) {
    context_on_device_.device = device;
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, device.index));
    context_on_device_.shared_bytes = properties.sharedMemPerBlockOptin;
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total));
    const auto most = static_cast<std::int64_t>(free / 10 * 9);  // the rest is for the driver and for fragmentation
    context_on_device_.memory_bytes = gpu_memory_bytes > 0 ? std::min(gpu_memory_bytes, most) : most;
    budget_.emplace(context_on_device_.memory_bytes);
  }

  std::string name() const override { return fmt::format("cuda:{}", context_on_device_.device.index); }
  std::string description() const override { return describe(context_on_device_.device); }
  std::unique_ptr<TileSource> stage(TileSource& source) override { return COTERIE_GPU::stage(context_, context_on_device_, source); }
  std::unique_ptr<kmeans::Pass> kmeans_pass(const kmeans::Grid& grid, std::int32_t n_columns) override {
    return make_kmeans_pass(context_, context_on_device_, grid, n_columns);
  }
  std::unique_ptr<kmeans::Predictor> kmeans_predictor() override { return make_kmeans_predictor(context_, context_on_device_); }
  std::unique_ptr<gaussian_mixture::Pass> gaussian_mixture_pass(const gaussian_mixture::Grid& grid,
                                                                const gaussian_mixture::GridMoments& moments) override {
    return make_gaussian_mixture_pass(context_on_device_, grid, moments);
  }
  std::unique_ptr<gaussian_mixture::Predictor> gaussian_mixture_predictor(bool all_probabilities) override {
    return make_gaussian_mixture_predictor(context_on_device_, all_probabilities);
  }
  std::unique_ptr<logistic_regression::Pass> logistic_regression_pass(const logistic_regression::Grid& grid,
                                                                      const logistic_regression::GridMoments& moments) override {
    return make_logistic_regression_pass(context_on_device_, grid, moments);
  }
  std::unique_ptr<logistic_regression::Predictor> logistic_regression_predictor(std::int32_t n_reasons) override {
    return make_logistic_regression_predictor(context_on_device_, n_reasons);
  }
  profile::Passes profile_passes() override { return make_profile_passes(context_on_device_); }
  std::vector<RankedScores> rank_scores(const ScoredRows& rows, std::int32_t n_segments) override {
    return COTERIE_GPU::rank_scores(context_, context_on_device_, rows, n_segments);
  }
  std::vector<double> percentile_cuts(std::span<const double> score) override {
    return COTERIE_GPU::percentile_cuts(context_, context_on_device_, score);
  }

 private:
  Context& context_;
  DeviceContext context_on_device_;
  std::optional<DeviceBudget> budget_;
};

}  // namespace

std::unique_ptr<Backend> make_backend(Context& context, int device, std::int64_t gpu_memory_bytes) {
  const Device found = find_device(device);
  check(cudaSetDevice(device));  // before the backend makes its streams
  return std::make_unique<CudaBackend>(context, found, gpu_memory_bytes);
}

}  // namespace coterie::COTERIE_GPU
