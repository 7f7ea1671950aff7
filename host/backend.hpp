// The catalogue: one factory per pass and predictor. Tools and tests choose a backend; algorithms never see it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "host/context.hpp"
#include "host/gaussian_mixture.hpp"
#include "host/kmeans.hpp"
#include "host/logistic_regression.hpp"
#include "host/profile_pass.hpp"
#include "host/ranked_scores.hpp"
#include "host/tile_source.hpp"

namespace coterie {

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;         // "cpu", "cuda:0"
  virtual std::string description() const = 0;  // one line for people: processor or GPU, threads or memory
  // The same tiles where this backend's passes want them; `source` must outlive the result.
  virtual std::unique_ptr<TileSource> stage(TileSource& source) = 0;
  virtual std::unique_ptr<kmeans::Pass> kmeans_pass(const kmeans::Grid& grid, std::int32_t n_columns) = 0;
  virtual std::unique_ptr<kmeans::Predictor> kmeans_predictor() = 0;
  // moments must outlive the pass.
  virtual std::unique_ptr<gaussian_mixture::Pass> gaussian_mixture_pass(const gaussian_mixture::Grid& grid,
                                                                        const gaussian_mixture::GridMoments& moments) = 0;
  virtual std::unique_ptr<gaussian_mixture::Predictor> gaussian_mixture_predictor(bool all_probabilities) = 0;
  // Firth and segment effects are for the CPU's pass.
  virtual std::unique_ptr<logistic_regression::Pass> logistic_regression_pass(const logistic_regression::Grid& grid,
                                                                              const logistic_regression::GridMoments& moments) = 0;
  virtual std::unique_ptr<logistic_regression::Predictor> logistic_regression_predictor(std::int32_t n_reasons) = 0;
  // For raw tiles zipped with labels, where this backend's stage() puts them.
  virtual profile::Passes profile_passes() = 0;
  // rank_scores() and percentile_cuts() of host/ranked_scores.hpp, the same on every backend.
  virtual std::vector<RankedScores> rank_scores(const ScoredRows& rows, std::int32_t n_segments) = 0;
  virtual std::vector<double> percentile_cuts(std::span<const double> score) = 0;
};

std::unique_ptr<Backend> make_cpu_backend(Context& context);

}  // namespace coterie
