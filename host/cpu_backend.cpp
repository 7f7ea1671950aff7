#include <fmt/format.h>

#include "host/backend.hpp"

namespace coterie {
namespace {

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(Context& context) : context_(context) {}
  std::string name() const override { return "cpu"; }
  std::string description() const override {
    return fmt::format("CPU, {} thread{}", context_.threads(), context_.threads() == 1 ? "" : "s");
  }
  std::unique_ptr<TileSource> stage(TileSource& source) override { return std::make_unique<ZippedSource>(source, SideColumns{}); }
  std::unique_ptr<kmeans::Pass> kmeans_pass(const kmeans::Grid& grid, std::int32_t n_columns) override {
    return kmeans::make_cpu_pass(context_, grid, n_columns);
  }
  std::unique_ptr<kmeans::Predictor> kmeans_predictor() override { return kmeans::make_cpu_predictor(context_); }
  std::unique_ptr<gaussian_mixture::Pass> gaussian_mixture_pass(const gaussian_mixture::Grid& grid,
                                                                const gaussian_mixture::GridMoments& moments) override {
    return gaussian_mixture::make_cpu_pass(context_, grid, moments);
  }
  std::unique_ptr<gaussian_mixture::Predictor> gaussian_mixture_predictor(bool all_probabilities) override {
    return gaussian_mixture::make_cpu_predictor(context_, all_probabilities);
  }
  std::unique_ptr<logistic_regression::Pass> logistic_regression_pass(const logistic_regression::Grid& grid,
                                                                      const logistic_regression::GridMoments& moments) override {
    return logistic_regression::make_cpu_pass(context_, grid, moments);
  }
  std::unique_ptr<logistic_regression::Predictor> logistic_regression_predictor(std::int32_t n_reasons) override {
    return logistic_regression::make_cpu_predictor(context_, n_reasons);
  }
  profile::Passes profile_passes() override { return profile::make_cpu_passes(context_); }
  std::vector<RankedScores> rank_scores(const ScoredRows& rows, std::int32_t n_segments) override {
    return coterie::rank_scores(context_, rows, n_segments);
  }
  std::vector<double> percentile_cuts(std::span<const double> score) override { return coterie::percentile_cuts(context_, score); }

 private:
  Context& context_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(Context& context) { return std::make_unique<CpuBackend>(context); }

}  // namespace coterie
