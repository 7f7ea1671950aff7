#include "host/ranked_scores.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <tuple>

#include "host/statistics.hpp"

namespace coterie {
namespace {

struct ScoreRecord {  // a row that counts
  double score;
  std::int32_t weight;
  std::int32_t segment_and_outcome;  // 2 * segment + outcome

  std::int32_t segment() const { return segment_and_outcome >> 1; }
  bool positive() const { return (segment_and_outcome & 1) != 0; }
};

// Records that compare equal are the same, so the result of a sort does not depend on how it is done.
bool comes_before(const ScoreRecord& a, const ScoreRecord& b) {
  return std::tie(b.score, a.segment_and_outcome, a.weight) < std::tie(a.score, b.segment_and_outcome, b.weight);
}

void check(const ScoredRows& rows) {
  const std::size_t n = rows.score.size();
  if (rows.outcome.size() != n || (!rows.weight.empty() && rows.weight.size() != n) || (!rows.label.empty() && rows.label.size() != n))
    throw ArgumentError("scores, outcomes, weights and labels must have one entry per row");
}

std::int64_t n_pieces(const ScoredRows& rows) { return (std::ssize(rows.score) + kRowsOfPiece - 1) / kRowsOfPiece; }

void add(TiedScore& group, std::int64_t weight, bool positive) {
  (positive ? group.positive_rows : group.negative_rows) += 1;
  (positive ? group.positive_weight : group.negative_weight) += weight;
}

UnwrittenVector<TiedScore> tied(std::span<const ScoreRecord> sorted) {
  std::size_t n_groups = 0;
  for (std::size_t i = 0; i < sorted.size(); ++i) n_groups += i == 0 || sorted[i].score != sorted[i - 1].score;
  UnwrittenVector<TiedScore> groups;
  groups.reserve(n_groups);
  for (const ScoreRecord& record : sorted) {
    if (groups.empty() || groups.back().score != record.score) groups.push_back({.score = record.score});
    add(groups.back(), record.weight, record.positive());
  }
  return groups;
}

UnwrittenVector<ScoreRecord> counted_records(Context& context, const ScoredRows& rows, std::int32_t n_segments,
                                             std::span<const std::int64_t> counted_before) {
  UnwrittenVector<ScoreRecord> records(static_cast<std::size_t>(counted_before.back()));
  context.parallel_for(n_pieces(rows), [&](std::int64_t piece, int) {
    ScoreRecord* record = records.data() + counted_before[static_cast<std::size_t>(piece)];
    for_each_counted(rows, piece, n_segments, [&](double score, std::int32_t weight, std::int32_t segment, bool positive) {
      *record++ = {score, weight, 2 * segment + (positive ? 1 : 0)};
    });
  });
  return records;
}

// Slices are sorted on all threads and merged pairwise.
void sort_records(Context& context, std::span<ScoreRecord> records) {
  const auto n = std::ssize(records);
  std::int64_t slice = std::max<std::int64_t>(1, (n + context.threads() - 1) / context.threads());
  const auto at = [&](std::int64_t i) { return records.begin() + std::min(i, n); };
  context.parallel_for((n + slice - 1) / slice, [&](std::int64_t s, int) { std::sort(at(s * slice), at((s + 1) * slice), comes_before); });
  for (; slice < n; slice *= 2)
    context.parallel_for((n + 2 * slice - 1) / (2 * slice), [&](std::int64_t s, int) {
      std::inplace_merge(at(2 * s * slice), at((2 * s + 1) * slice), at((2 * s + 2) * slice), comes_before);
    });
}

std::vector<RankedScores> rank_by_sorting(Context& context, const ScoredRows& rows, std::int32_t n_segments,
                                          std::span<const std::int64_t> counted_before) {
  UnwrittenVector<ScoreRecord> records = counted_records(context, rows, n_segments, counted_before);
  sort_records(context, records);
  std::vector<RankedScores> ranked(static_cast<std::size_t>(n_segments) + 1);
  ranked.back().groups = tied(records);
  if (n_segments == 0) return ranked;
  std::stable_sort(records.begin(), records.end(), [](const ScoreRecord& a, const ScoreRecord& b) { return a.segment() < b.segment(); });
  auto begin = records.begin();
  for (std::int32_t segment = 0; segment < n_segments; ++segment) {
    const auto end = std::find_if(begin, records.end(), [&](const ScoreRecord& r) { return r.segment() != segment; });
    ranked[static_cast<std::size_t>(segment)].groups = tied(std::span(begin, end));
    begin = end;
  }
  return ranked;
}

// Equal steps from the least to the largest score.
constexpr std::int64_t kSteps = std::int64_t{1} << 20;
struct Steps {
  double least = 0, width = 0;
  std::size_t of(double score) const {
    return width > 0 ? static_cast<std::size_t>(std::min((score - least) / width, static_cast<double>(kSteps - 1))) : 0;
  }
  double upper_end(std::size_t step) const { return least + width * (static_cast<double>(step) + 1); }
};

class StepFinder {
 public:
  void add(double score) {
    least_ = std::min(least_, score);
    largest_ = std::max(largest_, score);
  }
  Steps steps() const { return {least_, (largest_ - least_) / static_cast<double>(kSteps)}; }

 private:
  double least_ = std::numeric_limits<double>::infinity(), largest_ = -least_;
};

// A step's mean score, as an integer sum of 2^-32 of its width: exact in any order.
struct StepSums {
  TiedScore tied;
  std::int64_t rest = 0;  // sum of (score - lower end) in units
};
constexpr double kUnits = 0x1p32;

std::vector<RankedScores> rank_by_histogram(Context& context, const ScoredRows& rows, std::int32_t n_segments) {
  const std::size_t n_targets = static_cast<std::size_t>(n_segments) + 1;
  const Reservation memory =
      context.memory().reserve("the histogram of scores", static_cast<std::int64_t>(n_targets * sizeof(StepSums)) * kSteps);
  StepFinder finder;
  const auto for_each_row = [&](auto&& f) {
    for (std::int64_t piece = 0; piece < n_pieces(rows); ++piece) for_each_counted(rows, piece, n_segments, f);
  };
  for_each_row([&](double score, std::int32_t, std::int32_t, bool) { finder.add(score); });
  const Steps steps = finder.steps();
  std::vector<std::vector<StepSums>> sums(n_targets, std::vector<StepSums>(static_cast<std::size_t>(kSteps)));
  for_each_row([&](double score, std::int32_t weight, std::int32_t segment, bool positive) {
    const std::size_t step = steps.of(score);
    const double share = steps.width > 0 ? (score - steps.least) / steps.width - static_cast<double>(step) : 0.0;
    const auto put = [&](StepSums& sum) {
      add(sum.tied, weight, positive);
      sum.rest += static_cast<std::int64_t>(share * kUnits);
    };
    put(sums.back()[step]);
    if (segment < n_segments) put(sums[static_cast<std::size_t>(segment)][step]);
  });
  std::vector<RankedScores> ranked(n_targets);
  for (std::size_t target = 0; target < n_targets; ++target) {
    ranked[target].exact = false;
    for (std::size_t step = sums[target].size(); step-- > 0;) {
      StepSums& sum = sums[target][step];
      const std::int64_t n = sum.tied.positive_rows + sum.tied.negative_rows;
      if (n == 0) continue;
      sum.tied.score =
          steps.least + steps.width * (static_cast<double>(step) + static_cast<double>(sum.rest) / kUnits / static_cast<double>(n));
      ranked[target].groups.push_back(sum.tied);
    }
  }
  return ranked;
}

// Order statistics of `ranks`, ascending and counted from 1, of scores of which `before` lie below the first.
void select_ranks(std::span<double> scores, std::int64_t before, std::span<const std::int64_t> ranks, double* to) {
  if (ranks.empty()) return;
  const std::size_t middle = ranks.size() / 2;
  const auto at = static_cast<std::size_t>(ranks[middle] - before - 1);
  std::nth_element(scores.begin(), scores.begin() + static_cast<std::ptrdiff_t>(at), scores.end());
  to[middle] = scores[at];
  const auto below = std::find(ranks.begin(), ranks.end(), ranks[middle]) - ranks.begin();
  std::fill(to + below, to + middle, scores[at]);
  select_ranks(scores.first(at), before, ranks.first(static_cast<std::size_t>(below)), to);
  select_ranks(scores.subspan(at), before + static_cast<std::int64_t>(at), ranks.subspan(middle + 1), to + middle + 1);
}

std::vector<double> cuts_by_selection(std::span<const double> score) {
  std::vector<double> scores(score.begin(), score.end()), cuts(kPercentiles - 1, -std::numeric_limits<double>::infinity());
  std::vector<std::int64_t> ranks;
  for (std::int32_t p = 1; p < kPercentiles; ++p)
    if (const std::int64_t rank = last_rank(std::ssize(scores), p); rank > 0) ranks.push_back(rank);
  select_ranks(scores, 0, ranks, cuts.data() + (cuts.size() - ranks.size()));
  for (double& cut : cuts) cut += 0.0;  // either zero may lie at a rank
  return cuts;
}

std::vector<double> cuts_by_histogram(std::span<const double> score) {
  StepFinder finder;
  for (const double s : score) finder.add(s);
  const Steps steps = finder.steps();
  std::vector<std::int64_t> rows(static_cast<std::size_t>(kSteps));
  for (const double s : score) ++rows[steps.of(s)];
  std::vector<double> cuts;
  std::int64_t below = 0;
  std::size_t step = 0;
  for (std::int32_t p = 1; p < kPercentiles; ++p) {
    const std::int64_t rank = last_rank(std::ssize(score), p);
    while (rank > 0 && below + rows[step] < rank) below += rows[step++];
    cuts.push_back(rank == 0 ? -std::numeric_limits<double>::infinity() : steps.upper_end(step));
  }
  return cuts;
}

}  // namespace

std::vector<std::int64_t> count_rows(Context& context, const ScoredRows& rows) {
  check(rows);
  std::vector<std::int64_t> before(static_cast<std::size_t>(n_pieces(rows)) + 1);
  context.parallel_for(n_pieces(rows), [&](std::int64_t piece, int) {
    std::int64_t counted = 0;
    for_each_counted(rows, piece, 0, [&](double, std::int32_t, std::int32_t, bool) { ++counted; });
    before[static_cast<std::size_t>(piece) + 1] = counted;
  });
  std::partial_sum(before.begin(), before.end(), before.begin());
  return before;
}

std::vector<RankedScores> rank_scores(Context& context, const ScoredRows& rows, std::int32_t n_segments) {
  const std::vector<std::int64_t> counted_before = count_rows(context, rows);
  // Records, the copy that merging and parting want, and the groups of the population and of all segments.
  const std::int64_t bytes_per_row = 2 * sizeof(ScoreRecord) + (n_segments > 0 ? 2 : 1) * sizeof(TiedScore);
  Reservation memory;
  if (context.memory().try_reserve(counted_before.back() * bytes_per_row, memory))
    return rank_by_sorting(context, rows, n_segments, counted_before);
  return rank_by_histogram(context, rows, n_segments);
}

std::int64_t last_rank(std::int64_t n_rows, std::int32_t percentile) {
  return static_cast<std::int64_t>(static_cast<int128>(n_rows) * percentile / kPercentiles);
}

std::vector<double> percentile_cuts(Context& context, std::span<const double> score) {
  Reservation memory;
  if (context.memory().try_reserve(static_cast<std::int64_t>(score.size_bytes()), memory)) return cuts_by_selection(score);
  return cuts_by_histogram(score);
}

std::int32_t percentile(std::span<const double> cuts, double score) {
  return 1 + static_cast<std::int32_t>(std::lower_bound(cuts.begin(), cuts.end(), score) - cuts.begin());
}

}  // namespace coterie
