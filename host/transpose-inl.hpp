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
using Quad = hwy::HWY_NAMESPACE::Vec<hwy::HWY_NAMESPACE::FixedTag<float, 4>>;

// Four rows. Calls store(j, v) for j in 0..3, v the four rows of column j.
template <class Store>
HWY_INLINE void transpose_quads(Quad a, Quad b, Quad e, Quad f, Store&& store) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::FixedTag<float, 4> d;
  const auto ab_low = hn::InterleaveLower(d, a, b), ab_high = hn::InterleaveUpper(d, a, b);
  const auto ef_low = hn::InterleaveLower(d, e, f), ef_high = hn::InterleaveUpper(d, e, f);
  store(0, hn::ConcatLowerLower(d, ef_low, ab_low));
  store(1, hn::ConcatUpperUpper(d, ef_low, ab_low));
  store(2, hn::ConcatLowerLower(d, ef_high, ab_high));
  store(3, hn::ConcatUpperUpper(d, ef_high, ab_high));
}

// rows: four of them `stride` apart.
template <class Store>
HWY_INLINE void transpose_4x4(const float* rows, std::size_t stride, Store&& store) {
  const hwy::HWY_NAMESPACE::FixedTag<float, 4> d;
  transpose_quads(hwy::HWY_NAMESPACE::LoadU(d, rows), hwy::HWY_NAMESPACE::LoadU(d, rows + stride),
                  hwy::HWY_NAMESPACE::LoadU(d, rows + 2 * stride), hwy::HWY_NAMESPACE::LoadU(d, rows + 3 * stride), store);
}
#endif

}  // namespace HWY_NAMESPACE
}  // namespace coterie
HWY_AFTER_NAMESPACE();

#endif
