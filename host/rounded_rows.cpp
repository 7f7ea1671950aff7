#include "host/rounded_rows.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/rounded_rows.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace coterie::nearest {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Cells = hn::CappedTag<float, 8>;  // a row's 16-byte steps are whole vectors of int16

// Rows that are rounded together, so that the roots and quotients of one need not wait for those of another.
constexpr std::size_t kRowsAtOnce = 8;

// y of one row, zero-padded to whole pairs; returns its square.
HWY_INLINE float center_row(const float* x, const Units& units, std::size_t padded, float* y) {
  const Cells d;
  const std::size_t n = units.pivot.size(), lanes = hn::Lanes(d);
  const auto scale = hn::Set(d, units.scale);
  auto square = hn::Zero(d);
  std::size_t j = 0;
  for (; j + lanes <= n; j += lanes) {
    const auto cells = hn::Mul(hn::Sub(hn::LoadU(d, x + j), hn::LoadU(d, units.pivot.data() + j)), scale);
    hn::StoreU(cells, d, y + j);
    square = hn::MulAdd(cells, cells, square);
  }
  for (std::size_t i = j; i < padded; ++i) y[i] = i < n ? (x[i] - units.pivot[i]) * units.scale : 0.0f;
  for (; j < padded; j += lanes) {
    const auto cells = hn::LoadU(d, y + j);
    square = hn::MulAdd(cells, cells, square);
  }
  return hn::GetLane(hn::SumOfLanes(d, square));
}

// Whole numbers of y, (padded) int16; returns the square of what is lost.
HWY_INLINE float round_row(const float* y, std::size_t padded, float unit, float per_unit, std::int16_t* whole) {
  const Cells d;
  const hn::Rebind<std::int16_t, Cells> d16;
  const auto step = hn::Set(d, unit), per_step = hn::Set(d, per_unit);
  auto lost = hn::Zero(d);
  for (std::size_t j = 0; j < padded; j += hn::Lanes(d)) {
    const auto cells = hn::LoadU(d, y + j);
    const auto nearest = hn::NearestInt(hn::Mul(cells, per_step));
    const auto left = hn::NegMulAdd(hn::ConvertTo(d, nearest), step, cells);
    lost = hn::MulAdd(left, left, lost);
    hn::StoreU(hn::DemoteTo(d16, nearest), d16, whole + j);
  }
  return hn::GetLane(hn::SumOfLanes(d, lost));
}

struct Rounding {
  float length[kRowsAtOnce], unit[kRowsAtOnce], per_unit[kRowsAtOnce], lost[kRowsAtOnce];
};

// From the squares of rows, in `length`; rows that are too far out, or no number, have none.
HWY_INLINE void measure_rows(Rounding& rows) {
  const Cells d;
  for (std::size_t r = 0; r < kRowsAtOnce; r += hn::Lanes(d)) {
    const auto measured = hn::Sqrt(hn::LoadU(d, rows.length + r));
    const auto fits = hn::Lt(measured, hn::Set(d, kTooFar));
    const auto length = hn::Max(hn::IfThenElseZero(fits, measured), hn::Set(d, kLeastLength));
    hn::StoreU(hn::IfThenElseZero(fits, length), d, rows.length + r);
    hn::StoreU(hn::Mul(length, hn::Set(d, kUnit)), d, rows.unit + r);
    hn::StoreU(hn::Div(hn::Set(d, kReach), length), d, rows.per_unit + r);
  }
}

// From the squares of what rows lost, in `lost`.
HWY_INLINE void measure_lost(float slack, Rounding& rows) {
  const Cells d;
  for (std::size_t r = 0; r < kRowsAtOnce; r += hn::Lanes(d)) {
    const auto fits = hn::Gt(hn::LoadU(d, rows.length + r), hn::Zero(d));
    const auto lost = hn::Mul(hn::Sqrt(hn::LoadU(d, rows.lost + r)), hn::Set(d, slack));
    hn::StoreU(hn::IfThenElse(fits, lost, hn::Set(d, kLostAll)), d, rows.lost + r);
  }
}

void round_rows_target(const float* x, std::int64_t n_rows, const Units& units, const RoundedRows& rounded) {
  const std::size_t n = units.pivot.size(), n_pairs = static_cast<std::size_t>(pairs_of(static_cast<int>(n))), padded = 2 * n_pairs;
  const float slack = static_cast<float>(1 + 2 * length_error(static_cast<int>(n)));
  std::vector<float> y(kRowsAtOnce * padded);
  Rounding rows{};
  for (std::size_t first = 0; first < static_cast<std::size_t>(n_rows); first += kRowsAtOnce) {
    const std::size_t count = std::min(kRowsAtOnce, static_cast<std::size_t>(n_rows) - first);
    for (std::size_t r = 0; r < count; ++r) rows.length[r] = center_row(x + (first + r) * n, units, padded, &y[r * padded]);
    measure_rows(rows);
    for (std::size_t r = 0; r < count; ++r) {
      std::int32_t* const pairs = rounded.pairs + (first + r) * n_pairs;
      if (rows.length[r] > 0)
        rows.lost[r] = round_row(&y[r * padded], padded, rows.unit[r], rows.per_unit[r], reinterpret_cast<std::int16_t*>(pairs));
      else
        std::fill_n(pairs, n_pairs, 0);
    }
    measure_lost(slack, rows);
    std::copy_n(rows.length, count, rounded.length + first);
    std::copy_n(rows.lost, count, rounded.lost + first);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie::nearest
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie::nearest {

HWY_EXPORT(round_rows_target);

void round_rows(const float* x, std::int64_t n_rows, const Units& units, const RoundedRows& rounded) {
  HWY_DYNAMIC_DISPATCH(round_rows_target)(x, n_rows, units, rounded);
}

bool RoundedBlocks::grow(std::int64_t n_blocks, std::int64_t n_expected, std::int32_t n_columns, MemoryLedger& memory) {
  const std::int64_t more = n_blocks - std::ssize(blocks_), words = kBlockRows * pairs_of(n_columns);
  if (more <= 0) return true;
  const std::int64_t block_bytes = (words + 2 * kBlockRows) * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t n_to_come = std::max(more, std::min(n_expected - std::ssize(blocks_), memory.available() / block_bytes));
  Reservation reservation;
  if (2 * more * block_bytes > memory.available() || !memory.try_reserve(more * block_bytes, reservation)) return false;
  memory_.push_back(std::move(reservation));
  for (std::int64_t i = 0; i < more; ++i) {
    float* const lengths = lengths_.take(2 * kBlockRows, n_to_come);
    blocks_.push_back({pairs_.take(words, n_to_come), lengths, lengths + kBlockRows});
  }
  filled_.resize(blocks_.size());
  return true;
}

namespace {

float median_of(std::vector<float>& values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

Units units_of(const float* x, std::int64_t n_rows, std::int32_t n_columns) {
  constexpr std::int64_t kSample = 512;
  const std::int64_t step = std::max<std::int64_t>(1, n_rows / kSample);
  Units units;
  std::vector<float> column, farthest;  // of the sampled rows; in any column
  farthest.assign(static_cast<std::size_t>((n_rows + step - 1) / step), 0.0f);
  for (std::int64_t j = 0; j < n_columns; ++j) {
    column.clear();
    for (std::int64_t i = 0; i < n_rows; i += step) column.push_back(x[i * n_columns + j]);
    units.pivot.push_back(median_of(column));
    for (std::size_t i = 0; i < farthest.size(); ++i)
      farthest[i] = std::max(farthest[i], std::abs(x[static_cast<std::int64_t>(i) * step * n_columns + j] - units.pivot.back()));
  }
  const float largest = *std::max_element(farthest.begin(), farthest.end()), most = median_of(farthest);
  const float typical = most > 0 ? most : largest;
  constexpr int kExponents = 126;  // of a float that is a normal number, as its inverse is
  if (typical > 0) units.scale = std::ldexp(1.0f, std::clamp(-std::ilogb(typical), -kExponents, kExponents));
  return units;
}

}  // namespace coterie::nearest
#endif
