#include "host/survey_cells.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "host/transform_cells.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/survey_cells.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace coterie {
namespace HWY_NAMESPACE {

// Plain loops over the columns of a row, which the compiler turns into vectors of each instruction set. Counts are as wide as cells.
template <class Cell>
struct Tally {
  using Count = std::conditional_t<sizeof(Cell) == sizeof(std::int32_t), std::int32_t, std::int64_t>;
  template <class T>
  using Strip = std::array<T, kSurveyColumns>;
  static constexpr auto kLargest = static_cast<Cell>(kLargestCell);
  static constexpr Cell kAllWhole = 1 / std::numeric_limits<Cell>::epsilon();  // from here on every number is whole

  Strip<Count> missing{}, infinite{}, zero{}, negative{}, fractional{};
  Strip<Cell> min, max;

  Tally() {
    min.fill(std::numeric_limits<Cell>::infinity());
    max.fill(-std::numeric_limits<Cell>::infinity());
  }

  void add(const Cell* cells, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      const Cell x = cells[i], size = std::abs(x);
      const Cell whole = (size + kAllWhole) - kAllWhole;
      const bool usable = size <= kLargest;
      missing[i] += size != size ? 1 : 0;
      infinite[i] += size > kLargest ? 1 : 0;
      zero[i] += size == 0 ? 1 : 0;
      negative[i] += (x < 0) & usable ? 1 : 0;
      fractional[i] += (size < kAllWhole) & (whole != size) ? 1 : 0;
      min[i] = usable & (x < min[i]) ? x : min[i];
      max[i] = usable & (x > max[i]) ? x : max[i];
    }
  }

  void store(std::size_t n, CellCounts& counts) const {
    const auto narrow = [](Count count) { return static_cast<std::int32_t>(count); };
    std::transform(missing.begin(), missing.begin() + n, counts.missing.begin(), narrow);
    std::transform(infinite.begin(), infinite.begin() + n, counts.infinite.begin(), narrow);
    std::transform(zero.begin(), zero.begin() + n, counts.zero.begin(), narrow);
    std::transform(negative.begin(), negative.begin() + n, counts.negative.begin(), narrow);
    std::transform(fractional.begin(), fractional.begin() + n, counts.fractional.begin(), narrow);
    std::copy_n(min.begin(), n, counts.min.begin());
    std::copy_n(max.begin(), n, counts.max.begin());
  }
};

template <class Cell>
HWY_INLINE void survey_rows(const Cell* cells, std::int64_t n_rows, std::int64_t stride, std::size_t n_columns, CellCounts& counts) {
  Tally<Cell> tally;
  for (std::int64_t row = 0; row < n_rows; ++row) tally.add(cells + row * stride, n_columns);
  tally.store(n_columns, counts);
}

void survey_floats(const float* cells, std::int64_t n_rows, std::int64_t stride, std::size_t n_columns, CellCounts& counts) {
  survey_rows(cells, n_rows, stride, n_columns, counts);
}

void survey_doubles(const double* cells, std::int64_t n_rows, std::int64_t stride, std::size_t n_columns, CellCounts& counts) {
  survey_rows(cells, n_rows, stride, n_columns, counts);
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie {

HWY_EXPORT(survey_floats);
HWY_EXPORT(survey_doubles);

void survey_cells(const float* cells, std::int64_t n_rows, std::int64_t stride, std::size_t n_columns, CellCounts& counts) {
  HWY_DYNAMIC_DISPATCH(survey_floats)(cells, n_rows, stride, n_columns, counts);
}

void survey_cells(const double* cells, std::int64_t n_rows, std::int64_t stride, std::size_t n_columns, CellCounts& counts) {
  HWY_DYNAMIC_DISPATCH(survey_doubles)(cells, n_rows, stride, n_columns, counts);
}

}  // namespace coterie
#endif
