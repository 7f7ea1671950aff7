#include "host/near_duplicates.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "host/transform_cells.hpp"

namespace coterie {
namespace {

constexpr double kSame = 0.999;

// In eight lanes, so that the additions overlap and their order is the same for every instruction set.
double dot(std::span<const double> a, std::span<const double> b) {
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

// Of all pairs no more than 2^32 products, a second of one core, were they all made; but among fewer than 1024 rows chance passes for
// resemblance.
std::int64_t rows_for(std::int64_t n_columns, std::int64_t n_rows) {
  constexpr std::int64_t kProducts = std::int64_t{1} << 32, kLeast = 1024;
  return std::min(n_rows, std::max(kLeast, 2 * kProducts / std::max<std::int64_t>(n_columns * n_columns, 1)));
}

constexpr std::size_t kStretches = 32;  // that the rows are cut into

struct Column {
  std::vector<double> values;              // (n_rows) of length 1, or empty
  std::array<double, kStretches> lengths;  // of its stretches

  explicit Column(std::vector<double> standardised) : values(std::move(standardised)) {
    for (std::size_t s = 0; s < kStretches; ++s) lengths[s] = std::sqrt(dot(stretch(s), stretch(s)));
  }
  std::span<const double> stretch(std::size_t s) const {
    const std::size_t n = values.size(), first = s * n / kStretches;
    return std::span(values).subspan(first, (s + 1) * n / kStretches - first);
  }
};

// Whether |a b| can be above kSame. After every stretch it is at most |what the products add up to| + the products of the lengths that are
// left (Cauchy and Schwarz): most pairs are told apart by a stretch, and columns of few cells that differ from the rest by their lengths.
bool may_be_same(const Column& a, const Column& b) {
  constexpr double kRounding = 1e-9;  // far above that of 2^17 products, the most rows of a sample
  double seen = 0, left = dot(a.lengths, b.lengths);
  for (std::size_t s = 0; std::abs(seen) + left > kSame - kRounding; ++s) {
    if (s == kStretches) return true;
    seen += dot(a.stretch(s), b.stretch(s));
    left -= a.lengths[s] * b.lengths[s];
  }
  return false;
}

}  // namespace

std::vector<NearDuplicate> find_near_duplicates(Context& context, const ColumnSurvey& survey, const std::vector<std::int32_t>& columns) {
  constexpr std::int64_t kAtOnce = 16;  // columns whose first stretches stay in the first cache while all earlier columns go by
  const std::int64_t n = std::ssize(columns), n_rows = rows_for(n, survey.sample.size());
  const Reservation memory = context.memory().reserve(
      "comparing columns", n * (n_rows * static_cast<std::int64_t>(sizeof(double)) + static_cast<std::int64_t>(sizeof(Column))));
  std::vector<Column> compared(columns.size(), Column({}));
  context.parallel_for(n, [&](std::int64_t j, int) {
    compared[static_cast<std::size_t>(j)] = Column(standardised(survey, columns[static_cast<std::size_t>(j)], n_rows));
  });
  std::vector<NearDuplicate> found(columns.size());
  context.parallel_stretches(n, kAtOnce, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t of = 0; of < last; ++of)
      for (std::int64_t column = std::max(first, of + 1); column < last; ++column) {
        const auto i = static_cast<std::size_t>(of), j = static_cast<std::size_t>(column);
        if (found[j].correlation != 0 || !may_be_same(compared[i], compared[j])) continue;
        const double correlation = dot(compared[i].values, compared[j].values);
        if (std::abs(correlation) > kSame) found[j] = {columns[j], columns[i], std::clamp(correlation, -1.0, 1.0)};
      }
  });
  std::erase_if(found, [](const NearDuplicate& pair) { return pair.correlation == 0; });
  return found;
}

}  // namespace coterie
