// The CPU k-means pass and predictor: rows are packed once per block and scanned for every model of the sweep
// (nearest_centers.hpp); certified rows are added at once, ambiguous ones after the exact chain has named their center.
#include <algorithm>
#include <cmath>
#include <mutex>
#include <numeric>
#include <utility>

#include "host/kmeans.hpp"
#include "host/nearest_centers.hpp"

namespace coterie::kmeans {
namespace {

// Rows scanned at a time. With few centers the sweep waits for memory, and short runs keep the hardware prefetcher ahead
// of it (1M x 32, 16 centers: 13.8 ns a row with 64 rows, 17.3 with 256); with many it computes, and longer runs pay
// (64 x 64: 46 ns with 256 rows, 54 with 64). Panel and rows stay within a core's L2 cache.
std::int64_t rows_at_a_time(std::int32_t n_columns, std::int64_t n_centers) {
  const std::int64_t fitting = (std::int64_t{1} << 16) / n_columns / 32 * 32;
  return std::clamp<std::int64_t>(fitting, 32, n_centers <= 32 ? 64 : 256);
}

// Exact sums of one worker for one model: doubles that hold whole numbers of steps below 2^53, flushed before they
// could reach it. A value has 23 bits and a sign, so 2^29 unweighted rows fit; with 12-bit half weights, 2^17 rows.
class CenterSums {
 public:
  CenterSums(std::int32_t n_clusters, std::int32_t n_columns, bool weighted)
      : n_columns_(n_columns),
        rows_before_flush_(weighted ? std::int64_t{1} << 17 : std::int64_t{1} << 29),
        low_(static_cast<std::size_t>(n_clusters) * static_cast<std::size_t>(n_columns)),
        high_(weighted ? low_.size() : 0),
        weight_(static_cast<std::size_t>(n_clusters)),
        rows_(static_cast<std::size_t>(n_clusters)) {}

  // label: (n_rows), -1 skips. weight: (n_rows) or nullptr for ones.
  void add(const float* x, std::int64_t n_rows, const std::int32_t* label, const std::int32_t* weight) {
    double* const halves[2] = {low_.data(), high_.data()};
    if (weight != nullptr)
      nearest::add_weighted_rows(x, n_rows, n_columns_, label, weight, halves);
    else
      nearest::add_rows(x, n_rows, n_columns_, label, low_.data());
    for (std::int64_t i = 0; i < n_rows; ++i) {
      if (label[i] < 0) continue;
      rows_[static_cast<std::size_t>(label[i])] += weight == nullptr || weight[i] > 0;
      if (weight != nullptr) weight_[static_cast<std::size_t>(label[i])] += weight[i];
    }
    pending_rows_ += n_rows;
  }

  bool is_full() const { return pending_rows_ + kBlockRows > rows_before_flush_; }

  // Moves everything into `statistics` as whole steps.
  void flush(const Grid& grid, Statistics& statistics) {
    for (std::size_t i = 0; i < low_.size(); ++i) {
      const double step = grid.steps[i % static_cast<std::size_t>(n_columns_)];
      int128 sum = static_cast<std::int64_t>(low_[i] / step);
      if (!high_.empty()) sum += static_cast<int128>(static_cast<std::int64_t>(high_[i] / step)) << 12;
      if (sum != 0) statistics.center_sums.add(i, sum);
    }
    std::fill(low_.begin(), low_.end(), 0.0);
    std::fill(high_.begin(), high_.end(), 0.0);
    for (std::size_t k = 0; k < weight_.size(); ++k) {
      statistics.weight_in_clusters[k] += high_.empty() ? rows_[k] : std::exchange(weight_[k], 0);
      statistics.rows_in_clusters[k] += std::exchange(rows_[k], 0);
    }
    pending_rows_ = 0;
  }

 private:
  std::int32_t n_columns_;
  std::int64_t rows_before_flush_;
  std::int64_t pending_rows_ = 0;
  std::vector<double> low_, high_;           // (n_clusters, n_columns); high_ only with weights
  std::vector<std::int64_t> weight_, rows_;  // (n_clusters)
};

struct Worker {
  nearest::Panel panel;
  nearest::Exact exact;
  std::vector<std::int32_t> label;                   // (rows_at_a_time)
  std::vector<CenterSums> sums;                      // by model
  std::vector<std::vector<std::int32_t>> ambiguous;  // by model: rows of the block, relative to it
};

class CpuPass final : public Pass {
 public:
  CpuPass(Context& context, Grid grid, std::int32_t n_columns) : context_(context), grid_(std::move(grid)), n_columns_(n_columns) {}

  void begin(std::span<const Model* const> models) override {
    models_.assign(models.begin(), models.end());
    std::int64_t n_centers = 0;
    for (const Model* model : models_) n_centers += model->n_clusters;
    rows_at_a_time_ = rows_at_a_time(n_columns_, n_centers);
    centers_.clear();
    statistics_.models.clear();
    for (const Model* model : models_) {
      centers_.emplace_back(model->cluster_centers, model->n_clusters, n_columns_);
      statistics_.models.push_back(empty_statistics(*model));
    }
    workers_.clear();
    workers_.resize(static_cast<std::size_t>(context_.threads()));
  }

  void accumulate(const Tile& tile) override {
    const std::int64_t n_blocks = (tile.n_rows + kBlockRows - 1) / kBlockRows;
    context_.parallel_for(
        n_blocks, [&](std::int64_t block, int worker) { add_block(tile, block * kBlockRows, workers_[static_cast<std::size_t>(worker)]); });
  }

  SweepStatistics finish() override {
    for (Worker& worker : workers_)
      for (std::size_t m = 0; m < worker.sums.size(); ++m) worker.sums[m].flush(grid_, statistics_.models[m]);
    return std::move(statistics_);
  }

 private:
  Statistics empty_statistics(const Model& model) const {
    const std::size_t k = static_cast<std::size_t>(model.n_clusters);
    return {.center_sums = WideSums(k * static_cast<std::size_t>(n_columns_)),
            .weight_in_clusters = std::vector<std::int64_t>(k),
            .rows_in_clusters = std::vector<std::int64_t>(k),
            .farthest = FirstRows(model.empty_clusters, n_columns_ + 2)};
  }

  void prepare(Worker& worker, bool weighted) const {
    if (!worker.sums.empty()) return;
    for (const Model* model : models_) worker.sums.emplace_back(model->n_clusters, n_columns_, weighted);
    worker.ambiguous.resize(models_.size());
    worker.label.resize(static_cast<std::size_t>(rows_at_a_time_));
  }

  void add_block(const Tile& tile, std::int64_t first, Worker& worker) {
    prepare(worker, tile.weight != nullptr);
    const std::int64_t n_rows = std::min(kBlockRows, tile.n_rows - first);
    for (auto& rows : worker.ambiguous) rows.clear();
    for (std::int64_t row = 0; row < n_rows; row += rows_at_a_time_) {
      const std::int64_t count = std::min(rows_at_a_time_, n_rows - row);
      const float* x = tile.x + (first + row) * n_columns_;
      nearest::pack(x, count, n_columns_, worker.panel);
      for (std::size_t m = 0; m < models_.size(); ++m) {
        mark_fast(m, row, worker);
        worker.sums[m].add(x, count, worker.label.data(), tile.weight ? tile.weight + first + row : nullptr);
      }
    }
    for (std::size_t m = 0; m < models_.size(); ++m) add_exact(m, tile, first, worker);
  }

  // Labels of the packed rows; ambiguous ones are noted. A model that looks for its farthest rows needs exact distances
  // of all of them.
  void mark_fast(std::size_t m, std::int64_t row, Worker& worker) const {
    const std::int64_t count = worker.panel.n_rows;
    if (models_[m]->empty_clusters > 0)
      std::fill_n(worker.label.begin(), count, -1);
    else
      nearest::scan_fast(worker.panel, centers_[m], worker.label.data());
    for (std::int64_t i = 0; i < count; ++i)
      if (worker.label[static_cast<std::size_t>(i)] < 0) worker.ambiguous[m].push_back(static_cast<std::int32_t>(row + i));
  }

  void add_exact(std::size_t m, const Tile& tile, std::int64_t first, Worker& worker) {
    const auto& rows = worker.ambiguous[m];
    const float* x = tile.x + first * n_columns_;
    const std::int32_t* weight = tile.weight != nullptr ? tile.weight + first : nullptr;
    nearest::scan_exact(x, rows, centers_[m], worker.exact);
    for (std::size_t i = 0; i < rows.size(); ++i)
      worker.sums[m].add(x + static_cast<std::int64_t>(rows[i]) * n_columns_, 1, &worker.exact.label[i],
                         weight != nullptr ? weight + rows[i] : nullptr);
    if (models_[m]->empty_clusters > 0) offer_farthest(m, tile, first, worker);
    if (worker.sums[m].is_full()) {
      const std::lock_guard lock(mutex_);
      worker.sums[m].flush(grid_, statistics_.models[m]);
    }
  }

  void offer_farthest(std::size_t m, const Tile& tile, std::int64_t first, const Worker& worker) {
    std::vector<float> values(static_cast<std::size_t>(n_columns_) + 2);
    const std::lock_guard lock(mutex_);
    FirstRows& farthest = statistics_.models[m].farthest;
    for (std::size_t i = 0; i < worker.ambiguous[m].size(); ++i) {
      const std::int64_t row = first + worker.ambiguous[m][i];
      const std::int32_t weight = tile.weight != nullptr ? tile.weight[row] : 1;
      const std::uint64_t key = descending_key(worker.exact.squared_distance[i]);
      if (weight == 0 || !farthest.wants(key, tile.first_row + row)) continue;
      std::copy_n(tile.x + row * n_columns_, n_columns_, values.begin());
      values[values.size() - 2] = static_cast<float>(worker.exact.label[i]);
      values[values.size() - 1] = static_cast<float>(weight);
      farthest.offer(key, tile.first_row + row, values.data());
    }
  }

  Context& context_;
  Grid grid_;
  std::int32_t n_columns_;
  std::int64_t rows_at_a_time_ = 0;
  std::vector<const Model*> models_;
  std::vector<nearest::Centers> centers_;  // by model
  std::vector<Worker> workers_;
  SweepStatistics statistics_;
  std::mutex mutex_;  // guards statistics_ during accumulate
};

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

std::unique_ptr<Pass> make_cpu_pass(Context& context, const Grid& grid, std::int32_t n_columns) {
  return std::make_unique<CpuPass>(context, grid, n_columns);
}

std::unique_ptr<Predictor> make_cpu_predictor(Context& context) { return std::make_unique<CpuPredictor>(context); }

// A double and its high half per cell, and the wide sums they end in.
std::int64_t statistics_bytes(std::int32_t n_clusters, std::int32_t n_columns) {
  return std::int64_t{n_clusters} * n_columns * (2 * 8 + 2 * 8 + 12) + std::int64_t{n_clusters} * 32;
}

}  // namespace coterie::kmeans
