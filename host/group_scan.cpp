#include "host/group_scan.hpp"

#include <algorithm>
#include <bit>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/group_scan.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "host/group_bounds-inl.hpp"   // after foreach_target
#include "host/group_entries-inl.hpp"  // after foreach_target
#include "host/group_errors.hpp"
#include "host/group_rows-inl.hpp"  // after foreach_target

HWY_BEFORE_NAMESPACE();
namespace coterie::nearest {
namespace HWY_NAMESPACE {

// Entries of a mask, of those from `first` on, belong to these centers from now on.
template <class M, class V>
HWY_INLINE void note_moves(const Strip& strip, StripScan& scan, M mask, V center, std::size_t first) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const auto before = load_rows(strip.bounds.label, &scan.doubtful[first]);
  const auto moves = hn::AndNot(hn::RebindMask(d, hn::Eq(before, center)), mask);
  if (hn::AllFalse(d, moves)) return;
  std::int32_t to[kLanes];
  hn::StoreU(center, di, to);
  Chosen(moves).for_each([&](std::size_t lane) HWY_ATTR {
    const std::int32_t row = scan.doubtful[first + lane];
    fetch_exact(strip, row);
    scan.moves.add({row, strip.bounds.label[row], to[lane]});
    strip.bounds.label[row] = to[lane];
  });
}

// Of entries from `first` on, with a result of the center in a place: an upper bound of the distance to it, and what no nearer center's
// result exceeds. Infinite where nothing is known of a row.
struct Limit {
  hn::Vec<Floats> reach, limit;
};
HWY_INLINE Limit limit_of(const Strip& strip, const StripScan& scan, std::size_t first, hn::Vec<Floats> result,
                          hn::Vec<hn::RebindToSigned<Floats> > place) {
  const Floats d;
  const auto length = hn::LoadU(d, scan.length.data() + first), rho = hn::LoadU(d, scan.rho.data() + first);
  const Reach bounds(strip, result, look_up(strip.groups->length(), strip.groups->n_centers(), place), length, rho);
  const auto reach = hn::IfThenElse(hn::Ge(rho, hn::Set(d, kLostAll)), hn::Set(d, kInfinity), bounds.distance);
  return {reach, hn::MulAdd(hn::Mul(reach, reach), hn::Set(d, 0x1p-24f), hn::Add(bounds.upper, hn::Set(d, kUnderflow)))};
}

// From the results of all scanned groups: place and limit, the upper bounds, and the labels of entries whose center is certain.
void find_lowest(const Strip& strip, StripScan& scan) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const CenterGroups& groups = *strip.groups;
  for (std::size_t i = 0; i < scan.doubtful.size(); i += kLanes) {
    auto best = hn::Set(d, CenterGroups::kNoScore), second = best;
    auto group = hn::Zero(di);
    for (const std::int32_t g : scan.scanned) {
      const auto lowest = hn::LoadU(d, scan.lowest_of(g) + i), next = hn::LoadU(d, scan.next_of(g) + i);
      const auto nearer = hn::Lt(lowest, best);
      second = hn::IfThenElse(nearer, hn::Min(best, next), hn::Min(second, lowest));
      best = hn::IfThenElse(nearer, lowest, best);
      group = hn::IfThenElse(hn::RebindMask(di, nearer), hn::Set(di, g * kGroupWidth), group);
    }
    const auto place = hn::Or(group, hn::And(hn::BitCast(di, best), hn::Set(di, kPlaceBits)));
    const auto [reach, limit] = limit_of(strip, scan, i, best, place);
    const auto center = look_up(groups.center(), groups.n_centers(), place);
    const auto is_entry = lanes_of(scan.doubtful.size(), i), certain = hn::And(is_entry, hn::Gt(second, limit));
    hn::StoreU(place, di, scan.place.data() + i);
    hn::StoreU(limit, d, scan.limit.data() + i);
    hn::StoreU(reach, d, scan.reach.data() + i);
    const auto drift = hn::Mul(drift_of(strip, center), hn::Set(d, 1 - kDriftOutwards));
    store_rows(hn::Sub(reach, drift), is_entry, strip.bounds.upper, &scan.doubtful[i]);
    const auto ambiguous = hn::AndNot(certain, is_entry);
    if (!hn::AllFalse(d, ambiguous)) {
      const Chosen chosen(ambiguous);
      append_numbers(chosen, i, scan.ambiguous);
      chosen.for_each([&](std::size_t lane) HWY_ATTR { fetch_exact(strip, scan.doubtful[i + lane]); });
    }
    note_moves(strip, scan, certain, center, i);
  }
}

// What to keep of results as lower bounds of distances.
template <class V>
HWY_INLINE V lower_distance(Floats d, const Errors& errors, V length, V result) {
  const V square = hn::Mul(hn::Mul(length, length), hn::Set(d, errors.square_down)), score = hn::Sub(result, hn::Set(d, kUnderflow));
  return hn::Mul(hn::Sqrt(hn::Max(hn::Zero(d), hn::Add(square, hn::Add(score, score)))), hn::Set(d, 1 - kOutwards));
}

void write_lower(const Strip& strip, const StripScan& scan, std::int32_t group) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const Errors errors(strip.n_columns);
  float* const lower = strip.bounds.lower + group * strip.bounds.stride;
  const auto drift = hn::Set(d, strip.drifts.group[group] * (1 - kDriftOutwards));
  for (std::size_t i = 0; i < scan.doubtful.size(); i += kLanes) {
    const auto lowest = hn::LoadU(d, scan.lowest_of(group) + i);
    const auto is_new = hn::And(hn::Lt(lowest, hn::Set(d, kScanned)), lanes_of(scan.doubtful.size(), i));
    if (hn::AllFalse(d, is_new)) continue;
    const auto own_group = hn::ShiftRight<std::countr_zero(static_cast<unsigned>(kGroupWidth))>(hn::LoadU(di, scan.place.data() + i));
    const auto is_own = hn::RebindMask(d, hn::Eq(own_group, hn::Set(di, group)));
    const auto result = hn::IfThenElse(is_own, hn::LoadU(d, scan.next_of(group) + i), lowest);
    const auto distance = lower_distance(d, errors, hn::LoadU(d, scan.length.data() + i), result);
    store_rows(hn::Add(distance, drift), is_new, lower, &scan.doubtful[i]);
  }
}

// From the results of all groups: the limit of the two nearest centers.
void limit_two(const Strip& strip, StripScan& scan) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const auto place_of = [&](auto result, auto group)
                            HWY_ATTR { return hn::Or(group, hn::And(hn::BitCast(di, result), hn::Set(di, kPlaceBits))); };
  for (std::size_t i = 0; i < scan.doubtful.size(); i += kLanes) {
    auto best = hn::Set(d, CenterGroups::kNoScore), second = best;
    auto group = hn::Zero(di), second_group = group;
    for (const std::int32_t g : scan.scanned) {
      const auto lowest = hn::LoadU(d, scan.lowest_of(g) + i), next = hn::LoadU(d, scan.next_of(g) + i);
      const auto here = hn::Set(di, g * kGroupWidth);
      const auto nearer = hn::Lt(lowest, best);
      const auto other = hn::IfThenElse(nearer, best, lowest);  // of the two lowest, the one that is not the best
      const auto other_group = hn::IfThenElse(hn::RebindMask(di, nearer), group, here);
      best = hn::IfThenElse(nearer, lowest, best);
      group = hn::IfThenElse(hn::RebindMask(di, nearer), here, group);
      for (const auto& [result, its_group] : {std::pair{other, other_group}, std::pair{next, here}}) {
        const auto is_second = hn::Lt(result, second);
        second = hn::IfThenElse(is_second, result, second);
        second_group = hn::IfThenElse(hn::RebindMask(di, is_second), its_group, second_group);
      }
    }
    const auto of_best = limit_of(strip, scan, i, best, place_of(best, group));
    const auto of_second = limit_of(strip, scan, i, second, place_of(second, second_group));
    hn::StoreU(hn::Max(of_best.limit, of_second.limit), d, scan.limit.data() + i);
  }
}

// Scans every group for the entries that need it, or for all where that costs little more. chooses: bounds say who needs which.
void scan_groups(const Strip& strip, StripScan& scan, bool chooses) {
  const std::int64_t n_entries = static_cast<std::int64_t>(scan.doubtful.size());
  if (n_entries == 0) return;
  const MatrixUnit* const unit = n_entries > static_cast<std::int64_t>(kQuad) ? strip.groups->matrix_unit() : nullptr;
  const ConfiguredUnit configured(unit, 2 * strip.groups->n_pairs());
  if (unit != nullptr) split_rows(strip, scan);
  for (std::int32_t g = 0; g < strip.groups->n_groups(); ++g) {
    if (chooses) find_needing(strip, scan, g);
    const std::int64_t n_needing = chooses ? static_cast<std::int64_t>(scan.needing.size()) : n_entries;
    if (n_needing == 0) continue;
    scan.scanned.push_back(g);
    scan.n_scans += n_needing;
    if (strip.groups->takes_floats()) {
      scan_float_rows(strip, scan);
    } else if (scans_by_rows(*strip.groups)) {
      scan_rounded_rows(strip, scan);
    } else if (n_needing * 4 > n_entries * 3) {
      scan_group(strip, scan, g, nullptr, n_entries);
    } else {
      std::fill_n(scan.lowest_of(g), n_entries, CenterGroups::kNoScore);
      scan_group(strip, scan, g, &scan.needing[0], n_needing);
    }
  }
}

// tightens: entries have bounds, which are made narrower where there are many groups to be excluded.
void scan_entries(const Strip& strip, StripScan& scan, bool tightens) {
  scan.scanned.clear();
  scan.moves.clear();
  scan.ambiguous.clear();
  scan.n_scans = 0;
  fetch_rows(strip, scan, 0, kRowsAhead);
  if (!strip.groups->takes_floats()) find_errors(strip, scan);
  if (tightens) tighten(strip, scan);
  scan_groups(strip, scan, tightens);
}

void scan_doubtful_target(const Strip& strip, StripScan& scan) {
  scan_entries(strip, scan, is_tightened(strip));
  find_lowest(strip, scan);
  for (const std::int32_t g : scan.scanned) write_lower(strip, scan, g);
}

void find_two_nearest_target(const Strip& strip, StripScan& scan) {
  for (std::int64_t row = 0; row < strip.n_rows; ++row) scan.doubtful[static_cast<std::size_t>(row)] = static_cast<std::int32_t>(row);
  scan.doubtful.resize(static_cast<std::size_t>(strip.n_rows));
  scan.doubtful.end_with_zeros();
  scan_entries(strip, scan, false);
  limit_two(strip, scan);
}

void results_of_group_target(const Strip& strip, const StripScan& scan, std::size_t entry, std::int32_t group, float* results) {
  const std::int64_t number = scan.doubtful[entry];
  if (strip.groups->takes_floats()) return scan_float_row(strip, strip.x + number * strip.n_columns, scan.rho[entry], results);
  const std::int32_t* const row = strip.pairs + number * strip.groups->n_pairs();
  scan_row(group_of(*strip.groups, group), row, scan.unit[entry], scan.rho[entry], results);
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie::nearest
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie::nearest {

HWY_EXPORT(find_doubtful_target);
HWY_EXPORT(scan_doubtful_target);
HWY_EXPORT(find_two_nearest_target);
HWY_EXPORT(results_of_group_target);

bool find_doubtful(const Strip& strip, StripScan& scan) {
  HWY_DYNAMIC_DISPATCH(find_doubtful_target)(strip, scan);
  return !scan.doubtful.empty();
}

void results_of_group(const Strip& strip, const StripScan& scan, std::size_t entry, std::int32_t group, float* results) {
  HWY_DYNAMIC_DISPATCH(results_of_group_target)(strip, scan, entry, group, results);
}

void find_two_nearest(const Strip& strip, StripScan& scan) { HWY_DYNAMIC_DISPATCH(find_two_nearest_target)(strip, scan); }

void scan_doubtful(const Strip& strip, StripScan& scan) { HWY_DYNAMIC_DISPATCH(scan_doubtful_target)(strip, scan); }

}  // namespace coterie::nearest
#endif
