// Four columns of four rows from row-major to column-major, for the instruction set of the including file. Included once
// per instruction set by files that hwy/foreach_target.h compiles over and over.
#if defined(COTERIE_HOST_TRANSPOSE_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef COTERIE_HOST_TRANSPOSE_INL_HPP
#undef COTERIE_HOST_TRANSPOSE_INL_HPP
#else
#define COTERIE_HOST_TRANSPOSE_INL_HPP
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace coterie {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR
using Quads = hwy::HWY_NAMESPACE::FixedTag<float, 4>;
using Quad = hwy::HWY_NAMESPACE::Vec<Quads>;

// Four rows, or in longer vectors four rows after another, in blocks of four lanes of 32 bits. Calls store(j, v) for j in 0..3, v the rows
// of column j.
template <class D, class Store>
HWY_INLINE void transpose_quads(D d, hwy::HWY_NAMESPACE::Vec<D> a, hwy::HWY_NAMESPACE::Vec<D> b, hwy::HWY_NAMESPACE::Vec<D> e,
                                hwy::HWY_NAMESPACE::Vec<D> f, Store&& store) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::Repartition<hwy::MakeWide<hn::TFromD<D>>, D> wide;
  const auto ab_low = hn::BitCast(wide, hn::InterleaveLower(d, a, b)), ab_high = hn::BitCast(wide, hn::InterleaveUpper(d, a, b));
  const auto ef_low = hn::BitCast(wide, hn::InterleaveLower(d, e, f)), ef_high = hn::BitCast(wide, hn::InterleaveUpper(d, e, f));
  store(0, hn::BitCast(d, hn::InterleaveLower(wide, ab_low, ef_low)));
  store(1, hn::BitCast(d, hn::InterleaveUpper(wide, ab_low, ef_low)));
  store(2, hn::BitCast(d, hn::InterleaveLower(wide, ab_high, ef_high)));
  store(3, hn::BitCast(d, hn::InterleaveUpper(wide, ab_high, ef_high)));
}

// rows: four of them `stride` apart.
template <class Store>
HWY_INLINE void transpose_4x4(const float* rows, std::size_t stride, Store&& store) {
  const Quads d;
  transpose_quads(d, hwy::HWY_NAMESPACE::LoadU(d, rows), hwy::HWY_NAMESPACE::LoadU(d, rows + stride),
                  hwy::HWY_NAMESPACE::LoadU(d, rows + 2 * stride), hwy::HWY_NAMESPACE::LoadU(d, rows + 3 * stride), store);
}
#endif

}  // namespace HWY_NAMESPACE
}  // namespace coterie
HWY_AFTER_NAMESPACE();

#endif
