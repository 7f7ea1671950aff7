#include "host/nearest_centers.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/nearest_centers.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

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

// Running nearest and second nearest center of one vector of rows; the index of the second is kept on request.
template <class D, bool kSecondIndex>
struct TopTwo {
  using T = hn::TFromD<D>;
  using V = hn::Vec<D>;
  V best, second, best_index, second_index;

  HWY_INLINE TopTwo()
      : best(hn::Set(D{}, std::numeric_limits<T>::infinity())), second(best), best_index(hn::Set(D{}, T(-1))), second_index(best_index) {}

  // Strictly smaller wins, so among equals the smallest index stays. Indices are whole numbers far below 2^24.
  HWY_INLINE void offer(V distance, V index) {
    const auto nearer = hn::Lt(distance, best);
    if constexpr (kSecondIndex)
      second_index = hn::IfThenElse(nearer, best_index, hn::IfThenElse(hn::Lt(distance, second), index, second_index));
    second = hn::Min(second, hn::Max(best, distance));
    best_index = hn::IfThenElse(nearer, index, best_index);
    best = hn::Min(best, distance);
  }
};

// Distances of one panel (n_columns, kVectors * lanes) to all centers; `centers(group)` is (n_columns, kGroup).
template <class D, bool kSecondIndex, class CentersOf>
HWY_INLINE void scan_panel(D d, const hn::TFromD<D>* panel, std::int32_t n_columns, std::int32_t n_groups, CentersOf&& centers,
                           TopTwo<D, kSecondIndex>* top) {
  using T = hn::TFromD<D>;
  using V = hn::Vec<D>;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t width = static_cast<std::size_t>(kVectors) * lanes;
  for (std::int32_t group = 0; group < n_groups; ++group) {
    V sum[kVectors][kGroup];
    for (std::int64_t v = 0; v < kVectors; ++v)
      for (std::int32_t k = 0; k < kGroup; ++k) sum[v][k] = hn::Zero(d);
    const T* c = centers(group);
    const T* x = panel;
    for (std::int32_t j = 0; j < n_columns; ++j, x += width, c += kGroup) {
      for (std::int64_t v = 0; v < kVectors; ++v) {
        const V row = hn::LoadU(d, x + static_cast<std::size_t>(v) * lanes);
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

// n_rows <= width rows into one panel (n_columns, width), zero-padded.
void pack_panel(const float* x, std::size_t n_rows, std::size_t n_columns, std::size_t width, float* panel) {
  std::size_t whole_rows = 0, whole_columns = 0;
#if HWY_TARGET != HWY_SCALAR
  whole_rows = n_rows / 4 * 4;
  whole_columns = n_columns / 4 * 4;
  for (std::size_t r = 0; r < whole_rows; r += 4)
    for (std::size_t j = 0; j < whole_columns; j += 4)
      coterie::HWY_NAMESPACE::transpose_4x4(x + r * n_columns + j, n_columns, [&](std::size_t column, auto cells) HWY_ATTR {
        hn::StoreU(cells, hn::FixedTag<float, 4>(), panel + (j + column) * width + r);
      });
#endif
  for (std::size_t r = 0; r < n_rows; ++r)
    for (std::size_t j = r < whole_rows ? whole_columns : 0; j < n_columns; ++j) panel[j * width + r] = x[r * n_columns + j];
  for (std::size_t j = 0; j < n_columns; ++j) std::fill(panel + j * width + n_rows, panel + (j + 1) * width, 0.0f);
}

void pack_target(const float* x, std::int64_t n_rows, std::int32_t n_columns, Panel& panel) {
  const std::int64_t width = panel_rows(hn::ScalableTag<float>());
  const std::int64_t n_panels = (n_rows + width - 1) / width;
  panel.n_rows = n_rows;
  panel.n_columns = n_columns;
  panel.cells.resize(static_cast<std::size_t>(n_panels * width * n_columns));
  for (std::int64_t p = 0; p < n_panels; ++p)
    pack_panel(x + p * width * n_columns, static_cast<std::size_t>(std::min(width, n_rows - p * width)),
               static_cast<std::size_t>(n_columns), static_cast<std::size_t>(width), panel.cells.data() + p * width * n_columns);
}

// The distances behind the sums of a scan in float32 differ from best and second by at most the relative error of Certainty; a
// further 2^-21 on each covers the roundings here, of stored_slack() and of the chain of the definition.
class SlackOf {
 public:
  explicit SlackOf(const Certainty& certainty)
      : up_(std::sqrt(certainty.ratio) * (1 + 0x1p-21f)), down_((1 - 0x1p-21f) / std::sqrt(certainty.ratio)) {}
  template <class D, class V>
  HWY_INLINE V operator()(D d, V best, V second) const {
    const V underflow = hn::Set(d, Certainty::kUnderflow);
    const V most = hn::Mul(hn::Sqrt(hn::Add(best, underflow)), hn::Set(d, up_));
    const V least = hn::Mul(hn::Sqrt(hn::Max(hn::Sub(second, underflow), hn::Zero(d))), hn::Set(d, down_));
    return hn::Sub(least, most);
  }

 private:
  float up_, down_;
};

void scan_fast_target(const Panel& panel, const Centers& centers, std::int32_t* label, float* slack) {
  using D = hn::ScalableTag<float>;
  const D d;
  const hn::RebindToSigned<D> di;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d)), width = panel_rows(d);
  const Certainty certainty(panel.n_columns);
  const auto ratio = hn::Set(d, certainty.ratio), underflow = hn::Set(d, Certainty::kUnderflow);
  const SlackOf slack_of(certainty);
  constexpr std::size_t kMostRows = static_cast<std::size_t>(kVectors) * HWY_MAX_BYTES / sizeof(float);
  HWY_ALIGN std::int32_t labels[kMostRows];
  HWY_ALIGN float slacks[kMostRows];
  for (std::int64_t first = 0; first < panel.n_rows; first += width) {
    TopTwo<D, false> top[kVectors];
    scan_panel(
        d, panel.cells.data() + first * panel.n_columns, panel.n_columns, centers.n_groups(),
        [&](std::int32_t group) { return centers.fast(group); }, top);
    for (std::int64_t v = 0; v < kVectors; ++v) {
      const auto certain = hn::Gt(top[v].second, hn::MulAdd(top[v].best, ratio, underflow));
      const auto index = hn::ConvertTo(di, top[v].best_index);
      hn::Store(hn::IfThenElse(hn::RebindMask(di, certain), index, hn::Set(di, -1)), di, labels + v * lanes);
      if (slack != nullptr) hn::Store(slack_of(d, top[v].best, top[v].second), d, slacks + v * lanes);
    }
    const std::int64_t count = std::min(width, panel.n_rows - first);
    std::copy_n(labels, count, label + first);
    if (slack != nullptr) std::copy_n(slacks, count, slack + first);
  }
}

void scan_exact_target(const float* x, std::span<const std::int32_t> rows, const Centers& centers, Exact& result) {
  using D = hn::ScalableTag<double>;
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d)), width = panel_rows(d);
  const std::int64_t n_rows = static_cast<std::int64_t>(rows.size()), n_columns = centers.n_columns();
  result.panel.assign(static_cast<std::size_t>(width * n_columns), 0.0);
  HWY_ALIGN double best[HWY_MAX_BYTES / sizeof(double)], second[HWY_MAX_BYTES / sizeof(double)];
  HWY_ALIGN double best_index[HWY_MAX_BYTES / sizeof(double)], second_index[HWY_MAX_BYTES / sizeof(double)];
  for (std::int64_t first = 0; first < n_rows; first += width) {
    const std::int64_t count = std::min(width, n_rows - first);
    for (std::int64_t r = 0; r < count; ++r) {
      const float* row = x + static_cast<std::int64_t>(rows[static_cast<std::size_t>(first + r)]) * n_columns;
      for (std::int64_t j = 0; j < n_columns; ++j) result.panel[static_cast<std::size_t>(j * width + r)] = static_cast<double>(row[j]);
    }
    TopTwo<D, true> top[kVectors];
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

void add_rows_target(const SignedRows& rows, const std::int32_t* label, double* sums) {
  const std::size_t d = static_cast<std::size_t>(rows.n_columns);
  for (std::int64_t i = 0; i < rows.n_rows; ++i)
    if (label[i] >= 0) add_row(rows.x + i * rows.n_columns, d, rows.sign, sums + static_cast<std::size_t>(label[i]) * d);
}

void add_weighted_rows_target(const SignedRows& rows, const std::int32_t* label, const std::int32_t* weight, double* const sums[2]) {
  const std::size_t d = static_cast<std::size_t>(rows.n_columns);
  for (std::int64_t i = 0; i < rows.n_rows; ++i) {
    if (label[i] < 0 || weight[i] == 0) continue;
    const std::size_t at = static_cast<std::size_t>(label[i]) * d;
    add_row(rows.x + i * rows.n_columns, d, rows.sign * (weight[i] & 0xfff), sums[0] + at);
    add_row(rows.x + i * rows.n_columns, d, rows.sign * (weight[i] >> 12), sums[1] + at);
  }
}

std::int64_t find_doubtful_target(const std::int32_t* label, const float* slack, std::int64_t n_rows, const float* drift,
                                  std::int32_t* rows) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t found = 0, i = 0;
  for (; i + lanes <= n_rows; i += lanes) {
    const auto of_label = hn::GatherIndex(d, drift, hn::LoadU(di, label + i));
    const auto stands = hn::Gt(hn::LoadU(d, slack + i), of_label);
    std::uint64_t doubts = 0;
    hn::StoreMaskBits(d, hn::Not(stands), reinterpret_cast<std::uint8_t*>(&doubts));
    for (; doubts != 0; doubts &= doubts - 1) rows[found++] = static_cast<std::int32_t>(i) + std::countr_zero(doubts);
  }
  for (; i < n_rows; ++i)
    if (!(slack[i] > drift[label[i]])) rows[found++] = static_cast<std::int32_t>(i);
  return found;
}

void squared_distances_target(const float* columns, std::int64_t stride, std::int64_t first, std::int64_t n_rows,
                              std::span<const float> center, double* result) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> df;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n_rows; i += lanes) {
    auto s = hn::Zero(d);
    for (std::size_t j = 0; j < center.size(); ++j) {
      const auto cells = hn::PromoteTo(d, hn::LoadU(df, columns + static_cast<std::int64_t>(j) * stride + first + i));
      s = fused_square_add(d, hn::Sub(cells, hn::Set(d, static_cast<double>(center[j]))), s);
    }
    hn::StoreU(s, d, result + i);
  }
  for (; i < n_rows; ++i) {
    double s = 0;
    for (std::size_t j = 0; j < center.size(); ++j) {
      const double t = static_cast<double>(columns[static_cast<std::int64_t>(j) * stride + first + i]) - static_cast<double>(center[j]);
      s = std::fma(t, t, s);
    }
    result[i] = s;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie::nearest
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie::nearest {

HWY_EXPORT(pack_target);
HWY_EXPORT(scan_fast_target);
HWY_EXPORT(scan_exact_target);
HWY_EXPORT(find_doubtful_target);
HWY_EXPORT(add_rows_target);
HWY_EXPORT(add_weighted_rows_target);
HWY_EXPORT(squared_distances_target);

Centers::Centers(std::span<const float> cluster_centers, std::int32_t n_clusters, std::int32_t n_columns)
    : n_clusters_(n_clusters),
      n_columns_(n_columns),
      fast_(offset(n_groups()), std::numeric_limits<float>::infinity()),
      exact_(offset(n_groups()), std::numeric_limits<double>::infinity()) {
  for (std::int32_t k = 0; k < n_clusters; ++k) {
    const float* center = cluster_centers.data() + static_cast<std::size_t>(k) * static_cast<std::size_t>(n_columns);
    const std::size_t at = offset(k / kGroup) + static_cast<std::size_t>(k % kGroup);
    for (std::int32_t j = 0; j < n_columns; ++j) {
      fast_[at + static_cast<std::size_t>(j) * kGroup] = center[j];
      exact_[at + static_cast<std::size_t>(j) * kGroup] = static_cast<double>(center[j]);
    }
  }
}

void pack(const float* x, std::int64_t n_rows, std::int32_t n_columns, Panel& panel) {
  HWY_DYNAMIC_DISPATCH(pack_target)(x, n_rows, n_columns, panel);
}

void scan_fast(const Panel& panel, const Centers& centers, std::int32_t* label, float* slack) {
  HWY_DYNAMIC_DISPATCH(scan_fast_target)(panel, centers, label, slack);
}

float slack_of(double squared_distance, double second_squared_distance) {
  const double least = std::sqrt(second_squared_distance) * (1 - 0x1p-21), most = std::sqrt(squared_distance) * (1 + 0x1p-21);
  constexpr double kMost = std::numeric_limits<float>::max();
  return static_cast<float>(std::isinf(second_squared_distance) ? least : std::min(least, kMost) - most);
}

std::int64_t find_doubtful(const std::int32_t* label, const float* slack, std::int64_t n_rows, const float* drift, std::int32_t* rows) {
  return HWY_DYNAMIC_DISPATCH(find_doubtful_target)(label, slack, n_rows, drift, rows);
}

void scan_exact(const float* x, std::span<const std::int32_t> rows, const Centers& centers, Exact& result) {
  result.label.resize(rows.size());
  result.second.resize(rows.size());
  result.squared_distance.resize(rows.size());
  result.second_squared_distance.resize(rows.size());
  HWY_DYNAMIC_DISPATCH(scan_exact_target)(x, rows, centers, result);
}

void add_rows(const SignedRows& rows, const std::int32_t* label, double* sums) { HWY_DYNAMIC_DISPATCH(add_rows_target)(rows, label, sums); }

void add_weighted_rows(const SignedRows& rows, const std::int32_t* label, const std::int32_t* weight, double* const sums[2]) {
  HWY_DYNAMIC_DISPATCH(add_weighted_rows_target)(rows, label, weight, sums);
}

void squared_distances(const float* columns, std::int64_t stride, std::int64_t first, std::int64_t n_rows, std::span<const float> center,
                       double* result) {
  HWY_DYNAMIC_DISPATCH(squared_distances_target)(columns, stride, first, n_rows, center, result);
}

}  // namespace coterie::nearest
#endif
