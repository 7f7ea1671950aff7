#include "host/near_duplicates.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "host/transform_cells.hpp"

namespace coterie {
namespace {

constexpr double kSame = 0.999;

// In eight lanes, so that the additions overlap and their order is the same for every instruction set.
double dot(const std::vector<double>& a, const std::vector<double>& b) {
  constexpr std::size_t kLanes = 8;
  std::array<double, kLanes> lanes{};
  for (std::size_t i = 0; i + kLanes <= a.size(); i += kLanes)
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
  for (std::size_t i = a.size() / kLanes * kLanes; i < a.size(); ++i) lanes[0] += a[i] * b[i];
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

// The column with mean 0 and length 1; empty when it does not vary.
std::vector<double> standardised(const ColumnSurvey& survey, std::int32_t column, std::int64_t n_rows) {
  std::vector<double> values(static_cast<std::size_t>(n_rows));
  double sum = 0, known = 0;
  for (std::int64_t i = 0; i < n_rows; ++i) {
    const double value = survey.sampled_cell(i, column);
    values[static_cast<std::size_t>(i)] = value;
    if (!(magnitude(value) <= kLargestCell)) continue;
    sum += value;
    ++known;
  }
  const double mean = known > 0 ? sum / known : 0;
  for (double& value : values) value = magnitude(value) <= kLargestCell ? value - mean : 0;
  const double length = std::sqrt(dot(values, values));
  if (!(length > 0) || survey.min[static_cast<std::size_t>(column)] == survey.max[static_cast<std::size_t>(column)]) return {};
  for (double& value : values) value /= length;
  return values;
}

// All pairs cost columns^2 / 2 products per row; 2^32 are about a second of one core.
std::int64_t rows_for(std::int64_t n_columns, std::int64_t n_rows) {
  constexpr std::int64_t kProducts = std::int64_t{1} << 32, kLeast = 1024;
  return std::min(n_rows, std::max(kLeast, 2 * kProducts / std::max<std::int64_t>(n_columns * n_columns, 1)));
}

}  // namespace

std::vector<NearDuplicate> find_near_duplicates(Context& context, const ColumnSurvey& survey, const std::vector<std::int32_t>& columns) {
  const auto n = static_cast<std::int64_t>(columns.size());
  const std::int64_t n_rows = rows_for(n, survey.sample.size());
  const Reservation memory = context.memory().reserve("comparing columns", n * n_rows * static_cast<std::int64_t>(sizeof(double)));
  std::vector<std::vector<double>> values(columns.size());
  context.parallel_for(n, [&](std::int64_t j, int) {
    values[static_cast<std::size_t>(j)] = standardised(survey, columns[static_cast<std::size_t>(j)], n_rows);
  });
  std::vector<NearDuplicate> found(columns.size());
  context.parallel_for(n, [&](std::int64_t column, int) {
    const auto j = static_cast<std::size_t>(column);
    for (std::size_t i = 0; i < j && found[j].correlation == 0 && !values[j].empty(); ++i) {
      if (values[i].empty()) continue;
      const double correlation = dot(values[i], values[j]);
      if (std::abs(correlation) > kSame) found[j] = {columns[j], columns[i], std::clamp(correlation, -1.0, 1.0)};
    }
  });
  std::erase_if(found, [](const NearDuplicate& pair) { return pair.correlation == 0; });
  return found;
}

}  // namespace coterie
