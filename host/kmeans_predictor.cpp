// The CPU k-means predictor, blocks in parallel. With few centers the defined chain in double names both segments of every row;
// with more, a scan of 16-bit rows (group_scan.hpp) leaves a few rivals of every row to the chain.
#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>
#include <utility>

#include "host/group_scan.hpp"
#include "host/kmeans.hpp"
#include "host/nearest_centers.hpp"
#include "host/per_worker.hpp"
#include "host/row_blocks.hpp"

namespace coterie::kmeans {
namespace {

// Below it, rounding rows and choosing rivals cost as much as the chain for all centers.
constexpr std::int32_t kFewCenters = 48;

// Neighbours in different groups: then the two nearest centers of a row rarely share one, and single rivals are told.
std::vector<std::int32_t> spread_out(std::span<const std::int32_t> by_proximity) {
  const auto n_groups = static_cast<std::size_t>(nearest::groups_of(static_cast<std::int32_t>(by_proximity.size())));
  std::vector<std::int32_t> order;
  for (std::size_t group = 0; group < n_groups; ++group)
    for (std::size_t i = group; i < by_proximity.size(); i += n_groups) order.push_back(by_proximity[i]);
  return order;
}

struct Worker {
  nearest::Exact exact;  // of a block
  std::unique_ptr<nearest::StripScan> scan;
  std::vector<std::int32_t> words, rivals;  // (strip_rows, pairs_of(n_columns)) rounded rows
  std::vector<float> length, lost;          // (strip_rows)
  std::vector<nearest::Pair> pairs;
  std::vector<double> squared_distance;  // of pairs
};

// What is written of the rows from one on.
struct Output {
  std::int32_t* label;
  std::int32_t* second;
  double* squared_distance;
  double* second_squared_distance;
  Output from(std::int64_t row) const { return {label + row, second + row, squared_distance + row, second_squared_distance + row}; }
  void start(std::int64_t row) const {
    label[row] = second[row] = std::numeric_limits<std::int32_t>::max();
    squared_distance[row] = second_squared_distance[row] = std::numeric_limits<double>::infinity();
  }
  // Of equal distances the lower center comes first.
  void offer(std::int64_t row, double distance, std::int32_t center) const {
    if (std::pair(distance, center) < std::pair(squared_distance[row], label[row])) {
      second[row] = std::exchange(label[row], center);
      second_squared_distance[row] = std::exchange(squared_distance[row], distance);
    } else if (std::pair(distance, center) < std::pair(second_squared_distance[row], second[row])) {
      second[row] = center;
      second_squared_distance[row] = distance;
    }
  }
};

class CpuPredictor final : public Predictor {
 public:
  explicit CpuPredictor(Context& context) : context_(context) {}

  void begin(const Model& model) override {
    n_clusters_ = model.n_clusters;
    cluster_centers_ = model.cluster_centers;
    scans_ = n_clusters_ > kFewCenters;
    units_ = {};
    centers_ = nearest::Centers();
    if (!scans_) centers_ = nearest::Centers(cluster_centers_, n_clusters_, model.n_columns);
    block_rows_.resize(static_cast<std::size_t>(kBlockRows));
    std::iota(block_rows_.begin(), block_rows_.end(), 0);
    workers_ = {context_, [] { return Worker(); }};
  }

  Assignment predict(const Tile& tile) override {
    if (scans_ && units_.pivot.empty()) pack_groups(tile);
    const std::size_t n = static_cast<std::size_t>(tile.n_rows);
    label_.resize(n);
    second_.resize(n);
    squared_distance_.resize(n);
    second_squared_distance_.resize(n);
    const Output output{label_.data(), second_.data(), squared_distance_.data(), second_squared_distance_.data()};
    for_each_block(context_, tile.n_rows, [&](std::int64_t first, std::int64_t last, std::size_t worker) {
      const float* const x = tile.x + first * tile.n_columns;
      Worker& own = workers_.of(worker);
      scans_ ? scan_block(x, last - first, tile.n_columns, output.from(first), own)
             : predict_block(x, last - first, output.from(first), own.exact);
    });
    return {label_, second_, squared_distance_, second_squared_distance_};
  }

  // Results stay near the processor until they are taken, and their memory is used again.
  std::int64_t rows_at_once() const override { return kBlocksOfAWorker * kBlockRows * context_.threads(); }

 private:
  static constexpr std::int64_t kBlocksOfAWorker = 16;  // all are done about the same time

  void predict_block(const float* x, std::int64_t n_rows, const Output& output, nearest::Exact& exact) const {
    nearest::scan_exact(x, std::span(block_rows_).first(static_cast<std::size_t>(n_rows)), centers_, exact);
    std::copy(exact.label.begin(), exact.label.end(), output.label);
    std::copy(exact.second.begin(), exact.second.end(), output.second);
    std::copy(exact.squared_distance.begin(), exact.squared_distance.end(), output.squared_distance);
    std::copy(exact.second_squared_distance.begin(), exact.second_squared_distance.end(), output.second_squared_distance);
  }

  void pack_groups(const Tile& tile) {
    units_ = nearest::units_of(tile.x, tile.n_rows, tile.n_columns);
    groups_ = nearest::CenterGroups(cluster_centers_,
                                    spread_out(nearest::order_by_proximity(cluster_centers_, n_clusters_, tile.n_columns)), units_);
    scans_ = groups_.usable();
    if (!scans_) centers_ = nearest::Centers(cluster_centers_, n_clusters_, tile.n_columns);
  }

  void scan_block(const float* x, std::int64_t n_rows, std::int32_t n_columns, const Output& output, Worker& worker) const {
    const std::int64_t strip_rows = nearest::choose_strip_rows(groups_.n_groups(), n_columns);
    if (worker.scan == nullptr) {
      worker.scan = std::make_unique<nearest::StripScan>(groups_.n_groups(), strip_rows);
      worker.words.resize(static_cast<std::size_t>(strip_rows * groups_.n_pairs()));
      worker.length.resize(static_cast<std::size_t>(strip_rows));
      worker.lost.resize(static_cast<std::size_t>(strip_rows));
    }
    for (std::int64_t row = 0; row < n_rows; row += strip_rows) {
      const nearest::RoundedRows rounded{worker.words.data(), worker.length.data(), worker.lost.data()};
      const std::int64_t n_strip_rows = std::min(strip_rows, n_rows - row);
      nearest::round_rows(x + row * n_columns, n_strip_rows, units_, rounded);
      const nearest::Strip strip{
          x + row * n_columns, rounded.pairs, rounded.length, rounded.lost, n_strip_rows, n_columns, &groups_, {}, {}};
      predict_strip(x + row * n_columns, strip, output.from(row), worker);
    }
  }

  void predict_strip(const float* x, const nearest::Strip& strip, const Output& output, Worker& worker) const {
    nearest::find_two_nearest(strip, *worker.scan);
    worker.pairs.clear();
    for (std::int32_t row = 0; row < strip.n_rows; ++row) {
      output.start(row);
      worker.rivals.clear();
      nearest::append_rivals(strip, *worker.scan, row, worker.rivals);
      for (const std::int32_t center : worker.rivals) worker.pairs.push_back({row, center});
    }
    worker.squared_distance.resize(worker.pairs.size());
    nearest::squared_distances_of_pairs(x, cluster_centers_.data(), strip.n_columns, worker.pairs, worker.squared_distance.data());
    for (std::size_t i = 0; i < worker.pairs.size(); ++i)
      output.offer(worker.pairs[i].row, worker.squared_distance[i], worker.pairs[i].center);
  }

  Context& context_;
  std::int32_t n_clusters_ = 0;
  std::vector<float> cluster_centers_;  // (n_clusters, n_columns)
  bool scans_ = false;
  nearest::Units units_;  // from the first tile
  nearest::CenterGroups groups_;
  nearest::Centers centers_;              // where all rows go through the chain
  std::vector<std::int32_t> block_rows_;  // 0, 1, ..., kBlockRows - 1
  PerWorker<Worker> workers_;
  std::vector<std::int32_t> label_, second_;
  std::vector<double> squared_distance_, second_squared_distance_;
};

}  // namespace

std::unique_ptr<Predictor> make_cpu_predictor(Context& context) { return std::make_unique<CpuPredictor>(context); }

}  // namespace coterie::kmeans
