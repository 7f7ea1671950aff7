#include "host/ranked_scores.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <tuple>

#include "host/key_ranges.hpp"
#include "host/ordered_key.hpp"
#include "host/parallel_sort.hpp"
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

ScoreRecord record_of(double score, std::int32_t weight, std::int32_t segment, bool positive) {
  return {score, weight, 2 * segment + (positive ? 1 : 0)};
}

void add(TiedScore& group, std::int64_t weight, bool positive) {
  (positive ? group.positive_rows : group.negative_rows) += 1;
  (positive ? group.positive_weight : group.negative_weight) += weight;
}

// The first record may tie with the last group.
void append_ties(UnwrittenVector<TiedScore>& groups, std::span<const ScoreRecord> sorted) {
  for (const ScoreRecord& record : sorted) {
    if (groups.empty() || groups.back().score != record.score) groups.push_back({.score = record.score});
    add(groups.back(), record.weight, record.positive());
  }
}

UnwrittenVector<TiedScore> tied(std::span<const ScoreRecord> sorted) {
  std::size_t n_groups = 0;
  for (std::size_t i = 0; i < sorted.size(); ++i) n_groups += i == 0 || sorted[i].score != sorted[i - 1].score;
  UnwrittenVector<TiedScore> groups;
  groups.reserve(n_groups);
  append_ties(groups, sorted);
  return groups;
}

UnwrittenVector<ScoreRecord> counted_records(Context& context, const ScoredRows& rows, std::int32_t n_segments,
                                             std::span<const std::int64_t> counted_before) {
  UnwrittenVector<ScoreRecord> records(static_cast<std::size_t>(counted_before.back()));
  context.parallel_for(n_pieces(rows), [&](std::int64_t piece, int) {
    ScoreRecord* record = records.data() + counted_before[static_cast<std::size_t>(piece)];
    for_each_counted(rows, piece, n_segments, [&](double score, std::int32_t weight, std::int32_t segment, bool positive) {
      *record++ = record_of(score, weight, segment, positive);
    });
  });
  return records;
}

std::vector<RankedScores> rank_by_sorting(Context& context, const ScoredRows& rows, std::int32_t n_segments,
                                          std::span<const std::int64_t> counted_before) {
  UnwrittenVector<ScoreRecord> records = counted_records(context, rows, n_segments, counted_before);
  parallel_sort(context, std::span<ScoreRecord>(records), comes_before);
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

// What a pass over rows that memory does not hold takes besides: how many rows at a time, and fewest.
constexpr std::int64_t kSortedBytes =
    2 * sizeof(ScoreRecord) + sizeof(TiedScore);  // a record, its place in a ranking by segments, its group
constexpr std::int64_t kPassBytes = kRangeCountBytes + static_cast<std::int64_t>(kGroupsOfChunk * sizeof(TiedScore));
constexpr std::int64_t kFewestRows = std::int64_t{1} << 16;

struct Room {
  Reservation memory;
  std::size_t rows;
};

// For as many of `n_rows` as fit, and what else a pass needs.
Room make_room(Context& context, std::int64_t n_rows, std::int64_t row_bytes) {
  const std::int64_t fit = (context.memory().available() - kPassBytes) / row_bytes;
  const std::int64_t rows = std::min(std::max(fit, kFewestRows), n_rows);
  return {context.memory().reserve("ranking the scores", kPassBytes + rows * row_bytes), static_cast<std::size_t>(rows)};
}

// Groups on their way from sorted records to the parts of a ranking.
class Parts {
 public:
  Parts(std::size_t room, const RankedScores::Sink& sink) : sink_(sink) { groups_.reserve(room + kGroupsOfChunk); }

  void add(std::span<const ScoreRecord> sorted) {
    append_ties(groups_, sorted);
    const std::size_t complete = (groups_.size() - 1) / kGroupsOfChunk * kGroupsOfChunk;  // more rows may tie with the last group
    if (complete > 0) sink_(std::span(groups_).first(complete));
    groups_.erase(groups_.begin(), groups_.begin() + static_cast<std::ptrdiff_t>(complete));
  }
  void finish() const { sink_(groups_); }

 private:
  const RankedScores::Sink& sink_;
  UnwrittenVector<TiedScore> groups_;
};

// The rows of one ranking; segment -1: of the population.
struct Ranked {
  ScoredRows rows;
  std::int32_t segment, n_segments;

  // Calls f(key, record).
  template <class F>
  void for_each_record(F&& f) const {
    for (std::int64_t piece = 0; piece < n_pieces(rows); ++piece)
      for_each_counted(rows, piece, n_segments, [&](double score, std::int32_t weight, std::int32_t of_segment, bool positive) {
        if (segment < 0 || of_segment == segment) f(ordered_key(score), record_of(score, weight, of_segment, positive));
      });
  }
};

void rank_by_ranges(Context& context, const Ranked& ranked, const RankedScores::Sink& sink) {
  std::int64_t n_rows = 0;
  ranked.for_each_record([&](std::uint64_t, const ScoreRecord&) { ++n_rows; });
  const Room room = make_room(context, n_rows, kSortedBytes);
  Parts parts(room.rows, sink);
  const auto for_each = [&](auto&& f) { ranked.for_each_record(f); };
  const auto add = [&](std::span<ScoreRecord> records) {
    parallel_sort(context, std::span<ScoreRecord>(records), comes_before);
    parts.add(records);
  };
  KeyRanges<ScoreRecord, decltype(for_each), decltype(add)>(room.rows, for_each, add).run(static_cast<std::size_t>(n_rows));
  parts.finish();
}

std::vector<RankedScores> rank_for_every_pass(Context& context, const ScoredRows& rows, std::int32_t n_segments) {
  std::vector<RankedScores> ranked(static_cast<std::size_t>(n_segments) + 1);
  for (std::int32_t i = 0; i <= n_segments; ++i)
    ranked[static_cast<std::size_t>(i)].rank_again = [&context, of = Ranked{rows, i < n_segments ? i : -1, n_segments}](
                                                         const RankedScores::Sink& sink) { rank_by_ranges(context, of, sink); };
  return ranked;
}

// Order statistics of `ranks`, ascending and counted from 1, of scores of which `before` lie below the first; one of them parts the others.
struct Selection {
  std::span<double> scores;
  std::int64_t before;
  std::span<const std::int64_t> ranks;
  double* to;

  std::array<Selection, 2> part() const {
    const std::size_t middle = ranks.size() / 2;
    const auto at = static_cast<std::size_t>(ranks[middle] - before - 1);
    std::nth_element(scores.begin(), scores.begin() + static_cast<std::ptrdiff_t>(at), scores.end());
    to[middle] = scores[at];
    const auto below = std::find(ranks.begin(), ranks.end(), ranks[middle]) - ranks.begin();
    std::fill(to + below, to + middle, scores[at]);
    return {Selection{scores.first(at), before, ranks.first(static_cast<std::size_t>(below)), to},
            Selection{scores.subspan(at), before + static_cast<std::int64_t>(at), ranks.subspan(middle + 1), to + middle + 1}};
  }
};

void select_ranks(Context& context, const Selection& all) {
  std::vector<Selection> open{all}, parted;
  for (; !open.empty(); open.swap(parted)) {
    std::erase_if(open, [](const Selection& selection) { return selection.ranks.empty(); });
    parted.resize(2 * open.size());
    context.parallel_for(std::ssize(open), [&](std::int64_t i, int) {
      const std::array<Selection, 2> parts = open[static_cast<std::size_t>(i)].part();
      std::copy(parts.begin(), parts.end(), parted.begin() + 2 * i);
    });
  }
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
  const std::int64_t n_counted = counted_before.back();
  const auto groups = std::make_shared<Reservation>();  // of the population and of all segments
  Reservation sorting;                                  // records, and the copy that parting by segments wants
  if (!context.memory().try_reserve(n_counted * (n_segments > 0 ? 2 : 1) * std::int64_t{sizeof(TiedScore)}, *groups) ||
      !context.memory().try_reserve(n_counted * (n_segments > 0 ? 2 : 1) * std::int64_t{sizeof(ScoreRecord)}, sorting))
    return rank_for_every_pass(context, rows, n_segments);
  std::vector<RankedScores> ranked = rank_by_sorting(context, rows, n_segments, counted_before);
  for (RankedScores& ranking : ranked) ranking.memory = groups;
  return ranked;
}

std::int64_t least_ranking_bytes(std::int64_t n_rows) { return kPassBytes + std::min(n_rows, kFewestRows) * kSortedBytes; }

std::int64_t last_rank(std::int64_t n_rows, std::int32_t percentile) {
  return static_cast<std::int64_t>(static_cast<int128>(n_rows) * percentile / kPercentiles);
}

std::vector<double> percentile_cuts(Context& context, std::span<const double> score) {
  std::vector<std::int64_t> ranks;
  for (std::int32_t p = 1; p < kPercentiles; ++p) ranks.push_back(last_rank(std::ssize(score), p));
  std::vector<double> cuts(ranks.size(), -std::numeric_limits<double>::infinity());  // where a percentile has no row
  std::int64_t before = std::ssize(score);
  const auto for_each = [&](auto&& f) {
    for (const double s : score) f(ordered_key(s), s + 0.0);
  };
  const auto select = [&](std::span<double> scores) {
    before -= std::ssize(scores);
    const auto at = [&](std::int64_t rank) { return std::upper_bound(ranks.begin(), ranks.end(), rank) - ranks.begin(); };
    const auto first = static_cast<std::size_t>(at(before)), last = static_cast<std::size_t>(at(before + std::ssize(scores)));
    select_ranks(context, {scores, before, std::span<const std::int64_t>(ranks).subspan(first, last - first), cuts.data() + first});
  };
  const Room room = make_room(context, std::ssize(score), sizeof(double));
  KeyRanges<double, decltype(for_each), decltype(select)>(room.rows, for_each, select).run(score.size());
  return cuts;
}

std::int32_t percentile(std::span<const double> cuts, double score) {
  return 1 + static_cast<std::int32_t>(std::lower_bound(cuts.begin(), cuts.end(), score) - cuts.begin());
}

}  // namespace coterie
