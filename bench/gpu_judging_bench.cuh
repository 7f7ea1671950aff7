// Scores ranked from host memory to host memory for gpu_bench, and what judges them.
#pragma once

#include <chrono>
#include <cmath>
#include <cstdio>
#include <vector>

#include "bench/gpu_stage.cuh"
#include "cuda/ranked_scores.hpp"
#include "host/evaluation.hpp"

namespace coterie::gpu {

// The row at a place in the order of scores, 0 the lowest. Every eighth part of the places from 0 on ties in fours; one row in 16 is not
// counted for want of an outcome and, with weights, one in 4 for its weight of 0. Positives become likelier in step with the place: the
// area under the ROC curve is 5/6 but for sampling.
struct PlantedRow {
  double score;
  std::int8_t outcome;
  std::int32_t weight, label;

  PlantedRow(std::int64_t place, const Shape& shape, bool weighted) {
    const auto share = (static_cast<double>(place < shape.n_rows / 8 ? place / 4 * 4 : place) + 0.5) / static_cast<double>(shape.n_rows);
    const std::uint64_t bits = mix(static_cast<std::uint64_t>(place));
    score = 15.7 * share - 8.1;  // of no regular bits
    outcome = bits % 16 == 0 ? std::int8_t{-1} : static_cast<std::int8_t>(static_cast<double>(bits >> 11) * 0x1p-53 < share);
    weight = weighted ? static_cast<std::int32_t>(bits >> 4 & 3) << 20 : 1;
    label = static_cast<std::int32_t>((bits >> 6 & 0xffff) % static_cast<std::uint64_t>(shape.n_clusters + 1)) - 1;
  }
  bool counts() const { return outcome >= 0 && weight > 0; }
};

struct PlantedScores {
  std::vector<double> score;
  std::vector<std::int8_t> outcome;
  std::vector<std::int32_t> weight, label;  // empty where there are none

  PlantedScores(Context& context, const Shape& shape, bool weighted)
      : score(static_cast<std::size_t>(shape.n_rows)),
        outcome(score.size()),
        weight(weighted ? score.size() : 0),
        label(shape.n_clusters > 0 ? score.size() : 0) {
    constexpr std::int64_t kStride = 2654435761;  // a prime: the places of successive rows lie far apart, and all are taken
    context.parallel_stretches(shape.n_rows, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const PlantedRow row(i * kStride % shape.n_rows, shape, weighted);
        const auto at = static_cast<std::size_t>(i);
        score[at] = row.score;
        outcome[at] = row.outcome;
        if (!weight.empty()) weight[at] = row.weight;
        if (!label.empty()) label[at] = row.label;
      }
    });
  }
};

// Compares the groups of one target with rows that come by descending score.
class GroupCheck {
 public:
  explicit GroupCheck(const RankedScores& ranked) : next_(ranked.groups.data()), end_(next_ + ranked.groups.size()) {}
  void add(const PlantedRow& row) {
    if (!has_rows_ || row.score != sum_.score) {
      close();
      sum_ = {.score = row.score};
      has_rows_ = true;
    }
    (row.outcome == 1 ? sum_.positive_rows : sum_.negative_rows) += 1;
    (row.outcome == 1 ? sum_.positive_weight : sum_.negative_weight) += row.weight;
  }
  bool is_right() {
    close();
    return right_ && next_ == end_;
  }

 private:
  void close() {
    if (!has_rows_) return;
    has_rows_ = false;
    right_ = right_ && next_ < end_ && next_->score == sum_.score && next_->positive_rows == sum_.positive_rows &&
             next_->negative_rows == sum_.negative_rows && next_->positive_weight == sum_.positive_weight &&
             next_->negative_weight == sum_.negative_weight;
    if (next_ < end_) ++next_;
  }

  const TiedScore *next_, *end_;
  TiedScore sum_;
  bool has_rows_ = false, right_ = true;
};

// All groups, against the plant.
inline bool groups_are_right(const std::vector<RankedScores>& ranked, const Shape& shape, bool weighted) {
  std::vector<GroupCheck> checks(ranked.begin(), ranked.end());
  for (std::int64_t place = shape.n_rows; place-- > 0;) {
    const PlantedRow row(place, shape, weighted);
    if (!row.counts()) continue;
    checks.back().add(row);
    if (row.label >= 0) checks[static_cast<std::size_t>(row.label)].add(row);
  }
  bool right = true;
  for (GroupCheck& check : checks) right = check.is_right() && right;
  return right;
}

// Bytes: of rows and groups on the link, and in the device's memory those of a sort by digits of 8 bits, with its histogram, before it and
// of the groups after it; parting by segment is not among them. n_clusters counts the segments.
inline void measure_ranking(Bench& bench, const Shape& shape, bool weighted) {
  if (!is_wanted(bench, shape)) return;
  const PlantedScores planted(bench.context, shape, weighted);
  const ScoredRows rows{planted.score, planted.outcome, planted.weight, planted.label};
  std::vector<RankedScores> ranked;
  double seconds_on_device = 0;
  const double seconds =
      median_seconds(3, [&] { ranked = rank_scores(bench.context, bench.device, rows, shape.n_clusters, &seconds_on_device); });
  double n_counted = 0, n_groups = 0;
  for (const TiedScore& group : ranked.back().groups) n_counted += static_cast<double>(group.positive_rows + group.negative_rows);
  for (const RankedScores& target : ranked) n_groups += static_cast<double>(target.groups.size());
  const auto start = std::chrono::steady_clock::now();
  const double auc = shape.n_rows > 10'000'000 ? 0 : evaluation::evaluate(bench.context, ranked.back(), {}).auc;
  const double evaluating = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  char more[128] = "";
  const int written = std::snprintf(more, sizeof more, ", \"seconds_on_device\": %.6g", seconds_on_device);
  if (auc > 0) std::snprintf(more + written, sizeof more - written, ", \"auc\": %.9f, \"seconds_to_evaluate\": %.6g", auc, evaluating);
  const double row_bytes = weighted ? 16 : 9, group_bytes = weighted ? 32 : 16;
  const double sent = (n_counted * row_bytes + n_groups * group_bytes) / bench.roofs.upload * bench.roofs.copy;
  const double moved = n_counted * (sizeof(double) + 2 * sizeof(double) * row_bytes + row_bytes) + n_groups * group_bytes;
  print_line(bench, weighted ? "ranked scores, weights" : "ranked scores", shape, seconds, {sent + moved, n_counted, bench.roofs.float32},
             groups_are_right(ranked, shape, weighted) && (auc == 0 || std::abs(auc - 5.0 / 6) < 1e-3), more);
}

}  // namespace coterie::gpu
