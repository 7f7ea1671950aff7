// Where k-means starts: exact moments and a seeding sample in one sweep, then greedy k-means++ on the sample (Arthur and
// Vassilvitskii 2007, with 2 + ln k trials per center as scikit-learn), distinct random rows, or given centers.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <mutex>
#include <utility>

#include "host/error.hpp"
#include "host/kmeans.hpp"
#include "host/nearest_centers.hpp"
#include "host/passes.hpp"
#include "host/random.hpp"

namespace coterie::kmeans {
namespace {

// Sums of one 4096-row block: |q| <= 2^23 and w <= 2^24, so w q stays below 2^59 in all, and so do w times the high and
// the low 23 bits of q^2.
struct BlockMoments {
  std::vector<std::int64_t> sum, square_high, square_low;  // (n_columns)
  explicit BlockMoments(std::size_t n) : sum(n), square_high(n), square_low(n) {}
  void add(std::size_t j, std::int64_t q, std::int64_t w) {
    const std::int64_t square = q * q;
    sum[j] += w * q;
    square_high[j] += w * (square >> 23);
    square_low[j] += w * (square & 0x7fffff);
  }
  void flush(GridMoments& to) {
    for (std::size_t j = 0; j < sum.size(); ++j) {
      to.sums.add(j, std::exchange(sum[j], 0));
      to.squares.add(j, (static_cast<int128>(std::exchange(square_high[j], 0)) << 23) + std::exchange(square_low[j], 0));
    }
  }
};

class MomentsPass {
 public:
  MomentsPass(Context& context, const Grid& grid, std::int64_t capacity) : context_(context), capacity_(capacity) {
    for (const double step : grid.steps) inverse_steps_.push_back(1 / step);
  }

  void begin(int) {
    const std::size_t n = inverse_steps_.size();
    moments_ = {.sums = WideSums(n), .squares = WideSums(n), .sample = FirstRows(capacity_, static_cast<std::int32_t>(n) + 1)};
    blocks_.assign(static_cast<std::size_t>(context_.threads()), BlockMoments(n));
  }

  void accumulate(const Tile& tile) {
    context_.parallel_for((tile.n_rows + kBlockRows - 1) / kBlockRows, [&](std::int64_t block, int worker) {
      add_block(tile, block * kBlockRows, blocks_[static_cast<std::size_t>(worker)]);
    });
  }

  GridMoments finish() { return std::move(moments_); }

 private:
  void add_block(const Tile& tile, std::int64_t first, BlockMoments& block) {
    const std::int64_t last = std::min<std::int64_t>(first + kBlockRows, tile.n_rows);
    const std::size_t d = inverse_steps_.size();
    std::vector<std::int64_t> sampled;
    std::int64_t rows = 0, weight = 0;
    for (std::int64_t row = first; row < last; ++row) {
      const std::int64_t w = tile.weight != nullptr ? tile.weight[row] : 1;
      if (w == 0) continue;
      ++rows;
      weight += w;
      const float* x = tile.x + row * tile.n_columns;
      for (std::size_t j = 0; j < d; ++j) block.add(j, static_cast<std::int64_t>(static_cast<double>(x[j]) * inverse_steps_[j]), w);
      if (key_of(tile.first_row + row) <= largest_key_.load(std::memory_order_relaxed)) sampled.push_back(row);
    }
    const std::lock_guard lock(mutex_);
    moments_.n_rows += rows;
    moments_.weight += weight;
    block.flush(moments_);
    offer(tile, sampled);
  }

  std::uint64_t key_of(std::int64_t row) const {
    return random_bits(context_.seed(), Purpose::seeding_sample, static_cast<std::uint64_t>(row));
  }

  void offer(const Tile& tile, const std::vector<std::int64_t>& rows) {
    std::vector<float> values(inverse_steps_.size() + 1);
    FirstRows& sample = moments_.sample;
    for (const std::int64_t row : rows) {
      const float* x = tile.x + row * tile.n_columns;
      std::copy_n(x, inverse_steps_.size(), values.begin());
      values.back() = tile.weight != nullptr ? static_cast<float>(tile.weight[row]) : 1.0f;
      sample.offer(key_of(tile.first_row + row), tile.first_row + row, values.data());
    }
    if (sample.size() == sample.capacity()) largest_key_.store(sample.largest_key(), std::memory_order_relaxed);
  }

  Context& context_;
  std::int64_t capacity_;
  std::vector<double> inverse_steps_;  // (n_columns)
  std::vector<BlockMoments> blocks_;   // by worker
  GridMoments moments_;
  std::mutex mutex_;                                    // guards moments_ during accumulate
  std::atomic<std::uint64_t> largest_key_{UINT64_MAX};  // no key above it enters the sample any more
};

// The sample, column by column, for scans over all of its rows.
struct Sample {
  std::int64_t n_rows = 0;
  std::vector<float> columns;     // (n_columns, n_rows)
  std::vector<double> weight;     // (n_rows) steps
  std::vector<std::int64_t> row;  // (n_rows) global
  std::vector<float> at(std::int64_t i) const {
    std::vector<float> values;
    for (std::size_t cell = static_cast<std::size_t>(i); cell < columns.size(); cell += static_cast<std::size_t>(n_rows))
      values.push_back(columns[cell]);
    return values;
  }
};

Sample first_of(const FirstRows& rows, std::int64_t n_rows) {
  const std::int64_t n = std::min(n_rows, rows.size());
  const std::size_t d = static_cast<std::size_t>(rows.n_values()) - 1, n_samples = static_cast<std::size_t>(n);
  Sample sample{.n_rows = n,
                .columns = std::vector<float>(d * n_samples),
                .weight = std::vector<double>(n_samples),
                .row = std::vector<std::int64_t>(n_samples)};
  for (std::size_t i = 0; i < n_samples; ++i) {
    const auto values = rows.values(static_cast<std::int64_t>(i));
    for (std::size_t j = 0; j < d; ++j) sample.columns[j * n_samples + i] = values[j];
    sample.weight[i] = static_cast<double>(values[d]);
    sample.row[i] = rows.row(static_cast<std::int64_t>(i));
  }
  return sample;
}

// Weighted squared distances of the sample to its nearest chosen center, with sums per block of kBlockRows in a fixed
// order, so that a draw never depends on threads.
struct Potential {
  std::vector<double> distance;   // (n_rows) squared, to the nearest center so far
  std::vector<double> block_sum;  // of weight * distance
  double total = 0;
};

Potential potential_with(Context& context, const Sample& sample, const std::vector<double>& distance, std::span<const float> center) {
  const std::int64_t n_blocks = (sample.n_rows + kBlockRows - 1) / kBlockRows;
  Potential next{.distance = std::vector<double>(distance.size()), .block_sum = std::vector<double>(static_cast<std::size_t>(n_blocks))};
  context.parallel_for(n_blocks, [&](std::int64_t block, int) {
    const std::int64_t first = block * kBlockRows, rows = std::min(kBlockRows, sample.n_rows - first);
    nearest::squared_distances(sample.columns.data(), sample.n_rows, first, rows, center, next.distance.data() + first);
    double sum = 0;
    for (std::size_t i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(first + rows); ++i) {
      next.distance[i] = std::min(next.distance[i], distance[i]);
      sum += sample.weight[i] * next.distance[i];
    }
    next.block_sum[static_cast<std::size_t>(block)] = sum;
  });
  for (const double sum : next.block_sum) next.total += sum;
  return next;
}

// The sample row at which the running sum of weight * distance passes u * total.
std::int64_t draw(const Sample& sample, const Potential& potential, double u) {
  double left = u * potential.total;
  std::size_t block = 0;
  while (block + 1 < potential.block_sum.size() && left >= potential.block_sum[block]) left -= potential.block_sum[block++];
  std::int64_t last_possible = -1;
  for (std::size_t i = block * kBlockRows; i < potential.distance.size(); ++i) {
    const double mass = sample.weight[i] * potential.distance[i];
    if (mass > 0) last_possible = static_cast<std::int64_t>(i);
    if (left < mass) return static_cast<std::int64_t>(i);
    left -= mass;
  }
  return std::max<std::int64_t>(0, last_possible);  // rounding carried the draw past the end
}

std::int64_t draw_first(const Sample& sample, double u) {
  double total = 0;
  for (const double weight : sample.weight) total += weight;
  double left = u * total;
  for (std::int64_t i = 0; i < sample.n_rows; ++i) {
    if (left < sample.weight[static_cast<std::size_t>(i)]) return i;
    left -= sample.weight[static_cast<std::size_t>(i)];
  }
  return sample.n_rows - 1;
}

std::vector<float> kmeans_plus_plus(Context& context, const Sample& sample, std::int32_t n_clusters, std::uint64_t stream) {
  const int trials = 2 + static_cast<int>(std::log(n_clusters));
  std::vector<float> centers = sample.at(draw_first(sample, random_uniform(context.seed(), Purpose::seeding_first, 0, stream)));
  const std::vector<double> infinite(static_cast<std::size_t>(sample.n_rows), std::numeric_limits<double>::infinity());
  Potential potential = potential_with(context, sample, infinite, centers);
  for (std::int32_t k = 1; k < n_clusters; ++k) {
    Potential best;
    std::vector<float> chosen;
    for (int trial = 0; trial < trials; ++trial) {
      const double u = random_uniform(context.seed(), Purpose::seeding_next,
                                      static_cast<std::uint64_t>(k) * 64 + static_cast<std::uint64_t>(trial), stream);
      std::vector<float> candidate = sample.at(draw(sample, potential, u));
      Potential next = potential_with(context, sample, potential.distance, candidate);
      if (!chosen.empty() && next.total >= best.total) continue;
      best = std::move(next);
      chosen = std::move(candidate);
    }
    potential = std::move(best);
    centers.insert(centers.end(), chosen.begin(), chosen.end());
  }
  return centers;
}

std::vector<float> random_rows(Context& context, const Sample& sample, std::int32_t n_clusters, std::uint64_t stream) {
  FirstRows chosen(n_clusters, 0);
  for (std::int64_t i = 0; i < sample.n_rows; ++i)
    chosen.offer(
        random_bits(context.seed(), Purpose::seeding_random, static_cast<std::uint64_t>(sample.row[static_cast<std::size_t>(i)]), stream),
        i, nullptr);
  chosen.sort();
  std::vector<float> centers;
  for (std::int64_t k = 0; k < chosen.size(); ++k) {
    const std::vector<float> row = sample.at(chosen.row(k));
    centers.insert(centers.end(), row.begin(), row.end());
  }
  return centers;
}

void check(const GridMoments& moments, const Params& params, std::size_t n_columns) {
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
  MomentsPass pass(context, grid, capacity);
  return reduce_tiles(context, source, pass, 0, "survey");
}

std::vector<Model> seed(Context& context, const Grid& grid, const GridMoments& moments, const Params& params) {
  check(moments, params, grid.steps.size());
  const std::int32_t n_columns = static_cast<std::int32_t>(grid.steps.size());
  const Sample sample = first_of(moments.sample, sample_rows(moments.n_rows, n_columns, params.n_clusters));
  std::vector<Model> models(params.init == Init::given ? 1 : static_cast<std::size_t>(params.n_init));
  for (std::size_t restart = 0; restart < models.size(); ++restart) {
    Model& model = models[restart];
    model.n_clusters = params.n_clusters;
    model.n_columns = n_columns;
    model.restart = static_cast<std::int32_t>(restart);
    switch (params.init) {
      case Init::given: model.cluster_centers = params.given_centers; break;
      case Init::random: model.cluster_centers = random_rows(context, sample, params.n_clusters, restart); break;
      case Init::kmeans_plus_plus: model.cluster_centers = kmeans_plus_plus(context, sample, params.n_clusters, restart); break;
    }
  }
  return models;
}

}  // namespace coterie::kmeans
