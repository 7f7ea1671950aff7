// The CPU k-means pass. Rows whose label stands (kmeans_bounds.hpp) are neither read nor added again; the others are packed and
// scanned (nearest_centers.hpp), and the sums of the sweep before change by the rows that changed their center. Certified rows
// are settled at once, ambiguous ones after the exact chain has named their center.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <utility>

#include "host/kmeans.hpp"
#include "host/kmeans_bounds.hpp"
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

// Chosen rows are fetched this many ahead of their copy: far enough for memory, few enough for the cache.
constexpr std::int64_t kRowsAhead = 16;

// Rows whose doubtful ones are gathered together, so that few of them still fill whole panels.
constexpr std::int64_t kStripRows = 512;

// Exact sums of one worker for one model, and how they change: doubles that hold whole numbers of steps below 2^53, flushed
// before they could reach it. A value has 23 bits and a sign, so 2^29 unweighted rows fit; with 12-bit half weights, 2^17 rows.
class CenterSums {
 public:
  CenterSums(std::int32_t n_clusters, std::int32_t n_columns, bool weighted)
      : n_columns_(n_columns),
        rows_before_flush_(weighted ? std::int64_t{1} << 17 : std::int64_t{1} << 29),
        low_(static_cast<std::size_t>(n_clusters) * static_cast<std::size_t>(n_columns)),
        high_(weighted ? low_.size() : 0),
        weight_(static_cast<std::size_t>(n_clusters)),
        rows_(static_cast<std::size_t>(n_clusters)) {}

  // Adds rows to their centers, or with sign -1 takes them away. x: (n_rows, n_columns); label: (n_rows), -1 skips; weight:
  // (n_rows) or nullptr for ones.
  void add(const float* x, std::int64_t n_rows, const std::int32_t* label, const std::int32_t* weight, int sign) {
    double* const halves[2] = {low_.data(), high_.data()};
    const nearest::SignedRows rows{x, n_rows, n_columns_, static_cast<double>(sign)};
    if (weight != nullptr)
      nearest::add_weighted_rows(rows, label, weight, halves);
    else
      nearest::add_rows(rows, label, low_.data());
    for (std::int64_t i = 0; i < n_rows; ++i) {
      if (label[i] < 0) continue;
      rows_[static_cast<std::size_t>(label[i])] += weight == nullptr || weight[i] > 0 ? sign : 0;
      if (weight != nullptr) weight_[static_cast<std::size_t>(label[i])] += sign * std::int64_t{weight[i]};
    }
    pending_rows_ += n_rows;
  }

  bool is_full() const { return pending_rows_ + 2 * kBlockRows > rows_before_flush_; }

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

// What is kept of a model from sweep to sweep.
struct Memory {
  std::int32_t n_clusters = 0;
  std::unique_ptr<RowBounds> bounds;  // nullptr: the ledger had no room
  Statistics statistics;              // of the last sweep
};

// Consecutive rows of a block, or chosen ones, on their way through a scan.
struct Run {
  const float* x;              // (n_rows, n_columns)
  const std::int32_t* weight;  // (n_rows) or nullptr
  std::int64_t n_rows;
  std::int64_t first;        // row of the block, where `rows` is nullptr
  const std::int32_t* rows;  // (n_rows) rows of the block, or nullptr
  std::int64_t row(std::int64_t i) const { return rows != nullptr ? rows[i] : first + i; }
};

struct Worker {
  nearest::Panel panel;
  nearest::Exact exact;
  std::vector<float> x, slack;                        // (rows_at_a_time, n_columns) chosen rows; (rows_at_a_time)
  std::vector<std::int32_t> weight, label, from, to;  // (rows_at_a_time)
  std::vector<CenterSums> sums;                       // by model
  std::vector<std::vector<std::int32_t>> doubtful;    // by model: rows of the strip
  std::vector<std::int64_t> n_doubtful;               // by model
  std::vector<std::vector<std::int32_t>> ambiguous;   // by model: rows of the block
};

class CpuPass final : public Pass {
 public:
  CpuPass(Context& context, Grid grid, std::int32_t n_columns) : context_(context), grid_(std::move(grid)), n_columns_(n_columns) {}

  void begin(std::span<const Model* const> models) override {
    if (std::exchange(sweeping_, true)) memory_.clear();  // the last sweep was cut short: some rows are ahead of the others
    models_.assign(models.begin(), models.end());
    std::int64_t n_centers = 0;
    for (const Model* model : models_) n_centers += model->n_clusters;
    rows_at_a_time_ = rows_at_a_time(n_columns_, n_centers);
    recall();
    centers_.clear();
    statistics_.models.clear();
    for (std::size_t m = 0; m < models_.size(); ++m) {
      centers_.emplace_back(models_[m]->cluster_centers, models_[m]->n_clusters, n_columns_);
      statistics_.models.push_back(first_statistics(m));
    }
    workers_.clear();
    workers_.resize(static_cast<std::size_t>(context_.threads()));
  }

  void accumulate(const Tile& tile) override {
    if (first_row_ < 0) first_row_ = tile.first_row;
    const std::int64_t first_block = (tile.first_row - first_row_) / kBlockRows;
    const std::int64_t n_blocks = (tile.n_rows + kBlockRows - 1) / kBlockRows;
    for (Memory* memory : recalled_)
      if (memory->bounds != nullptr && !memory->bounds->grow(first_block + n_blocks, context_.memory())) memory->bounds.reset();
    context_.parallel_for(n_blocks, [&](std::int64_t block, int worker) {
      add_block(tile, {block * kBlockRows, first_block + block}, workers_[static_cast<std::size_t>(worker)]);
    });
  }

  SweepStatistics finish() override {
    for (Worker& worker : workers_)
      for (std::size_t m = 0; m < worker.sums.size(); ++m) worker.sums[m].flush(grid_, statistics_.models[m]);
    for (std::size_t m = 0; m < models_.size(); ++m) {
      if (recalled_[m]->bounds == nullptr) continue;
      recalled_[m]->statistics = statistics_.models[m];
      recalled_[m]->statistics.farthest = {};
    }
    sweeping_ = false;
    return std::move(statistics_);
  }

 private:
  struct BlockPlace {
    std::int64_t first;   // row of the tile
    std::int64_t number;  // of the source's blocks
  };

  // Finds what is known of the models, and forgets those that have left. Who had no room once is not asked again.
  void recall() {
    std::map<const Model*, Memory> kept;
    for (const Model* model : models_) {
      Memory& memory = kept[model];
      const auto known = memory_.find(model);
      if (known != memory_.end() && known->second.n_clusters == model->n_clusters) {
        memory = std::move(known->second);
      } else {
        memory.n_clusters = model->n_clusters;
        memory.bounds = std::make_unique<RowBounds>(model->n_clusters, n_columns_);
      }
    }
    memory_ = std::move(kept);
    recalled_.clear();
    for (const Model* model : models_) {
      recalled_.push_back(&memory_.at(model));
      if (recalled_.back()->bounds != nullptr) recalled_.back()->bounds->move_to(model->cluster_centers);
    }
  }

  // What the sweep starts from: the sums of the sweep before, which this one only changes.
  Statistics first_statistics(std::size_t m) const {
    const std::size_t k = static_cast<std::size_t>(models_[m]->n_clusters);
    Statistics statistics = recalled_[m]->statistics;
    if (recalled_[m]->bounds == nullptr || statistics.rows_in_clusters.empty())
      statistics = {.center_sums = WideSums(k * static_cast<std::size_t>(n_columns_)),
                    .weight_in_clusters = std::vector<std::int64_t>(k),
                    .rows_in_clusters = std::vector<std::int64_t>(k),
                    .farthest = {}};
    statistics.farthest = FirstRows(models_[m]->empty_clusters, n_columns_ + 2);
    return statistics;
  }

  void prepare(Worker& worker, bool weighted) const {
    if (!worker.sums.empty()) return;
    for (const Model* model : models_) worker.sums.emplace_back(model->n_clusters, n_columns_, weighted);
    worker.ambiguous.resize(models_.size());
    worker.n_doubtful.resize(models_.size());
    worker.doubtful.assign(models_.size(), std::vector<std::int32_t>(kStripRows));
    const std::size_t rows = static_cast<std::size_t>(rows_at_a_time_);
    for (auto* column : {&worker.weight, &worker.label, &worker.from, &worker.to}) column->resize(rows);
    worker.slack.resize(rows);
    worker.x.resize(rows * static_cast<std::size_t>(n_columns_));
  }

  RowBounds::Block* known_block(std::size_t m, const BlockPlace& block) const {
    return recalled_[m]->bounds != nullptr ? &recalled_[m]->bounds->block(block.number) : nullptr;
  }

  void add_block(const Tile& tile, const BlockPlace& block, Worker& worker) {
    prepare(worker, tile.weight != nullptr);
    for (auto& rows : worker.ambiguous) rows.clear();
    const std::int64_t n_rows = std::min(kBlockRows, tile.n_rows - block.first);
    const Run whole{tile.x + block.first * n_columns_, tile.weight != nullptr ? tile.weight + block.first : nullptr, n_rows, 0, nullptr};
    for (std::int64_t strip = 0; strip < n_rows; strip += kStripRows) {
      const std::int64_t count = std::min(kStripRows, n_rows - strip);
      for (std::size_t m = 0; m < models_.size(); ++m) find_doubtful(m, block, strip, count, worker);
      scan_strip(whole, strip, count, block, worker);
      for (std::size_t m = 0; m < models_.size(); ++m)
        if (!is_mostly_doubtful(worker, m, count)) scan_doubtful(m, whole, block, worker);
    }
    for (std::size_t m = 0; m < models_.size(); ++m) add_exact(m, tile, block, worker);
  }

  // Below this share packing the doubtful rows alone costs less than scanning all.
  static bool is_mostly_doubtful(const Worker& worker, std::size_t m, std::int64_t n_rows) { return worker.n_doubtful[m] * 4 > n_rows * 3; }

  void find_doubtful(std::size_t m, const BlockPlace& block, std::int64_t strip, std::int64_t count, Worker& worker) const {
    const RowBounds::Block* known = known_block(m, block);
    worker.n_doubtful[m] = count;
    if (known == nullptr || models_[m]->empty_clusters > 0) return;
    std::int32_t* const rows = worker.doubtful[m].data();
    worker.n_doubtful[m] =
        nearest::find_doubtful(known->label.data() + strip, known->slack.data() + strip, count, recalled_[m]->bounds->drift(), rows);
    for (std::int64_t i = 0; i < worker.n_doubtful[m]; ++i) rows[i] += static_cast<std::int32_t>(strip);
  }

  // All rows of a strip, packed once for all models that doubt most of them.
  void scan_strip(const Run& whole, std::int64_t strip, std::int64_t count, const BlockPlace& block, Worker& worker) {
    bool wanted = false;
    for (std::size_t m = 0; m < models_.size(); ++m) wanted = wanted || is_mostly_doubtful(worker, m, count);
    if (!wanted) return;
    for (std::int64_t row = strip; row < strip + count; row += rows_at_a_time_) {
      const std::int64_t n_rows = std::min(rows_at_a_time_, strip + count - row);
      const Run run{whole.x + row * n_columns_, whole.weight != nullptr ? whole.weight + row : nullptr, n_rows, row, nullptr};
      nearest::pack(run.x, n_rows, n_columns_, worker.panel);
      for (std::size_t m = 0; m < models_.size(); ++m)
        if (is_mostly_doubtful(worker, m, count)) scan(m, run, block, worker);
    }
  }

  void scan_doubtful(std::size_t m, const Run& whole, const BlockPlace& block, Worker& worker) {
    for (std::int64_t at = 0; at < worker.n_doubtful[m]; at += rows_at_a_time_) {
      const std::int32_t* const rows = worker.doubtful[m].data() + at;
      const std::int64_t n_rows = std::min(rows_at_a_time_, worker.n_doubtful[m] - at);
      for (std::int64_t i = 0; i < n_rows; ++i) {
        __builtin_prefetch(whole.x + std::int64_t{rows[std::min(i + kRowsAhead, n_rows - 1)]} * n_columns_);
        std::copy_n(whole.x + std::int64_t{rows[i]} * n_columns_, n_columns_, worker.x.data() + i * n_columns_);
        if (whole.weight != nullptr) worker.weight[static_cast<std::size_t>(i)] = whole.weight[rows[i]];
      }
      nearest::pack(worker.x.data(), n_rows, n_columns_, worker.panel);
      scan(m, {worker.x.data(), whole.weight != nullptr ? worker.weight.data() : nullptr, n_rows, 0, rows}, block, worker);
    }
  }

  // The packed rows under one model; ambiguous ones are noted. A model that looks for its farthest rows needs exact distances
  // of all of them.
  void scan(std::size_t m, const Run& run, const BlockPlace& block, Worker& worker) {
    RowBounds::Block* const known = known_block(m, block);
    if (models_[m]->empty_clusters > 0)
      std::fill_n(worker.label.begin(), run.n_rows, RowBounds::kNoLabel);
    else
      nearest::scan_fast(worker.panel, centers_[m], worker.label.data(), known != nullptr ? worker.slack.data() : nullptr);
    for (std::int64_t i = 0; i < run.n_rows; ++i)
      if (worker.label[static_cast<std::size_t>(i)] < 0) worker.ambiguous[m].push_back(static_cast<std::int32_t>(run.row(i)));
    settle(m, run, known, worker);
  }

  // Remembers worker.label and worker.slack of a run, and moves the rows that changed their center. -1 is no news.
  void settle(std::size_t m, const Run& run, RowBounds::Block* known, Worker& worker) {
    if (known == nullptr) return worker.sums[m].add(run.x, run.n_rows, worker.label.data(), run.weight, 1);
    bool any_moved = false, any_left = false;
    for (std::int64_t i = 0; i < run.n_rows; ++i) {
      const std::size_t at = static_cast<std::size_t>(i), row = static_cast<std::size_t>(run.row(i));
      const std::int32_t label = worker.label[at], before = known->label[row];
      const bool moved = label >= 0 && label != before;
      worker.to[at] = moved ? label : RowBounds::kNoLabel;
      worker.from[at] = moved ? before : RowBounds::kNoLabel;
      any_moved |= moved;
      any_left |= moved && before >= 0;
      if (label < 0) continue;
      known->label[row] = label;
      known->slack[row] = recalled_[m]->bounds->stored_slack(worker.slack[at], label);
    }
    if (any_moved) worker.sums[m].add(run.x, run.n_rows, worker.to.data(), run.weight, 1);
    if (any_left) worker.sums[m].add(run.x, run.n_rows, worker.from.data(), run.weight, -1);
  }

  void add_exact(std::size_t m, const Tile& tile, const BlockPlace& block, Worker& worker) {
    const auto& rows = worker.ambiguous[m];
    const float* x = tile.x + block.first * n_columns_;
    const std::int32_t* weight = tile.weight != nullptr ? tile.weight + block.first : nullptr;
    nearest::scan_exact(x, rows, centers_[m], worker.exact);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      worker.label.front() = worker.exact.label[i];
      worker.slack.front() = nearest::slack_of(worker.exact.squared_distance[i], worker.exact.second_squared_distance[i]);
      settle(m, {x + std::int64_t{rows[i]} * n_columns_, weight != nullptr ? weight + rows[i] : nullptr, 1, 0, &rows[i]},
             known_block(m, block), worker);
    }
    if (models_[m]->empty_clusters > 0) offer_farthest(m, tile, block.first, worker);
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
  std::int64_t first_row_ = -1;  // of the source
  bool sweeping_ = false;
  std::vector<const Model*> models_;
  std::map<const Model*, Memory> memory_;  // of the last sweep; what is known of other centers would cost time, never a bit
  std::vector<Memory*> recalled_;          // by model
  std::vector<nearest::Centers> centers_;  // by model
  std::vector<Worker> workers_;
  SweepStatistics statistics_;
  std::mutex mutex_;  // guards statistics_ during accumulate
};

}  // namespace

std::unique_ptr<Pass> make_cpu_pass(Context& context, const Grid& grid, std::int32_t n_columns) {
  return std::make_unique<CpuPass>(context, grid, n_columns);
}

// Per cell: a double and its high half, the wide sums they end in and those of the sweep before, the center as scanned (float and
// double) and as it was before.
std::int64_t statistics_bytes(std::int32_t n_clusters, std::int32_t n_columns) {
  return std::int64_t{n_clusters} * n_columns * (2 * 8 + 2 * 16 + 12 + 4) + std::int64_t{n_clusters} * 32;
}

}  // namespace coterie::kmeans
