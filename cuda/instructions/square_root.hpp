// A square root within a relative 2^-22, 0 for what lies within 2^-126 of 0 (sqrt.approx.ftz, sm_80). PTX ISA, "Floating Point
// Instructions: sqrt".
#pragma once

#include "cuda/kernel.hpp"

namespace coterie::COTERIE_GPU {

#ifdef COTERIE_EMULATED

inline float approximate_square_root(float x) { return std::sqrt(std::abs(x) < 0x1p-126f ? 0.0f : x); }

#elif defined(__CUDACC__)

__device__ __forceinline__ float approximate_square_root(float x) {
  float root;
  asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(root) : "f"(x));
  return root;
}

#endif

}  // namespace coterie::COTERIE_GPU
