#include "host/transform_strip.hpp"

#include <array>

#include "host/transform_cells.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/transform_strip.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "host/transpose-inl.hpp"  // after foreach_target

HWY_BEFORE_NAMESPACE();
namespace coterie {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

constexpr std::int64_t kRowsAtOnce = 4;
static_assert(kStripsAtOnce == 4);

HWY_INLINE void store_doubles(Quad cells, double* to) {
#if HWY_CAP_GE256
  const hn::FixedTag<double, 4> d;
  hn::StoreU(hn::PromoteTo(d, cells), d, to);
#else
  const hn::FixedTag<double, 2> d;
  const hn::FixedTag<float, 2> half;
  hn::StoreU(hn::PromoteTo(d, hn::LowerHalf(half, cells)), d, to);
  hn::StoreU(hn::PromoteTo(d, hn::UpperHalf(half, cells)), d, to + 2);
#endif
}

// Whole fours of rows, of kStripsAtOnce columns; return how many rows.
std::int64_t gather_fours(const float* cells, std::int64_t stride, std::int64_t n_rows, double* strips) {
  std::int64_t row = 0;
  for (; row + kRowsAtOnce <= n_rows; row += kRowsAtOnce)
    transpose_4x4(cells + row * stride, static_cast<std::size_t>(stride),
                  [&](int k, Quad column) HWY_ATTR { store_doubles(column, strips + k * kStripRows + row); });
  return row;
}
std::int64_t scatter_fours(const float* strips, std::int64_t n_rows, std::int64_t stride, float* cells) {
  const hn::FixedTag<float, 4> d;
  std::int64_t row = 0;
  for (; row + kRowsAtOnce <= n_rows; row += kRowsAtOnce)
    transpose_4x4(strips + row, kStripRows, [&](int r, Quad of_row) HWY_ATTR { hn::StoreU(of_row, d, cells + (row + r) * stride); });
  return row;
}

#else

std::int64_t gather_fours(const float*, std::int64_t, std::int64_t, double*) { return 0; }
std::int64_t scatter_fours(const float*, std::int64_t, std::int64_t, float*) { return 0; }

#endif

// Plain loops, which the compiler turns into vectors of each instruction set. `column` by value: the strip cannot alias it.
void prepare(const ColumnTransform column, std::span<double> strip) {
  if (column.answered) {
    for (double& x : strip) x = is_known(x) ? 1.0 : 0.0;
    return;
  }
  for (double& x : strip) x = bounded(column, x);
  if (!column.log1p) return;
  for (double& x : strip) x = log1p(x);
}

bool transform(const ColumnTransform column, bool keep_missing, std::span<double> strip, float* out) {
  const double most = most_steps(column.step), steps_per_unit = 1 / column.step;  // exact: powers of two
  const bool keeps = keep_missing && !column.answered;
  const double of_missing = stand_in(column);
  std::int64_t unusable = 0;
  for (const double x : strip) unusable += is_unusable(x, of_missing) ? 1 : 0;
  std::array<float, kStripRows> missing;  // NaN for missing cells, to be added to the values that stand in for them
  for (std::size_t i = 0; keeps && i < strip.size(); ++i) missing[i] = is_known(strip[i]) ? 0.0f : std::numeric_limits<float>::quiet_NaN();
  prepare(column, strip);
  for (std::size_t i = 0; i < strip.size(); ++i) out[i] = on_grid(clustering_value(column, strip[i]), column.step, steps_per_unit, most);
  for (std::size_t i = 0; keeps && i < strip.size(); ++i) out[i] += missing[i];
  return unusable == 0;
}

// An integer is high * 2^19 + low, both below 2^20: the products of 256 of them add up below 2^53, where doubles are exact in any order.
template <class D>
struct SumsOfParts {
  using V = hn::Vec<D>;
  static constexpr double kHigh = 1 << 19;
  V steps, high_high, high_low, low_low;

  explicit HWY_INLINE SumsOfParts(D d) : steps(hn::Zero(d)), high_high(steps), high_low(steps), low_low(steps) {}

  HWY_INLINE void add(V x) {
    const D d;
    const V high = hn::Round(hn::Mul(x, hn::Set(d, 1 / kHigh)));
    const V low = hn::NegMulAdd(high, hn::Set(d, kHigh), x);
    steps = hn::Add(steps, x);
    high_high = hn::MulAdd(high, high, high_high);
    high_low = hn::MulAdd(high, low, high_low);
    low_low = hn::MulAdd(low, low, low_low);
  }

  HWY_INLINE void add_to(StepSums& sums) const {
    const auto total = [](V parts) HWY_ATTR { return static_cast<std::int64_t>(hn::GetLane(hn::SumOfLanes(D(), parts))); };
    sums.steps += total(steps);
    sums.squares += static_cast<int128>(total(high_high)) * (std::int64_t{1} << 38) + static_cast<int128>(total(high_low)) * (1 << 20);
    sums.squares += total(low_low);
  }
};

template <class D>
HWY_INLINE auto steps_at(D d, const double* x, const FixedPoint& point) {
  const auto least = hn::Set(d, -FixedPoint::kMostSteps);
  const auto steps = hn::Mul(hn::Sub(hn::LoadU(d, x), hn::Set(d, point.origin)), hn::Set(d, 1 / point.unit));
  return hn::Round(hn::IfThenElse(hn::Gt(steps, least), hn::Min(steps, hn::Set(d, FixedPoint::kMostSteps)), least));  // NaN: the least
}

StepSums add_steps(const ColumnTransform& column, const FixedPoint& point, std::span<double> strip) {
  const hn::ScalableTag<double> whole;
  const hn::CappedTag<double, 1> single;
  const std::size_t lanes = hn::Lanes(whole);
  SumsOfParts wholes(whole);
  SumsOfParts singles(single);
  prepare(column, strip);
  std::size_t i = 0;
  for (; i + lanes <= strip.size(); i += lanes) wholes.add(steps_at(whole, strip.data() + i, point));
  for (; i < strip.size(); ++i) singles.add(steps_at(single, strip.data() + i, point));
  StepSums sums;
  wholes.add_to(sums);
  singles.add_to(sums);
  return sums;
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie {

HWY_EXPORT(gather_fours);
HWY_EXPORT(scatter_fours);
HWY_EXPORT(transform);
HWY_EXPORT(add_steps);

namespace {

template <class T>
void gather_rest(const T* cells, std::int64_t stride, std::int64_t first, std::int64_t n_rows, std::size_t n_columns,
                 Strips<double>& strips) {
  for (std::size_t k = 0; k < n_columns; ++k)
    for (std::int64_t row = first; row < n_rows; ++row)
      strips[k * kStripRows + static_cast<std::size_t>(row)] = cells[row * stride + static_cast<std::int64_t>(k)];
}

}  // namespace

void gather_strips(const float* cells, std::int64_t stride, std::int64_t n_rows, std::size_t n_columns, Strips<double>& strips) {
  const bool is_whole = n_columns == kStripsAtOnce;
  const std::int64_t n_done = is_whole ? HWY_DYNAMIC_DISPATCH(gather_fours)(cells, stride, n_rows, strips.data()) : 0;
  gather_rest(cells, stride, n_done, n_rows, n_columns, strips);
}

void gather_strips(const double* cells, std::int64_t stride, std::int64_t n_rows, std::size_t n_columns, Strips<double>& strips) {
  gather_rest(cells, stride, 0, n_rows, n_columns, strips);
}

void scatter_strips(const Strips<float>& strips, std::size_t n_columns, std::int64_t n_rows, std::int64_t stride, float* cells) {
  const bool is_whole = n_columns == kStripsAtOnce;
  const std::int64_t n_done = is_whole ? HWY_DYNAMIC_DISPATCH(scatter_fours)(strips.data(), n_rows, stride, cells) : 0;
  for (std::size_t k = 0; k < n_columns; ++k)
    for (std::int64_t row = n_done; row < n_rows; ++row)
      cells[row * stride + static_cast<std::int64_t>(k)] = strips[k * kStripRows + static_cast<std::size_t>(row)];
}

bool transform_strip(const ColumnTransform& column, bool keep_missing, std::span<double> strip, float* out) {
  return HWY_DYNAMIC_DISPATCH(transform)(column, keep_missing, strip, out);
}

StepSums sum_steps(const ColumnTransform& column, const FixedPoint& point, std::span<double> strip) {
  return HWY_DYNAMIC_DISPATCH(add_steps)(column, point, strip);
}

}  // namespace coterie
#endif
