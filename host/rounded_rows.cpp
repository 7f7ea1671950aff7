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

// y of one row, zero-padded to whole pairs; returns its length.
HWY_INLINE float center_row(const float* x, const Units& units, float* y) {
  const Cells d;
  const std::size_t n = units.pivot.size(), lanes = hn::Lanes(d), padded = 2 * static_cast<std::size_t>(pairs_of(static_cast<int>(n)));
  const auto scale = hn::Set(d, units.scale);
  std::size_t j = 0;
  for (; j + lanes <= n; j += lanes)
    hn::StoreU(hn::Mul(hn::Sub(hn::LoadU(d, x + j), hn::LoadU(d, units.pivot.data() + j)), scale), d, y + j);
  for (; j < n; ++j) y[j] = (x[j] - units.pivot[j]) * units.scale;
  std::fill(y + n, y + padded, 0.0f);
  auto square = hn::Zero(d);
  for (j = 0; j < padded; j += lanes) {
    const auto cells = hn::LoadU(d, y + j);
    square = hn::MulAdd(cells, cells, square);
  }
  return std::sqrt(hn::GetLane(hn::SumOfLanes(d, square)));
}

void round_rows_target(const float* x, std::int64_t n_rows, const Units& units, const RoundedRows& rounded) {
  const Cells d;
  const hn::Rebind<std::int16_t, Cells> d16;
  const std::size_t n = units.pivot.size(), lanes = hn::Lanes(d), n_pairs = static_cast<std::size_t>(pairs_of(static_cast<int>(n)));
  const float slack = static_cast<float>(1 + 2 * length_error(static_cast<int>(n)));
  std::vector<float> y(2 * n_pairs);
  for (std::int64_t i = 0; i < n_rows; ++i) {
    const float measured = center_row(x + i * static_cast<std::int64_t>(n), units, y.data());
    const bool fits = measured < kTooFar;  // not where it is NaN
    const float length = fits ? std::max(measured, kLeastLength) : 0;
    std::int32_t* const pairs = rounded.pairs + i * static_cast<std::int64_t>(n_pairs);
    if (!fits) std::fill_n(pairs, n_pairs, 0);
    const auto unit = hn::Set(d, unit_of(length)), per_unit = hn::Set(d, kReach / length);
    auto lost = hn::Zero(d);
    for (std::size_t j = 0; fits && j < 2 * n_pairs; j += lanes) {
      const auto cells = hn::LoadU(d, y.data() + j);
      const auto whole = hn::NearestInt(hn::Mul(cells, per_unit));
      const auto left = hn::NegMulAdd(hn::ConvertTo(d, whole), unit, cells);
      lost = hn::MulAdd(left, left, lost);
      hn::StoreU(hn::DemoteTo(d16, whole), d16, reinterpret_cast<std::int16_t*>(pairs) + j);
    }
    rounded.length[i] = length;
    rounded.lost[i] = fits ? std::sqrt(hn::GetLane(hn::SumOfLanes(d, lost))) * slack : kLostAll;
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

bool RoundedBlocks::grow(std::int64_t n_blocks, std::int32_t n_columns, MemoryLedger& memory) {
  const std::int64_t more = n_blocks - std::ssize(blocks_), words = kBlockRows * pairs_of(n_columns);
  if (more <= 0) return true;
  const std::int64_t bytes = more * (words + 2 * kBlockRows) * static_cast<std::int64_t>(sizeof(float));
  Reservation reservation;
  if (2 * bytes > memory.available() || !memory.try_reserve(bytes, reservation)) return false;
  memory_.push_back(std::move(reservation));
  std::int32_t* pairs = pairs_.emplace_back(make_row_array<std::int32_t>(static_cast<std::size_t>(more * words))).get();
  float* lengths = lengths_.emplace_back(make_row_array<float>(static_cast<std::size_t>(more * 2 * kBlockRows))).get();
  for (std::int64_t i = 0; i < more; ++i, pairs += words, lengths += 2 * kBlockRows)
    blocks_.push_back({pairs, lengths, lengths + kBlockRows});
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
