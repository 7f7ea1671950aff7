// The only group of centers for many rows, which lie in lanes: where there is no second group, nothing is gained by telling the centers
// of a row apart in lanes. For the instruction set of the including file; included once per instruction set by group_scan.cpp, which
// hwy/foreach_target.h compiles over and over.
#if defined(COTERIE_HOST_GROUP_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef COTERIE_HOST_GROUP_ROWS_INL_HPP
#undef COTERIE_HOST_GROUP_ROWS_INL_HPP
#else
#define COTERIE_HOST_GROUP_ROWS_INL_HPP
#endif

#include <hwy/highway.h>

#include <cmath>
#include <type_traits>

#include "host/group_entries-inl.hpp"
#include "host/group_scan.hpp"

HWY_BEFORE_NAMESPACE();
namespace coterie::nearest {
namespace HWY_NAMESPACE {

// Turned rows of so many words take an eighth to a quarter of the L1 cache.
constexpr std::int32_t kMostWordsInLanes = 64;
static_assert(kMostFloatColumns <= kMostWordsInLanes);

HWY_INLINE bool scans_by_rows(const CenterGroups& groups) {
  return groups.n_groups() == 1 && groups.matrix_unit() == nullptr && groups.n_pairs() <= kMostWordsInLanes;
}

// rho of rows of length 1 that are scanned as they are.
HWY_INLINE float float_rho(std::int32_t n_columns) { return (static_cast<float>(n_columns + 4) * 0x1p-24f + 0x1p-18f) * (1 + 0x1p-10f); }

// Results of such a row with all centers; its rho says whether it is too far out for a product.
HWY_INLINE void scan_float_row(const Strip& strip, const float* x, float rho, float* results) {
  const CenterGroups& groups = *strip.groups;
  const std::int32_t n_columns = rho < kLostAll ? strip.n_columns : 0;
  for (std::int32_t k = 0; k < kGroupWidth; ++k) {
    const float* const cells = groups.cells() + std::ptrdiff_t{k} * groups.padded_columns();
    float product = 0;
    for (std::int32_t j = 0; j < n_columns; ++j) product += (x[j] - groups.pivot()[j]) * groups.scale() * cells[j];
    results[k] = groups.half_square()[k] - rho * groups.length()[k] - product;
  }
}

#if HWY_TARGET == HWY_SCALAR

void scan_rounded_rows(const Strip& strip, StripScan& scan) {
  scan_group(strip, scan, 0, nullptr, static_cast<std::int64_t>(scan.doubtful.size()));
}

void scan_float_rows(const Strip& strip, StripScan& scan) {
  const CenterGroups& groups = *strip.groups;
  for (std::size_t i = 0; i < scan.doubtful.size(); ++i) {
    const float* const x = strip.x + std::int64_t{scan.doubtful[i]} * strip.n_columns;
    float square = 0, results[kGroupWidth];
    for (std::int32_t j = 0; j < strip.n_columns; ++j) {
      const float cell = (x[j] - groups.pivot()[j]) * groups.scale();
      square += cell * cell;
    }
    const float measured = std::sqrt(square);
    const bool fits = measured < kTooFar;
    scan.length[i] = fits ? std::max(measured, kLeastLength) : 0;
    scan.rho[i] = fits ? scan.length[i] * float_rho(strip.n_columns) : kLostAll;
    scan_float_row(strip, x, scan.rho[i], results);
    find_two(results, scan.lowest_of(0)[i], scan.next_of(0)[i]);
  }
}

#else

constexpr std::size_t kRowVectors = 2;    // of rows, which share what is loaded of the centers
constexpr std::int32_t kWordsAtOnce = 4;  // turned in registers
constexpr std::size_t kRowsInLanes = kRowVectors * kLanes;
static_assert(kRowsInLanes <= static_cast<std::size_t>(kSlack));

using Ints = hn::RebindToSigned<Floats>;
template <class D>
using RowVectors = hn::Vec<D>[kRowVectors];

// Centers that share what is loaded of the rows: chains enough for the latency of sums, which is 1 of whole numbers.
template <class D>
inline constexpr std::int32_t kCentersAtOnce = std::is_same_v<D, Floats> ? 4 : 2;

// Rows as words, rows in lanes: pairs of whole numbers, or y itself.
template <class D>
struct TurnedRows {
  HWY_ALIGN hn::TFromD<D> words[kMostWordsInLanes][kRowVectors][kLanes];
};

// Four words of every fourth row.
template <class D>
HWY_INLINE hn::Vec<D> load_quads(D d, const hn::TFromD<D>* const* rows, std::int32_t word) {
  if constexpr (hn::MaxLanes(D{}) == 4) {
    return hn::LoadU(d, rows[0] + word);
  } else {
    const hn::Half<D> half;
    return hn::Combine(d, load_quads(half, rows + hn::MaxLanes(D{}) / 2, word), load_quads(half, rows, word));
  }
}

// kWordsAtOnce words, from one on, of a vector of rows, rows in lanes.
template <class D>
HWY_INLINE void load_turned(D d, const hn::TFromD<D>* const* rows, std::int32_t word, hn::Vec<D> (&turned)[kWordsAtOnce]) {
  const hn::Repartition<hwy::MakeWide<hn::TFromD<D> >, D> wide;
  const auto a = load_quads(d, rows, word), b = load_quads(d, rows + 1, word), e = load_quads(d, rows + 2, word),
             f = load_quads(d, rows + 3, word);
  const auto ab_low = hn::BitCast(wide, hn::InterleaveLower(d, a, b)), ab_high = hn::BitCast(wide, hn::InterleaveUpper(d, a, b));
  const auto ef_low = hn::BitCast(wide, hn::InterleaveLower(d, e, f)), ef_high = hn::BitCast(wide, hn::InterleaveUpper(d, e, f));
  turned[0] = hn::BitCast(d, hn::InterleaveLower(wide, ab_low, ef_low));
  turned[1] = hn::BitCast(d, hn::InterleaveUpper(wide, ab_low, ef_low));
  turned[2] = hn::BitCast(d, hn::InterleaveLower(wide, ab_high, ef_high));
  turned[3] = hn::BitCast(d, hn::InterleaveUpper(wide, ab_high, ef_high));
}

// Sums of products of rows with some centers, of n_words each.
HWY_INLINE void multiply(const TurnedRows<Ints>& rows, const std::int32_t* centers, std::int32_t n_words,
                         RowVectors<Ints> (&sum)[kCentersAtOnce<Ints>]) {
  const Ints d;
  const hn::Repartition<std::int16_t, Ints> d16;
  RowVectors<Ints> odd[kCentersAtOnce<Ints>];
  for (std::size_t k = 0; k < kCentersAtOnce<Ints>; ++k)
    for (std::size_t v = 0; v < kRowVectors; ++v) sum[k][v] = odd[k][v] = hn::Zero(d);
  for (std::int32_t word = 0; word < n_words; ++word)
    for (std::int32_t k = 0; k < kCentersAtOnce<Ints>; ++k) {
      const auto of_center = hn::BitCast(d16, hn::Set(d, centers[std::ptrdiff_t{k} * n_words + word]));
      for (std::size_t v = 0; v < kRowVectors; ++v)
        sum[k][v] = hn::ReorderWidenMulAccumulate(d, hn::BitCast(d16, hn::Load(d, rows.words[word][v])), of_center, sum[k][v], odd[k][v]);
    }
  for (std::size_t k = 0; k < kCentersAtOnce<Ints>; ++k)
    for (std::size_t v = 0; v < kRowVectors; ++v) sum[k][v] = hn::RearrangeToOddPlusEven(sum[k][v], odd[k][v]);
}
HWY_INLINE void multiply(const TurnedRows<Floats>& rows, const float* centers, std::int32_t n_words,
                         RowVectors<Floats> (&sum)[kCentersAtOnce<Floats>]) {
  const Floats d;
  for (auto& of_center : sum)
    for (auto& of_rows : of_center) of_rows = hn::Zero(d);
  for (std::int32_t word = 0; word < n_words; ++word)
    for (std::int32_t k = 0; k < kCentersAtOnce<Floats>; ++k) {
      const auto of_center = hn::Set(d, centers[std::ptrdiff_t{k} * n_words + word]);
      for (std::size_t v = 0; v < kRowVectors; ++v) sum[k][v] = hn::MulAdd(hn::Load(d, rows.words[word][v]), of_center, sum[k][v]);
    }
}

// Keeps the two lowest results of the entries from `first` on, with the place of their centers in the lowest bits.
// result(product, center, v): of a vector of rows.
template <class D, class Result>
HWY_INLINE void find_two(const Strip& strip, const TurnedRows<D>& rows, const hn::TFromD<D>* centers, std::int32_t n_words, Result&& result,
                         StripScan& scan, std::size_t first) {
  const Floats d;
  const Ints di;
  LowestTwo<hn::Vec<Floats> > two[kRowVectors];
  for (auto& of_rows : two) of_rows.lowest = of_rows.next = hn::Set(d, CenterGroups::kNoScore);
  auto place = hn::Zero(di);
  for (std::int32_t k = 0; k < strip.groups->n_centers(); k += kCentersAtOnce<D>) {
    RowVectors<D> product[kCentersAtOnce<D>];
    multiply(rows, centers + std::ptrdiff_t{k} * n_words, n_words, product);
    for (std::int32_t i = 0; i < kCentersAtOnce<D>; ++i, place = hn::Add(place, hn::Set(di, 1)))
      for (std::size_t v = 0; v < kRowVectors; ++v) two[v].offer(placed(result(product[i][v], k + i, v), place));
  }
  for (std::size_t v = 0; v < kRowVectors; ++v) {
    hn::StoreU(two[v].lowest, d, scan.lowest_of(0) + first + v * kLanes);
    hn::StoreU(two[v].next, d, scan.next_of(0) + first + v * kLanes);
  }
}

void scan_rounded_rows(const Strip& strip, StripScan& scan) {
  const Floats d;
  const Ints di;
  const CenterGroups& groups = *strip.groups;
  const std::int32_t n_pairs = groups.n_pairs();
  TurnedRows<Ints> turned;
  for (std::size_t first = 0; first < scan.doubtful.size(); first += kRowsInLanes) {
    fetch_rows(strip, scan, first + kRowsAhead, first + kRowsAhead + kRowsInLanes);
    const std::int32_t* rows[kRowsInLanes];
    for (std::size_t r = 0; r < kRowsInLanes; ++r) rows[r] = strip.pairs + std::int64_t{scan.doubtful[first + r]} * n_pairs;
    for (std::int32_t pair = 0; pair < n_pairs; pair += kWordsAtOnce)
      for (std::size_t v = 0; v < kRowVectors; ++v) {
        hn::Vec<Ints> words[kWordsAtOnce];
        load_turned(di, rows + v * kLanes, pair, words);
        for (std::int32_t i = 0; i < kWordsAtOnce; ++i) hn::Store(words[i], di, turned.words[pair + i][v]);
      }
    const auto result = [&](hn::Vec<Ints> product, std::int32_t k, std::size_t v) HWY_ATTR {
      const auto unit = hn::LoadU(d, &scan.unit[first + v * kLanes]), rho = hn::LoadU(d, &scan.rho[first + v * kLanes]);
      return result_of(product, unit, rho, hn::Set(d, groups.step()[k]), hn::Set(d, groups.length()[k]),
                       hn::Set(d, groups.half_square()[k]));
    };
    find_two(strip, turned, groups.center_pairs(0), n_pairs, result, scan, first);
  }
}

// Takes kWordsAtOnce cells of all rows, the first being `at` and of this column, but for the first `n_known` of them, and adds their
// squares.
HWY_INLINE void turn_floats(const CenterGroups& groups, const float* const* rows, std::int32_t at, std::int32_t column,
                            std::int32_t n_known, TurnedRows<Floats>& to, hn::Vec<Floats> (&square)[kRowVectors][kWordsAtOnce]) {
  const Floats d;
  const auto scale = hn::Set(d, groups.scale());
  for (std::size_t v = 0; v < kRowVectors; ++v) {
    hn::Vec<Floats> cells[kWordsAtOnce];
    load_turned(d, rows + v * kLanes, at, cells);
    for (std::int32_t i = 0; i < kWordsAtOnce; ++i) {
      if (i < n_known) continue;
      const auto y = hn::Mul(hn::Sub(cells[i], hn::Set(d, groups.pivot()[column + i])), scale);
      hn::Store(y, d, to.words[column + i][v]);
      square[v][i] = hn::MulAdd(y, y, square[v][i]);
    }
  }
}

// Turns the rows of these numbers and tells their squares.
HWY_INLINE void turn_floats(const Strip& strip, const std::int32_t* numbers, TurnedRows<Floats>& to, RowVectors<Floats>& squares) {
  hn::Vec<Floats> square[kRowVectors][kWordsAtOnce];
  for (auto& of_rows : square)
    for (auto& sum : of_rows) sum = hn::Zero(Floats());
  const float* rows[kRowsInLanes];
  for (std::size_t r = 0; r < kRowsInLanes; ++r) rows[r] = strip.x + std::int64_t{numbers[r]} * strip.n_columns;
  const std::int32_t n_whole = strip.n_columns / kWordsAtOnce * kWordsAtOnce;
  for (std::int32_t column = 0; column < n_whole; column += kWordsAtOnce) turn_floats(*strip.groups, rows, column, column, 0, to, square);
  if (n_whole == 0) {
    float few[kRowsInLanes][kWordsAtOnce] = {};
    for (std::size_t r = 0; r < kRowsInLanes; ++r) {
      std::copy(rows[r], rows[r] + strip.n_columns, few[r]);
      rows[r] = few[r];
    }
    turn_floats(*strip.groups, rows, 0, 0, 0, to, square);
  } else if (n_whole < strip.n_columns) {  // the last ones, some of them once more
    const std::int32_t column = strip.n_columns - kWordsAtOnce;
    turn_floats(*strip.groups, rows, column, column, n_whole - column, to, square);
  }
  for (std::size_t v = 0; v < kRowVectors; ++v)
    squares[v] = hn::Add(hn::Add(square[v][0], square[v][1]), hn::Add(square[v][2], square[v][3]));
}

// From squares to length and rho of the entries from `first` on; rows that are too far out, or no number, become zeros of which nothing
// is known.
HWY_INLINE void measure_floats(const Strip& strip, const RowVectors<Floats>& squares, TurnedRows<Floats>& rows, StripScan& scan,
                               std::size_t first) {
  const Floats d;
  for (std::size_t v = 0; v < kRowVectors; ++v) {
    const auto measured = hn::Sqrt(squares[v]);
    const auto fits = hn::Lt(measured, hn::Set(d, kTooFar));
    const auto length = hn::IfThenElseZero(fits, hn::Max(measured, hn::Set(d, kLeastLength)));
    hn::StoreU(length, d, &scan.length[first + v * kLanes]);
    hn::StoreU(hn::IfThenElse(fits, hn::Mul(length, hn::Set(d, float_rho(strip.n_columns))), hn::Set(d, kLostAll)), d,
               &scan.rho[first + v * kLanes]);
    if (hn::AllTrue(d, fits)) continue;
    for (std::int32_t j = 0; j < strip.groups->padded_columns(); ++j)
      hn::Store(hn::IfThenElseZero(fits, hn::Load(d, rows.words[j][v])), d, rows.words[j][v]);
  }
}

void scan_float_rows(const Strip& strip, StripScan& scan) {
  const Floats d;
  const CenterGroups& groups = *strip.groups;
  TurnedRows<Floats> turned;
  for (std::int32_t j = strip.n_columns; j < groups.padded_columns(); ++j)
    for (auto& words : turned.words[j]) hn::Store(hn::Zero(d), d, words);
  for (std::size_t first = 0; first < scan.doubtful.size(); first += kRowsInLanes) {
    fetch_rows(strip, scan, first + kRowsAhead, first + kRowsAhead + kRowsInLanes);
    RowVectors<Floats> squares;
    turn_floats(strip, &scan.doubtful[first], turned, squares);
    measure_floats(strip, squares, turned, scan, first);
    const auto result = [&](hn::Vec<Floats> product, std::int32_t k, std::size_t v) HWY_ATTR {
      const auto rho = hn::LoadU(d, &scan.rho[first + v * kLanes]);
      return hn::Sub(hn::NegMulAdd(rho, hn::Set(d, groups.length()[k]), hn::Set(d, groups.half_square()[k])), product);
    };
    find_two(strip, turned, groups.cells(), groups.padded_columns(), result, scan, first);
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace coterie::nearest
HWY_AFTER_NAMESPACE();

#endif
