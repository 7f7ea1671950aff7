// Lloyd's k-means on grid rows (transform.hpp), bit-identical for any threads, tiles, memory, instruction set and device.
//
// A label is defined: s = 0; for each column, t = double(x) - double(c), s = fma(t, t, s); the label is the smallest k
// among the smallest s; the second segment likewise over k != label. A center is the float32 rounding of sum / weight
// with both sums exact. Names follow scikit-learn.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "host/context.hpp"
#include "host/memory_ledger.hpp"
#include "host/row_array.hpp"
#include "host/statistics.hpp"
#include "host/tile_source.hpp"

namespace coterie::kmeans {

// The units of a grid source: x = q * steps[column], weight = w * weight_step, with q and w integers.
struct Grid {
  std::vector<double> steps;  // (n_columns) powers of two
  double weight_step = 1.0;
};

enum class Init { kmeans_plus_plus, kmeans_parallel, mini_batch, random, given };  // seeding_sample.hpp

struct Params {
  std::int32_t n_clusters = 8;
  std::int32_t n_init = 10;  // restarts; 1 with given centers
  std::int32_t max_iter = 300;
  double tol = 1e-4;  // stop when the squared center shift is <= tol * mean column variance, as scikit-learn
  Init init = Init::kmeans_plus_plus;
  std::vector<float> given_centers;  // (n_clusters, n_columns) clustering units, for Init::given
};

struct Model {
  std::int32_t n_clusters = 0;
  std::int32_t n_columns = 0;
  std::vector<float> cluster_centers;       // (n_clusters, n_columns) clustering units
  std::vector<std::int64_t> cluster_sizes;  // (n_clusters) rows of positive weight
  std::vector<double> cluster_weights;      // (n_clusters) summed weight
  std::int32_t restart = 0;
  std::int32_t n_iter = 0;
  double inertia = 0;  // weighted sum of squared distances to the own center
  bool converged = false;
  bool settled = false;             // inertia and sizes belong to cluster_centers: no further sweep needed
  std::int32_t empty_clusters = 0;  // > 0: the next sweep also looks for the rows farthest from their centers
};

// Exact moments of a grid source, for tol, total variance and inertia; constant during a fit.
struct GridMoments {
  std::int64_t n_rows = 0;  // rows of positive weight
  std::int64_t weight = 0;  // summed weight steps
  WideSums sums;            // (n_columns) sum of w * q
  WideSums squares;         // (n_columns) sum of w * q^2
  FirstRows sample;         // rows for seeding; the value after the last column is the weight in steps
  void for_each_field(FieldVisitor& visitor);
};

// What one sweep leaves behind for one model.
struct Statistics {
  WideSums center_sums;                          // (n_clusters, n_columns) sum of w * q
  std::vector<std::int64_t> weight_in_clusters;  // (n_clusters) sum of w
  std::vector<std::int64_t> rows_in_clusters;    // (n_clusters) rows of positive weight
  FirstRows farthest;                            // empty_clusters rows farthest from their centers; values: row, label, weight steps
  void for_each_field(FieldVisitor& visitor);
};
struct SweepStatistics {
  std::vector<Statistics> models;  // in the order of the models
  void for_each_field(FieldVisitor& visitor);
};

// One sweep for many models. Every sweep of a pass reads the same rows with the same weights: a pass may remember them.
// Implementations: host/kmeans_pass.cpp, cuda/kmeans_pass.cu.
class Pass {
 public:
  virtual ~Pass() = default;
  // Of a sweep, at most: called before the first begin() or never. Memory for them may be asked for at once.
  virtual void expect_rows(std::int64_t /*n_rows*/) {}
  virtual void begin(std::span<const Model* const> models) = 0;
  virtual void accumulate(const Tile& tile) = 0;
  virtual SweepStatistics finish() = 0;
  // The labels of all rows (n_rows), in the order of the source, that the last sweep found under this model, which took part in it; false
  // where the pass does not remember them.
  virtual bool read_labels(const Model& /*model*/, std::span<std::int32_t> /*labels*/) const { return false; }
};

// Row-aligned output of one tile; the spans live until the next call. Rows of weight zero are labelled like any other.
struct Assignment {
  std::span<const std::int32_t> label;              // (n_rows)
  std::span<const std::int32_t> second;             // (n_rows) -1 when there is one segment only
  std::span<const double> squared_distance;         // (n_rows) the s of the definition, to the own center
  std::span<const double> second_squared_distance;  // (n_rows) infinity when there is one segment only
};
class Predictor {
 public:
  virtual ~Predictor() = default;
  virtual void begin(const Model& model) = 0;
  virtual Assignment predict(const Tile& tile) = 0;
  virtual std::int64_t rows_at_once() const { return kAllRows; }  // of a tile; the more, the more memory results take
};

// Margin of a row: 1 - a / b of the distances a to the own and b to the second center, in [0, 1]; also the row's
// simplified silhouette. 0 when b is 0, 1 when there is no second center.
double margin(double squared_distance, double second_squared_distance);

std::unique_ptr<Pass> make_cpu_pass(Context& context, const Grid& grid, std::int32_t n_columns);
std::unique_ptr<Predictor> make_cpu_predictor(Context& context);

// Bytes a CPU or GPU pass needs for the statistics of one model, per worker.
std::int64_t statistics_bytes(std::int32_t n_clusters, std::int32_t n_columns);

// Rows of the seeding sample for so many clusters.
std::int64_t sample_rows(std::int64_t n_rows, std::int32_t n_columns, std::int32_t n_clusters);

// One sweep: exact moments and the seeding sample, whose size depends on (n_rows, n_columns) and the largest k only.
GridMoments measure_moments(Context& context, TileSource& source, const Grid& grid, std::int32_t max_clusters);

// ArgumentError when n_clusters is below 1 or exceeds the rows of positive weight, or given centers have another shape.
void check_params(const Grid& grid, const GridMoments& moments, const Params& params);

// Start models for every restart, from the sample; the errors of check_params.
std::vector<Model> seed(Context& context, const Grid& grid, const GridMoments& moments, const Params& params);

// Moves the centers to the means of their rows (pure, in integers and double, the same on every rank and for any threads). Empty
// clusters take the rows farthest from their centers, ties to the lowest row. Sets n_iter, converged, settled, inertia, sizes.
void update(Context& context, Model& model, const Statistics& statistics, const Grid& grid, const GridMoments& moments,
            const Params& params);

struct Labels {
  UnwrittenVector<std::int32_t> of_rows;  // (n_rows)
  Reservation memory;
};
struct FitOptions {
  bool labels = false;  // those of the best models, where the pass remembers them and the ledger has room
};
struct Fit {
  std::vector<Model> best;            // one per params entry: the restart of least inertia, ties to the first
  std::vector<Labels> labels;         // one per params entry, of the best model, empty where there are none
  std::vector<std::string> warnings;  // fewer distinct rows than k, not converged
  std::int64_t sweeps = 0;
};

// Fits every params entry (the k of a granularity sweep, say) with all its restarts in shared sweeps.
Fit fit(Context& context, TileSource& source, const Grid& grid, const GridMoments& moments, std::span<const Params> params, Pass& pass,
        const FitOptions& options = {});

// Separation of segments, for choosing k.
struct Quality {
  double explained = 0;   // 1 - inertia / total sum of squares
  double silhouette = 0;  // weighted mean margin: the simplified silhouette
  double davies_bouldin = 0;
  double calinski_harabasz = 0;
};

// One sweep for all settled models; sums over rows are fixed point, so the bits are always the same.
std::vector<Quality> measure_quality(Context& context, TileSource& source, const Grid& grid, const GridMoments& moments,
                                     std::span<const Model> models, const std::function<std::unique_ptr<Predictor>()>& make_predictor);

}  // namespace coterie::kmeans
