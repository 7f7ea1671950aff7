// How well segments are separated: explained share, simplified silhouette, Davies-Bouldin and Calinski-Harabasz of
// several models in one sweep. Row values enter sums as whole numbers of a fixed quantum, so their order cannot matter.
#include <algorithm>
#include <cmath>
#include <limits>

#include "host/kmeans.hpp"
#include "host/merge.hpp"
#include "host/passes.hpp"
#include "host/per_worker.hpp"
#include "host/row_blocks.hpp"

namespace coterie::kmeans {
namespace {

__extension__ typedef __float128 float128;  // total variance is a small difference of large exact sums

constexpr double kMarginSteps = 0x1p30;  // a margin lies in [0, 1]

// The longest distance two grid rows can have, rounded up to a power of two, cut into 2^30 steps.
double distance_quantum(const Grid& grid) {
  double square = 0;
  for (const double step : grid.steps) square += step * step * 0x1p48;
  int exponent = 0;
  std::frexp(std::sqrt(square), &exponent);
  return std::ldexp(1.0, exponent - 30);
}

// To the nearest whole number, 0 <= x < 2^52: as std::llround, without a call for every row.
std::int64_t rounded(double x) {
  const auto whole = static_cast<std::int64_t>(x);
  return whole + (x - static_cast<double>(whole) >= 0.5 ? 1 : 0);
}

struct QualityStatistics {
  std::vector<WideSums> margins;    // by model: one sum of w * margin
  std::vector<WideSums> distances;  // by model: (n_clusters) sum of w * distance to the own center
  void for_each_field(FieldVisitor& visitor) {
    for (WideSums& sums : margins) visitor.wide(sums);
    for (WideSums& sums : distances) visitor.wide(sums);
  }
};

class QualityPass {
 public:
  QualityPass(Context& context, double quantum, const std::function<std::unique_ptr<Predictor>()>& make_predictor)
      : context_(context), quantum_(quantum), make_predictor_(make_predictor) {}

  void begin(std::span<const Model> models) {
    predictors_.clear();
    QualityStatistics none;
    for (const Model& model : models) {
      predictors_.push_back(make_predictor_());
      predictors_.back()->begin(model);
      none.margins.emplace_back(1);
      none.distances.emplace_back(static_cast<std::size_t>(model.n_clusters));
    }
    workers_ = {context_, [none = std::move(none)] { return none; }};
  }

  void accumulate(const Tile& tile) {
    for (std::size_t m = 0; m < predictors_.size(); ++m) {
      const Assignment rows = predictors_[m]->predict(tile);
      for_each_block(context_, tile.n_rows, [&](std::int64_t first, std::int64_t last, std::size_t worker) {
        QualityStatistics& sums = workers_.of(worker);
        add_block(rows, tile, static_cast<std::size_t>(first), static_cast<std::size_t>(last), sums.margins[m], sums.distances[m]);
      });
    }
  }

  QualityStatistics finish() { return merge_workers(std::move(workers_)); }

 private:
  void add_block(const Assignment& rows, const Tile& tile, std::size_t first, std::size_t last, WideSums& margins,
                 WideSums& distances) const {
    int128 margin_sum = 0;
    std::vector<int128> distance_sums(distances.size());
    for (std::size_t i = first; i < last; ++i) {
      const int128 w = tile.weight != nullptr ? tile.weight[i] : 1;
      margin_sum += w * rounded(margin(rows.squared_distance[i], rows.second_squared_distance[i]) * kMarginSteps);
      distance_sums[static_cast<std::size_t>(rows.label[i])] += w * rounded(std::sqrt(rows.squared_distance[i]) / quantum_);
    }
    margins.add(0, margin_sum);
    for (std::size_t k = 0; k < distance_sums.size(); ++k) distances.add(k, distance_sums[k]);
  }

  Context& context_;
  double quantum_;
  const std::function<std::unique_ptr<Predictor>()>& make_predictor_;
  std::vector<std::unique_ptr<Predictor>> predictors_;
  PerWorker<QualityStatistics> workers_;
};

double total_sum_of_squares(const Grid& grid, const GridMoments& moments) {
  float128 total = 0;
  for (std::size_t j = 0; j < grid.steps.size(); ++j) {
    const float128 step = grid.steps[j], sum = moments.sums.value(j);
    total += step * step * (static_cast<float128>(moments.squares.value(j)) - sum * sum / static_cast<float128>(moments.weight));
  }
  return static_cast<double>(total * static_cast<float128>(grid.weight_step));
}

double center_distance(const Model& model, std::size_t a, std::size_t b) {
  const std::size_t d = static_cast<std::size_t>(model.n_columns);
  double square = 0;
  for (std::size_t j = 0; j < d; ++j) {
    const double t = static_cast<double>(model.cluster_centers[a * d + j]) - static_cast<double>(model.cluster_centers[b * d + j]);
    square += t * t;
  }
  return std::sqrt(square);
}

// Mean over clusters of the largest (scatter_a + scatter_b) / distance(a, b); clusters without rows are left out.
double davies_bouldin(const Model& model, const std::vector<double>& scatter) {
  double total = 0;
  int clusters = 0;
  for (std::size_t a = 0; a < scatter.size(); ++a) {
    if (model.cluster_weights[a] == 0) continue;
    double worst = 0;
    for (std::size_t b = 0; b < scatter.size(); ++b)
      if (b != a && model.cluster_weights[b] > 0) worst = std::max(worst, (scatter[a] + scatter[b]) / center_distance(model, a, b));
    total += worst;
    ++clusters;
  }
  return total / clusters;
}

Quality quality_of(const Model& model, double total_squares, double weight, double margin_sum, std::vector<double> scatter) {
  for (std::size_t k = 0; k < scatter.size(); ++k)
    if (model.cluster_weights[k] > 0) scatter[k] /= model.cluster_weights[k];
  const double between = total_squares - model.inertia, k = model.n_clusters, explained = total_squares > 0 ? between / total_squares : 0;
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  if (model.n_clusters == 1) return {explained, kNone, kNone, kNone};  // one segment is told apart from nothing
  return {.explained = explained,
          .silhouette = margin_sum / weight,
          .davies_bouldin = davies_bouldin(model, scatter),
          .calinski_harabasz = (between / (k - 1)) / (model.inertia / (weight - k))};
}

}  // namespace

std::vector<Quality> measure_quality(Context& context, TileSource& source, const Grid& grid, const GridMoments& moments,
                                     std::span<const Model> models, const std::function<std::unique_ptr<Predictor>()>& make_predictor) {
  const double quantum = distance_quantum(grid);
  QualityPass pass(context, quantum, make_predictor);
  const QualityStatistics statistics = reduce_tiles(context, source, pass, models, "quality");
  const double weight = static_cast<double>(moments.weight) * grid.weight_step, total_squares = total_sum_of_squares(grid, moments);
  std::vector<Quality> result;
  for (std::size_t m = 0; m < models.size(); ++m) {
    std::vector<double> scatter;
    for (std::size_t k = 0; k < statistics.distances[m].size(); ++k)
      scatter.push_back(static_cast<double>(statistics.distances[m].value(k)) * quantum * grid.weight_step);
    const double margin_sum = static_cast<double>(statistics.margins[m].value(0)) / kMarginSteps * grid.weight_step;
    result.push_back(quality_of(models[m], total_squares, weight, margin_sum, std::move(scatter)));
  }
  return result;
}

}  // namespace coterie::kmeans
