#include "host/moments.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace coterie {

double WeightSums::effective_rows() const {
  const int128 square = static_cast<int128>(weight) * weight;
  if (square == rows * squares) return static_cast<double>(rows);  // which only equal weights do (Cauchy); 0 without rows
  return static_cast<double>(square) / static_cast<double>(squares);
}

Moments merged(const Moments& a, const Moments& b) {
  if (a.rows == 0) return b;
  if (b.rows == 0) return a;
  const double weight = a.weight + b.weight;
  const double apart = b.mean - a.mean;
  return {.rows = a.rows + b.rows,
          .weight = weight,
          .mean = a.mean + apart * (b.weight / weight),
          .squares = a.squares + b.squares + apart * apart * (a.weight * (b.weight / weight))};
}

double standard_deviation(const Moments& moments) {
  if (moments.rows < 2) return std::numeric_limits<double>::quiet_NaN();
  const auto n = static_cast<double>(moments.rows);
  return std::sqrt(moments.squares / moments.weight * (n / (n - 1)));
}

Interval wilson_interval(double share, double n) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  if (n == 0) return {kNan, kNan};
  constexpr double kSquare = kNormal95 * kNormal95;
  const double center = share + kSquare / (2 * n);
  const double half = kNormal95 * std::sqrt(share * (1 - share) / n + kSquare / (4 * n * n));
  return {std::max(0.0, (center - half) / (1 + kSquare / n)), std::min(1.0, (center + half) / (1 + kSquare / n))};
}

EffectSize cohen_d(const Moments& segment, const Moments& rest) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  if (segment.rows == 0 || rest.rows == 0 || segment.rows + rest.rows < 3) return {kNan, kNan, kNan};
  const auto n1 = static_cast<double>(segment.rows), n2 = static_cast<double>(rest.rows);
  const double squares = segment.squares / segment.weight * n1 + rest.squares / rest.weight * n2;
  return effect_of_rows((segment.mean - rest.mean) / std::sqrt(squares / (n1 + n2 - 2)), n1, n2);
}

EffectSize effect_of_rows(double d, double n1, double n2) {
  if (!std::isfinite(d)) return {d, d, d};
  const double half = kNormal95 * std::sqrt((n1 + n2) / (n1 * n2) + d * d / (2 * (n1 + n2)));
  return {d, d - half, d + half};
}

}  // namespace coterie
