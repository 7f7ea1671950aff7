// Results of four rows with one group of centers (center_groups.hpp), for the instruction set of the including file. Included once
// per instruction set by group_scan.cpp, which hwy/foreach_target.h compiles over and over.
#if defined(COTERIE_HOST_GROUP_KERNEL_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef COTERIE_HOST_GROUP_KERNEL_INL_HPP
#undef COTERIE_HOST_GROUP_KERNEL_INL_HPP
#else
#define COTERIE_HOST_GROUP_KERNEL_INL_HPP
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "host/center_groups.hpp"
#include "host/matrix_unit.hpp"
#include "host/transpose-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace coterie::nearest {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::CappedTag<float, kGroupWidth>;

template <class V>
struct LowestTwo {
  V lowest, next;
  HWY_INLINE void merge(const LowestTwo& other) {
    next = hn::Min(hn::Max(lowest, other.lowest), hn::Min(next, other.next));
    lowest = hn::Min(lowest, other.lowest);
  }
  HWY_INLINE void offer(V result) {
    next = hn::Min(next, hn::Max(lowest, result));
    lowest = hn::Min(lowest, result);
  }
};

constexpr std::size_t kQuad = 4;

struct GroupOf {
  const std::int32_t* pairs;  // (n_pairs, kGroupWidth)
  const float* half_square;   // (kGroupWidth)
  const float* length;        // (kGroupWidth)
  const float* step;          // (kGroupWidth)
  std::int32_t n_pairs;
};

// What is known of s, from a sum of products, the row's unit and rho, and the center's step, length and half square.
template <class V, class I>
HWY_INLINE V result_of(I products, V unit, V rho, V step, V length, V half_square) {
  return hn::NegMulAdd(hn::Mul(unit, step), hn::ConvertTo(Floats(), products), hn::NegMulAdd(rho, length, half_square));
}

// With the place of the center in the lowest bits.
template <class V, class I>
HWY_INLINE V placed(V result, I place) {
  const hn::RebindToSigned<Floats> di;
  return hn::BitCast(Floats(), hn::Or(hn::AndNot(hn::Set(di, kPlaceBits), hn::BitCast(di, result)), place));
}

#if HWY_TARGET == HWY_SCALAR

HWY_INLINE std::int32_t product_of(std::int32_t a, std::int32_t b) {
  return static_cast<std::int16_t>(a & 0xffff) * static_cast<std::int16_t>(b & 0xffff) + (a >> 16) * (b >> 16);
}

HWY_INLINE std::int32_t product_sum(const std::int32_t* row, const std::int32_t* center, std::int32_t n_pairs, std::int32_t stride) {
  std::int64_t sum = 0;
  for (std::int32_t pair = 0; pair < n_pairs; ++pair) sum += product_of(row[pair], center[pair * stride]);
  return static_cast<std::int32_t>(sum);
}

HWY_INLINE float result_of(const GroupOf& group, std::int32_t i, std::int32_t products, float unit, float rho) {
  return group.half_square[i] - rho * group.length[i] - unit * group.step[i] * static_cast<float>(products);
}

// Results of one row with all centers of a group.
HWY_INLINE void scan_row(const GroupOf& group, const std::int32_t* row, float unit, float rho, float* results) {
  for (std::int32_t i = 0; i < kGroupWidth; ++i)
    results[i] = result_of(group, i, product_sum(row, group.pairs + i, group.n_pairs, kGroupWidth), unit, rho);
}

HWY_INLINE void find_two(const float* results, float& lowest, float& next) {
  lowest = next = std::numeric_limits<float>::infinity();
  for (std::int32_t i = 0; i < kGroupWidth; ++i) {
    const float placed = std::bit_cast<float>((std::bit_cast<std::int32_t>(results[i]) & ~kPlaceBits) | i);
    next = std::min(next, std::max(lowest, placed));
    lowest = std::min(lowest, placed);
  }
}

template <std::size_t>
HWY_INLINE void scan_quad(const GroupOf& group, const std::int32_t* const (&rows)[kQuad], const float (&unit)[kQuad],
                          const float (&rho)[kQuad], float* lowest, float* next) {
  for (std::size_t r = 0; r < kQuad; ++r) {
    float results[kGroupWidth];
    scan_row(group, rows[r], unit[r], rho[r], results);
    find_two(results, lowest[r], next[r]);
  }
}

template <std::size_t>
HWY_INLINE void scan_sums(const GroupOf& group, const MatrixSums& sums, std::size_t first, const float (&unit)[kQuad],
                          const float (&rho)[kQuad], float* lowest, float* next) {
  for (std::size_t r = 0; r < kQuad; ++r) {
    float results[kGroupWidth];
    for (std::int32_t i = 0; i < kGroupWidth; ++i)
      results[i] = result_of(group, i, sums.whole(first + r, static_cast<std::size_t>(i)), unit[r], rho[r]);
    find_two(results, lowest[r], next[r]);
  }
}

HWY_INLINE std::int32_t product_sum(const std::int32_t* row, const std::int32_t* center, std::int32_t n_pairs) {
  return product_sum(row, center, n_pairs, 1);
}

#else

using coterie::HWY_NAMESPACE::Quad;
using coterie::HWY_NAMESPACE::Quads;
using coterie::HWY_NAMESPACE::transpose_quads;

// The two lowest of every fourth lane.
template <class D>
HWY_INLINE LowestTwo<Quad> fold(D d, LowestTwo<hn::Vec<D> > two) {
  if constexpr (hn::MaxLanes(D{}) == 4) {
    return two;
  } else {
    const hn::Half<D> half;
    LowestTwo<hn::Vec<hn::Half<D> > > low{hn::LowerHalf(half, two.lowest), hn::LowerHalf(half, two.next)};
    low.merge({hn::UpperHalf(half, two.lowest), hn::UpperHalf(half, two.next)});
    (void)d;
    return fold(half, low);
  }
}

// One pair of columns of the centers of the first kVectors vectors of a group.
template <class D, std::size_t kVectors>
HWY_INLINE void load_centers(D di, const GroupOf& group, std::int32_t pair, hn::Vec<D> (&centers)[kVectors]) {
  const std::int32_t* const from = group.pairs + std::ptrdiff_t{pair} * kGroupWidth;
  for (std::size_t v = 0; v < kVectors; ++v) centers[v] = hn::LoadU(di, from + v * hn::MaxLanes(D{}));
}

// Sums of products of one row with all centers of a group, at the next pair of columns.
template <class D, std::size_t kVectors>
HWY_INLINE void add_products(D di, std::int32_t pair, const hn::Vec<D> (&centers)[kVectors], hn::Vec<D> (&sum)[kVectors],
                             hn::Vec<D> (&odd)[kVectors]) {
  const hn::Repartition<std::int16_t, D> d16;
  const auto row = hn::BitCast(d16, hn::Set(di, pair));
  for (std::size_t v = 0; v < kVectors; ++v) sum[v] = hn::ReorderWidenMulAccumulate(di, row, hn::BitCast(d16, centers[v]), sum[v], odd[v]);
}

// The results of a row with the centers of one vector of a group, from their sums of products.
HWY_INLINE hn::Vec<Floats> result_of(const GroupOf& group, std::size_t v, hn::Vec<hn::RebindToSigned<Floats> > products, float unit,
                                     float rho) {
  const Floats d;
  const std::size_t first = v * hn::MaxLanes(Floats{});
  return result_of(products, hn::Set(d, unit), hn::Set(d, rho), hn::LoadU(d, group.step + first), hn::LoadU(d, group.length + first),
                   hn::LoadU(d, group.half_square + first));
}

// The two lowest results of four rows with the centers of the first kVectors vectors of a group, with the place in the group in their
// lowest bits. products_of(r, v): the sums of products of row r with the centers of vector v.
template <std::size_t kVectors, class ProductsOf>
HWY_INLINE void find_two(const GroupOf& group, const float (&unit)[kQuad], const float (&rho)[kQuad], float* lowest, float* next,
                         ProductsOf&& products_of) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  constexpr std::size_t kLanes = hn::MaxLanes(Floats{});
  LowestTwo<Quad> two[kQuad];
  for (std::size_t r = 0; r < kQuad; ++r) {
    LowestTwo<hn::Vec<Floats> > of_row{hn::Set(d, std::numeric_limits<float>::infinity()),
                                       hn::Set(d, std::numeric_limits<float>::infinity())};
    for (std::size_t v = 0; v < kVectors; ++v) {
      const auto result =
          placed(result_of(group, v, products_of(r, v), unit[r], rho[r]), hn::Iota(di, static_cast<std::int32_t>(v * kLanes)));
      if (v == 0)
        of_row.lowest = result;
      else
        of_row.offer(result);
    }
    two[r] = fold(d, of_row);
  }
  LowestTwo<Quad> lane[kQuad];
  transpose_quads(Quads(), two[0].lowest, two[1].lowest, two[2].lowest, two[3].lowest, [&](int i, Quad v) HWY_ATTR { lane[i].lowest = v; });
  transpose_quads(Quads(), two[0].next, two[1].next, two[2].next, two[3].next, [&](int i, Quad v) HWY_ATTR { lane[i].next = v; });
  lane[0].merge(lane[1]);
  lane[2].merge(lane[3]);
  lane[0].merge(lane[2]);
  hn::StoreU(lane[0].lowest, Quads(), lowest);
  hn::StoreU(lane[0].next, Quads(), next);
}

// Four rows by the centers of the first kVectors vectors of a group.
template <std::size_t kVectors>
HWY_INLINE void scan_quad(const GroupOf& group, const std::int32_t* const (&rows)[kQuad], const float (&unit)[kQuad],
                          const float (&rho)[kQuad], float* lowest, float* next) {
  const hn::RebindToSigned<Floats> di;
  using Ints = hn::Vec<decltype(di)>;
  Ints sum[kQuad][kVectors], odd[kQuad][kVectors];
  for (std::size_t r = 0; r < kQuad; ++r)
    for (std::size_t v = 0; v < kVectors; ++v) sum[r][v] = odd[r][v] = hn::Zero(di);
  for (std::int32_t pair = 0; pair < group.n_pairs; ++pair) {
    Ints centers[kVectors];
    load_centers(di, group, pair, centers);
    for (std::size_t r = 0; r < kQuad; ++r) add_products(di, rows[r][pair], centers, sum[r], odd[r]);
  }
  find_two<kVectors>(group, unit, rho, lowest, next,
                     [&](std::size_t r, std::size_t v) HWY_ATTR { return hn::RearrangeToOddPlusEven(sum[r][v], odd[r][v]); });
}

// The same for four rows, from `first` on, whose products the matrix unit has summed.
template <std::size_t kVectors>
HWY_INLINE void scan_sums(const GroupOf& group, const MatrixSums& sums, std::size_t first, const float (&unit)[kQuad],
                          const float (&rho)[kQuad], float* lowest, float* next) {
  const hn::RebindToSigned<Floats> di;
  find_two<kVectors>(group, unit, rho, lowest, next, [&](std::size_t r, std::size_t v) HWY_ATTR {
    const auto part = [&](const MatrixSums::Part& of) HWY_ATTR { return hn::Load(di, &of[first + r][v * hn::MaxLanes(Floats{})]); };
    const auto mixed = hn::Add(part(sums.high_low), part(sums.low_high));
    return hn::Add(hn::Add(hn::ShiftLeft<16>(part(sums.high_high)), hn::ShiftLeft<8>(mixed)), part(sums.low_low));
  });
}

// Results of one row with all centers of a group.
HWY_INLINE void scan_row(const GroupOf& group, const std::int32_t* row, float unit, float rho, float* results) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  constexpr std::size_t kLanes = hn::MaxLanes(Floats{}), kVectors = static_cast<std::size_t>(kGroupWidth) / kLanes;
  hn::Vec<decltype(di)> sum[kVectors], odd[kVectors];
  for (std::size_t v = 0; v < kVectors; ++v) sum[v] = odd[v] = hn::Zero(di);
  for (std::int32_t pair = 0; pair < group.n_pairs; ++pair) {
    hn::Vec<decltype(di)> centers[kVectors];
    load_centers(di, group, pair, centers);
    add_products(di, row[pair], centers, sum, odd);
  }
  for (std::size_t v = 0; v < kVectors; ++v)
    hn::StoreU(result_of(group, v, hn::RearrangeToOddPlusEven(sum[v], odd[v]), unit, rho), d, results + v * kLanes);
}

// Sum of products of a row with one center.
HWY_INLINE std::int32_t product_sum(const std::int32_t* row, const std::int32_t* center, std::int32_t n_pairs) {
  const hn::FixedTag<std::int32_t, 4> di;
  const hn::FixedTag<std::int16_t, 8> d16;
  auto sum = hn::Zero(di), odd = hn::Zero(di);
  for (std::int32_t pair = 0; pair < n_pairs; pair += 4)
    sum = hn::ReorderWidenMulAccumulate(di, hn::BitCast(d16, hn::LoadU(di, row + pair)), hn::BitCast(d16, hn::LoadU(di, center + pair)),
                                        sum, odd);
  return hn::GetLane(hn::SumOfLanes(di, hn::RearrangeToOddPlusEven(sum, odd)));
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace coterie::nearest
HWY_AFTER_NAMESPACE();

#endif
