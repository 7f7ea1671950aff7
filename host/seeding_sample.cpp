#include "host/seeding_sample.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "host/kmeans.hpp"
#include "host/nearest_centers.hpp"
#include "host/random.hpp"

namespace coterie::kmeans {
namespace {

// Weighted squared distances of the sample to its nearest chosen center, with sums per block of kBlockRows in a fixed
// order, so that a draw never depends on threads.
struct Potential {
  std::vector<double> distance;   // (n_rows) squared, to the nearest center so far
  std::vector<double> block_sum;  // of weight * distance
  double total = 0;
};

Potential potential_with(Context& context, const SeedingSample& sample, const std::vector<double>& distance,
                         std::span<const float> center) {
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
std::int64_t draw(const SeedingSample& sample, const Potential& potential, double u) {
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

std::int64_t draw_first(const SeedingSample& sample, double u) {
  double total = 0;
  for (const double weight : sample.weight) total += weight;
  double left = u * total;
  for (std::int64_t i = 0; i < sample.n_rows; ++i) {
    if (left < sample.weight[static_cast<std::size_t>(i)]) return i;
    left -= sample.weight[static_cast<std::size_t>(i)];
  }
  return sample.n_rows - 1;
}

// Which of some centers the rows of a sample are nearest to.
class Nearest {
 public:
  Nearest(Context& context, const SeedingSample& sample)
      : sample_(sample), rows_at_once_(kBlockRows * context.threads()), predictor_(make_cpu_predictor(context)) {}

  void begin(std::span<const float> centers) {
    model_.n_columns = static_cast<std::int32_t>(sample_.n_columns);
    model_.n_clusters = static_cast<std::int32_t>(std::ssize(centers) / sample_.n_columns);
    model_.cluster_centers.assign(centers.begin(), centers.end());
    predictor_->begin(model_);
  }

  // Calls visit(first row, assignment) for pieces of the rows [first, last), in order.
  template <class Visit>
  void for_rows(std::int64_t first, std::int64_t last, Visit&& visit) {
    for (; first < last; first += rows_at_once_) {
      const std::int64_t n_rows = std::min(rows_at_once_, last - first);
      gather(first, n_rows);
      visit(first, predictor_->predict({.x = x_.data(), .n_rows = static_cast<std::int32_t>(n_rows), .n_columns = model_.n_columns}));
    }
  }

 private:
  void gather(std::int64_t first, std::int64_t n_rows) {
    const std::int64_t d = sample_.n_columns;
    x_.resize(static_cast<std::size_t>(n_rows * d));
    for (std::int64_t j = 0; j < d; ++j)
      for (std::int64_t i = 0; i < n_rows; ++i)
        x_[static_cast<std::size_t>(i * d + j)] = sample_.columns[static_cast<std::size_t>(j * sample_.n_rows + first + i)];
  }

  const SeedingSample& sample_;
  std::int64_t rows_at_once_;
  std::vector<float> x_;  // (at most rows_at_once_, n_columns)
  Model model_;
  std::unique_ptr<Predictor> predictor_;
};

// What k-means|| has drawn: rows of the sample, and for every row of the sample the nearest of them.
class Candidates {
 public:
  Candidates(Context& context, const SeedingSample& sample)
      : sample_(sample),
        nearest_candidate_(context, sample),
        distance_(static_cast<std::size_t>(sample.n_rows), std::numeric_limits<double>::infinity()),
        nearest_(static_cast<std::size_t>(sample.n_rows)) {}

  std::int64_t size() const { return std::ssize(drawn_); }
  double potential() const { return potential_; }

  void add(const std::vector<std::int64_t>& drawn) {
    std::vector<float> centers;
    for (const std::int64_t i : drawn) {
      const std::vector<float> row = sample_.at(i);
      centers.insert(centers.end(), row.begin(), row.end());
    }
    potential_ = 0;
    nearest_candidate_.begin(centers);
    nearest_candidate_.for_rows(0, sample_.n_rows, [&](std::int64_t first, const Assignment& of_drawn) {
      for (std::size_t i = 0; i < of_drawn.label.size(); ++i) {
        const std::size_t row = static_cast<std::size_t>(first) + i;
        if (of_drawn.squared_distance[i] < distance_[row]) {
          distance_[row] = of_drawn.squared_distance[i];
          nearest_[row] = size() + of_drawn.label[i];
        }
        potential_ += sample_.weight[row] * distance_[row];
      }
    });
    drawn_.insert(drawn_.end(), drawn.begin(), drawn.end());
  }

  // Rows, each drawn with a probability proportional to weight * distance, `expected` in the mean.
  std::vector<std::int64_t> draw(std::uint64_t seed, double expected, std::uint64_t stream) const {
    std::vector<std::int64_t> drawn;
    for (std::size_t i = 0; i < distance_.size(); ++i) {
      const double u = random_uniform(seed, Purpose::seeding_round, static_cast<std::uint64_t>(sample_.row[i]), stream);
      if (u * potential_ < expected * sample_.weight[i] * distance_[i]) drawn.push_back(static_cast<std::int64_t>(i));
    }
    return drawn;
  }

  // Weighted by the rows that are nearest to each.
  SeedingSample as_sample() const {
    const std::size_t n = drawn_.size();
    SeedingSample result{.n_rows = size(),
                         .n_columns = sample_.n_columns,
                         .columns = {},
                         .weight = std::vector<double>(n),
                         .row = std::vector<std::int64_t>(n)};
    for (std::int64_t j = 0; j < sample_.n_columns; ++j)
      for (const std::int64_t i : drawn_) result.columns.push_back(sample_.columns[static_cast<std::size_t>(j * sample_.n_rows + i)]);
    for (std::size_t i = 0; i < nearest_.size(); ++i) result.weight[static_cast<std::size_t>(nearest_[i])] += sample_.weight[i];
    for (std::size_t c = 0; c < n; ++c) result.row[c] = sample_.row[static_cast<std::size_t>(drawn_[c])];
    return result;
  }

 private:
  const SeedingSample& sample_;
  Nearest nearest_candidate_;
  std::vector<std::int64_t> drawn_;
  std::vector<double> distance_;       // (n_rows) squared, to the nearest candidate
  std::vector<std::int64_t> nearest_;  // (n_rows) which one
  double potential_ = 0;               // sum of weight * distance
};

}  // namespace

std::vector<float> SeedingSample::at(std::int64_t i) const {
  std::vector<float> values;
  for (std::size_t cell = static_cast<std::size_t>(i); cell < columns.size(); cell += static_cast<std::size_t>(n_rows))
    values.push_back(columns[cell]);
  return values;
}

SeedingSample first_of(const FirstRows& rows, std::int64_t n_rows) {
  const std::int64_t n = std::min(n_rows, rows.size());
  const std::size_t d = static_cast<std::size_t>(rows.n_values()) - 1, n_samples = static_cast<std::size_t>(n);
  SeedingSample sample{.n_rows = n,
                       .n_columns = rows.n_values() - 1,
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

std::vector<float> kmeans_plus_plus(Context& context, const SeedingSample& sample, std::int32_t n_clusters, std::uint64_t stream) {
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

std::vector<float> kmeans_parallel(Context& context, const SeedingSample& sample, std::int32_t n_clusters, std::uint64_t restart) {
  constexpr std::uint64_t kRounds = 5, kMostRounds = 50;  // more only while there are fewer candidates than clusters
  const double expected = 2.0 * n_clusters;
  Candidates candidates(context, sample);
  candidates.add({draw_first(sample, random_uniform(context.seed(), Purpose::seeding_first, 0, restart))});
  for (std::uint64_t round = 0; candidates.potential() > 0; ++round) {
    if (round == kMostRounds || (round >= kRounds && candidates.size() >= n_clusters)) break;
    const std::vector<std::int64_t> drawn = candidates.draw(context.seed(), expected, restart * kMostRounds + round);
    if (!drawn.empty()) candidates.add(drawn);
  }
  return kmeans_plus_plus(context, candidates.as_sample(), n_clusters, restart);
}

std::vector<float> mini_batch(Context& context, const SeedingSample& sample, std::int32_t n_clusters, std::uint64_t restart) {
  constexpr int kRounds = 4;
  std::vector<float> centers = kmeans_plus_plus(context, sample, n_clusters, restart);
  std::vector<double> mean(centers.begin(), centers.end()), weight(static_cast<std::size_t>(n_clusters));
  const auto d = static_cast<std::size_t>(sample.n_columns), n = static_cast<std::size_t>(sample.n_rows);
  const auto move = [&](std::size_t row, std::size_t k) {  // towards the row, by its share of what the center has met
    if (sample.weight[row] == 0) return;
    weight[k] += sample.weight[row];
    const double share = sample.weight[row] / weight[k];
    for (std::size_t j = 0; j < d; ++j) mean[k * d + j] += share * (static_cast<double>(sample.columns[j * n + row]) - mean[k * d + j]);
  };
  Nearest nearest(context, sample);
  for (int round = 0; round < kRounds; ++round)
    for (std::int64_t first = 0; first < sample.n_rows; first += kBlockRows) {
      nearest.begin(centers);
      nearest.for_rows(first, std::min(first + kBlockRows, sample.n_rows), [&](std::int64_t at, const Assignment& rows) {
        for (std::size_t i = 0; i < rows.label.size(); ++i) move(static_cast<std::size_t>(at) + i, static_cast<std::size_t>(rows.label[i]));
      });
      std::transform(mean.begin(), mean.end(), centers.begin(), [](double value) { return static_cast<float>(value); });
    }
  return centers;
}

std::vector<float> random_rows(Context& context, const SeedingSample& sample, std::int32_t n_clusters, std::uint64_t stream) {
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

}  // namespace coterie::kmeans
