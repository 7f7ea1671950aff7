// Vectors of one type from cells of it or of a narrower one, for the instruction set of the including file. Included once per
// instruction set by files that hwy/foreach_target.h compiles over and over.
#if defined(COTERIE_HOST_LOAD_AS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef COTERIE_HOST_LOAD_AS_INL_HPP
#undef COTERIE_HOST_LOAD_AS_INL_HPP
#else
#define COTERIE_HOST_LOAD_AS_INL_HPP
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace coterie {
namespace HWY_NAMESPACE {

template <class D, class T>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> load_as(D d, const T* from) {
  namespace hn = hwy::HWY_NAMESPACE;
  if constexpr (sizeof(T) == sizeof(hn::TFromD<D>))
    return hn::LoadU(d, from);
  else
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<T, D>(), from));
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie
HWY_AFTER_NAMESPACE();

#endif
