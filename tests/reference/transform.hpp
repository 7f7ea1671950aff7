// The transform once more, one cell at a time, as host/transform.hpp states it; and moments in extended precision.
#pragma once

#include <cmath>
#include <vector>

#include "host/elementary.hpp"
#include "host/transform.hpp"

namespace coterie::reference {

inline double before_centring(const ColumnTransform& column, double x) {
  if (column.answered) return std::isnan(x) ? 0 : 1;
  if (std::isnan(x)) x = column.fill;
  if (x < column.lower) x = column.lower;
  if (x > column.upper) x = column.upper;
  return column.log1p ? coterie::log1p(x) : x;
}

inline float transformed_cell(const ColumnTransform& column, double x) {
  const double value = (before_centring(column, x) - column.center) / column.scale;
  double steps = std::nearbyint(value / column.step);
  if (steps > 8388608) steps = 8388608;
  if (steps < -8388608) steps = -8388608;
  return static_cast<float>(steps * column.step);
}

// cells: (n_rows, n_raw_columns) -> (n_rows, transform.columns.size())
inline std::vector<float> transformed_rows(const Transform& transform, const std::vector<double>& cells, std::size_t n_raw_columns) {
  std::vector<float> rows;
  for (std::size_t first = 0; first < cells.size(); first += n_raw_columns)
    for (const ColumnTransform& column : transform.columns)
      rows.push_back(transformed_cell(column, cells[first + static_cast<std::size_t>(column.source)]));
  return rows;
}

struct Moments {
  long double mean = 0, deviation = 0;
};

inline Moments moments_before_centring(const ColumnTransform& column, const std::vector<double>& cells, std::size_t n_raw_columns) {
  const auto n = static_cast<long double>(cells.size() / n_raw_columns);
  Moments moments;
  for (std::size_t i = static_cast<std::size_t>(column.source); i < cells.size(); i += n_raw_columns)
    moments.mean += before_centring(column, cells[i]);
  moments.mean /= n;
  for (std::size_t i = static_cast<std::size_t>(column.source); i < cells.size(); i += n_raw_columns) {
    const long double difference = before_centring(column, cells[i]) - moments.mean;
    moments.deviation += difference * difference;
  }
  moments.deviation = std::sqrt(moments.deviation / (n - 1));
  return moments;
}

}  // namespace coterie::reference
