// Entries of a strip (group_scan.hpp) as rows in lanes, by whole groups of centers: what is worth turning rows for. For the instruction set
// of the including file; included once per instruction set by group_scan.cpp, which hwy/foreach_target.h compiles over and over.
#if defined(COTERIE_HOST_ROWS_IN_LANES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef COTERIE_HOST_ROWS_IN_LANES_INL_HPP
#undef COTERIE_HOST_ROWS_IN_LANES_INL_HPP
#else
#define COTERIE_HOST_ROWS_IN_LANES_INL_HPP
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <span>

#include "host/group_entries-inl.hpp"
#include "host/group_errors.hpp"
#include "host/group_scan.hpp"

HWY_BEFORE_NAMESPACE();
namespace coterie::nearest {
namespace HWY_NAMESPACE {

using Ints = hn::RebindToSigned<Floats>;

constexpr std::int32_t kMostWordsTurned = 256;  // of a row; even from the L2 cache they come as fast as they are multiplied
static_assert(kMostWordsInLanes <= kMostWordsTurned);
constexpr std::int32_t kWordsAtOnce = 4;  // turned in registers, and multiplied without a jump
constexpr std::size_t kRowVectors = 2;    // that share what is loaded of the centers
// That share what is loaded of the rows; with kRowVectors, sums enough to hide their latency, and no more than there are registers.
constexpr std::int32_t kCentersAtOnce = HWY_TARGET <= HWY_AVX3 ? 8 : 4;
constexpr std::size_t kEntriesAtOnce = kRowVectors * kLanes;
static_assert(kEntriesAtOnce <= static_cast<std::size_t>(kSlack));

template <class T>
using RowVectors = T[kRowVectors];

// Rows as words, rows in lanes: y, or pairs of whole numbers. Zeros beyond the last one, to whole kWordsAtOnce.
template <class D>
struct TurnedRows {
  HWY_ALIGN hn::TFromD<D> words[kMostWordsTurned][kRowVectors][kLanes];
};
struct Measures {
  hn::Vec<Floats> length, unit, rho;
};

#if HWY_TARGET == HWY_SCALAR

template <class D>
HWY_INLINE void load_turned(D d, const hn::TFromD<D>* const* rows, std::int32_t word, hn::Vec<D> (&turned)[kWordsAtOnce]) {
  for (std::int32_t i = 0; i < kWordsAtOnce; ++i) turned[i] = hn::Set(d, rows[0][word + i]);
}

HWY_INLINE hn::Vec<Ints> add_products(hn::Vec<Ints> row, std::int32_t center, hn::Vec<Ints> sum) {
  const Ints d;
  return hn::Add(sum, hn::Set(d, product_of(hn::GetLane(row), center)));
}

#else

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
  transpose_quads(d, load_quads(d, rows, word), load_quads(d, rows + 1, word), load_quads(d, rows + 2, word), load_quads(d, rows + 3, word),
                  [&](int i, hn::Vec<D> words) HWY_ATTR { turned[i] = words; });
}

HWY_INLINE hn::Vec<Ints> add_products(hn::Vec<Ints> row, std::int32_t center, hn::Vec<Ints> sum) {
  const Ints d;
  const hn::Repartition<std::int16_t, Ints> d16;
  auto odd = hn::Zero(d);
  sum = hn::ReorderWidenMulAccumulate(d, hn::BitCast(d16, row), hn::BitCast(d16, hn::Set(d, center)), sum, odd);
  return hn::RearrangeToOddPlusEven(sum, odd);
}

#endif

HWY_INLINE hn::Vec<Floats> add_products(hn::Vec<Floats> row, float center, hn::Vec<Floats> sum) {
  return hn::MulAdd(row, hn::Set(Floats(), center), sum);
}

// Fetches the rows of entries that come later, a few lines whenever it is asked to: all at once, computing would wait for them.
template <class T>
class FetchAhead {
 public:
  // rows: (n_rows, n_words); n_times: how often it is asked for kEntriesAtOnce of them.
  HWY_INLINE FetchAhead(const T* rows, std::int32_t n_words, const StripScan& scan, std::int32_t n_times)
      : rows_(rows), n_words_(n_words), scan_(scan) {
    n_lines_ = static_cast<std::int32_t>(kEntriesAtOnce) * ((n_words + kWordsOfLine - 1) / kWordsOfLine);
    fetch(2 * n_lines_);
    n_at_once_ = (n_lines_ + n_times - 1) / n_times;
  }
  // In all, as many as there are of kEntriesAtOnce until more are allowed.
  HWY_INLINE void allow_more() { n_allowed_ = n_lines_; }
  HWY_INLINE void fetch() {
    const std::int32_t n = std::min(n_at_once_, n_allowed_);
    n_allowed_ -= n;
    fetch(n);
  }

 private:
  HWY_INLINE void fetch(std::int32_t n_lines) {
    for (; n_lines > 0 && entry_ < scan_.doubtful.size(); --n_lines) {
      __builtin_prefetch(rows_ + std::int64_t{scan_.doubtful[entry_]} * n_words_ + word_);
      word_ += kWordsOfLine;
      if (word_ < n_words_) continue;
      word_ = 0;
      ++entry_;
    }
  }

  const T* rows_;
  std::int32_t n_words_;
  const StripScan& scan_;
  std::size_t entry_ = 0;
  std::int32_t word_ = 0, n_lines_, n_at_once_, n_allowed_ = 0;
};

// How often one group asks for rows.
constexpr std::int32_t asks_of_group(std::int32_t n_words, std::int32_t n_centers) {
  return (n_words + kWordsAtOnce - 1) / kWordsAtOnce * ((n_centers + kCentersAtOnce - 1) / kCentersAtOnce);
}

HWY_INLINE hn::Vec<Floats> result_with(const CenterGroups& groups, std::int32_t place, hn::Vec<Floats> product, const Measures& row) {
  const Floats d;
  return hn::Sub(hn::NegMulAdd(row.rho, hn::Set(d, groups.length()[place]), hn::Set(d, groups.half_square()[place])), product);
}
HWY_INLINE hn::Vec<Floats> result_with(const CenterGroups& groups, std::int32_t place, hn::Vec<Ints> product, const Measures& row) {
  const Floats d;
  return result_of(product, row.unit, row.rho, hn::Set(d, groups.step()[place]), hn::Set(d, groups.length()[place]),
                   hn::Set(d, groups.half_square()[place]));
}

// The two lowest results of the rows with the first n_centers of a group, with the place of their centers in the lowest bits.
// centers: (n_words, kGroupWidth) of the group
template <class D>
HWY_INLINE void find_two(const CenterGroups& groups, std::int32_t group, std::int32_t n_centers, const hn::TFromD<D>* centers,
                         std::int32_t n_words, const TurnedRows<D>& rows, const RowVectors<Measures>& measures,
                         FetchAhead<hn::TFromD<D> >& ahead, RowVectors<LowestTwo<hn::Vec<Floats> > >& two) {
  const Floats d;
  const Ints di;
  for (auto& of_rows : two) of_rows.lowest = of_rows.next = hn::Set(d, kInfinity);
  auto place = hn::Zero(di);
  for (std::int32_t k = 0; k < n_centers; k += kCentersAtOnce) {
    RowVectors<hn::Vec<D> > product[kCentersAtOnce];
#pragma GCC unroll 8
    for (auto& of_center : product)  // unrolled, here and below, or the compiler keeps the products in memory
#pragma GCC unroll 2
      for (auto& of_rows : of_center) of_rows = hn::Zero(D());
    const hn::TFromD<D>* cells = centers + k;
    for (std::int32_t first = 0; first < n_words; first += kWordsAtOnce) {
      ahead.fetch();
      for (std::int32_t word = first; word < first + kWordsAtOnce; ++word, cells += kGroupWidth) {
        RowVectors<hn::Vec<D> > of_rows;
        for (std::size_t v = 0; v < kRowVectors; ++v) of_rows[v] = hn::Load(D(), rows.words[word][v]);
#pragma GCC unroll 8
        for (std::int32_t i = 0; i < kCentersAtOnce; ++i)
#pragma GCC unroll 2
          for (std::size_t v = 0; v < kRowVectors; ++v) product[i][v] = add_products(of_rows[v], cells[i], product[i][v]);
      }
    }
#pragma GCC unroll 8
    for (std::int32_t i = 0; i < kCentersAtOnce; ++i, place = hn::Add(place, hn::Set(di, 1)))
#pragma GCC unroll 2
      for (std::size_t v = 0; v < kRowVectors; ++v)
        two[v].offer(placed(result_with(groups, group * kGroupWidth + k + i, product[i][v], measures[v]), place));
  }
}

// Turns a vector of rounded rows. numbers: (kLanes)
HWY_INLINE void turn_pairs(const Strip& strip, const std::int32_t* numbers, std::size_t v, TurnedRows<Ints>& to) {
  const Ints d;
  const std::int32_t n_pairs = strip.groups->n_pairs();
  const std::int32_t* rows[kLanes];
  for (std::size_t r = 0; r < kLanes; ++r) rows[r] = strip.pairs + std::int64_t{numbers[r]} * n_pairs;
  for (std::int32_t pair = 0; pair < n_pairs; pair += kWordsAtOnce) {
    hn::Vec<Ints> words[kWordsAtOnce];
    load_turned(d, rows, pair, words);
    for (std::int32_t i = 0; i < kWordsAtOnce; ++i) hn::Store(words[i], d, to.words[pair + i][v]);
  }
}

// How many of so many entries are worth being scanned in lanes, by groups that all of them need.
HWY_INLINE std::int64_t entries_in_lanes(const Strip& strip, std::int64_t n_entries) {
  if (strip.groups->n_pairs() > kMostWordsTurned) return 0;
  constexpr auto kAtOnce = static_cast<std::int64_t>(kEntriesAtOnce);
  const std::int64_t rest = n_entries % kAtOnce;
  return rest > kAtOnce / 2 ? n_entries : n_entries - rest;
}

// Scans these groups for the first n_entries.
void scan_in_lanes(const Strip& strip, StripScan& scan, std::span<const std::int32_t> group_numbers, std::int64_t n_entries) {
  const Floats d;
  const CenterGroups& groups = *strip.groups;
  FetchAhead ahead(strip.pairs, groups.n_pairs(), scan, asks_of_group(groups.n_pairs(), kGroupWidth));
  TurnedRows<Ints> turned;
  for (std::size_t first = 0; first < static_cast<std::size_t>(n_entries); first += kEntriesAtOnce) {
    RowVectors<Measures> measures;
    for (std::size_t v = 0; v < kRowVectors; ++v) {
      const std::size_t i = first + v * kLanes;
      turn_pairs(strip, &scan.doubtful[i], v, turned);
      measures[v] = {hn::LoadU(d, scan.length.data() + i), hn::LoadU(d, scan.unit.data() + i), hn::LoadU(d, scan.rho.data() + i)};
    }
    ahead.allow_more();
    for (const std::int32_t g : group_numbers) {
      RowVectors<LowestTwo<hn::Vec<Floats> > > two;
      find_two(groups, g, std::min(kGroupWidth, groups.n_centers() - g * kGroupWidth), groups.group_pairs(g), groups.n_pairs(), turned,
               measures, ahead, two);
      for (std::size_t v = 0; v < kRowVectors; ++v) {
        hn::StoreU(two[v].lowest, d, scan.lowest_of(g) + first + v * kLanes);
        hn::StoreU(two[v].next, d, scan.next_of(g) + first + v * kLanes);
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie::nearest
HWY_AFTER_NAMESPACE();

#endif
