// The lanes of a mask, one behind the other, for the instruction set of the including file. Included once per instruction set by
// files that hwy/foreach_target.h compiles over and over. Compress of Highway 1.0 copies its table at every call where it has one, that is
// without AVX-512; with it, CompressStore would be microcoded on AMD's Zen 4.
#if defined(COTERIE_HOST_CHOSEN_LANES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef COTERIE_HOST_CHOSEN_LANES_INL_HPP
#undef COTERIE_HOST_CHOSEN_LANES_INL_HPP
#else
#define COTERIE_HOST_CHOSEN_LANES_INL_HPP
#endif

#include <hwy/highway.h>

#include <bit>

#include "host/lanes_of_bits.hpp"

HWY_BEFORE_NAMESPACE();
namespace coterie {
namespace HWY_NAMESPACE {

// D: the tag of the vectors that the mask is of, and of columns as wide as theirs.
template <class D>
class ChosenLanes {
 public:
  explicit HWY_INLINE ChosenLanes(hwy::HWY_NAMESPACE::Mask<D> mask) {
    std::uint8_t bytes[8];
    hwy::HWY_NAMESPACE::StoreMaskBits(D(), mask, bytes);
    for (std::size_t i = 0; 8 * i < hwy::HWY_NAMESPACE::MaxLanes(D{}); ++i)  // a word would be read before its byte is stored
      bits_ |= std::uint64_t{bytes[i]} << (8 * i);
  }
  HWY_INLINE std::uint64_t bits() const { return bits_; }
  HWY_INLINE std::size_t size() const { return static_cast<std::size_t>(std::popcount(bits_)); }

  template <class Visit>
  HWY_INLINE void for_each(Visit&& visit) const {
    for (std::uint64_t rest = bits_; rest != 0; rest &= rest - 1) visit(static_cast<std::size_t>(std::countr_zero(rest)));
  }

  // Writes whole vectors: the numbers of the chosen lanes, the lowest lane being `first`, or the chosen values; then any.
  HWY_INLINE void store_numbers(std::int32_t first, std::int32_t* to) const {
    namespace hn = hwy::HWY_NAMESPACE;
    const hn::Rebind<std::int32_t, D> d;
    store(hn::Add(hn::Iota(d, 0), hn::Set(d, first)), to);  // Iota of a variable would be built lane by lane in memory
  }
  template <class T>
  HWY_INLINE void store(hwy::HWY_NAMESPACE::Vec<hwy::HWY_NAMESPACE::Rebind<T, D> > values, T* to) const {
    namespace hn = hwy::HWY_NAMESPACE;
    const hn::Rebind<T, D> d;
    if constexpr (HWY_TARGET <= HWY_AVX3 && sizeof(T) >= sizeof(std::int32_t)) {
      hn::StoreU(hn::Compress(values, hn::LoadMaskBits(d, reinterpret_cast<const std::uint8_t*>(&bits_))), d, to);
    } else if constexpr (hn::MaxLanes(D{}) == 8 && sizeof(T) == sizeof(std::int32_t)) {
      const auto lanes = hn::PromoteTo(hn::Rebind<std::int32_t, D>(), hn::LoadU(hn::Rebind<std::uint8_t, D>(), kLanesOfBits[bits_].data()));
      hn::StoreU(hn::TableLookupLanes(values, hn::IndicesFromVec(d, lanes)), d, to);
    } else {
      T of_lane[hn::MaxLanes(D{})];
      hn::StoreU(values, d, of_lane);
      for_each([&](std::size_t lane) HWY_ATTR { *to++ = of_lane[lane]; });
    }
  }

 private:
  std::uint64_t bits_ = 0;
};

}  // namespace HWY_NAMESPACE
}  // namespace coterie
HWY_AFTER_NAMESPACE();

#endif
