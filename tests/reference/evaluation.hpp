// Naive measures of a binary score, straight from their definitions: every pair, every threshold, in double. Slow on purpose.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

namespace coterie::reference {

struct ScoredRow {
  double score = 0;  // log-odds
  int outcome = 0;
  double weight = 1;
};

inline double probability(double score) { return 1 / (1 + std::exp(-score)); }

struct AucReference {
  double auc = 0, variance = 0;
};

// The structural components of DeLong et al. (1988), each from its own loop over the other class; as many rows as weights leave (Kish).
inline AucReference auc(const std::vector<ScoredRow>& rows) {
  double weight[2] = {0, 0}, squared_weight[2] = {0, 0};
  for (const ScoredRow& row : rows) {
    weight[row.outcome] += row.weight;
    squared_weight[row.outcome] += row.weight * row.weight;
  }
  const auto share_beaten = [&](const ScoredRow& row) {  // weighted share of the other class that the row is on the right side of
    double sum = 0;
    for (const ScoredRow& other : rows) {
      if (other.outcome == row.outcome) continue;
      const bool right = row.outcome == 1 ? row.score > other.score : row.score < other.score;
      sum += other.weight * (row.score == other.score ? 0.5 : (right ? 1.0 : 0.0));
    }
    return sum / weight[1 - row.outcome];
  };
  AucReference result;
  for (const ScoredRow& row : rows)
    if (row.outcome == 1) result.auc += row.weight * share_beaten(row) / weight[1];
  double squares[2] = {0, 0};
  for (const ScoredRow& row : rows) squares[row.outcome] += row.weight * std::pow(share_beaten(row) - result.auc, 2);
  for (const int y : {0, 1}) result.variance += squares[y] / weight[y] / (weight[y] * weight[y] / squared_weight[y] - 1);
  return result;
}

// Precision and recall at every threshold that is some row's score.
inline double average_precision(const std::vector<ScoredRow>& rows) {
  std::vector<double> thresholds;
  double positives = 0;
  for (const ScoredRow& row : rows) {
    thresholds.push_back(row.score);
    if (row.outcome == 1) positives += row.weight;
  }
  std::sort(thresholds.rbegin(), thresholds.rend());
  thresholds.erase(std::unique(thresholds.begin(), thresholds.end()), thresholds.end());
  double sum = 0, recall_before = 0;
  for (const double threshold : thresholds) {
    double hits = 0, chosen = 0;
    for (const ScoredRow& row : rows) {
      if (row.score < threshold) continue;
      chosen += row.weight;
      if (row.outcome == 1) hits += row.weight;
    }
    sum += (hits / positives - recall_before) * hits / chosen;
    recall_before = hits / positives;
  }
  return sum;
}

inline double ks(const std::vector<ScoredRow>& rows) {
  double largest = 0;
  for (const ScoredRow& threshold : rows) {
    double above[2] = {0, 0}, all[2] = {0, 0};
    for (const ScoredRow& row : rows) {
      all[row.outcome] += row.weight;
      if (row.score >= threshold.score) above[row.outcome] += row.weight;
    }
    largest = std::max(largest, std::abs(above[1] / all[1] - above[0] / all[0]));
  }
  return largest;
}

inline double log_loss(const std::vector<ScoredRow>& rows) {
  double sum = 0, weight = 0;
  for (const ScoredRow& row : rows) {
    const double p = probability(row.score);
    sum -= row.weight * std::log(row.outcome == 1 ? p : 1 - p);
    weight += row.weight;
  }
  return sum / weight;
}

inline double brier(const std::vector<ScoredRow>& rows) {
  double sum = 0, weight = 0;
  for (const ScoredRow& row : rows) {
    sum += row.weight * std::pow(probability(row.score) - row.outcome, 2);
    weight += row.weight;
  }
  return sum / weight;
}

// Isotonic regression from its min-max formula: the value at row i is the largest, over a <= i, of the least, over b >= i,
// weighted mean of rows a to b. `rows` are sorted by score, all different.
inline std::vector<double> isotonic(const std::vector<ScoredRow>& rows) {
  std::vector<double> values;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    double largest = 0;
    for (std::size_t a = 0; a <= i; ++a) {
      double least = 1, hits = 0, weight = 0;
      for (std::size_t b = a; b < rows.size(); ++b) {
        hits += rows[b].weight * rows[b].outcome;
        weight += rows[b].weight;
        if (b >= i) least = std::min(least, hits / weight);
      }
      largest = std::max(largest, least);
    }
    values.push_back(largest);
  }
  return values;
}

}  // namespace coterie::reference
