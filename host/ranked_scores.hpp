// Scored rows in the order of their score, rows of equal score together: all that measures of a binary score look at.
// Counts and weights are integers, so nothing depends on the order or the threads that brought the rows here.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "host/context.hpp"

namespace coterie {

struct TiedScore {  // the rows of one score
  double score = 0;
  std::int64_t positive_rows = 0, negative_rows = 0;
  std::int64_t positive_weight = 0, negative_weight = 0;  // summed weight steps
};

struct ScoredRows {
  std::span<const double> score;         // (n_rows) finite; log-odds before calibration
  std::span<const std::int8_t> outcome;  // (n_rows) 1, 0, or -1: unknown, or not to be counted
  std::span<const std::int32_t> weight;  // (n_rows) weight steps, or empty; rows of weight 0 are absent
  std::span<const std::int32_t> label;   // (n_rows) segment, or empty; rows of label -1 belong to the population only
};

struct RankedScores {
  std::vector<TiedScore> groups;  // descending scores
  // False: memory held 2^20 equal steps between the least and the largest score only; a step's rows count as tied, at their mean.
  bool exact = true;
};

struct ScoreRecord {  // a row that counts
  double score;
  std::int32_t weight;
  std::int32_t segment_and_outcome;  // 2 * segment + outcome; segment n_segments: of none

  constexpr std::int32_t segment() const { return segment_and_outcome >> 1; }
  constexpr bool positive() const { return (segment_and_outcome & 1) != 0; }
};

// How many rows count, and those rows: what there is to sort, in the order of the rows, -0.0 as 0.0. ArgumentError as rank_scores().
std::size_t count_rows(const ScoredRows& rows);
std::vector<ScoreRecord> counted_records(const ScoredRows& rows, std::int32_t n_segments, std::size_t n_counted);

// One entry per segment, then the population. A sort of 16 bytes per row where it and its groups fit the memory ledger,
// else a histogram. ArgumentError: spans of other lengths, an infinite or missing score. ResourceError: not even the histogram fits.
std::vector<RankedScores> rank_scores(Context& context, const ScoredRows& rows, std::int32_t n_segments = 0);

inline constexpr std::int32_t kPercentiles = 100;

// (99) ascending: a score belongs to percentile 1 + how many of them it exceeds. Equal scores share their percentile. Exact order
// statistics of all scores where a copy fits the memory ledger, else the upper ends of histogram steps. `score` is not empty.
std::vector<double> percentile_cuts(Context& context, std::span<const double> score);
std::int32_t percentile(std::span<const double> cuts, double score);  // 1 to 100, 100 the highest
// The rank, counted from 1 upwards, of the last row of each percentile but the highest; 0 where there is none.
std::int64_t last_rank(std::int64_t n_rows, std::int32_t percentile);

}  // namespace coterie
