#include "host/transform_strip.hpp"

#include <array>

#include "host/transform_cells.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/transform_strip.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace coterie {
namespace HWY_NAMESPACE {

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

bool transform(const ColumnTransform column, bool keep_missing, std::span<double> strip, float* out, std::int64_t stride) {
  const double most = most_steps(column.step), steps_per_unit = 1 / column.step;  // exact: powers of two
  const bool keeps = keep_missing && !column.answered;
  const double of_missing = stand_in(column);
  std::int64_t unusable = 0;
  for (const double x : strip) unusable += is_unusable(x, of_missing) ? 1 : 0;
  std::array<float, kStripRows> values, missing;  // NaN for missing cells, to be added to the values that stand in for them
  for (std::size_t i = 0; keeps && i < strip.size(); ++i) missing[i] = is_known(strip[i]) ? 0.0f : std::numeric_limits<float>::quiet_NaN();
  prepare(column, strip);
  for (std::size_t i = 0; i < strip.size(); ++i) values[i] = on_grid(clustering_value(column, strip[i]), column.step, steps_per_unit, most);
  for (std::size_t i = 0; keeps && i < strip.size(); ++i) values[i] += missing[i];
  for (std::size_t i = 0; i < strip.size(); ++i) out[static_cast<std::int64_t>(i) * stride] = values[i];
  return unusable == 0;
}

namespace hn = hwy::HWY_NAMESPACE;

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

HWY_EXPORT(transform);
HWY_EXPORT(add_steps);

bool transform_strip(const ColumnTransform& column, bool keep_missing, std::span<double> strip, float* out, std::int64_t stride) {
  return HWY_DYNAMIC_DISPATCH(transform)(column, keep_missing, strip, out, stride);
}

StepSums sum_steps(const ColumnTransform& column, const FixedPoint& point, std::span<double> strip) {
  return HWY_DYNAMIC_DISPATCH(add_steps)(column, point, strip);
}

}  // namespace coterie
#endif
