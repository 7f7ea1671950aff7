// The CPU k-means pass. Rows whose label stands (kmeans_bounds.hpp) are neither read nor added again; the others are rounded to 16
// bits once for all sweeps, unless they are short and centers few, scanned against the groups of centers in doubt (group_scan.hpp), and
// the sums of the sweep before change by the rows that changed their center. Certain rows are settled at once, ambiguous ones after the
// exact chain has named their center.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <utility>

#include "host/kmeans.hpp"
#include "host/kmeans_bounds.hpp"
#include "host/nearest_centers.hpp"
#include "host/per_worker.hpp"
#include "host/row_blocks.hpp"

namespace coterie::kmeans {
namespace {

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

  // x: (*, n_columns); weight: by row, or nullptr for ones.
  void move(const float* x, const std::int32_t* weight, std::span<const nearest::Move> moves) {
    double* const halves[2] = {low_.data(), high_.data()};
    if (weight != nullptr)
      nearest::move_weighted_rows(x, n_columns_, moves, weight, halves);
    else
      nearest::move_rows(x, n_columns_, moves, low_.data());
    for (const nearest::Move& move : moves) {
      const std::int64_t steps = weight != nullptr ? weight[move.row] : 1, counted = steps > 0 ? 1 : 0;
      add_steps(move.to, steps, counted);
      if (move.from >= 0) add_steps(move.from, -steps, -counted);
    }
    pending_rows_ += std::ssize(moves);
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
      statistics.weight_in_clusters[k] += std::exchange(weight_[k], 0);
      statistics.rows_in_clusters[k] += std::exchange(rows_[k], 0);
    }
    pending_rows_ = 0;
  }

 private:
  void add_steps(std::int32_t center, std::int64_t steps, std::int64_t counted) {
    weight_[static_cast<std::size_t>(center)] += steps;
    rows_[static_cast<std::size_t>(center)] += counted;
  }

  std::int32_t n_columns_;
  std::int64_t rows_before_flush_;
  std::int64_t pending_rows_ = 0;
  std::vector<double> low_, high_;           // (n_clusters, n_columns); high_ only with weights
  std::vector<std::int64_t> weight_, rows_;  // (n_clusters)
};

// What is kept of a model from sweep to sweep.
struct Memory {
  std::unique_ptr<RowBounds> bounds;  // knows an order of the centers, too
  bool keeps_rows = true;             // false: the ledger has no room for bounds
  Statistics statistics;              // of the last sweep
};

// What a sweep needs of a model.
struct Scanned {
  nearest::CenterGroups groups;
  std::unique_ptr<nearest::Centers> exact;  // where the groups are not usable
};

struct Worker {
  std::vector<CenterSums> sums;       // by model
  std::vector<std::int64_t> n_scans;  // by model: of a row and a group
  std::unique_ptr<nearest::StripScan> scan;
  std::unique_ptr<nearest::NoBounds> no_bounds;
  std::vector<std::int32_t> pairs;  // (strip_rows, n_pairs) of rounded rows that are not kept
  std::vector<float> length, lost;  // (strip_rows)
  nearest::Exact exact;
  std::vector<std::int32_t> rivals;
  std::vector<nearest::Pair> exact_pairs;
  std::vector<double> squared_distance;  // of exact_pairs
};

// A strip of a tile, on its way through all models.
struct StripPlace {
  const float* x;              // (n_rows, n_columns)
  const std::int32_t* weight;  // (n_rows) or nullptr
  std::int64_t n_rows;
  std::int64_t global_row;
  std::int64_t block, row;  // of the source's blocks; in the block
};

class CpuPass final : public Pass {
 public:
  CpuPass(Context& context, Grid grid, std::int32_t n_columns) : context_(context), grid_(std::move(grid)), n_columns_(n_columns) {}

  void expect_rows(std::int64_t n_rows) override { n_expected_blocks_ = blocks_of(n_rows); }

  void begin(std::span<const Model* const> models) override {
    if (std::exchange(sweeping_, true)) memory_.clear();  // the last sweep was cut short: some rows are ahead of the others
    models_.assign(models.begin(), models.end());
    recall();
    statistics_.models.clear();
    for (std::size_t m = 0; m < models_.size(); ++m) statistics_.models.push_back(first_statistics(m));
    workers_ = {context_, [this] { return make_worker(); }};
    scanned_.clear();
    if (!units_.pivot.empty()) pack_centers();
  }

  void accumulate(const Tile& tile) override {
    if (first_row_ < 0) first_row_ = tile.first_row;
    if (units_.pivot.empty()) units_ = nearest::units_of(tile.x, tile.n_rows, n_columns_);
    if (scanned_.empty()) pack_centers();
    const std::int64_t first_block = (tile.first_row - first_row_) / kBlockRows;
    const std::int64_t n_blocks = blocks_of(tile.n_rows);
    make_room(first_block + n_blocks);
    weighted_ = tile.weight != nullptr;
    context_.parallel_for(n_blocks, [&](std::int64_t block, int worker) {
      add_block(tile, block * kBlockRows, first_block + block, workers_.of(static_cast<std::size_t>(worker)));
    });
  }

  SweepStatistics finish() override {
    PerWorker<Worker> workers = std::move(workers_);
    for (Worker* worker : workers.made())
      for (std::size_t m = 0; m < worker->sums.size(); ++m) {
        worker->sums[m].flush(grid_, statistics_.models[m]);
        recalled_[m]->bounds->note_scans(worker->n_scans[m]);
      }
    for (std::size_t m = 0; m < models_.size(); ++m) {
      if (!recalled_[m]->keeps_rows) continue;
      recalled_[m]->statistics = statistics_.models[m];
      recalled_[m]->statistics.farthest = {};
    }
    sweeping_ = false;
    return std::move(statistics_);
  }

  bool read_labels(const Model& model, std::span<std::int32_t> labels) const override {
    const auto known = memory_.find(&model);
    if (sweeping_ || known == memory_.end() || !known->second.keeps_rows) return false;
    for_each_block(context_, std::ssize(labels), [&](std::int64_t first, std::int64_t last, std::size_t) {
      known->second.bounds->strip(first / kBlockRows, 0)
          .copy_labels(labels.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(last - first)));
    });
    return true;
  }

 private:
  // Finds what is known of the models, and forgets those that have left; then there is room again for what had none.
  void recall() {
    std::map<const Model*, Memory> kept;
    const std::size_t n_known = memory_.size();
    for (const Model* model : models_) {
      Memory& memory = kept[model];
      const auto known = memory_.find(model);
      if (known != memory_.end() && std::ssize(known->second.bounds->order()) == model->n_clusters) memory = std::move(known->second);
    }
    const bool has_room = kept.size() < n_known;
    keeps_rounded_ = keeps_rounded_ || has_room;
    memory_ = std::move(kept);
    recalled_.clear();
    for (const Model* model : models_) {
      Memory& memory = memory_.at(model);
      memory.keeps_rows = memory.keeps_rows || has_room;
      recalled_.push_back(&memory);
      const auto follows = [&] { return memory.bounds->move_to(model->cluster_centers, static_cast<double>(units_.scale)); };
      if (memory.bounds != nullptr && follows()) continue;
      memory.statistics = {};
      memory.bounds = std::make_unique<RowBounds>(model->n_clusters, n_columns_);
      follows();
    }
  }

  void pack_centers() {
    for (std::size_t m = 0; m < models_.size(); ++m) {
      const Model& model = *models_[m];
      Scanned& scanned = scanned_.emplace_back();
      scanned.groups = nearest::CenterGroups(model.cluster_centers, recalled_[m]->bounds->order(), units_);
      if (scanned.groups.usable()) continue;
      scanned.exact = std::make_unique<nearest::Centers>(model.cluster_centers, model.n_clusters, n_columns_);
    }
    most_groups_ = 0;
    rounds_ = false;
    for (const Scanned& scanned : scanned_) {
      most_groups_ = std::max(most_groups_, scanned.groups.n_groups());
      rounds_ = rounds_ || !scanned.groups.takes_floats();
    }
    if (strip_rows_ == 0) strip_rows_ = nearest::choose_strip_rows(most_groups_, n_columns_);
  }

  void make_room(std::int64_t n_blocks) {
    for (Memory* memory : recalled_) {
      if (!memory->keeps_rows || memory->bounds->grow(n_blocks, n_expected_blocks_, context_.memory())) continue;
      memory->keeps_rows = false;
      memory->bounds->give_up();
    }
    if (!rounds_ || !keeps_rounded_ || rounded_.grow(n_blocks, n_expected_blocks_, n_columns_, context_.memory())) return;
    keeps_rounded_ = false;
    rounded_ = {};
  }

  // What the sweep starts from: the sums of the sweep before, which this one only changes.
  Statistics first_statistics(std::size_t m) const {
    const std::size_t k = static_cast<std::size_t>(models_[m]->n_clusters);
    Statistics statistics = recalled_[m]->statistics;
    if (!recalled_[m]->keeps_rows || statistics.rows_in_clusters.empty())
      statistics = {.center_sums = WideSums(k * static_cast<std::size_t>(n_columns_)),
                    .weight_in_clusters = std::vector<std::int64_t>(k),
                    .rows_in_clusters = std::vector<std::int64_t>(k),
                    .farthest = {}};
    statistics.farthest = FirstRows(models_[m]->empty_clusters, n_columns_ + 2);
    return statistics;
  }

  Worker make_worker() const {
    Worker worker;
    for (const Model* model : models_) worker.sums.emplace_back(model->n_clusters, n_columns_, weighted_);
    worker.n_scans.resize(models_.size());
    worker.scan = std::make_unique<nearest::StripScan>(most_groups_, strip_rows_);
    worker.no_bounds = std::make_unique<nearest::NoBounds>(most_groups_, strip_rows_);
    worker.pairs.resize(static_cast<std::size_t>(strip_rows_ * nearest::pairs_of(n_columns_)));
    for (auto* column : {&worker.length, &worker.lost}) column->resize(static_cast<std::size_t>(strip_rows_));
    return worker;
  }

  void add_block(const Tile& tile, std::int64_t first, std::int64_t block, Worker& worker) {
    for (const Memory* memory : recalled_)
      if (memory->keeps_rows) memory->bounds->open(block);
    const std::int64_t n_rows = std::min(kBlockRows, tile.n_rows - first);
    for (std::int64_t row = 0; row < n_rows; row += strip_rows_) {
      const StripPlace place{tile.x + (first + row) * n_columns_,
                             tile.weight != nullptr ? tile.weight + first + row : nullptr,
                             std::min(strip_rows_, n_rows - row),
                             tile.first_row + first + row,
                             block,
                             row};
      add_strip(place, worker);
    }
    for (std::size_t m = 0; m < models_.size(); ++m)
      if (worker.sums[m].is_full()) {
        const std::lock_guard lock(mutex_);
        worker.sums[m].flush(grid_, statistics_.models[m]);
      }
  }

  void add_strip(const StripPlace& place, Worker& worker) {
    const bool remembers = rounds_ && keeps_rounded_;
    const nearest::RoundedRows rounded = remembers ? rounded_.rows(place.block).from(place.row, nearest::pairs_of(n_columns_))
                                                   : nearest::RoundedRows{worker.pairs.data(), worker.length.data(), worker.lost.data()};
    bool forgotten = false;
    bool& is_rounded = remembers ? rounded_.is_filled(place.block, place.row) : forgotten;
    for (std::size_t m = 0; m < models_.size(); ++m) {
      const nearest::StripBounds bounds =
          recalled_[m]->keeps_rows ? recalled_[m]->bounds->strip(place.block, place.row) : worker.no_bounds->forget(scanned_[m].groups);
      const nearest::Strip strip{place.x,
                                 rounded.pairs,
                                 rounded.length,
                                 rounded.lost,
                                 place.n_rows,
                                 n_columns_,
                                 &scanned_[m].groups,
                                 bounds,
                                 recalled_[m]->bounds->drifts()};
      worker.scan->moves.clear();
      if (scanned_[m].exact != nullptr) {
        label_exactly(m, place, bounds, worker);
      } else if (nearest::find_doubtful(strip, *worker.scan)) {
        if (!scanned_[m].groups.takes_floats() && !std::exchange(is_rounded, true))
          nearest::round_rows(place.x, place.n_rows, units_, rounded);
        nearest::scan_doubtful(strip, *worker.scan);
        name_ambiguous(m, place, strip, worker);
        worker.n_scans[m] += worker.scan->n_scans;
      }
      if (!worker.scan->moves.empty()) worker.sums[m].move(place.x, place.weight, worker.scan->moves.items());
      if (models_[m]->empty_clusters > 0) offer_farthest(m, place, bounds, worker);
    }
  }

  // The definition for the few rows whose nearest center is not certain: among its rivals, the lowest number of equals.
  void name_ambiguous(std::size_t m, const StripPlace& place, const nearest::Strip& strip, Worker& worker) const {
    nearest::StripScan& scan = *worker.scan;
    if (scan.ambiguous.empty()) return;
    auto& pairs = worker.exact_pairs;
    pairs.clear();
    for (const std::int32_t entry : scan.ambiguous.items()) {
      worker.rivals.clear();
      nearest::append_rivals(strip, scan, entry, worker.rivals);
      for (const std::int32_t center : worker.rivals) pairs.push_back({scan.doubtful[static_cast<std::size_t>(entry)], center});
    }
    measure_pairs(m, place, worker);
    std::size_t i = 0;
    for (const std::int32_t entry : scan.ambiguous.items()) {
      std::pair nearest_center{std::numeric_limits<double>::infinity(), models_[m]->n_clusters};
      for (; i < pairs.size() && pairs[i].row == scan.doubtful[static_cast<std::size_t>(entry)]; ++i)
        nearest_center = std::min(nearest_center, {worker.squared_distance[i], pairs[i].center});
      nearest::set_label(strip, scan, entry, nearest_center.second);
    }
  }

  void measure_pairs(std::size_t m, const StripPlace& place, Worker& worker) const {
    worker.squared_distance.resize(worker.exact_pairs.size());
    nearest::squared_distances_of_pairs(place.x, models_[m]->cluster_centers.data(), n_columns_, worker.exact_pairs,
                                        worker.squared_distance.data());
  }

  // All rows by the definition alone; nothing is known of them afterwards but their labels.
  void label_exactly(std::size_t m, const StripPlace& place, const nearest::StripBounds& bounds, Worker& worker) const {
    nearest::StripScan& scan = *worker.scan;
    std::vector<std::int32_t> rows(static_cast<std::size_t>(place.n_rows));
    std::iota(rows.begin(), rows.end(), 0);
    nearest::scan_exact(place.x, rows, *scanned_[m].exact, worker.exact);
    for (const std::int32_t row : rows) {
      const std::int32_t label = worker.exact.label[static_cast<std::size_t>(row)], before = bounds.label_of(row);
      if (before != label) scan.moves.add({row, before, label});
      bounds.keep_label_only(row, label, scanned_[m].groups.n_groups());
    }
  }

  void offer_farthest(std::size_t m, const StripPlace& place, const nearest::StripBounds& bounds, Worker& worker) {
    worker.exact_pairs.clear();
    for (std::int32_t row = 0; row < place.n_rows; ++row) worker.exact_pairs.push_back({row, bounds.label_of(row)});
    measure_pairs(m, place, worker);
    std::vector<float> values(static_cast<std::size_t>(n_columns_) + 2);
    const std::lock_guard lock(mutex_);
    FirstRows& farthest = statistics_.models[m].farthest;
    for (std::int64_t row = 0; row < place.n_rows; ++row) {
      const std::int32_t weight = place.weight != nullptr ? place.weight[row] : 1;
      const std::uint64_t key = descending_key(worker.squared_distance[static_cast<std::size_t>(row)]);
      if (weight == 0 || !farthest.wants(key, place.global_row + row)) continue;
      std::copy_n(place.x + row * n_columns_, n_columns_, values.begin());
      values[values.size() - 2] = static_cast<float>(bounds.label_of(row));
      values[values.size() - 1] = static_cast<float>(weight);
      farthest.offer(key, place.global_row + row, values.data());
    }
  }

  Context& context_;
  Grid grid_;
  std::int32_t n_columns_;
  std::int64_t first_row_ = -1;  // of the source
  std::int64_t n_expected_blocks_ = 0;
  bool sweeping_ = false;
  nearest::Units units_;  // from the first tile
  std::vector<const Model*> models_;
  std::map<const Model*, Memory> memory_;  // of the last sweep; what is known of other centers would cost time, never a bit
  std::vector<Memory*> recalled_;          // by model
  std::vector<Scanned> scanned_;           // by model
  std::int32_t most_groups_ = 0;           // of a model
  std::int64_t strip_rows_ = 0;            // the same for all sweeps, for rows are rounded by strip
  nearest::RoundedBlocks rounded_;
  bool rounds_ = false;        // a model of the sweep needs rounded rows
  bool keeps_rounded_ = true;  // false: the ledger has no room
  bool weighted_ = false;
  PerWorker<Worker> workers_;
  SweepStatistics statistics_;
  std::mutex mutex_;  // guards statistics_ during accumulate
};

}  // namespace

std::unique_ptr<Pass> make_cpu_pass(Context& context, const Grid& grid, std::int32_t n_columns) {
  return std::make_unique<CpuPass>(context, grid, n_columns);
}

// Per cell: a double and its high half, the wide sums they end in and those of the sweep before, the center as it was before, and
// three times in 16 bits, once of them for a matrix unit. Per cluster: counts, and its share of the results of a group for a strip (of few
// groups: a cache's worth).
std::int64_t statistics_bytes(std::int32_t n_clusters, std::int32_t n_columns) {
  constexpr std::int64_t kResults = 2 * nearest::kLeastStripRows * static_cast<std::int64_t>(sizeof(float)) / nearest::kGroupWidth;
  return std::int64_t{n_clusters} * n_columns * (2 * 8 + 2 * 16 + 4 + 3 * 2) + std::int64_t{n_clusters} * (32 + kResults);
}

}  // namespace coterie::kmeans
