#include "host/ranked_scores.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "host/error.hpp"
#include "host/statistics.hpp"

namespace coterie {
namespace {

// Records that compare equal are the same, so the result of a sort does not depend on how it is done.
bool comes_before(const ScoreRecord& a, const ScoreRecord& b) {
  return std::tie(b.score, a.segment_and_outcome, a.weight) < std::tie(a.score, b.segment_and_outcome, b.weight);
}

void check(const ScoredRows& rows) {
  const std::size_t n = rows.score.size();
  if (rows.outcome.size() != n || (!rows.weight.empty() && rows.weight.size() != n) || (!rows.label.empty() && rows.label.size() != n))
    throw ArgumentError("scores, outcomes, weights and labels must have one entry per row");
}

// Calls f(score, weight, segment, positive) for the rows that count; segment n_segments where a row has none.
template <class F>
void for_each_counted(const ScoredRows& rows, std::int32_t n_segments, F&& f) {
  for (std::size_t row = 0; row < rows.score.size(); ++row) {
    const std::int32_t weight = rows.weight.empty() ? 1 : rows.weight[row];
    if (rows.outcome[row] < 0 || weight == 0) continue;
    if (!std::isfinite(rows.score[row])) throw ArgumentError("a score is infinite or missing");
    const std::int32_t label = rows.label.empty() ? n_segments : rows.label[row];
    f(rows.score[row], weight, label < 0 || label >= n_segments ? n_segments : label, rows.outcome[row] == 1);
  }
}

void add(TiedScore& group, std::int64_t weight, bool positive) {
  (positive ? group.positive_rows : group.negative_rows) += 1;
  (positive ? group.positive_weight : group.negative_weight) += weight;
}

std::vector<TiedScore> tied(std::span<const ScoreRecord> sorted) {
  std::size_t n_groups = 0;
  for (std::size_t i = 0; i < sorted.size(); ++i) n_groups += i == 0 || sorted[i].score != sorted[i - 1].score;
  std::vector<TiedScore> groups;
  groups.reserve(n_groups);
  for (const ScoreRecord& record : sorted) {
    if (groups.empty() || groups.back().score != record.score) groups.push_back({.score = record.score});
    add(groups.back(), record.weight, record.positive());
  }
  return groups;
}

// Slices are sorted on all threads and merged pairwise.
void sort_records(Context& context, std::vector<ScoreRecord>& records) {
  const auto n = std::ssize(records);
  std::int64_t slice = std::max<std::int64_t>(1, (n + context.threads() - 1) / context.threads());
  const auto at = [&](std::int64_t i) { return records.begin() + std::min(i, n); };
  context.parallel_for((n + slice - 1) / slice, [&](std::int64_t s, int) { std::sort(at(s * slice), at((s + 1) * slice), comes_before); });
  for (; slice < n; slice *= 2)
    context.parallel_for((n + 2 * slice - 1) / (2 * slice), [&](std::int64_t s, int) {
      std::inplace_merge(at(2 * s * slice), at((2 * s + 1) * slice), at((2 * s + 2) * slice), comes_before);
    });
}

std::vector<RankedScores> rank_by_sorting(Context& context, const ScoredRows& rows, std::int32_t n_segments, std::size_t n_counted) {
  std::vector<ScoreRecord> records = counted_records(rows, n_segments, n_counted);
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
  for_each_counted(rows, n_segments, [&](double score, std::int32_t, std::int32_t, bool) { finder.add(score); });
  const Steps steps = finder.steps();
  std::vector<std::vector<StepSums>> sums(n_targets, std::vector<StepSums>(static_cast<std::size_t>(kSteps)));
  for_each_counted(rows, n_segments, [&](double score, std::int32_t weight, std::int32_t segment, bool positive) {
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

std::size_t count_rows(const ScoredRows& rows) {
  check(rows);
  std::size_t n_counted = 0;
  for_each_counted(rows, 0, [&](double, std::int32_t, std::int32_t, bool) { ++n_counted; });
  return n_counted;
}

std::vector<ScoreRecord> counted_records(const ScoredRows& rows, std::int32_t n_segments, std::size_t n_counted) {
  check(rows);
  std::vector<ScoreRecord> records;
  records.reserve(n_counted);
  for_each_counted(rows, n_segments, [&](double score, std::int32_t weight, std::int32_t segment, bool positive) {
    records.push_back({score + 0.0, weight, 2 * segment + (positive ? 1 : 0)});  // -0.0 ties with 0.0
  });
  return records;
}

std::vector<RankedScores> rank_scores(Context& context, const ScoredRows& rows, std::int32_t n_segments) {
  const std::size_t n_counted = count_rows(rows);
  // Records, the copy that merging and parting want, and the groups of the population and of all segments.
  const auto bytes = static_cast<std::int64_t>(n_counted * (2 * sizeof(ScoreRecord) + (n_segments > 0 ? 2 : 1) * sizeof(TiedScore)));
  Reservation memory;
  if (context.memory().try_reserve(bytes, memory)) return rank_by_sorting(context, rows, n_segments, n_counted);
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
