// mma.sync (sm_80): one warp multiplies D += A * B on the tensor cores, float32 accumulation. PTX ISA, "Matrix
// multiply-accumulate operation using mma instruction". With lane = 4 * group + member:
//   bf16, fp16 (m16n8k16): a[0..3] hold A at rows (group, group + 8, group, group + 8), columns 2 * member + {0, 1},
//     the last two 8 columns further; b[0..1] hold B at rows 2 * member + {0, 1}, the second 8 rows further, column group.
//   tf32 (m16n8k8): a[0..3] hold A at rows (group, group + 8, group, group + 8), columns member, the last two 4 further;
//     b[0..1] hold B at rows member and member + 4, column group. The lowest 13 bits of a value are ignored.
//   d[0..3] hold D at rows (group, group, group + 8, group + 8), columns 2 * member + {0, 1}.
// Two 16-bit values share a register, the smaller index in the lower half. Products are exact; the order and rounding of
// the sum are the hardware's, so its error is bounded by (steps) * 2^-22 of the sum of magnitudes, not by float32's.
#pragma once

#include "cuda/kernel.hpp"

namespace coterie::COTERIE_GPU {

#ifdef COTERIE_EMULATED

void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]);
void mma_fp16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]);
void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]);

#elif defined(__CUDACC__)

#define COTERIE_DEFINE_MMA(name, shape_and_types)                                                              \
  __device__ __forceinline__ void name(float(&d)[4], const std::uint32_t(&a)[4], const std::uint32_t(&b)[2]) { \
    asm volatile("mma.sync.aligned." shape_and_types " {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"     \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                              \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                          \
  }
COTERIE_DEFINE_MMA(mma_bf16, "m16n8k16.row.col.f32.bf16.bf16.f32")
COTERIE_DEFINE_MMA(mma_fp16, "m16n8k16.row.col.f32.f16.f16.f32")
COTERIE_DEFINE_MMA(mma_tf32, "m16n8k8.row.col.f32.tf32.tf32.f32")
#undef COTERIE_DEFINE_MMA

#endif

}  // namespace coterie::COTERIE_GPU
