#include "io/cell_conversion.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "host/error.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "io/cell_conversion.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

// Plain loops, which the compiler turns into vectors of each instruction set.
HWY_BEFORE_NAMESPACE();
namespace coterie::io {
namespace HWY_NAMESPACE {

constexpr std::int64_t kStrip = 512;  // cells that are copied before they are converted: they may lie in the way, and at odd addresses

HWY_INLINE std::uint8_t swapped(std::uint8_t x) { return x; }
HWY_INLINE std::uint16_t swapped(std::uint16_t x) { return __builtin_bswap16(x); }
HWY_INLINE std::uint32_t swapped(std::uint32_t x) { return __builtin_bswap32(x); }
HWY_INLINE std::uint64_t swapped(std::uint64_t x) { return __builtin_bswap64(x); }

struct Half {  // IEEE 754 binary16
  std::uint16_t bits;
};

HWY_INLINE float value_of(Half half) {
  constexpr std::uint32_t kInfinite = 0x7c00U << 13;
  const std::uint32_t magnitude = (half.bits & 0x7fffU) << 13, sign = (half.bits & 0x8000U) << 16;
  const auto finite = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112f);  // subnormal ones become normal
  return std::bit_cast<float>(sign | (magnitude >= kInfinite ? magnitude | 0x7f800000U : finite));
}
template <class Stored>
HWY_INLINE Stored value_of(Stored x) {
  return x;
}

template <class Stored, class T>
HWY_INLINE void convert(bool swap, const std::byte* from, std::int64_t n, T* to) {
  using Word = std::conditional_t<
      sizeof(Stored) == 1, std::uint8_t,
      std::conditional_t<sizeof(Stored) == 2, std::uint16_t, std::conditional_t<sizeof(Stored) == 4, std::uint32_t, std::uint64_t>>>;
  Word words[kStrip];
  for (std::int64_t first = 0; first < n; first += kStrip) {
    const std::int64_t strip = n - first < kStrip ? n - first : kStrip;
    std::memcpy(words, from + first * static_cast<std::int64_t>(sizeof(Stored)), static_cast<std::size_t>(strip) * sizeof(Stored));
    if (swap)
      for (std::int64_t i = 0; i < strip; ++i) words[i] = swapped(words[i]);
    for (std::int64_t i = 0; i < strip; ++i) to[first + i] = static_cast<T>(+value_of(std::bit_cast<Stored>(words[i])));
  }
}

template <class T>
HWY_INLINE void convert_kind(StoredCell cell, const std::byte* from, std::int64_t n, T* to) {
  switch (cell.kind) {
    case CellKind::float16: return convert<Half>(cell.swapped, from, n, to);
    case CellKind::float32: return convert<float>(cell.swapped, from, n, to);
    case CellKind::float64: return convert<double>(cell.swapped, from, n, to);
    case CellKind::boolean:
    case CellKind::int8: return convert<std::int8_t>(cell.swapped, from, n, to);
    case CellKind::int16: return convert<std::int16_t>(cell.swapped, from, n, to);
    case CellKind::int32: return convert<std::int32_t>(cell.swapped, from, n, to);
    case CellKind::int64: return convert<std::int64_t>(cell.swapped, from, n, to);
    case CellKind::uint8: return convert<std::uint8_t>(cell.swapped, from, n, to);
    case CellKind::uint16: return convert<std::uint16_t>(cell.swapped, from, n, to);
    case CellKind::uint32: return convert<std::uint32_t>(cell.swapped, from, n, to);
    case CellKind::uint64: return convert<std::uint64_t>(cell.swapped, from, n, to);
    default: return;
  }
}

void to_float(StoredCell cell, const std::byte* from, std::int64_t n, float* to) { convert_kind(cell, from, n, to); }
void to_double(StoredCell cell, const std::byte* from, std::int64_t n, double* to) { convert_kind(cell, from, n, to); }
void to_int64(StoredCell cell, const std::byte* from, std::int64_t n, std::int64_t* to) { convert_kind(cell, from, n, to); }
void to_uint64(StoredCell cell, const std::byte* from, std::int64_t n, std::uint64_t* to) { convert_kind(cell, from, n, to); }

}  // namespace HWY_NAMESPACE
}  // namespace coterie::io
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie::io {

HWY_EXPORT(to_float);
HWY_EXPORT(to_double);
HWY_EXPORT(to_int64);
HWY_EXPORT(to_uint64);

StoredCell stored_cell(const hdf5::Dataset& dataset) {
  const hdf5::Lock lock;
  const CellKind kind = cell_kind(dataset);
  const bool native = H5Tget_order(hdf5::type_of(dataset).id()) == H5Tget_order(hdf5::native_type<std::int32_t>().id());
  return {kind, is_number(kind) && bytes_of(kind) > 1 && !native};
}

std::int64_t bytes_of(CellKind kind) {
  switch (kind) {
    case CellKind::boolean:
    case CellKind::int8:
    case CellKind::uint8: return 1;
    case CellKind::float16:
    case CellKind::int16:
    case CellKind::uint16: return 2;
    case CellKind::float32:
    case CellKind::int32:
    case CellKind::uint32: return 4;
    case CellKind::float64:
    case CellKind::int64:
    case CellKind::uint64: return 8;
    default: throw InternalError("these cells are no numbers");
  }
}

namespace {

// By way of the widest: codes and answers are not worth a conversion per instruction set of their own.
template <class T>
void narrow(StoredCell cell, const std::byte* from, std::int64_t n, T* to) {
  constexpr std::int64_t kStrip = 512;
  std::int64_t wide[kStrip];
  for (std::int64_t first = 0; first < n; first += kStrip) {
    const std::int64_t strip = std::min(n - first, kStrip);
    HWY_DYNAMIC_DISPATCH(to_int64)(cell, from + first * bytes_of(cell.kind), strip, wide);
    std::copy_n(wide, strip, to + first);
  }
}

}  // namespace

template <>
void convert_cells(StoredCell cell, const std::byte* from, std::int64_t n, float* to) {
  HWY_DYNAMIC_DISPATCH(to_float)(cell, from, n, to);
}
template <>
void convert_cells(StoredCell cell, const std::byte* from, std::int64_t n, double* to) {
  HWY_DYNAMIC_DISPATCH(to_double)(cell, from, n, to);
}
template <>
void convert_cells(StoredCell cell, const std::byte* from, std::int64_t n, std::int64_t* to) {
  HWY_DYNAMIC_DISPATCH(to_int64)(cell, from, n, to);
}
template <>
void convert_cells(StoredCell cell, const std::byte* from, std::int64_t n, std::uint64_t* to) {
  HWY_DYNAMIC_DISPATCH(to_uint64)(cell, from, n, to);
}
template <>
void convert_cells(StoredCell cell, const std::byte* from, std::int64_t n, std::uint8_t* to) {
  narrow(cell, from, n, to);
}
template <>
void convert_cells(StoredCell cell, const std::byte* from, std::int64_t n, std::int32_t* to) {
  narrow(cell, from, n, to);
}

}  // namespace coterie::io
#endif  // HWY_ONCE
