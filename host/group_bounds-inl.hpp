// What bounds tell before a scan (group_scan.hpp): which rows are in doubt, and which groups they need; and what results tell of bounds.
// For the instruction set of the including file; included once per instruction set by group_scan.cpp, which hwy/foreach_target.h compiles
// over and over.
#if defined(COTERIE_HOST_GROUP_BOUNDS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef COTERIE_HOST_GROUP_BOUNDS_INL_HPP
#undef COTERIE_HOST_GROUP_BOUNDS_INL_HPP
#else
#define COTERIE_HOST_GROUP_BOUNDS_INL_HPP
#endif

#include <hwy/highway.h>

#include <bit>

#include "host/chosen_lanes-inl.hpp"
#include "host/group_entries-inl.hpp"
#include "host/group_errors.hpp"
#include "host/group_scan.hpp"

HWY_BEFORE_NAMESPACE();
namespace coterie::nearest {
namespace HWY_NAMESPACE {

// Lanes of the entries from `first` on.
HWY_INLINE auto lanes_of(std::size_t n_entries, std::size_t first) { return hn::FirstN(Floats(), n_entries - first); }

using Chosen = coterie::HWY_NAMESPACE::ChosenLanes<Floats>;

// Adds the numbers of the chosen lanes, the lowest lane being `first`.
HWY_INLINE void append_numbers(const Chosen& chosen, std::size_t first, StripList<std::int32_t>& numbers) {
  chosen.store_numbers(static_cast<std::int32_t>(first), numbers.end());
  numbers.grow(chosen.size());
}

// What a column of the strip holds for the rows of some entries, and the way back for those of a mask. Rows ascend, and 0 follows
// the last.
HWY_INLINE bool are_neighbours(const std::int32_t* rows) { return rows[kLanes - 1] - rows[0] == static_cast<std::int32_t>(kLanes) - 1; }
template <class T>
HWY_INLINE auto load_rows(const T* column, const std::int32_t* rows) {
  const hn::Rebind<T, Floats> d;
  if (are_neighbours(rows)) return hn::LoadU(d, column + rows[0]);
  return hn::GatherIndex(d, column, hn::LoadU(hn::RebindToSigned<Floats>(), rows));
}
template <class T, class M>
HWY_INLINE void store_rows(hn::Vec<hn::Rebind<T, Floats> > values, M mask, T* column, const std::int32_t* rows) {
  const hn::Rebind<T, Floats> d;
  const bool all = hn::AllTrue(Floats(), mask);
  if (all && are_neighbours(rows)) return hn::StoreU(values, d, column + rows[0]);
  T lanes[kLanes];
  hn::StoreU(values, d, lanes);
  for (std::size_t lane = 0; all && lane < kLanes; ++lane) column[rows[lane]] = lanes[lane];
  if (!all) Chosen(mask).for_each([&](std::size_t lane) HWY_ATTR { column[rows[lane]] = lanes[lane]; });
}

// table[i] of few numbers: one or two registers are faster than memory.
template <class T>
HWY_INLINE auto look_up(const T* table, std::int32_t n, hn::Vec<hn::RebindToSigned<Floats> > i) {
  const hn::Rebind<T, Floats> d;
  const hn::RebindToSigned<Floats> di;
  if constexpr (kLanes >= 8) {
    constexpr auto kWidth = static_cast<std::int32_t>(kLanes);
    const auto at = hn::IndicesFromVec(d, hn::And(i, hn::Set(di, kWidth - 1)));
    if (n <= kWidth) return hn::TableLookupLanes(hn::LoadU(d, table), at);
    if (n <= 2 * kWidth) {
      const auto is_low = hn::RebindMask(d, hn::Lt(i, hn::Set(di, kWidth)));
      return hn::IfThenElse(is_low, hn::TableLookupLanes(hn::LoadU(d, table), at), hn::TableLookupLanes(hn::LoadU(d, table + kWidth), at));
    }
  }
  return hn::GatherIndex(d, table, i);
}

// How far centers drifted; something where there is none, as for rows without a label: their upper bounds are infinite.
HWY_INLINE hn::Vec<Floats> drift_of(const Strip& strip, hn::Vec<hn::RebindToSigned<Floats> > center) {
  return look_up(strip.drifts.center, strip.groups->n_centers(), hn::Max(center, hn::Zero(hn::RebindToSigned<Floats>())));
}

// Entries of a mask, of those from `first` on, belong to these centers from now on. Returns those that belonged to others before.
HWY_INLINE hn::Mask<Floats> note_moves(const Strip& strip, StripScan& scan, hn::Mask<Floats> mask,
                                       hn::Vec<hn::RebindToSigned<Floats> > before, hn::Vec<hn::RebindToSigned<Floats> > center,
                                       std::size_t first) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const auto moves = hn::AndNot(hn::RebindMask(d, hn::Eq(before, center)), mask);
  if (hn::AllFalse(d, moves)) return moves;
  std::int32_t from[kLanes], to[kLanes];
  hn::StoreU(before, di, from);
  hn::StoreU(center, di, to);
  Chosen(moves).for_each([&](std::size_t lane) HWY_ATTR {
    const std::int32_t row = scan.doubtful[first + lane];
    fetch_exact(strip, row);
    scan.moves.add({row, from[lane], to[lane]});
  });
  return moves;
}

// From the length of rounded rows and what they lost.
HWY_INLINE hn::Vec<Floats> rho_of(const Strip& strip, hn::Vec<Floats> length, hn::Vec<Floats> lost) {
  const Floats d;
  const auto by_centers = hn::MulAdd(hn::Add(length, lost), hn::Set(d, strip.groups->lost_ratio()), hn::Mul(length, hn::Set(d, 0x1p-18f)));
  return hn::Mul(hn::Add(lost, by_centers), hn::Set(d, 1 + 0x1p-10f));
}

// What is known of the rows of all entries: length, and of it unit and rho.
void find_errors(const Strip& strip, StripScan& scan) {
  const Floats d;
  for (std::size_t i = 0; i < scan.doubtful.size(); i += kLanes) {
    const std::int32_t* const rows = &scan.doubtful[i];
    const auto length = load_rows(strip.length, rows), lost = load_rows(strip.lost, rows);
    hn::StoreU(length, d, scan.length.data() + i);
    hn::StoreU(hn::Mul(length, hn::Set(d, kUnit)), d, scan.unit.data() + i);
    hn::StoreU(rho_of(strip, length, lost), d, scan.rho.data() + i);
  }
}

// What is known of the rows that come next.
HWY_INLINE void fetch_ahead(const Strip& strip, std::int64_t row) {
  __builtin_prefetch(strip.length + row);
  __builtin_prefetch(strip.lost + row);
  __builtin_prefetch(strip.bounds.label + row);
  __builtin_prefetch(strip.bounds.upper + row);
  for (std::int32_t g = 0; g < strip.groups->n_groups(); ++g) __builtin_prefetch(strip.bounds.lower + g * strip.bounds.stride + row);
}

// Lists the rows whose label does not stand and, where a scan tightens bounds, what theirs say.
template <bool kWithBounds>
HWY_INLINE void list_doubtful(const Strip& strip, StripScan& scan) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const StripBounds bounds = strip.bounds;  // here, nothing that is stored can be part of them
  const float* const group_drift = strip.drifts.group;
  const std::int32_t n_groups = strip.groups->n_groups();
  const std::size_t n_rows = static_cast<std::size_t>(strip.n_rows);
  std::int32_t* const rows = &scan.doubtful[0];
  std::size_t n = 0;
  for (std::size_t i = 0; i < n_rows; i += kLanes) {
    if (i % kWordsOfLine == 0) fetch_ahead(strip, static_cast<std::int64_t>(i) + kLeastStripRows);
    const auto label = hn::LoadU(di, bounds.label + i);
    const auto reach = hn::Add(hn::LoadU(d, bounds.upper + i), drift_of(strip, label));
    auto least = hn::Set(d, kInfinity);
    for (std::int32_t g = 0; g < n_groups; ++g)
      least = hn::Min(least, hn::Sub(hn::LoadU(d, bounds.lower + g * bounds.stride + i), hn::Set(d, group_drift[g])));
    const Chosen chosen(hn::AndNot(hn::Gt(least, reach), lanes_of(n_rows, i)));
    if constexpr (kWithBounds) {
      if (chosen.bits() == 0) continue;
      chosen.store(reach, scan.reach.data() + n);
      chosen.store(least, scan.least.data() + n);
      chosen.store(label, scan.label.data() + n);
    }
    chosen.store_numbers(static_cast<std::int32_t>(i), rows + n);  // without a branch, which would be taken at random
    n += chosen.size();
  }
  scan.doubtful.resize(n);
  scan.doubtful.end_with_zeros();
}

void find_doubtful_target(const Strip& strip, StripScan& scan) {
  is_tightened(strip) ? list_doubtful<true>(strip, scan) : list_doubtful<false>(strip, scan);
}

// Places of the own centers of kLanes entries from `first` on, and the sums of products with them; 0 beyond the last entry and where
// there is no own center.
HWY_INLINE void multiply_by_own(const Strip& strip, const StripScan& scan, std::size_t first, std::int32_t* place, std::int32_t* sum) {
  const CenterGroups& groups = *strip.groups;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    place[lane] = sum[lane] = 0;
    if (first + lane >= scan.doubtful.size() || scan.label[first + lane] < 0) continue;
    place[lane] = groups.place_of(scan.label[first + lane]);
    const std::int64_t row = scan.doubtful[first + lane];
    sum[lane] = product_sum(strip.pairs + row * groups.n_pairs(), groups.center_pairs(place[lane]), groups.n_pairs());
  }
}

// From results with centers of this length to upper bounds of s and of the squared distance.
struct Reach {
  hn::Vec<Floats> upper, square;
  HWY_INLINE Reach(const Strip& strip, hn::Vec<Floats> result, hn::Vec<Floats> of_center, hn::Vec<Floats> length, hn::Vec<Floats> rho) {
    const Floats d;
    const auto error = hn::MulAdd(rho, hn::Set(d, kTwiceRho), hn::Mul(of_center, hn::Set(d, kTwiceShare)));
    upper = hn::Add(hn::MulAdd(of_center, error, result), hn::Set(d, kUnderflow));
    const auto square_up = hn::Set(d, Errors(strip.n_columns).square_up);
    square = hn::Max(hn::Zero(d), hn::MulAdd(hn::Mul(length, length), square_up, hn::Add(upper, upper)));
  }
};
HWY_INLINE hn::Vec<Floats> upper_distance(hn::Vec<Floats> square) { return hn::Mul(hn::Sqrt(square), hn::Set(Floats(), 1 + kOutwards)); }

// Of rows with a result of the center in a place: an upper bound of the squared distance to it, and what no nearer center's result
// exceeds. Infinite where nothing is known of a row.
struct Limit {
  hn::Vec<Floats> square, limit;
};
HWY_INLINE Limit limit_of(const Strip& strip, hn::Vec<Floats> length, hn::Vec<Floats> rho, hn::Vec<Floats> result,
                          hn::Vec<hn::RebindToSigned<Floats> > place) {
  const Floats d;
  const Reach bounds(strip, result, look_up(strip.groups->length(), strip.groups->n_centers(), place), length, rho);
  const auto square = hn::IfThenElse(hn::Ge(rho, hn::Set(d, kLostAll)), hn::Set(d, kInfinity), bounds.square);
  return {square, hn::MulAdd(square, hn::Set(d, (1 + 4 * kOutwards) * 0x1p-24f), hn::Add(bounds.upper, hn::Set(d, kUnderflow)))};
}

// From results to lower bounds of squared distances.
HWY_INLINE hn::Vec<Floats> lower_square(const Errors& errors, hn::Vec<Floats> length, hn::Vec<Floats> result) {
  const Floats d;
  const auto square = hn::Mul(hn::Mul(length, length), hn::Set(d, errors.square_down)), score = hn::Sub(result, hn::Set(d, kUnderflow));
  return hn::Max(hn::Zero(d), hn::Add(square, hn::Add(score, score)));
}
HWY_INLINE hn::Vec<Floats> lower_distance(hn::Vec<Floats> square) { return hn::Mul(hn::Sqrt(square), hn::Set(Floats(), 1 - kOutwards)); }

// Upper bounds of the distances of some entries to their own centers.
HWY_INLINE hn::Vec<Floats> measured_reach(const Strip& strip, hn::Vec<hn::RebindToSigned<Floats> > place,
                                          hn::Vec<hn::RebindToSigned<Floats> > sum, hn::Vec<Floats> length, hn::Vec<Floats> unit,
                                          hn::Vec<Floats> rho) {
  const Floats d;
  const CenterGroups& groups = *strip.groups;
  const auto of_center = hn::GatherIndex(d, groups.length(), place);
  const auto products = hn::Mul(hn::Mul(unit, hn::GatherIndex(d, groups.step(), place)), hn::ConvertTo(d, sum));
  const auto lowest = hn::Sub(hn::NegMulAdd(rho, of_center, hn::GatherIndex(d, groups.half_square(), place)), products);
  return upper_distance(Reach(strip, lowest, of_center, length, rho).square);
}

// Measures the distances to the own centers anew; where that settles the doubt, the label stands after all. For the others, finds the
// group of the own center.
void tighten(const Strip& strip, StripScan& scan) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const std::size_t n = scan.doubtful.size();
  std::size_t kept = 0;
  for (std::size_t i = 0; i < n; i += kLanes) {
    fetch_rows(strip, scan, i + kRowsAhead, i + kRowsAhead + kLanes);
    std::int32_t places[kLanes], sums[kLanes];
    multiply_by_own(strip, scan, i, places, sums);
    const auto rows = hn::LoadU(di, &scan.doubtful[i]), label = hn::LoadU(di, scan.label.data() + i), place = hn::LoadU(di, places);
    const auto length = hn::LoadU(d, scan.length.data() + i), unit = hn::LoadU(d, scan.unit.data() + i);
    const auto rho = hn::LoadU(d, scan.rho.data() + i), before = hn::LoadU(d, scan.reach.data() + i);
    const auto is_entry = lanes_of(n, i), has_own = hn::RebindMask(d, hn::Gt(label, hn::Set(di, -1)));
    const auto measured = measured_reach(strip, place, hn::LoadU(di, sums), length, unit, rho);
    const auto is_known = hn::And(has_own, hn::Lt(load_rows(strip.lost, &scan.doubtful[i]), hn::Set(d, kLostAll)));
    const auto nearer = hn::And(hn::And(is_entry, is_known), hn::Lt(measured, before));
    const auto reach = hn::IfThenElse(nearer, measured, before);
    if (!hn::AllFalse(d, nearer)) {
      const auto drift = hn::Mul(drift_of(strip, label), hn::Set(d, 1 - kDriftOutwards));
      store_rows(hn::Sub(reach, drift), nearer, strip.bounds.upper, &scan.doubtful[i]);
    }
    const auto stands = hn::Gt(hn::LoadU(d, scan.least.data() + i), reach);
    const Chosen chosen(hn::AndNot(stands, is_entry));
    const auto own = hn::ShiftRight<std::countr_zero(static_cast<unsigned>(kGroupWidth))>(place);
    chosen.store(hn::IfThenElse(hn::RebindMask(di, has_own), own, hn::Set(di, -1)), scan.own.data() + kept);
    chosen.store(rows, &scan.doubtful[kept]);
    chosen.store(label, scan.label.data() + kept);
    chosen.store(reach, scan.reach.data() + kept);
    chosen.store(length, scan.length.data() + kept);
    chosen.store(unit, scan.unit.data() + kept);
    chosen.store(rho, scan.rho.data() + kept);
    kept += chosen.size();
  }
  scan.doubtful.resize(kept);
  scan.doubtful.end_with_zeros();
}

// Entries for which a group must be scanned: those whose bound does not exclude it, and those that belong to it.
void find_needing(const Strip& strip, StripScan& scan, std::int32_t group) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const float* const lower = strip.bounds.lower + group * strip.bounds.stride;
  const auto drift = hn::Set(d, strip.drifts.group[group]);
  scan.needing.clear();
  for (std::size_t i = 0; i < scan.doubtful.size(); i += kLanes) {
    const auto excluded = hn::Gt(hn::Sub(load_rows(lower, &scan.doubtful[i]), drift), hn::LoadU(d, scan.reach.data() + i));
    const auto own = hn::RebindMask(d, hn::Eq(hn::LoadU(di, scan.own.data() + i), hn::Set(di, group)));
    const auto needs = hn::And(hn::Or(hn::Not(excluded), own), lanes_of(scan.doubtful.size(), i));
    if (!hn::AllFalse(d, needs)) append_numbers(Chosen(needs), i, scan.needing);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie::nearest
HWY_AFTER_NAMESPACE();

#endif
