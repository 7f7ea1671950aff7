#include "host/digit_bins.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "host/quantiles.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/digit_bins.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "host/chosen_lanes-inl.hpp"  // after foreach_target

HWY_BEFORE_NAMESPACE();
namespace coterie::quantiles {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr std::size_t kStripColumns = 64;  // a bit for each in a word

// ordered_key() of a vector.
template <class D, class V = hn::Vec<D>>
HWY_INLINE auto keys_of(D d, V x) {
  const hn::RebindToUnsigned<D> du;
  const hn::RebindToSigned<D> di;
  const auto bits = hn::BitCast(di, hn::Add(x, hn::Zero(d)));
  const auto negative = hn::BitCast(du, hn::BroadcastSignBit(bits));
  return hn::Xor(hn::BitCast(du, bits), hn::Or(negative, hn::Set(du, kKeySign<hn::TFromD<D>>)));
}

// Writes the bins of the cells x[0 .. lanes) of the columns from `column` on; returns a bit for each that counts.
template <class D, class Cell, class Key>
HWY_INLINE std::uint64_t find_bins(D d, const Cell* x, std::size_t column, const WantedKeys<Key>& wanted, Key* bins) {
  const hn::RebindToUnsigned<D> du;
  const auto cells = hn::LoadU(d, x);
  const auto digits = hn::ShiftRightSame(keys_of(d, cells), wanted.shift);
  const auto prefix = hn::ShiftRight<kDigitBits>(digits);
  auto found = hn::Zero(du), bin = hn::Zero(du);
  for (std::size_t entry = column, slot = 0; slot < wanted.n_slots; ++slot, entry += wanted.n_columns) {
    const auto same = hn::VecFromMask(du, hn::Eq(prefix, hn::LoadU(du, wanted.prefixes + entry)));
    found = hn::Or(found, same);
    bin = hn::Or(bin, hn::And(same, hn::LoadU(du, wanted.bins + entry)));
  }
  hn::StoreU(hn::Add(bin, hn::And(digits, hn::Set(du, Key{kDigits - 1}))), du, bins);
  const auto is_known = hn::RebindMask(du, hn::Eq(cells, cells));
  return coterie::HWY_NAMESPACE::ChosenLanes<decltype(du)>(hn::And(is_known, hn::MaskFromVec(found))).bits();
}

// Adds the weight to those of the bins that have their bit.
template <class Key>
HWY_INLINE void add_weight(const Key* bins, std::size_t n, std::uint64_t counted, std::int64_t weight, std::int64_t* histogram) {
  if (counted == ~std::uint64_t{0} >> (kStripColumns - n)) {  // as in the first sweep, where no branch should depend on a bit
    for (std::size_t i = 0; i < n; ++i) histogram[bins[i]] += weight;
    return;
  }
  for (; counted != 0; counted &= counted - 1) histogram[bins[static_cast<std::size_t>(std::countr_zero(counted))]] += weight;
}

template <class Cell, class Key>
HWY_INLINE void count_rows(const GroupRows<Cell>& rows, const WantedKeys<Key>& wanted, std::int64_t* histogram) {
  const hn::ScalableTag<Cell> whole;
  const hn::CappedTag<Cell, 1> single;
  const std::size_t lanes = hn::Lanes(whole);
  std::array<Key, kStripColumns> bins;
  for (std::size_t first = 0; first < wanted.n_columns; first += kStripColumns) {
    const std::size_t n = std::min(kStripColumns, wanted.n_columns - first);
    rows.for_each(first, n, [&](const Cell* x, std::int64_t weight) HWY_ATTR {
      std::uint64_t counted = 0;
      std::size_t i = 0;
      for (; i + lanes <= n; i += lanes) counted |= find_bins(whole, x + i, first + i, wanted, bins.data() + i) << i;
      for (; i < n; ++i) counted |= find_bins(single, x + i, first + i, wanted, bins.data() + i) << i;
      add_weight(bins.data(), n, counted, weight, histogram);
    });
  }
}

void count_float_digits(const GroupRows<float>& rows, const WantedKeys<std::uint32_t>& wanted, std::int64_t* histogram) {
  count_rows(rows, wanted, histogram);
}

void count_double_digits(const GroupRows<double>& rows, const WantedKeys<std::uint64_t>& wanted, std::int64_t* histogram) {
  count_rows(rows, wanted, histogram);
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie::quantiles
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie::quantiles {

HWY_EXPORT(count_float_digits);
HWY_EXPORT(count_double_digits);

void count_digits(const GroupRows<float>& rows, const WantedKeys<std::uint32_t>& wanted, std::int64_t* histogram) {
  HWY_DYNAMIC_DISPATCH(count_float_digits)(rows, wanted, histogram);
}

void count_digits(const GroupRows<double>& rows, const WantedKeys<std::uint64_t>& wanted, std::int64_t* histogram) {
  HWY_DYNAMIC_DISPATCH(count_double_digits)(rows, wanted, histogram);
}

}  // namespace coterie::quantiles
#endif
