// One group of centers for many rows, which lie in lanes: where there is no second group, nothing is gained by telling the centers of a
// row apart in lanes. For the instruction set of the including file; included once per instruction set by group_scan.cpp, which
// hwy/foreach_target.h compiles over and over.
#if defined(COTERIE_HOST_GROUP_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef COTERIE_HOST_GROUP_ROWS_INL_HPP
#undef COTERIE_HOST_GROUP_ROWS_INL_HPP
#else
#define COTERIE_HOST_GROUP_ROWS_INL_HPP
#endif

#include <hwy/highway.h>

#include "host/group_entries-inl.hpp"
#include "host/group_scan.hpp"

HWY_BEFORE_NAMESPACE();
namespace coterie::nearest {
namespace HWY_NAMESPACE {

// Turned rows of this width take an eighth to a quarter of the L1 cache.
constexpr std::int32_t kMostPairsInLanes = 64;

HWY_INLINE bool scans_by_rows(const CenterGroups& groups) {
  return groups.n_groups() == 1 && groups.matrix_unit() == nullptr && groups.n_pairs() <= kMostPairsInLanes;
}

// The only group for all entries.
#if HWY_TARGET == HWY_SCALAR

void scan_by_rows(const Strip& strip, StripScan& scan) {
  scan_group(strip, scan, 0, nullptr, static_cast<std::int64_t>(scan.doubtful.size()));
}

#else

using Ints = hn::RebindToSigned<Floats>;

constexpr std::size_t kRowVectors = 2;    // of rows, which share what is loaded of the centers
constexpr std::int32_t kPairsAtOnce = 4;  // of columns, turned in registers

// Four words of every fourth row.
template <class D>
HWY_INLINE hn::Vec<D> load_quads(D d, const std::int32_t* const* rows, std::int32_t pair) {
  if constexpr (hn::MaxLanes(D{}) == 4) {
    return hn::LoadU(d, rows[0] + pair);
  } else {
    const hn::Half<D> half;
    return hn::Combine(d, load_quads(half, rows + hn::MaxLanes(D{}) / 2, pair), load_quads(half, rows, pair));
  }
}

// kPairsAtOnce words, from one pair of columns on, of a vector of rows, rows in lanes.
HWY_INLINE void load_turned(const std::int32_t* const* rows, std::int32_t pair, hn::Vec<Ints> (&turned)[kPairsAtOnce]) {
  const Ints d;
  const hn::Repartition<std::int64_t, Ints> d64;
  const auto a = load_quads(d, rows, pair), b = load_quads(d, rows + 1, pair), e = load_quads(d, rows + 2, pair),
             f = load_quads(d, rows + 3, pair);
  const auto ab_low = hn::BitCast(d64, hn::InterleaveLower(d, a, b)), ab_high = hn::BitCast(d64, hn::InterleaveUpper(d, a, b));
  const auto ef_low = hn::BitCast(d64, hn::InterleaveLower(d, e, f)), ef_high = hn::BitCast(d64, hn::InterleaveUpper(d, e, f));
  turned[0] = hn::BitCast(d, hn::InterleaveLower(d64, ab_low, ef_low));
  turned[1] = hn::BitCast(d, hn::InterleaveUpper(d64, ab_low, ef_low));
  turned[2] = hn::BitCast(d, hn::InterleaveLower(d64, ab_high, ef_high));
  turned[3] = hn::BitCast(d, hn::InterleaveUpper(d64, ab_high, ef_high));
}

// kRowVectors vectors of rows, rows in lanes: by pair of columns.
struct TurnedRows {
  HWY_ALIGN std::int32_t pairs[kMostPairsInLanes][kRowVectors][kLanes];
};

HWY_INLINE void turn_rows(const Strip& strip, const std::int32_t* numbers, TurnedRows& to) {
  const Ints d;
  const std::int32_t n_pairs = strip.groups->n_pairs();
  const std::int32_t* rows[kRowVectors * kLanes];
  for (std::size_t r = 0; r < kRowVectors * kLanes; ++r) rows[r] = strip.pairs + std::int64_t{numbers[r]} * n_pairs;
  for (std::int32_t pair = 0; pair < n_pairs; pair += kPairsAtOnce)
    for (std::size_t v = 0; v < kRowVectors; ++v) {
      hn::Vec<Ints> turned[kPairsAtOnce];
      load_turned(rows + v * kLanes, pair, turned);
      for (std::int32_t i = 0; i < kPairsAtOnce; ++i) hn::Store(turned[i], d, to.pairs[pair + i][v]);
    }
}

// The two lowest results of the rows with the centers of a group, with the place of these in the lowest bits.
HWY_INLINE void find_two(const GroupOf& group, std::int32_t n_centers, const TurnedRows& rows, const float* unit, const float* rho,
                         LowestTwo<hn::Vec<Floats> > (&two)[kRowVectors]) {
  const Floats d;
  const Ints di;
  const hn::Repartition<std::int16_t, Ints> d16;
  auto place = hn::Zero(di);
  for (auto& of_rows : two) of_rows.lowest = of_rows.next = hn::Set(d, CenterGroups::kNoScore);
  const std::int32_t* center = group.pairs;
  for (std::int32_t k = 0; k < n_centers; ++k, center += group.n_pairs, place = hn::Add(place, hn::Set(di, 1))) {
    hn::Vec<Ints> sum[kRowVectors], odd[kRowVectors];
    for (std::size_t v = 0; v < kRowVectors; ++v) sum[v] = odd[v] = hn::Zero(di);
    for (std::int32_t first = 0; first < group.n_pairs; first += kPairsAtOnce)
#pragma GCC unroll 4
      for (std::int32_t i = 0; i < kPairsAtOnce; ++i) {
        const std::int32_t pair = first + i;
        const auto of_center = hn::BitCast(d16, hn::Set(di, center[pair]));
        for (std::size_t v = 0; v < kRowVectors; ++v)
          sum[v] = hn::ReorderWidenMulAccumulate(di, hn::BitCast(d16, hn::Load(di, rows.pairs[pair][v])), of_center, sum[v], odd[v]);
      }
    for (std::size_t v = 0; v < kRowVectors; ++v) {
      const auto result =
          result_of(hn::RearrangeToOddPlusEven(sum[v], odd[v]), hn::LoadU(d, unit + v * kLanes), hn::LoadU(d, rho + v * kLanes),
                    hn::Set(d, group.step[k]), hn::Set(d, group.length[k]), hn::Set(d, group.half_square[k]));
      two[v].offer(placed(result, place));
    }
  }
}

void scan_by_rows(const Strip& strip, StripScan& scan) {
  const Floats d;
  const CenterGroups& groups = *strip.groups;
  constexpr std::size_t kRows = kRowVectors * kLanes;
  static_assert(kRows <= static_cast<std::size_t>(kSlack));
  GroupOf group = group_of(groups, 0);
  group.pairs = groups.center_pairs(0);
  TurnedRows rows;
  for (std::size_t first = 0; first < scan.doubtful.size(); first += kRows) {
    fetch_rows(strip, scan, first + kRowsAhead, first + kRowsAhead + kRows);
    turn_rows(strip, &scan.doubtful[first], rows);
    LowestTwo<hn::Vec<Floats> > two[kRowVectors];
    find_two(group, groups.n_centers(), rows, scan.unit.data() + first, scan.rho.data() + first, two);
    for (std::size_t v = 0; v < kRowVectors; ++v) {
      hn::StoreU(two[v].lowest, d, scan.lowest_of(0) + first + v * kLanes);
      hn::StoreU(two[v].next, d, scan.next_of(0) + first + v * kLanes);
    }
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace coterie::nearest
HWY_AFTER_NAMESPACE();

#endif
