#include "host/seeding_sample.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "host/kmeans.hpp"
#include "host/nearest_centers.hpp"
#include "host/random.hpp"
#include "host/row_blocks.hpp"

namespace coterie::kmeans {
namespace {

// Weighted squared distances of the sample to its nearest chosen center, with sums per block of kBlockRows in a fixed
// order, so that a draw never depends on threads.
struct Potential {
  std::vector<double> distance;   // (n_rows) squared, to the nearest center so far
  std::vector<double> block_sum;  // of weight * distance
  double total = 0;
};

// Centers for nearest::squared_distances: (n_columns, number of candidates).
std::vector<double> columns_of(const SeedingSample& sample, std::span<const std::int64_t> candidates) {
  std::vector<double> columns;
  for (std::int64_t j = 0; j < sample.n_columns; ++j)
    for (const std::int64_t i : candidates) columns.push_back(static_cast<double>(sample.strips[sample.place(i, j)]));
  return columns;
}

// What the potential would be with each of some candidates more, all of them in one scan. with: as many as there are candidates.
void add_each(Context& context, const SeedingSample& sample, const std::vector<double>& distance, std::span<const std::int64_t> candidates,
              std::span<Potential> with) {
  const std::vector<double> columns = columns_of(sample, candidates);
  const std::int64_t n_blocks = blocks_of(sample.n_rows);
  for (Potential& next : with) {
    next.distance.resize(distance.size());
    next.block_sum.assign(static_cast<std::size_t>(n_blocks), 0.0);
  }
  context.parallel_for(n_blocks, [&](std::int64_t block, int) {
    std::vector<double> to_candidates(candidates.size() * static_cast<std::size_t>(nearest::kColumnStrip));
    const std::int64_t last = std::min((block + 1) * kBlockRows, sample.n_rows);
    for (std::int64_t first = block * kBlockRows; first < last; first += nearest::kColumnStrip) {
      nearest::squared_distances(sample.strip(first), sample.n_columns, columns.data(), candidates.size(), to_candidates.data());
      const double* to = to_candidates.data();
      for (Potential& next : with) {
        double sum = next.block_sum[static_cast<std::size_t>(block)];
        for (std::int64_t row = first; row < std::min(first + nearest::kColumnStrip, last); ++row) {
          const auto i = static_cast<std::size_t>(row);
          next.distance[i] = std::min(to[row - first], distance[i]);
          sum += sample.weight[i] * next.distance[i];
        }
        next.block_sum[static_cast<std::size_t>(block)] = sum;
        to += nearest::kColumnStrip;
      }
    }
  });
  for (Potential& next : with) next.total = std::accumulate(next.block_sum.begin(), next.block_sum.end(), 0.0);
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

std::size_t trials_of(std::int32_t n_clusters) { return 2 + static_cast<std::size_t>(std::log(n_clusters)); }

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
    for (std::int64_t i = 0; i < n_rows; ++i)
      for (std::int64_t j = 0; j < d; ++j) x_[static_cast<std::size_t>(i * d + j)] = sample_.strips[sample_.place(first + i, j)];
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
    SeedingSample result(size(), sample_.n_columns);
    for (std::size_t c = 0; c < n; ++c)
      for (std::int64_t j = 0; j < sample_.n_columns; ++j)
        result.strips[result.place(static_cast<std::int64_t>(c), j)] = sample_.strips[sample_.place(drawn_[c], j)];
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

SeedingSample::SeedingSample(std::int64_t rows, std::int64_t columns)
    : n_rows(rows),
      n_columns(columns),
      strips(static_cast<std::size_t>((rows + nearest::kColumnStrip - 1) / nearest::kColumnStrip * nearest::kColumnStrip * columns)),
      weight(static_cast<std::size_t>(rows)),
      row(static_cast<std::size_t>(rows)) {}

std::vector<float> SeedingSample::at(std::int64_t i) const {
  std::vector<float> values;
  for (std::int64_t j = 0; j < n_columns; ++j) values.push_back(strips[place(i, j)]);
  return values;
}

SeedingSample first_of(const FirstRows& rows, std::int64_t n_rows) {
  const std::int64_t n = std::min(n_rows, rows.size());
  const std::int64_t d = rows.n_values() - 1;
  SeedingSample sample(n, d);
  for (std::int64_t i = 0; i < n; ++i) {
    const auto values = rows.values(i);
    for (std::int64_t j = 0; j < d; ++j) sample.strips[sample.place(i, j)] = values[static_cast<std::size_t>(j)];
    sample.weight[static_cast<std::size_t>(i)] = static_cast<double>(values[static_cast<std::size_t>(d)]);
    sample.row[static_cast<std::size_t>(i)] = rows.row(i);
  }
  return sample;
}

std::vector<float> kmeans_plus_plus(Context& context, const SeedingSample& sample, std::int32_t n_clusters, std::uint64_t stream) {
  std::vector<std::int64_t> trials{draw_first(sample, random_uniform(context.seed(), Purpose::seeding_first, 0, stream))};
  std::vector<float> centers = sample.at(trials.front());
  Potential potential;
  add_each(context, sample, std::vector<double>(static_cast<std::size_t>(sample.n_rows), std::numeric_limits<double>::infinity()), trials,
           std::span(&potential, 1));
  trials.resize(trials_of(n_clusters));
  const Reservation distances =
      context.memory().reserve("distances of the seeding sample", sample.n_rows * (std::ssize(trials) + 1) * std::int64_t{sizeof(double)});
  std::vector<Potential> with(trials.size());
  for (std::int32_t k = 1; k < n_clusters; ++k) {
    for (std::size_t trial = 0; trial < trials.size(); ++trial)
      trials[trial] = draw(sample, potential,
                           random_uniform(context.seed(), Purpose::seeding_next, static_cast<std::uint64_t>(k) * 64 + trial, stream));
    add_each(context, sample, potential.distance, trials, with);
    const auto best = std::min_element(with.begin(), with.end(), [](const Potential& a, const Potential& b) { return a.total < b.total; });
    std::swap(potential, *best);
    const std::vector<float> center = sample.at(trials[static_cast<std::size_t>(best - with.begin())]);
    centers.insert(centers.end(), center.begin(), center.end());
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
  const auto d = static_cast<std::size_t>(sample.n_columns);
  const auto move = [&](std::size_t row, std::size_t k) {  // towards the row, by its share of what the center has met
    if (sample.weight[row] == 0) return;
    weight[k] += sample.weight[row];
    const double share = sample.weight[row] / weight[k];
    const std::vector<float> values = sample.at(static_cast<std::int64_t>(row));
    for (std::size_t j = 0; j < d; ++j) mean[k * d + j] += share * (static_cast<double>(values[j]) - mean[k * d + j]);
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
