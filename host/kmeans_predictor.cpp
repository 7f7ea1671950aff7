// The CPU k-means predictor: the defined chain in double for every row, blocks in parallel.
#include <algorithm>
#include <numeric>

#include "host/kmeans.hpp"
#include "host/nearest_centers.hpp"

namespace coterie::kmeans {
namespace {

class CpuPredictor final : public Predictor {
 public:
  explicit CpuPredictor(Context& context) : context_(context) {}

  void begin(const Model& model) override {
    centers_ = nearest::Centers(model.cluster_centers, model.n_clusters, model.n_columns);
    block_rows_.resize(static_cast<std::size_t>(kBlockRows));
    std::iota(block_rows_.begin(), block_rows_.end(), 0);
    workers_.resize(static_cast<std::size_t>(context_.threads()));
  }

  Assignment predict(const Tile& tile) override {
    const std::size_t n = static_cast<std::size_t>(tile.n_rows);
    label_.resize(n);
    second_.resize(n);
    squared_distance_.resize(n);
    second_squared_distance_.resize(n);
    context_.parallel_for((tile.n_rows + kBlockRows - 1) / kBlockRows, [&](std::int64_t block, int worker) {
      predict_block(tile, block * kBlockRows, workers_[static_cast<std::size_t>(worker)]);
    });
    return {label_, second_, squared_distance_, second_squared_distance_};
  }

 private:
  void predict_block(const Tile& tile, std::int64_t first, nearest::Exact& exact) {
    const std::int64_t n_rows = std::min(kBlockRows, tile.n_rows - first);
    nearest::scan_exact(tile.x + first * tile.n_columns, std::span(block_rows_).first(static_cast<std::size_t>(n_rows)), centers_, exact);
    std::copy(exact.label.begin(), exact.label.end(), label_.begin() + first);
    std::copy(exact.second.begin(), exact.second.end(), second_.begin() + first);
    std::copy(exact.squared_distance.begin(), exact.squared_distance.end(), squared_distance_.begin() + first);
    std::copy(exact.second_squared_distance.begin(), exact.second_squared_distance.end(), second_squared_distance_.begin() + first);
  }

  Context& context_;
  nearest::Centers centers_;
  std::vector<std::int32_t> block_rows_;  // 0, 1, ..., kBlockRows - 1
  std::vector<nearest::Exact> workers_;
  std::vector<std::int32_t> label_, second_;
  std::vector<double> squared_distance_, second_squared_distance_;
};

}  // namespace

std::unique_ptr<Predictor> make_cpu_predictor(Context& context) { return std::make_unique<CpuPredictor>(context); }

}  // namespace coterie::kmeans
