// The only group of centers for rows in lanes, of floats or of 16 bits (center_groups.hpp): which rows are in doubt, and what a scan of
// them tells. For the instruction set of the including file; included once per instruction set by group_scan.cpp, which
// hwy/foreach_target.h compiles over and over.
#if defined(COTERIE_HOST_ONLY_GROUP_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef COTERIE_HOST_ONLY_GROUP_INL_HPP
#undef COTERIE_HOST_ONLY_GROUP_INL_HPP
#else
#define COTERIE_HOST_ONLY_GROUP_INL_HPP
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "host/group_bounds-inl.hpp"
#include "host/group_errors.hpp"
#include "host/group_scan.hpp"
#include "host/rows_in_lanes-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace coterie::nearest {
namespace HWY_NAMESPACE {

// Lists the rows whose label does not stand.
void find_doubtful_by_slack(const Strip& strip, StripScan& scan) {
  const Floats d;
  const Ints di;
  const std::size_t n_rows = static_cast<std::size_t>(strip.n_rows);
  const std::int32_t* const slacks = strip.bounds.slack;
  std::int32_t* const rows = &scan.doubtful[0];
  std::size_t n = 0;
  for (std::size_t i = 0; i < n_rows; i += kLanes) {
    const auto word = hn::LoadU(di, slacks + i), place_bits = hn::Set(di, kPlaceBits);
    const auto drift = look_up(strip.drifts.center, strip.groups->n_centers(), hn::And(word, place_bits));
    const auto stands = hn::Gt(hn::BitCast(d, hn::AndNot(place_bits, word)), drift);
    const Chosen chosen(hn::AndNot(stands, lanes_of(n_rows, i)));
    chosen.store_numbers(static_cast<std::int32_t>(i), rows + n);  // without a branch, which would be taken at random
    n += chosen.size();
  }
  scan.doubtful.resize(n);
  scan.doubtful.end_with_zeros();
}

// rho of rows of length 1 that are scanned as they are.
HWY_INLINE float float_rho(std::int32_t n_columns) { return (static_cast<float>(n_columns + 4) * 0x1p-24f + 0x1p-18f) * (1 + 0x1p-10f); }

// Turns a vector of rows into y and returns their squares.
HWY_INLINE hn::Vec<Floats> turn_floats(const Strip& strip, const std::int32_t* numbers, std::size_t v, TurnedRows<Floats>& to) {
  const Floats d;
  const CenterGroups& groups = *strip.groups;
  const auto scale = hn::Set(d, groups.scale());
  hn::Vec<Floats> square[kWordsAtOnce];
  for (auto& sum : square) sum = hn::Zero(d);
  const float* rows[kLanes];
  for (std::size_t r = 0; r < kLanes; ++r) rows[r] = strip.x + std::int64_t{numbers[r]} * strip.n_columns;
  // Columns from one on, which the rows hold at `word`, but for the first n_known of them.
  const auto turn = [&](std::int32_t word, std::int32_t column, std::int32_t n_known) HWY_ATTR {
    hn::Vec<Floats> cells[kWordsAtOnce];
    load_turned(d, rows, word, cells);
    for (std::int32_t i = 0; i < kWordsAtOnce; ++i) {
      if (i < n_known) continue;
      const auto y = hn::MulAdd(cells[i], scale, hn::Set(d, groups.shift()[column + i]));
      hn::Store(y, d, to.words[column + i][v]);
      square[i] = hn::MulAdd(y, y, square[i]);
    }
  };
  const std::int32_t n_whole = strip.n_columns / kWordsAtOnce * kWordsAtOnce;
  for (std::int32_t column = 0; column < n_whole; column += kWordsAtOnce) turn(column, column, 0);
  if (n_whole == 0) {
    float few[kLanes][kWordsAtOnce] = {};
    for (std::size_t r = 0; r < kLanes; ++r) {
      std::copy_n(rows[r], strip.n_columns, few[r]);
      rows[r] = few[r];
    }
    turn(0, 0, 0);
  } else if (n_whole < strip.n_columns) {  // the last ones, some of them once more
    const std::int32_t column = strip.n_columns - kWordsAtOnce;
    turn(column, column, n_whole - column);
  }
  return hn::Add(hn::Add(square[0], square[1]), hn::Add(square[2], square[3]));
}

// The rows of a vector of entries, from `first` on. Those that are too far out, or no number, become zeros of which nothing is known.
HWY_INLINE Measures load_entries(const Strip& strip, const StripScan& scan, std::size_t first, std::size_t v, TurnedRows<Floats>& to) {
  const Floats d;
  const auto measured = hn::Sqrt(turn_floats(strip, &scan.doubtful[first], v, to));
  const auto fits = hn::Lt(measured, hn::Set(d, kTooFar));
  const auto length = hn::IfThenElseZero(fits, hn::Max(measured, hn::Set(d, kLeastLength)));
  const auto rho = hn::IfThenElse(fits, hn::Mul(length, hn::Set(d, float_rho(strip.n_columns))), hn::Set(d, kLostAll));
  for (std::int32_t j = 0; !hn::AllTrue(d, fits) && j < strip.n_columns; ++j)
    hn::Store(hn::IfThenElseZero(fits, hn::Load(d, to.words[j][v])), d, to.words[j][v]);
  return {length, hn::Zero(d), rho};
}
HWY_INLINE Measures load_entries(const Strip& strip, const StripScan& scan, std::size_t first, std::size_t v, TurnedRows<Ints>& to) {
  const Floats d;
  const std::int32_t* const numbers = &scan.doubtful[first];
  turn_pairs(strip, numbers, v, to);
  const auto length = load_rows(strip.length, numbers);
  return {length, hn::Mul(length, hn::Set(d, kUnit)), rho_of(strip, length, load_rows(strip.lost, numbers))};
}

// How far apart two distances are, at least, from bounds of their squares: a - b = (a^2 - b^2) / (a + b), and b is at most a. Quotients and
// roots would take longer than what they tell is worth: what stays in doubt lies near.
HWY_INLINE hn::Vec<Floats> least_slack(hn::Vec<Floats> upper, hn::Vec<Floats> lower) {
  constexpr float kBoth = 3 * kOutwards, kRoot = 0x1p-8f;  // of squares; of an approximate root
  const Floats d;
  const auto twice_by = hn::NegMulAdd(upper, hn::Set(d, 1 + kBoth), hn::Mul(lower, hn::Set(d, 1 - kBoth)));
  const auto by_root = hn::ApproximateReciprocalSqrt(hn::Max(lower, hn::Set(d, kUnderflow)));
  return hn::Max(hn::Zero(d), hn::Mul(twice_by, hn::Mul(by_root, hn::Set(d, 0.5f * (1 - kRoot)))));
}

// Labels and slack of a vector of entries, from `first` on, whose center is certain; of the others, what tells their rivals.
HWY_INLINE void settle(const Strip& strip, StripScan& scan, std::size_t first, const LowestTwo<hn::Vec<Floats> >& two,
                       const Measures& row) {
  const Floats d;
  const Ints di;
  const std::int32_t* const numbers = &scan.doubtful[first];
  const auto place_bits = hn::Set(di, kPlaceBits), place = hn::And(hn::BitCast(di, two.lowest), place_bits);
  const auto [square, limit] = limit_of(strip, row.length, row.rho, two.lowest, place);
  const auto is_entry = lanes_of(scan.doubtful.size(), first), certain = hn::And(is_entry, hn::Gt(two.next, limit));
  const auto slack = least_slack(square, lower_square(Errors(strip.n_columns), row.length, two.next));
  const auto drift = look_up(strip.drifts.center, strip.groups->n_centers(), place);
  const auto kept = hn::MulAdd(drift, hn::Set(d, 1 - 2 * kDriftOutwards), slack);
  const auto word = hn::Or(hn::AndNot(place_bits, hn::BitCast(di, kept)), place);
  const auto before = load_rows(strip.bounds.slack, numbers);
  store_rows(word, certain, strip.bounds.slack, numbers);
  const auto label = hn::IfThenElse(hn::Lt(before, hn::Zero(di)), hn::Set(di, -1), hn::And(before, place_bits));
  note_moves(strip, scan, certain, label, place, first);
  const auto ambiguous = hn::AndNot(certain, is_entry);
  if (hn::AllFalse(d, ambiguous)) return;
  append_numbers(Chosen(ambiguous), first, scan.ambiguous);
  hn::StoreU(limit, d, scan.limit.data() + first);
  hn::StoreU(row.unit, d, scan.unit.data() + first);
  hn::StoreU(row.rho, d, scan.rho.data() + first);
  hn::StoreU(two.lowest, d, scan.lowest_of(0) + first);
  hn::StoreU(two.next, d, scan.next_of(0) + first);
}

// rows: of the strip, (n_rows, n_words); centers: (n_words to whole kWordsAtOnce, kGroupWidth)
template <class D>
void scan_only_group(const Strip& strip, StripScan& scan, const hn::TFromD<D>* rows, std::int32_t n_words, const hn::TFromD<D>* centers) {
  const std::size_t n_entries = scan.doubtful.size();
  const std::int32_t n_centers = strip.groups->n_centers();
  FetchAhead ahead(rows, n_words, scan, asks_of_group(n_words, n_centers));
  TurnedRows<D> turned;
  std::fill_n(turned.words[n_words / kWordsAtOnce * kWordsAtOnce][0], n_words % kWordsAtOnce != 0 ? kWordsAtOnce * kEntriesAtOnce : 0,
              hn::TFromD<D>{});
  for (std::size_t first = 0; first < n_entries; first += kEntriesAtOnce) {
    RowVectors<Measures> measures;
    RowVectors<LowestTwo<hn::Vec<Floats> > > two;
    for (std::size_t v = 0; v < kRowVectors; ++v) measures[v] = load_entries(strip, scan, first + v * kLanes, v, turned);
    ahead.allow_more();
    find_two(*strip.groups, 0, n_centers, centers, n_words, turned, measures, ahead, two);
    for (std::size_t v = 0; v < kRowVectors && first + v * kLanes < n_entries; ++v)
      settle(strip, scan, first + v * kLanes, two[v], measures[v]);
  }
}

void scan_doubtful_by_slack(const Strip& strip, StripScan& scan) {
  const CenterGroups& groups = *strip.groups;
  scan.scanned.assign(1, 0);
  scan.moves.clear();
  scan.ambiguous.clear();
  scan.n_scans = static_cast<std::int64_t>(scan.doubtful.size());
  groups.takes_floats() ? scan_only_group<Floats>(strip, scan, strip.x, strip.n_columns, groups.cells())
                        : scan_only_group<Ints>(strip, scan, strip.pairs, groups.n_pairs(), groups.group_pairs(0));
}

// Results of a row with all centers, as they are; its rho says whether it is too far out for a product.
HWY_INLINE void scan_float_row(const Strip& strip, const float* x, float rho, float* results) {
  const CenterGroups& groups = *strip.groups;
  const std::int32_t n_columns = rho < kLostAll ? strip.n_columns : 0;
  for (std::int32_t k = 0; k < kGroupWidth; ++k) {
    float product = 0;
    for (std::int32_t j = 0; j < n_columns; ++j)
      product += (x[j] * groups.scale() + groups.shift()[j]) * groups.cells()[j * kGroupWidth + k];
    results[k] = groups.half_square()[k] - rho * groups.length()[k] - product;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie::nearest
HWY_AFTER_NAMESPACE();

#endif
