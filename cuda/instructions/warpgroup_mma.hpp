// wgmma (sm_90a): the four warps of a warpgroup multiply D += A B^T on the tensor cores, both from shared memory, while they go on. PTX
// ISA, "Asynchronous Warpgroup Level Matrix Instructions". A: 64 rows, B: kWarpgroupColumns rows, 16 columns of fp16 each, as core
// matrices: 8 rows of 8 columns side by side, the two halves of 8 rows after one another, then the next 8 rows (256 bytes). Products are
// exact, sums as in mma.hpp.
//
// With lane = 4 * group + member, d[t] of warp w holds D at rows 16 w + (group, group, group + 8, group + 8), columns
// 8 t + 2 * member + {0, 1}.
#pragma once

#include "cuda/instructions/phase_barrier.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr int kWarpgroupThreads = 128, kWarpgroupWarps = 4;
inline constexpr int kWarpgroupRows = 64, kWarpgroupColumns = 128;  // of D
inline constexpr int kCoreRowsBytes = 256;                          // of 8 rows and 16 columns

#ifdef COTERIE_EMULATED

// Products happen at the wait, as late as allowed.
struct ProductOperand {
  const std::byte* first;

  explicit ProductOperand(const void* shared) : first(static_cast<const std::byte*>(shared)) {}
  ProductOperand after(int bytes) const { return ProductOperand(first + bytes); }
};
template <int kSums>
void begin_products(float (&)[kSums][16][4]) {}
void multiply_fp16(float (&d)[16][4], const ProductOperand& a, const ProductOperand& b);
void commit_products();
void finish_products(std::size_t groups_left);
template <int kGroupsLeft>
void wait_products() {
  finish_products(kGroupsLeft);
}
template <int kSums>
void end_products(float (&)[kSums][16][4]) {}
template <int kRegisters>
void give_registers() {}
template <int kRegisters>
void take_registers() {}

#elif defined(__CUDACC__)

// Where an operand begins: the lower half of the descriptor of shared memory, without swizzling; the upper one says how far the next 8
// rows are.
struct ProductOperand {
  static constexpr unsigned kToNextColumns = kCoreRowsBytes / 2 / 16, kToNextRows = kCoreRowsBytes / 16;
  unsigned low;

  __device__ explicit ProductOperand(const void* shared) : low((shared_address(shared) & 0x3ffffu) / 16 | kToNextColumns << 16) {}
  // Within shared memory, so nothing carries out of the address.
  __device__ ProductOperand after(int bytes) const {
    ProductOperand other = *this;
    other.low += static_cast<unsigned>(bytes) / 16;
    return other;
  }
};

// The compiler must not move what touches sums across begin and end.
template <int kSums>
__device__ __forceinline__ void pin(float (&d)[kSums][16][4]) {
#pragma unroll
  for (int i = 0; i < 16 * kSums; ++i) {
    float(&four)[4] = d[i / 16][i % 16];
    asm volatile("" : "+f"(four[0]), "+f"(four[1]), "+f"(four[2]), "+f"(four[3])::"memory");
  }
}

// After the sums were written by the threads, and before the first product.
template <int kSums>
__device__ __forceinline__ void begin_products(float (&d)[kSums][16][4]) {
  pin(d);
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void multiply_fp16(float (&d)[16][4], const ProductOperand& a, const ProductOperand& b) {
  asm volatile(
      "{.reg .b64 a, b; mov.b64 a, {%64, %66}; mov.b64 b, {%65, %66}; "
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {"
      "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
      "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,"
      "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,"
      "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
      "}, a, b, 1, 1, 1, 0, 0;}"
      : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]), "+f"(d[1][3]),
        "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]), "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3]),
        "+f"(d[4][0]), "+f"(d[4][1]), "+f"(d[4][2]), "+f"(d[4][3]), "+f"(d[5][0]), "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]),
        "+f"(d[6][0]), "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]), "+f"(d[7][0]), "+f"(d[7][1]), "+f"(d[7][2]), "+f"(d[7][3]),
        "+f"(d[8][0]), "+f"(d[8][1]), "+f"(d[8][2]), "+f"(d[8][3]), "+f"(d[9][0]), "+f"(d[9][1]), "+f"(d[9][2]), "+f"(d[9][3]),
        "+f"(d[10][0]), "+f"(d[10][1]), "+f"(d[10][2]), "+f"(d[10][3]), "+f"(d[11][0]), "+f"(d[11][1]), "+f"(d[11][2]), "+f"(d[11][3]),
        "+f"(d[12][0]), "+f"(d[12][1]), "+f"(d[12][2]), "+f"(d[12][3]), "+f"(d[13][0]), "+f"(d[13][1]), "+f"(d[13][2]), "+f"(d[13][3]),
        "+f"(d[14][0]), "+f"(d[14][1]), "+f"(d[14][2]), "+f"(d[14][3]), "+f"(d[15][0]), "+f"(d[15][1]), "+f"(d[15][2]), "+f"(d[15][3])
      : "r"(a.low), "r"(b.low), "r"(ProductOperand::kToNextRows)
      : "memory");
}

// Closes the group of the products since the last call.
__device__ __forceinline__ void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// Waits until at most kGroupsLeft of the newest groups are under way: operands of the others may be overwritten.
template <int kGroupsLeft>
__device__ __forceinline__ void wait_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kGroupsLeft) : "memory");
}

// After the wait for all of them, and before the sums are read.
template <int kSums>
__device__ __forceinline__ void end_products(float (&d)[kSums][16][4]) {
  pin(d);
}

// All warps of a warpgroup go on with as many registers a thread, a multiple of 8; in a kernel whose launch bounds say one block, each at
// the beginning of one branch of a single if.
template <int kRegisters>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

#endif

}  // namespace coterie::COTERIE_GPU
