#include "host/profile_cells.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/profile_cells.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace coterie::profile {
namespace HWY_NAMESPACE {

// Plain loops, which the compiler turns into vectors of each instruction set. What they add to stays in the first cache.
constexpr std::size_t kStripColumns = 64;
template <class T>
using Strip = std::array<T, kStripColumns>;

// Counts of a piece's rows, as wide as the cells; they stay below 2^31. NaN compares false with everything.
template <class Cell>
struct StripCounts {
  using Count = std::conditional_t<sizeof(Cell) == sizeof(std::int32_t), std::int32_t, std::int64_t>;
  Strip<Count> known{}, nonzero{};
  Strip<Cell> min, max;
  Strip<std::int64_t> known_weight{}, nonzero_weight{};  // only of rows that have weights

  void count(const Cell* cells, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      const Cell x = cells[i];
      known[i] += x == x ? 1 : 0;
      nonzero[i] += (x < 0) | (x > 0) ? 1 : 0;
      min[i] = x < min[i] ? x : min[i];
      max[i] = x > max[i] ? x : max[i];
    }
  }

  void weigh(const Cell* cells, std::size_t n, std::int64_t weight) {
    for (std::size_t i = 0; i < n; ++i) {
      const Cell x = cells[i];
      known_weight[i] += x == x ? weight : 0;
      nonzero_weight[i] += (x < 0) | (x > 0) ? weight : 0;
    }
  }

  void add_to(const GroupCounts& counts, std::size_t first, std::size_t n, bool weighted) const {
    for (std::size_t i = 0; i < n; ++i) {
      counts.known_rows[first + i] += known[i];
      counts.known_weight[first + i] += weighted ? known_weight[i] : known[i];
      counts.nonzero_weight[first + i] += weighted ? nonzero_weight[i] : nonzero[i];
      counts.min[first + i] = std::min(counts.min[first + i], static_cast<double>(min[i]));
      counts.max[first + i] = std::max(counts.max[first + i], static_cast<double>(max[i]));
    }
  }
};

template <class Cell>
HWY_INLINE void count_rows(const GroupRows<Cell>& rows, std::size_t n_columns, const GroupCounts& counts) {
  const bool weighted = rows.weight != nullptr;
  for (std::size_t first = 0; first < n_columns; first += kStripColumns) {
    const std::size_t n = std::min(kStripColumns, n_columns - first);
    StripCounts<Cell> strip;
    strip.min.fill(std::numeric_limits<Cell>::infinity());
    strip.max.fill(-std::numeric_limits<Cell>::infinity());
    rows.for_each(first, n, [&](const Cell* cells, std::int64_t weight) HWY_ATTR {
      strip.count(cells, n);
      if (weighted) strip.weigh(cells, n, weight);
    });
    strip.add_to(counts, first, n, weighted);
  }
}

void count_floats(const GroupRows<float>& rows, std::size_t n_columns, const GroupCounts& counts) { count_rows(rows, n_columns, counts); }
void count_doubles(const GroupRows<double>& rows, std::size_t n_columns, const GroupCounts& counts) { count_rows(rows, n_columns, counts); }

}  // namespace HWY_NAMESPACE
}  // namespace coterie::profile
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie::profile {

HWY_EXPORT(count_floats);
HWY_EXPORT(count_doubles);

void count_cells(const GroupRows<float>& rows, std::size_t n_columns, const GroupCounts& counts) {
  HWY_DYNAMIC_DISPATCH(count_floats)(rows, n_columns, counts);
}

void count_cells(const GroupRows<double>& rows, std::size_t n_columns, const GroupCounts& counts) {
  HWY_DYNAMIC_DISPATCH(count_doubles)(rows, n_columns, counts);
}

}  // namespace coterie::profile
#endif
