// From an input to segments: first sweep, transform, staging on the device, moments; then fits, quality and labels.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "host/kmeans.hpp"
#include "host/transform.hpp"
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

  // The best restart for every entry of params. Warnings go to the session.
  std::vector<kmeans::Model> fit(std::span<const kmeans::Params> params);
  std::vector<kmeans::Quality> quality(std::span<const kmeans::Model> models);
  // sink(first_row, assignment) for every tile, in row order.
  void predict(const kmeans::Model& model, const std::function<void(std::int64_t, const kmeans::Assignment&)>& sink);

 private:
  Session& session_;
  ChosenTransform chosen_;
  std::unique_ptr<TileSource> rows_;      // clustering units
  std::unique_ptr<TileSource> weighted_;  // with row weights
  std::unique_ptr<TileSource> staged_;    // where the backend wants them
  kmeans::Grid grid_;
  kmeans::GridMoments moments_;
};

// Start centers of --init FILE.h5:/dataset, (rows, columns) in clustering units, and their number of rows.
struct StartCenters {
  std::vector<float> values;
  std::int32_t n_clusters = 0;
  std::int32_t n_columns = 0;
};
StartCenters read_start_centers(Session& session, const CentersPath& path);

}  // namespace coterie::tools
