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

}  // namespace HWY_NAMESPACE
}  // namespace coterie
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie {

HWY_EXPORT(prepare);
HWY_EXPORT(transform);

void prepare_strip(const ColumnTransform& column, std::span<double> strip) { HWY_DYNAMIC_DISPATCH(prepare)(column, strip); }

bool transform_strip(const ColumnTransform& column, bool keep_missing, std::span<double> strip, float* out, std::int64_t stride) {
  return HWY_DYNAMIC_DISPATCH(transform)(column, keep_missing, strip, out, stride);
}

}  // namespace coterie
#endif
