// The rows that k-means starts from, in memory, and the ways to choose centers among them. Draws are keyed by the seed, the
// restart and the global row, and sums have a fixed order: the same centers for any threads and file.
#pragma once

#include <cstdint>
#include <vector>

#include "host/context.hpp"
#include "host/nearest_centers.hpp"
#include "host/statistics.hpp"

namespace coterie::kmeans {

struct SeedingSample {
  std::int64_t n_rows = 0, n_columns = 1;
  std::vector<float> strips;      // (n_strips, n_columns, nearest::kColumnStrip), for scans over all of its rows; zeros after the last
  std::vector<double> weight;     // (n_rows) steps
  std::vector<std::int64_t> row;  // (n_rows) global

  SeedingSample() = default;
  SeedingSample(std::int64_t n_rows, std::int64_t n_columns);
  const float* strip(std::int64_t first_row) const { return strips.data() + first_row * n_columns; }
  std::size_t place(std::int64_t i, std::int64_t column) const {  // of a cell
    return static_cast<std::size_t>((i / nearest::kColumnStrip * n_columns + column) * nearest::kColumnStrip + i % nearest::kColumnStrip);
  }
  std::vector<float> at(std::int64_t i) const;  // (n_columns)
};

// The first n_rows of a sorted sample (GridMoments::sample), which are a random sample themselves.
SeedingSample first_of(const FirstRows& rows, std::int64_t n_rows);

// All return (n_clusters, n_columns) centers.

// Greedy k-means++ (Arthur and Vassilvitskii, 2007, with 2 + ln k trials per center as scikit-learn).
std::vector<float> kmeans_plus_plus(Context& context, const SeedingSample& sample, std::int32_t n_clusters, std::uint64_t restart);
// k-means|| (Bahmani et al., 2012): rounds that draw 2 k rows at once, then k-means++ among what they drew, weighted by the rows that
// are nearest to each. For many clusters, where k-means++ takes the longest part of a fit.
std::vector<float> kmeans_parallel(Context& context, const SeedingSample& sample, std::int32_t n_clusters, std::uint64_t restart);
// k-means++, then mini-batch k-means (Sculley, 2010) over the sample: near the end before the first sweep over all rows.
std::vector<float> mini_batch(Context& context, const SeedingSample& sample, std::int32_t n_clusters, std::uint64_t restart);
// Distinct rows.
std::vector<float> random_rows(Context& context, const SeedingSample& sample, std::int32_t n_clusters, std::uint64_t restart);

}  // namespace coterie::kmeans
