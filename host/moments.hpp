// Weighted first and second moments of a set of numbers; two sets merge without cancellation (Chan, Golub & LeVeque 1979).
#pragma once

#include <cstdint>

#include "host/statistics.hpp"

namespace coterie {

// Of row weights in steps, exact. Rows of unequal weight tell less than as many of equal weight.
struct WeightSums {
  std::int64_t rows = 0, weight = 0;
  int128 squares = 0;

  void add(std::int32_t steps) {
    ++rows;
    weight += steps;
    squares += int128{steps} * steps;
  }
  void add(const WeightSums& other) {
    rows += other.rows;
    weight += other.weight;
    squares += other.squares;
  }
  WeightSums operator-(const WeightSums& part) const { return {rows - part.rows, weight - part.weight, squares - part.squares}; }
  // How many rows of equal weight tell as much: (sum of w)^2 / sum of w^2 (Kish 1965); `rows` to the bit where weights are equal.
  double effective_rows() const;
};

struct Moments {
  std::int64_t rows = 0;
  double weight = 0;   // in any unit: only ratios of weights matter
  double mean = 0;     // 0 where the set is empty
  double squares = 0;  // sum of weight * (x - mean)^2
};

Moments merged(const Moments& a, const Moments& b);

// sqrt(squares / weight * n / (n - 1)) with n = rows: weights say how much a row speaks for, rows how much is known, and the
// scale of the weights cancels. NaN below two rows.
double standard_deviation(const Moments& moments);

// Two-sided 95 % of the normal distribution.
inline constexpr double kNormal95 = 1.959963984540054;

struct Interval {
  double low, high;
};
// Wilson's 95 % interval of a share among n rows, effective ones where weights differ (Wilson 1927); NaN without rows.
Interval wilson_interval(double share, double n_rows);

// Cohen's d: difference of means over the pooled standard deviation, with its large-sample 95 % interval
// d -+ kNormal95 * sqrt((n1 + n2) / (n1 n2) + d^2 / (2 (n1 + n2))) (Hedges & Olkin 1985). NaN where one set is empty, both
// together have fewer than three rows, or neither mean nor spread differs; infinite (with its bounds) where only the means do.
struct EffectSize {
  double d, low, high;
};
EffectSize cohen_d(const Moments& segment, const Moments& rest);
// The interval of a known d between sets of so many rows, effective ones where weights differ.
EffectSize effect_of_rows(double d, double segment_rows, double rest_rows);

}  // namespace coterie
