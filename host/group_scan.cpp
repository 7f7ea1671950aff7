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
#include "host/only_group-inl.hpp"     // after foreach_target
#include "host/rows_in_lanes-inl.hpp"  // after foreach_target

HWY_BEFORE_NAMESPACE();
namespace coterie::nearest {
namespace HWY_NAMESPACE {

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
    const auto length = hn::LoadU(d, scan.length.data() + i), rho = hn::LoadU(d, scan.rho.data() + i);
    const auto [square, limit] = limit_of(strip, length, rho, best, place);
    const auto reach = upper_distance(square);
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
    const auto moves = note_moves(strip, scan, certain, load_rows(strip.bounds.label, &scan.doubtful[i]), center, i);
    store_rows(center, moves, strip.bounds.label, &scan.doubtful[i]);
  }
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
    const auto distance = lower_distance(lower_square(errors, hn::LoadU(d, scan.length.data() + i), result));
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
    const auto length = hn::LoadU(d, scan.length.data() + i), rho = hn::LoadU(d, scan.rho.data() + i);
    const auto of_best = limit_of(strip, length, rho, best, place_of(best, group));
    const auto of_second = limit_of(strip, length, rho, second, place_of(second, second_group));
    hn::StoreU(hn::Max(of_best.limit, of_second.limit), d, scan.limit.data() + i);
  }
}

// Scans groups for all entries: in lanes, which share the rows once they are turned, and the few that fill no lanes as others.
void scan_whole_groups(const Strip& strip, StripScan& scan, std::int64_t n_entries) {
  const std::int64_t n_in_lanes = strip.groups->matrix_unit() != nullptr ? 0 : entries_in_lanes(strip, n_entries);
  if (n_in_lanes > 0) scan_in_lanes(strip, scan, scan.whole, n_in_lanes);
  for (const std::int32_t g : scan.whole) scan_group(strip, scan, g, nullptr, n_in_lanes, n_entries);
}

// Scans every group for the entries that need it, or for all where that costs little more. chooses: bounds say who needs which.
void scan_groups(const Strip& strip, StripScan& scan, bool chooses) {
  const std::int64_t n_entries = static_cast<std::int64_t>(scan.doubtful.size());
  if (n_entries == 0) return;
  const MatrixUnit* const unit = n_entries > static_cast<std::int64_t>(kQuad) ? strip.groups->matrix_unit() : nullptr;
  const ConfiguredUnit configured(unit, 2 * strip.groups->n_pairs());
  if (unit != nullptr) split_rows(strip, scan);
  scan.whole.clear();
  for (std::int32_t g = 0; g < strip.groups->n_groups(); ++g) {
    if (chooses) find_needing(strip, scan, g);
    const std::int64_t n_needing = chooses ? static_cast<std::int64_t>(scan.needing.size()) : n_entries;
    if (n_needing == 0) continue;
    scan.scanned.push_back(g);
    scan.n_scans += n_needing;
    if (n_needing * 4 > n_entries * 3) {
      scan.whole.push_back(g);
    } else {
      std::fill_n(scan.lowest_of(g), n_entries, CenterGroups::kNoScore);
      scan_group(strip, scan, g, &scan.needing[0], 0, n_needing);
    }
  }
  scan_whole_groups(strip, scan, n_entries);
}

// tightens: entries have bounds, which are made narrower where there are many groups to be excluded.
void scan_entries(const Strip& strip, StripScan& scan, bool tightens) {
  scan.scanned.clear();
  scan.moves.clear();
  scan.ambiguous.clear();
  scan.n_scans = 0;
  fetch_rows(strip, scan, 0, kRowsAhead);
  find_errors(strip, scan);
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

HWY_EXPORT(find_doubtful_by_slack);
HWY_EXPORT(scan_doubtful_by_slack);
HWY_EXPORT(find_doubtful_target);
HWY_EXPORT(scan_doubtful_target);
HWY_EXPORT(find_two_nearest_target);
HWY_EXPORT(results_of_group_target);

bool find_doubtful(const Strip& strip, StripScan& scan) {
  strip.bounds.slack != nullptr ? HWY_DYNAMIC_DISPATCH(find_doubtful_by_slack)(strip, scan)
                                : HWY_DYNAMIC_DISPATCH(find_doubtful_target)(strip, scan);
  return !scan.doubtful.empty();
}

void results_of_group(const Strip& strip, const StripScan& scan, std::size_t entry, std::int32_t group, float* results) {
  HWY_DYNAMIC_DISPATCH(results_of_group_target)(strip, scan, entry, group, results);
}

void find_two_nearest(const Strip& strip, StripScan& scan) { HWY_DYNAMIC_DISPATCH(find_two_nearest_target)(strip, scan); }

void scan_doubtful(const Strip& strip, StripScan& scan) {
  strip.bounds.slack != nullptr ? HWY_DYNAMIC_DISPATCH(scan_doubtful_by_slack)(strip, scan)
                                : HWY_DYNAMIC_DISPATCH(scan_doubtful_target)(strip, scan);
}

}  // namespace coterie::nearest
#endif
