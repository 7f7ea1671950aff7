#include "host/nearest_centers.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/nearest_centers.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "host/load_as-inl.hpp"    // after foreach_target
#include "host/transpose-inl.hpp"  // after foreach_target

HWY_BEFORE_NAMESPACE();
namespace coterie::nearest {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Fewer than 32 vector registers hold one vector of rows beside kGroup accumulators, 32 hold two.
#if HWY_TARGET <= HWY_AVX3
constexpr std::int64_t kVectors = 2;
#else
constexpr std::int64_t kVectors = 1;
#endif

template <class D>
std::int64_t panel_rows(D d) {
  return kVectors * static_cast<std::int64_t>(hn::Lanes(d));
}

// t * t + s with one rounding on every target: the definition needs a true fma, which x86 has from AVX2 on.
template <class D, class V>
HWY_INLINE V fused_square_add(D d, V t, V s) {
#if HWY_ARCH_X86 && HWY_TARGET > HWY_AVX2
  using T = hn::TFromD<D>;
  HWY_ALIGN T ts[HWY_MAX_BYTES / sizeof(T)], ss[HWY_MAX_BYTES / sizeof(T)];
  hn::Store(t, d, ts);
  hn::Store(s, d, ss);
  for (std::size_t i = 0; i < hn::Lanes(d); ++i) ss[i] = std::fma(ts[i], ts[i], ss[i]);
  return hn::Load(d, ss);
#else
  (void)d;
  return hn::MulAdd(t, t, s);
#endif
}

// Running nearest and second nearest center of one vector of rows.
template <class D>
struct TopTwo {
  using T = hn::TFromD<D>;
  using V = hn::Vec<D>;
  V best, second, best_index, second_index;

  HWY_INLINE TopTwo()
      : best(hn::Set(D{}, std::numeric_limits<T>::infinity())), second(best), best_index(hn::Set(D{}, T(-1))), second_index(best_index) {}

  // Strictly smaller wins, so among equals the smallest index stays. Indices are whole numbers far below 2^24.
  HWY_INLINE void offer(V distance, V index) {
    const auto nearer = hn::Lt(distance, best);
    second_index = hn::IfThenElse(nearer, best_index, hn::IfThenElse(hn::Lt(distance, second), index, second_index));
    second = hn::Min(second, hn::Max(best, distance));
    best_index = hn::IfThenElse(nearer, index, best_index);
    best = hn::Min(best, distance);
  }
};

// Distances of one panel (n_columns, kVectors * lanes) to all centers; `centers(group)` is (n_columns, kGroup).
template <class D, class CentersOf>
HWY_INLINE void scan_panel(D d, const float* panel, std::int32_t n_columns, std::int32_t n_groups, CentersOf&& centers, TopTwo<D>* top) {
  using T = hn::TFromD<D>;
  using V = hn::Vec<D>;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t width = static_cast<std::size_t>(kVectors) * lanes;
  for (std::int32_t group = 0; group < n_groups; ++group) {
    V sum[kVectors][kGroup];
    for (std::int64_t v = 0; v < kVectors; ++v)
      for (std::int32_t k = 0; k < kGroup; ++k) sum[v][k] = hn::Zero(d);
    const T* c = centers(group);
    const float* x = panel;
    for (std::int32_t j = 0; j < n_columns; ++j, x += width, c += kGroup) {
      for (std::int64_t v = 0; v < kVectors; ++v) {
        const V row = coterie::HWY_NAMESPACE::load_as(d, x + static_cast<std::size_t>(v) * lanes);
        for (std::int32_t k = 0; k < kGroup; ++k) {
          const V t = hn::Sub(row, hn::Set(d, c[k]));
          sum[v][k] = fused_square_add(d, t, sum[v][k]);
        }
      }
    }
    for (std::int32_t k = 0; k < kGroup; ++k) {
      const V index = hn::Set(d, static_cast<T>(group * kGroup + k));
      for (std::int64_t v = 0; v < kVectors; ++v) top[v].offer(sum[v][k], index);
    }
  }
}

// panel: (n_columns, width) of these rows. As many as it is wide are turned in registers, four columns at a time.
HWY_INLINE void fill_panel(const float* x, std::span<const std::int32_t> rows, std::int64_t n_columns, std::int64_t width, float* panel) {
  const auto row_of = [&](std::int64_t r) HWY_ATTR { return x + std::int64_t{rows[static_cast<std::size_t>(r)]} * n_columns; };
  std::int64_t turned = 0;  // columns
#if HWY_TARGET != HWY_SCALAR
  const hn::FixedTag<float, 4> d;
  for (; width % 4 == 0 && std::ssize(rows) == width && turned + 4 <= n_columns; turned += 4)
    for (std::int64_t r = 0; r < width; r += 4) {
      const auto load = [&](std::int64_t i) HWY_ATTR { return hn::LoadU(d, row_of(r + i) + turned); };
      coterie::HWY_NAMESPACE::transpose_quads(d, load(0), load(1), load(2), load(3), [&](int column, auto cells) HWY_ATTR {
        hn::StoreU(cells, d, panel + (turned + column) * width + r);
      });
    }
#endif
  for (std::int64_t r = 0; r < std::ssize(rows); ++r)
    for (std::int64_t j = turned; j < n_columns; ++j) panel[j * width + r] = row_of(r)[j];
}

void scan_exact_target(const float* x, std::span<const std::int32_t> rows, const Centers& centers, Exact& result) {
  using D = hn::ScalableTag<double>;
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d)), width = panel_rows(d);
  const std::int64_t n_rows = static_cast<std::int64_t>(rows.size()), n_columns = centers.n_columns();
  result.panel.assign(static_cast<std::size_t>(width * n_columns), 0.0f);
  HWY_ALIGN double best[HWY_MAX_BYTES / sizeof(double)], second[HWY_MAX_BYTES / sizeof(double)];
  HWY_ALIGN double best_index[HWY_MAX_BYTES / sizeof(double)], second_index[HWY_MAX_BYTES / sizeof(double)];
  for (std::int64_t first = 0; first < n_rows; first += width) {
    const std::int64_t count = std::min(width, n_rows - first);
    fill_panel(x, rows.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)), n_columns, width, result.panel.data());
    TopTwo<D> top[kVectors];
    scan_panel(
        d, result.panel.data(), centers.n_columns(), centers.n_groups(), [&](std::int32_t group) { return centers.exact(group); }, top);
    for (std::int64_t v = 0; v < kVectors; ++v) {
      hn::Store(top[v].best, d, best);
      hn::Store(top[v].second, d, second);
      hn::Store(top[v].best_index, d, best_index);
      hn::Store(top[v].second_index, d, second_index);
      for (std::int64_t lane = 0; lane < std::min(lanes, count - v * lanes); ++lane) {
        const std::size_t i = static_cast<std::size_t>(first + v * lanes + lane);
        result.label[i] = static_cast<std::int32_t>(best_index[lane]);
        result.second[i] = static_cast<std::int32_t>(second_index[lane]);
        result.squared_distance[i] = best[lane];
        result.second_squared_distance[i] = second[lane];
      }
    }
  }
}

// Rows that are far apart in memory are fetched this many ahead of their use.
constexpr std::size_t kRowsAhead = 8;

template <class Rows>
HWY_INLINE void fetch_row(const float* x, std::size_t n_columns, Rows rows, std::size_t at) {
  const float* const row = x + static_cast<std::size_t>(rows[std::min(at, rows.size() - 1)].row) * n_columns;
  for (std::size_t j = 0; j < n_columns; j += 16) __builtin_prefetch(row + j);
}

// Four chains side by side, so that none waits for itself.
void squared_distances_of_pairs_target(const float* x, const float* centers, std::int32_t n_columns, std::span<const Pair> pairs,
                                       double* result) {
  constexpr std::size_t kChains = 4;
  for (std::size_t first = 0; first < pairs.size(); first += kChains) {
    const float *row[kChains], *center[kChains];
    double s[kChains] = {};
    for (std::size_t i = 0; i < kChains; ++i) {
      fetch_row(x, static_cast<std::size_t>(n_columns), pairs, first + i + kRowsAhead);
      const Pair& pair = pairs[std::min(first + i, pairs.size() - 1)];
      row[i] = x + std::int64_t{pair.row} * n_columns;
      center[i] = centers + std::int64_t{pair.center} * n_columns;
    }
    for (std::int32_t j = 0; j < n_columns; ++j)
      for (std::size_t i = 0; i < kChains; ++i) {
        const double t = static_cast<double>(row[i][j]) - static_cast<double>(center[i][j]);
        s[i] = std::fma(t, t, s[i]);
      }
    std::copy_n(s, std::min(kChains, pairs.size() - first), result + first);
  }
}

// sum += factor * row, all multiples of the grid and exact, so mul and add may be separate or fused.
HWY_INLINE void add_row(const float* row, std::size_t n_columns, double factor, double* sum) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> df;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t j = 0;
  for (; j + lanes <= n_columns; j += lanes)
    hn::StoreU(hn::MulAdd(hn::PromoteTo(d, hn::LoadU(df, row + j)), hn::Set(d, factor), hn::LoadU(d, sum + j)), d, sum + j);
  for (; j < n_columns; ++j) sum[j] += factor * static_cast<double>(row[j]);
}

void move_rows_target(const float* x, std::int32_t n_columns, std::span<const Move> moves, double* sums) {
  const std::size_t d = static_cast<std::size_t>(n_columns);
  for (std::size_t i = 0; i < moves.size(); ++i) {
    fetch_row(x, d, moves, i + kRowsAhead);
    const Move& move = moves[i];
    const float* const row = x + static_cast<std::size_t>(move.row) * d;
    add_row(row, d, 1, sums + static_cast<std::size_t>(move.to) * d);
    if (move.from >= 0) add_row(row, d, -1, sums + static_cast<std::size_t>(move.from) * d);
  }
}

void move_weighted_rows_target(const float* x, std::int32_t n_columns, std::span<const Move> moves, const std::int32_t* weight,
                               double* const sums[2]) {
  const std::size_t d = static_cast<std::size_t>(n_columns);
  for (const Move& move : moves) {
    const float* const row = x + static_cast<std::size_t>(move.row) * d;
    const double halves[2] = {static_cast<double>(weight[move.row] & 0xfff), static_cast<double>(weight[move.row] >> 12)};
    for (int half = 0; half < 2; ++half) {
      if (halves[half] == 0) continue;
      add_row(row, d, halves[half], sums[half] + static_cast<std::size_t>(move.to) * d);
      if (move.from >= 0) add_row(row, d, -halves[half], sums[half] + static_cast<std::size_t>(move.from) * d);
    }
  }
}

// kCenters of the centers, `stride` in all. Two vectors of rows: enough chains for the latency of a multiply-add.
template <std::size_t kCenters>
void squared_distances_to(const float* strip, std::int64_t n_columns, const double* centers, std::size_t stride, double* result) {
  using D = hn::ScalableTag<double>;
  const D d;
  const hn::Rebind<float, D> df;
  constexpr std::size_t kRowVectors = 2;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t row = 0; row < kColumnStrip; row += kRowVectors * lanes) {
    hn::Vec<D> sum[kCenters][kRowVectors];
    for (auto& of_center : sum)
      for (auto& of_rows : of_center) of_rows = hn::Zero(d);
    const float* cells = strip + row;
    const double* center = centers;
    for (std::int64_t j = 0; j < n_columns; ++j, cells += kColumnStrip, center += stride) {
      hn::Vec<D> cell[kRowVectors];
      for (std::size_t v = 0; v < kRowVectors; ++v) cell[v] = hn::PromoteTo(d, hn::LoadU(df, cells + static_cast<std::int64_t>(v) * lanes));
      for (std::size_t c = 0; c < kCenters; ++c)
        for (std::size_t v = 0; v < kRowVectors; ++v) sum[c][v] = fused_square_add(d, hn::Sub(cell[v], hn::Set(d, center[c])), sum[c][v]);
    }
    for (std::size_t c = 0; c < kCenters; ++c)
      for (std::size_t v = 0; v < kRowVectors; ++v)
        hn::StoreU(sum[c][v], d, result + static_cast<std::int64_t>(c) * kColumnStrip + row + static_cast<std::int64_t>(v) * lanes);
  }
}

void squared_distances_target(const float* strip, std::int64_t n_columns, const double* centers, std::size_t n_centers, double* result) {
  for (std::size_t first = 0; first < n_centers;) {
    const std::size_t left = n_centers - first;
    double* const to = result + first * static_cast<std::size_t>(kColumnStrip);
    if (left >= 4) {
      squared_distances_to<4>(strip, n_columns, centers + first, n_centers, to);
      first += 4;
    } else if (left >= 2) {
      squared_distances_to<2>(strip, n_columns, centers + first, n_centers, to);
      first += 2;
    } else {
      squared_distances_to<1>(strip, n_columns, centers + first, n_centers, to);
      first += 1;
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie::nearest
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie::nearest {

HWY_EXPORT(scan_exact_target);
HWY_EXPORT(squared_distances_of_pairs_target);
HWY_EXPORT(move_rows_target);
HWY_EXPORT(move_weighted_rows_target);
HWY_EXPORT(squared_distances_target);

Centers::Centers(std::span<const float> cluster_centers, std::int32_t n_clusters, std::int32_t n_columns)
    : n_clusters_(n_clusters), n_columns_(n_columns), exact_(offset(n_groups()), std::numeric_limits<double>::infinity()) {
  for (std::int32_t k = 0; k < n_clusters; ++k) {
    const float* center = cluster_centers.data() + static_cast<std::size_t>(k) * static_cast<std::size_t>(n_columns);
    const std::size_t at = offset(k / kGroup) + static_cast<std::size_t>(k % kGroup);
    for (std::int32_t j = 0; j < n_columns; ++j) {
      exact_[at + static_cast<std::size_t>(j) * kGroup] = static_cast<double>(center[j]);
    }
  }
}

void scan_exact(const float* x, std::span<const std::int32_t> rows, const Centers& centers, Exact& result) {
  result.label.resize(rows.size());
  result.second.resize(rows.size());
  result.squared_distance.resize(rows.size());
  result.second_squared_distance.resize(rows.size());
  HWY_DYNAMIC_DISPATCH(scan_exact_target)(x, rows, centers, result);
}

void squared_distances_of_pairs(const float* x, const float* centers, std::int32_t n_columns, std::span<const Pair> pairs, double* result) {
  HWY_DYNAMIC_DISPATCH(squared_distances_of_pairs_target)(x, centers, n_columns, pairs, result);
}

void move_rows(const float* x, std::int32_t n_columns, std::span<const Move> moves, double* sums) {
  HWY_DYNAMIC_DISPATCH(move_rows_target)(x, n_columns, moves, sums);
}

void move_weighted_rows(const float* x, std::int32_t n_columns, std::span<const Move> moves, const std::int32_t* weight,
                        double* const sums[2]) {
  HWY_DYNAMIC_DISPATCH(move_weighted_rows_target)(x, n_columns, moves, weight, sums);
}

void squared_distances(const float* strip, std::int64_t n_columns, const double* centers, std::size_t n_centers, double* result) {
  HWY_DYNAMIC_DISPATCH(squared_distances_target)(strip, n_columns, centers, n_centers, result);
}

}  // namespace coterie::nearest
#endif
