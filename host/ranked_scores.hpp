// Scored rows in the order of their score, rows of equal score together: all that measures of a binary score look at.
// Counts and weights are integers, so nothing depends on the order or the threads that brought the rows here.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "host/context.hpp"
#include "host/error.hpp"
#include "host/row_array.hpp"

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

// Parts of a ranking are whole chunks of so many groups, but for the last: sums of chunks do not depend on the parts.
inline constexpr std::size_t kGroupsOfChunk = std::size_t{1} << 14;

// The groups by descending score: where memory does not hold them, ranked anew for every pass over them, part by part.
struct RankedScores {
  using Sink = std::function<void(std::span<const TiedScore>)>;

  UnwrittenVector<TiedScore> groups;
  std::function<void(const Sink&)> rank_again;  // or empty; reads the rows that were ranked
  std::shared_ptr<const Reservation> memory;    // of the groups of all rankings that were made together

  void for_each_part(const Sink& f) const { rank_again ? rank_again(f) : f(groups); }
  template <class F>
  void for_each_group(F&& f) const {
    for_each_part([&](std::span<const TiedScore> part) {
      for (const TiedScore& group : part) f(group);
    });
  }
};

inline constexpr std::int64_t kRowsOfPiece = 1 << 14;  // that one thread looks through at a time

// Calls f(score, weight, segment, positive) for the rows of a piece that count; -0.0 as 0.0, segment n_segments where a row has none.
// ArgumentError: an infinite or missing score.
template <class F>
void for_each_counted(const ScoredRows& rows, std::int64_t piece, std::int32_t n_segments, F&& f) {
  const auto last = static_cast<std::size_t>(std::min(std::ssize(rows.score), (piece + 1) * kRowsOfPiece));
  for (auto row = static_cast<std::size_t>(piece * kRowsOfPiece); row < last; ++row) {
    const std::int32_t weight = rows.weight.empty() ? 1 : rows.weight[row];
    if (rows.outcome[row] < 0 || weight == 0) continue;
    if (!std::isfinite(rows.score[row])) throw ArgumentError("a score is infinite or missing");
    const std::int32_t label = rows.label.empty() ? n_segments : rows.label[row];
    f(rows.score[row] + 0.0, weight, label < 0 || label >= n_segments ? n_segments : label, rows.outcome[row] == 1);
  }
}

// (pieces + 1) How many rows count before each piece; the last: how many there are. ArgumentError as rank_scores().
std::vector<std::int64_t> count_rows(Context& context, const ScoredRows& rows);

// One entry per segment, then the population; the same groups for any memory, which the entries hold or, where it is short, find again in
// `rows`, whose columns must outlive them then. ArgumentError: spans of other lengths, an infinite or missing score. ResourceError, from
// here or from a pass: not even least_ranking_bytes() are left.
std::vector<RankedScores> rank_scores(Context& context, const ScoredRows& rows, std::int32_t n_segments = 0);
// With which ranks of so many rows, and their percentiles, are found.
std::int64_t least_ranking_bytes(std::int64_t n_rows);

inline constexpr std::int32_t kPercentiles = 100;

// (99) ascending: a score belongs to percentile 1 + how many of them it exceeds. Equal scores share their percentile. Order statistics
// of all scores. `score` is not empty. ResourceError as above.
std::vector<double> percentile_cuts(Context& context, std::span<const double> score);
std::int32_t percentile(std::span<const double> cuts, double score);  // 1 to 100, 100 the highest
// The rank, counted from 1 upwards, of the last row of each percentile but the highest; 0 where there is none.
std::int64_t last_rank(std::int64_t n_rows, std::int32_t percentile);

}  // namespace coterie
