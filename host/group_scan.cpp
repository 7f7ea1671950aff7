#include "host/group_scan.hpp"

#include <algorithm>
#include <bit>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/group_scan.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "host/group_errors.hpp"
#include "host/group_kernel-inl.hpp"  // after foreach_target

HWY_BEFORE_NAMESPACE();
namespace coterie::nearest {
namespace HWY_NAMESPACE {

// Adds the rows of a mask, from `first` on.
template <class M>
HWY_INLINE void append_rows(M mask, std::int64_t first, StripList<std::int32_t>& rows) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  if (hn::AllTrue(d, mask)) {
    hn::StoreU(hn::Iota(di, static_cast<std::int32_t>(first)), di, rows.end());
    rows.resize(rows.size() + hn::Lanes(d));
    return;
  }
  std::uint64_t bits = 0;
  hn::StoreMaskBits(d, mask, reinterpret_cast<std::uint8_t*>(&bits));
  for (; bits != 0; bits &= bits - 1) rows.add(static_cast<std::int32_t>(first) + std::countr_zero(bits));
}

constexpr std::int64_t kWordsOfLine = 16;  // of the cache

// Chosen rows leave the prefetcher of the processor without a pattern. They are fetched this many ahead of their scan: far enough for
// memory, few enough for the cache.
constexpr std::int64_t kRowsAhead = 24;

void fetch_rows(const Strip& strip, const std::int32_t* rows, std::int64_t first, std::int64_t n_rows) {
  const std::int64_t n_pairs = strip.groups->n_pairs();
  for (std::int64_t i = first; i < std::min(first + static_cast<std::int64_t>(kQuad), n_rows); ++i) {
    const std::int32_t* const row = strip.pairs + (rows != nullptr ? rows[i] : i) * n_pairs;
    for (std::int64_t pair = 0; pair < n_pairs; pair += kWordsOfLine) __builtin_prefetch(row + pair);
  }
}

// With more than a few groups, a distance to one center is cheap beside a scan, and worth it.
HWY_INLINE bool is_tightened(const Strip& strip) { return strip.groups->n_groups() > 2; }

// One group for the chosen rows, or without a choice for the first n_rows.
template <std::size_t kVectors>
void scan_vectors(const Strip& strip, StripScan& scan, std::int32_t number, const std::int32_t* rows, std::int64_t n_rows) {
  const CenterGroups& groups = *strip.groups;
  const std::int32_t first_place = number * kGroupWidth;
  const GroupOf group{groups.group_pairs(number), groups.half_square() + first_place, groups.length() + first_place,
                      groups.step() + first_place, groups.n_pairs()};
  float* const lowest = scan.lowest_of(number);
  float* const next = scan.next_of(number);
  const bool is_first = scan.scanned.size() == 1 && !is_tightened(strip);  // later, rows are in the cache
  for (std::int64_t first = 0; first < n_rows; first += kQuad) {
    if (is_first) fetch_rows(strip, rows, first + kRowsAhead, n_rows);
    const std::int32_t* row_pairs[kQuad];
    float unit[kQuad], rho[kQuad];
    std::size_t at[kQuad];
    for (std::size_t r = 0; r < kQuad; ++r) {
      const std::int64_t i = std::min(first + static_cast<std::int64_t>(r), n_rows - 1);
      at[r] = static_cast<std::size_t>(rows != nullptr ? rows[i] : i);
      row_pairs[r] = strip.pairs + at[r] * static_cast<std::size_t>(groups.n_pairs());
      unit[r] = scan.unit[at[r]];
      rho[r] = scan.rho[at[r]];
    }
    if (rows == nullptr) {
      scan_quad<kVectors>(group, row_pairs, unit, rho, lowest + first, next + first);
      continue;
    }
    float of_rows[2][kQuad];
    scan_quad<kVectors>(group, row_pairs, unit, rho, of_rows[0], of_rows[1]);
    for (std::size_t r = 0; r < kQuad; ++r) {
      lowest[at[r]] = of_rows[0][r];
      next[at[r]] = of_rows[1][r];
    }
  }
}

void scan_group(const Strip& strip, StripScan& scan, std::int32_t number, const std::int32_t* rows, std::int64_t n_rows) {
  constexpr std::size_t kLanes = hn::MaxLanes(Floats{});
  const bool is_narrow = strip.groups->n_centers() - number * kGroupWidth <= static_cast<std::int32_t>(kLanes);
  if (is_narrow)
    scan_vectors<1>(strip, scan, number, rows, n_rows);
  else
    scan_vectors<static_cast<std::size_t>(kGroupWidth) / kLanes>(strip, scan, number, rows, n_rows);
}

// unit and rho of all rows.
void find_errors(const Strip& strip, StripScan& scan) {
  const Floats d;
  const auto lost_ratio = hn::Set(d, strip.groups->lost_ratio());
  for (std::size_t i = 0; i < static_cast<std::size_t>(strip.n_rows); i += hn::Lanes(d)) {
    const auto length = hn::LoadU(d, strip.length + i), lost = hn::LoadU(d, strip.lost + i);
    const auto by_centers = hn::MulAdd(hn::Add(length, lost), lost_ratio, hn::Mul(length, hn::Set(d, 0x1p-18f)));
    hn::StoreU(hn::Mul(length, hn::Set(d, 1 / kReach)), d, scan.unit.data() + i);
    hn::StoreU(hn::Mul(hn::Add(lost, by_centers), hn::Set(d, 1 + 0x1p-10f)), d, scan.rho.data() + i);
  }
}

// The bounds of the next strip lie behind those of this one.
HWY_INLINE void fetch_bounds(const Strip& strip, std::int64_t row) {
  __builtin_prefetch(strip.bounds.label + row);
  __builtin_prefetch(strip.bounds.upper + row);
  for (std::int32_t g = 0; g < strip.groups->n_groups(); ++g) __builtin_prefetch(strip.bounds.lower + g * strip.bounds.stride + row);
}

// Sorts out the rows whose label stands.
void find_doubtful_target(const Strip& strip, StripScan& scan) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const auto& bounds = strip.bounds;
  scan.doubtful.clear();
  for (std::int64_t i = 0; i < strip.n_rows; i += static_cast<std::int64_t>(hn::Lanes(d))) {
    if (i % kWordsOfLine == 0) fetch_bounds(strip, i + kStripRows);
    const auto drift = hn::GatherIndex(d, strip.drifts.center, hn::LoadU(di, bounds.label + i));
    const auto reach = hn::Add(hn::LoadU(d, bounds.upper + i), drift);
    auto least = hn::Set(d, kInfinity);
    for (std::int32_t g = 0; g < strip.groups->n_groups(); ++g)
      least = hn::Min(least, hn::Sub(hn::LoadU(d, bounds.lower + g * bounds.stride + i), hn::Set(d, strip.drifts.group[g])));
    const auto stands = hn::Gt(least, reach);
    hn::StoreU(hn::IfThenElse(stands, hn::Set(d, -kInfinity), reach), d, scan.reach.data() + i);
    hn::StoreU(least, d, scan.least.data() + i);
    append_rows(hn::Not(stands), i, scan.doubtful);
  }
  while (!scan.doubtful.empty() && scan.doubtful.end()[-1] >= strip.n_rows) scan.doubtful.resize(scan.doubtful.size() - 1);
  std::fill(scan.reach.begin() + strip.n_rows, scan.reach.end(), -kInfinity);
}

// Measures the distances of doubtful rows to their own centers anew; where that settles the doubt, the label stands after all.
void tighten(const Strip& strip, StripScan& scan) {
  const Errors errors(strip.n_columns);
  const CenterGroups& groups = *strip.groups;
  std::size_t kept = 0;
  const auto rows = scan.doubtful.items();
  for (std::size_t next = 0; next < rows.size(); ++next) {
    const std::int32_t row = rows[next];
    if (next % kQuad == 0) fetch_rows(strip, rows.data(), static_cast<std::int64_t>(next) + kRowsAhead, std::ssize(rows));
    const std::size_t i = static_cast<std::size_t>(row);
    const std::int32_t label = strip.bounds.label[i];
    scan.doubtful[kept] = row;
    if (label < 0 || strip.lost[i] >= kLostAll) {
      ++kept;
      continue;
    }
    const std::int32_t place = groups.place_of(label);
    const std::int32_t sum =
        product_sum(strip.pairs + i * static_cast<std::size_t>(groups.n_pairs()), groups.center_pairs(place), groups.n_pairs());
    const float rho = scan.rho[i], length = groups.length()[place];
    const float lowest = groups.half_square()[place] - rho * length - scan.unit[i] * groups.step()[place] * static_cast<float>(sum);
    const float reach = upper_distance(errors, strip.length[i], upper_score(lowest, rho, length));
    if (reach < scan.reach[i]) {
      scan.reach[i] = reach;
      strip.bounds.upper[i] = reach - strip.drifts.center[label] * (1 - kDriftOutwards);
    }
    if (scan.least[i] > scan.reach[i])
      scan.reach[i] = -kInfinity;
    else
      ++kept;
  }
  scan.doubtful.resize(kept);
}

// Rows for which a group must be scanned: those whose bound does not exclude it, and those that belong to it.
void find_needing(const Strip& strip, StripScan& scan, std::int32_t group) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const float* const lower = strip.bounds.lower + group * strip.bounds.stride;
  const auto drift = hn::Set(d, strip.drifts.group[group]);
  scan.needing.clear();
  for (std::int64_t i = 0; i < strip.n_rows; i += static_cast<std::int64_t>(hn::Lanes(d))) {
    const auto reach = hn::LoadU(d, scan.reach.data() + i);
    const auto in_doubt = hn::Gt(reach, hn::Set(d, -kInfinity));  // no row beyond the last is
    const auto excluded = hn::Gt(hn::Sub(hn::LoadU(d, lower + i), drift), reach);
    const auto own = hn::RebindMask(d, hn::Eq(hn::LoadU(di, scan.own.data() + i), hn::Set(di, group)));
    append_rows(hn::Or(hn::AndNot(excluded, in_doubt), own), i, scan.needing);
  }
}

// Rows of a mask that belong to these centers from now on.
template <class M, class V>
HWY_INLINE void note_moves(M mask, V center, std::size_t first, std::int32_t* label, StripScan& scan) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const auto before = hn::LoadU(di, label + first);
  const auto moves = hn::AndNot(hn::RebindMask(d, hn::Eq(before, center)), mask);
  if (hn::AllFalse(d, moves)) return;
  std::int32_t from[hn::MaxLanes(Floats{})];
  hn::StoreU(before, di, from);
  hn::StoreU(hn::IfThenElse(hn::RebindMask(di, moves), center, before), di, label + first);
  std::uint64_t bits = 0;
  hn::StoreMaskBits(d, moves, reinterpret_cast<std::uint8_t*>(&bits));
  for (; bits != 0; bits &= bits - 1) {
    const int lane = std::countr_zero(bits);
    scan.moves.add({static_cast<std::int32_t>(first) + lane, from[lane], label[first + static_cast<std::size_t>(lane)]});
  }
}

// From the results of all scanned groups: place and limit, and the labels and upper bounds of rows whose center is certain.
void find_lowest(const Strip& strip, StripScan& scan) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const Errors errors(strip.n_columns);
  const CenterGroups& groups = *strip.groups;
  for (std::size_t i = 0; i < static_cast<std::size_t>(strip.n_rows); i += hn::Lanes(d)) {
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
    const auto length = hn::LoadU(d, strip.length + i), rho = hn::LoadU(d, scan.rho.data() + i);
    const auto of_center = hn::GatherIndex(d, groups.length(), place);
    const auto error = hn::MulAdd(rho, hn::Set(d, kTwiceRho), hn::Mul(of_center, hn::Set(d, kTwiceShare)));
    const auto upper = hn::Add(hn::MulAdd(of_center, error, best), hn::Set(d, kUnderflow));
    const auto square = hn::Max(hn::Zero(d), hn::MulAdd(hn::Mul(length, length), hn::Set(d, errors.square_up), hn::Add(upper, upper)));
    auto reach = hn::Mul(hn::Sqrt(square), hn::Set(d, 1 + kOutwards));
    reach = hn::IfThenElse(hn::Ge(rho, hn::Set(d, kLostAll)), hn::Set(d, kInfinity), reach);
    const auto limit = hn::MulAdd(hn::Mul(reach, reach), hn::Set(d, 0x1p-24f), hn::Add(upper, hn::Set(d, kUnderflow)));
    const auto center = hn::GatherIndex(di, groups.center(), place);
    const auto old = hn::LoadU(d, scan.reach.data() + i);
    const auto in_doubt = hn::Gt(old, hn::Set(d, -kInfinity));
    const auto certain = hn::And(in_doubt, hn::Gt(second, limit));
    hn::StoreU(place, di, scan.place.data() + i);
    hn::StoreU(limit, d, scan.limit.data() + i);
    const auto drift = hn::Mul(hn::GatherIndex(d, strip.drifts.center, center), hn::Set(d, 1 - kDriftOutwards));
    float* const stored = strip.bounds.upper + i;
    hn::StoreU(hn::IfThenElse(certain, hn::Sub(reach, drift), hn::LoadU(d, stored)), d, stored);
    hn::StoreU(hn::IfThenElse(in_doubt, reach, old), d, scan.reach.data() + i);
    append_rows(hn::AndNot(certain, in_doubt), static_cast<std::int64_t>(i), scan.ambiguous);
    note_moves(certain, center, i, strip.bounds.label, scan);
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
  for (std::size_t i = 0; i < static_cast<std::size_t>(strip.n_rows); i += hn::Lanes(d)) {
    const std::size_t at = static_cast<std::size_t>(group * kStripRows) + i;
    const auto lowest = hn::LoadU(d, scan.lowest.data() + at);
    const auto own_group = hn::ShiftRight<std::countr_zero(static_cast<unsigned>(kGroupWidth))>(hn::LoadU(di, scan.place.data() + i));
    const auto is_own = hn::RebindMask(d, hn::Eq(own_group, hn::Set(di, group)));
    const auto result = hn::IfThenElse(is_own, hn::LoadU(d, scan.next.data() + at), lowest);
    const auto distance = lower_distance(d, errors, hn::LoadU(d, strip.length + i), result);
    const auto in_doubt = hn::Gt(hn::LoadU(d, scan.reach.data() + i), hn::Set(d, -kInfinity));
    const auto is_new = hn::And(in_doubt, hn::Lt(lowest, hn::Set(d, kScanned)));
    hn::StoreU(hn::IfThenElse(is_new, hn::Add(distance, drift), hn::LoadU(d, lower + i)), d, lower + i);
  }
}

// Scans every group for the rows that need it, or for all where that costs little more.
void scan_groups(const Strip& strip, StripScan& scan) {
  const std::int32_t n_groups = strip.groups->n_groups();
  const bool chooses = is_tightened(strip);
  if (chooses) {
    tighten(strip, scan);
    if (scan.doubtful.empty()) return;
    std::fill(scan.own.begin(), scan.own.end(), -1);
    for (const std::int32_t row : scan.doubtful.items())
      if (const std::int32_t label = strip.bounds.label[row]; label >= 0)
        scan.own[static_cast<std::size_t>(row)] = strip.groups->place_of(label) / kGroupWidth;
  }
  for (std::int32_t g = 0; g < n_groups; ++g) {
    if (chooses) find_needing(strip, scan, g);
    auto& needing = chooses ? scan.needing : scan.doubtful;
    if (needing.empty()) continue;
    const std::int64_t n_needing = static_cast<std::int64_t>(needing.size());
    scan.scanned.push_back(g);
    scan.n_scans += n_needing;
    if (n_needing * 4 > strip.n_rows * 3) {
      scan_group(strip, scan, g, nullptr, strip.n_rows);
    } else {
      std::fill_n(scan.lowest_of(g), kStripRows, CenterGroups::kNoScore);
      scan_group(strip, scan, g, &needing[0], n_needing);
    }
  }
}

void scan_doubtful_target(const Strip& strip, StripScan& scan) {
  scan.scanned.clear();
  scan.moves.clear();
  scan.ambiguous.clear();
  scan.n_scans = 0;
  find_errors(strip, scan);
  scan_groups(strip, scan);
  if (scan.doubtful.empty()) return;
  find_lowest(strip, scan);
  for (const std::int32_t g : scan.scanned) write_lower(strip, scan, g);
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie::nearest
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie::nearest {

HWY_EXPORT(find_doubtful_target);
HWY_EXPORT(scan_doubtful_target);

StripScan::StripScan(std::int32_t n_groups) : lowest(static_cast<std::size_t>(n_groups * kStripRows)), next(lowest.size()) {
  constexpr std::size_t kRows = static_cast<std::size_t>(kStripRows);
  for (auto* column : {&reach, &least, &unit, &rho, &limit}) column->resize(kRows);
  for (auto* column : {&own, &place}) column->resize(kRows);
}

NoBounds::NoBounds(std::int32_t n_groups)
    : label_(kStripRows), upper_(kStripRows), lower_(static_cast<std::size_t>(n_groups * kStripRows)) {}

StripBounds NoBounds::forget() {
  std::fill(label_.begin(), label_.end(), -1);
  std::fill(upper_.begin(), upper_.end(), kInfinity);
  return {label_.data(), upper_.data(), lower_.data(), kStripRows};
}

bool find_doubtful(const Strip& strip, StripScan& scan) {
  HWY_DYNAMIC_DISPATCH(find_doubtful_target)(strip, scan);
  return !scan.doubtful.empty();
}

void scan_doubtful(const Strip& strip, StripScan& scan) { HWY_DYNAMIC_DISPATCH(scan_doubtful_target)(strip, scan); }

}  // namespace coterie::nearest
#endif
