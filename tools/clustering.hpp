// From an input to fitted models: first sweep, transform, staging on the device, moments; then fits and their comparison.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "host/kmeans.hpp"
#include "host/transform.hpp"
#include "io/fitted_model.hpp"
#include "tools/fit_plan.hpp"
#include "tools/granularity.hpp"
#include "tools/input.hpp"
#include "tools/session.hpp"
#include "tools/stopwatch.hpp"

namespace coterie::tools {

std::vector<RawColumn> raw_columns(const std::vector<io::FeatureColumn>& columns);

class Clustering {
 public:
  // Reads the input as often as the transform needs. max_clusters: the largest k that will be fitted.
  Clustering(Session& session, Input& input, const TransformOptions& options, std::int32_t max_clusters);

  const ChosenTransform& chosen() const { return chosen_; }
  const kmeans::Grid& grid() const { return grid_; }
  const kmeans::GridMoments& moments() const { return moments_; }

  // The best restart for every entry of params. Warnings go to the session. keeps_labels: as far as labels() tells.
  std::vector<io::FittedModel> fit(const FitParams& params, bool keeps_labels = false);
  std::span<const std::int32_t> labels(std::size_t model) const;  // of a model of fit(), by row; empty where they were not kept
  // models: of one fit(). k-means takes a sweep.
  Comparison compare(std::span<const io::FittedModel> models);
  TileSource& rows() { return *staged_; }  // clustering units, where the backend wants them
  void drop_rows();                        // and the memory they take; nothing is fitted or compared afterwards

 private:
  std::vector<io::FittedModel> fit_kmeans(std::span<const kmeans::Params> params, bool keeps_labels);
  std::vector<io::FittedModel> fit_mixtures(std::span<const gaussian_mixture::Params> params);
  void transform_rows(Input& input, const Transform& transform);
  void warn(const std::vector<std::string>& warnings);

  Session& session_;
  ChosenTransform chosen_;
  std::unique_ptr<TileSource> rows_;      // clustering units
  std::unique_ptr<TileSource> weighted_;  // with row weights
  std::unique_ptr<TileSource> staged_;    // where the backend wants them
  kmeans::Grid grid_;
  kmeans::GridMoments moments_;
  std::vector<kmeans::Labels> labels_;  // of the last fit, or none
};

}  // namespace coterie::tools
