// Where k-means starts: exact moments and a seeding sample in one sweep, then centers from the sample, or given ones.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "host/block_moments.hpp"
#include "host/error.hpp"
#include "host/kmeans.hpp"
#include "host/passes.hpp"
#include "host/per_worker.hpp"
#include "host/random.hpp"
#include "host/row_blocks.hpp"
#include "host/seeding_sample.hpp"

namespace coterie::kmeans {
namespace {

class MomentsPass {
 public:
  MomentsPass(Context& context, const Grid& grid, std::int64_t n_rows, std::int64_t capacity)
      : context_(context),
        grid_(grid),
        capacity_(capacity),
        keys_(context.seed(), Purpose::seeding_sample),
        threshold_(sample_threshold(capacity, n_rows)) {}

  void begin(int) {
    const std::size_t n = grid_.steps.size();
    moments_ = {.sums = WideSums(n), .squares = WideSums(n), .sample = FirstRows(capacity_, static_cast<std::int32_t>(n) + 1)};
    blocks_ = {context_, [this] { return BlockMoments(grid_); }};
  }

  void accumulate(const Tile& tile) {
    for_each_block(context_, tile.n_rows,
                   [&](std::int64_t first, std::int64_t last, std::size_t worker) { add_block(tile, first, last, blocks_.of(worker)); });
  }

  GridMoments finish() { return std::move(moments_); }

 private:
  void add_block(const Tile& tile, std::int64_t first, std::int64_t last, BlockMoments& block) {
    std::vector<std::int64_t> sampled;
    std::int64_t rows = 0, weight = 0;
    const std::uint64_t largest_key = std::min(largest_key_.load(std::memory_order_relaxed), tile.weight != nullptr ? kAnyKey : threshold_);
    for (std::int64_t row = first; row < last; ++row) {
      const std::int64_t w = tile.weight != nullptr ? tile.weight[row] : 1;
      if (w == 0) continue;
      ++rows;
      weight += w;
      if (key_of(tile.first_row + row) <= largest_key) sampled.push_back(row);
    }
    block.add(tile.x + first * tile.n_columns, tile.weight != nullptr ? tile.weight + first : nullptr, last - first);
    const std::lock_guard lock(mutex_);
    moments_.n_rows += rows;
    moments_.weight += weight;
    block.flush(moments_);
    offer(tile, sampled);
  }

  std::uint64_t key_of(std::int64_t row) const { return keys_.bits(static_cast<std::uint64_t>(row)); }

  void offer(const Tile& tile, const std::vector<std::int64_t>& rows) {
    std::vector<float> values(grid_.steps.size() + 1);
    FirstRows& sample = moments_.sample;
    for (const std::int64_t row : rows) {
      const float* x = tile.x + row * tile.n_columns;
      std::copy_n(x, grid_.steps.size(), values.begin());
      values.back() = tile.weight != nullptr ? static_cast<float>(tile.weight[row]) : 1.0f;
      sample.offer(key_of(tile.first_row + row), tile.first_row + row, values.data());
    }
    if (sample.size() == sample.capacity()) largest_key_.store(sample.largest_key(), std::memory_order_relaxed);
  }

  static constexpr std::uint64_t kAnyKey = UINT64_MAX;

  Context& context_;
  const Grid& grid_;
  std::int64_t capacity_;
  RandomStream keys_;
  std::uint64_t threshold_;  // of rows that all have a weight
  PerWorker<BlockMoments> blocks_;
  GridMoments moments_;
  std::mutex mutex_;                                 // guards moments_ during accumulate
  std::atomic<std::uint64_t> largest_key_{kAnyKey};  // no key above it enters the sample any more
};

}  // namespace

// A million cells of sample keep greedy k-means++ in the cache and in milliseconds; 64 rows per center keep it honest
// for many centers.
std::int64_t sample_rows(std::int64_t n_rows, std::int32_t n_columns, std::int32_t n_clusters) {
  const std::int64_t base = std::clamp<std::int64_t>((std::int64_t{1} << 20) / n_columns, 1 << 13, 1 << 15);
  return std::min(n_rows, std::max(base, std::int64_t{64} * n_clusters));
}

void GridMoments::for_each_field(FieldVisitor& visitor) {
  visitor.integers({&n_rows, 1}, Merge::sum);
  visitor.integers({&weight, 1}, Merge::sum);
  visitor.wide(sums);
  visitor.wide(squares);
  visitor.first_rows(sample);
}

GridMoments measure_moments(Context& context, TileSource& source, const Grid& grid, std::int32_t max_clusters) {
  std::int64_t n_rows = source.n_rows();
  context.communicator().all_reduce(std::span(&n_rows, 1), Merge::sum);
  const std::int64_t capacity = sample_rows(n_rows, source.n_columns(), max_clusters);
  const Reservation scratch =
      context.memory().reserve("the seeding sample", capacity * (source.n_columns() + 1) * 2 * std::int64_t{sizeof(float)});
  MomentsPass pass(context, grid, n_rows, capacity);
  return reduce_tiles(context, source, pass, 0, "survey");
}

void check_params(const Grid& grid, const GridMoments& moments, const Params& params) {
  const std::size_t n_columns = grid.steps.size();
  if (params.n_clusters < 1) throw ArgumentError(fmt::format("n_clusters is {}; it must be at least 1", params.n_clusters));
  if (params.n_init < 1 && params.init != Init::given)
    throw ArgumentError(fmt::format("n_init is {}; it must be at least 1", params.n_init));
  if (params.n_clusters > moments.n_rows)
    throw ArgumentError(fmt::format("n_clusters is {}, but there are only {} rows of positive weight; ask for at most {}",
                                    params.n_clusters, moments.n_rows, moments.n_rows));
  if (params.init == Init::given && params.given_centers.size() != static_cast<std::size_t>(params.n_clusters) * n_columns)
    throw ArgumentError(fmt::format("the given centers hold {} values; {} segments times {} clustering columns need {}",
                                    params.given_centers.size(), params.n_clusters, n_columns,
                                    static_cast<std::size_t>(params.n_clusters) * n_columns));
}

std::vector<Model> seed(Context& context, const Grid& grid, const GridMoments& moments, const Params& params) {
  check_params(grid, moments, params);
  const std::int32_t n_columns = static_cast<std::int32_t>(grid.steps.size());
  const bool draws = params.init != Init::given;
  const SeedingSample sample =
      draws ? first_of(moments.sample, sample_rows(moments.n_rows, n_columns, params.n_clusters)) : SeedingSample{};
  std::vector<Model> models(draws ? static_cast<std::size_t>(params.n_init) : 1);
  for (std::size_t restart = 0; restart < models.size(); ++restart) {
    Model& model = models[restart];
    model.n_clusters = params.n_clusters;
    model.n_columns = n_columns;
    model.restart = static_cast<std::int32_t>(restart);
    switch (params.init) {
      case Init::given: model.cluster_centers = params.given_centers; break;
      case Init::random: model.cluster_centers = random_rows(context, sample, params.n_clusters, restart); break;
      case Init::kmeans_plus_plus: model.cluster_centers = kmeans_plus_plus(context, sample, params.n_clusters, restart); break;
      case Init::kmeans_parallel: model.cluster_centers = kmeans_parallel(context, sample, params.n_clusters, restart); break;
      case Init::mini_batch: model.cluster_centers = mini_batch(context, sample, params.n_clusters, restart); break;
    }
  }
  return models;
}

}  // namespace coterie::kmeans
