// Two float32 values as the halves of one register, and back (cvt.rn.f16x2.f32 and cvt.rn.bf16x2.f32, sm_80): the first in the lower
// half, rounded to nearest, ties to even. As fp16, infinity beyond 65504; as bf16, which has the range of float32, eight bits are left.
// PTX ISA, "Data Movement and Conversion Instructions: cvt".
#pragma once

#include "cuda/kernel.hpp"
#ifdef COTERIE_EMULATED
#include "cuda/half_bits.hpp"
#endif

namespace coterie::COTERIE_GPU {

#ifdef COTERIE_EMULATED

inline std::uint32_t pack_halves(float low, float high) {
  const auto bits = [](float value) { return value == value ? to_half_bits(value) : 0x7fffu; };
  return bits(low) | bits(high) << 16;
}
inline float2 unpack_halves(std::uint32_t pair) { return {from_half_bits(pair & 0xffffu), from_half_bits(pair >> 16)}; }

inline std::uint32_t pack_bfloats(float low, float high) {
  const auto bits = [](float value) {
    const auto all = std::bit_cast<std::uint32_t>(value);
    return value == value ? (all + 0x7fffu + (all >> 16 & 1u)) >> 16 : 0x7fffu;
  };
  return bits(low) | bits(high) << 16;
}
inline float2 unpack_bfloats(std::uint32_t pair) { return {std::bit_cast<float>(pair << 16), std::bit_cast<float>(pair & 0xffff0000u)}; }

#elif defined(__CUDACC__)

__device__ __forceinline__ std::uint32_t pack_halves(float low, float high) {
  std::uint32_t pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
__device__ __forceinline__ float2 unpack_halves(std::uint32_t pair) {
  float2 values;
  asm("{.reg .b16 low, high; mov.b32 {low, high}, %2; cvt.f32.f16 %0, low; cvt.f32.f16 %1, high;}"
      : "=f"(values.x), "=f"(values.y)
      : "r"(pair));
  return values;
}

__device__ __forceinline__ std::uint32_t pack_bfloats(float low, float high) {
  std::uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
__device__ __forceinline__ float2 unpack_bfloats(std::uint32_t pair) {
  return {__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)};
}

#endif

}  // namespace coterie::COTERIE_GPU
