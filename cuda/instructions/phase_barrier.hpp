// Barriers in shared memory that threads arrive at and wait for by phases, and bulk copies that arrive there when they are through
// (sm_90). PTX ISA, "Parallel Synchronization and Communication Instructions: mbarrier" and "Data Movement: cp.async.bulk".
//
// A phase ends when as many threads as the barrier counts have arrived and all bytes that were announced have been copied. What a thread
// did before it arrived, and what was copied, is seen by those who have waited for the end.
#pragma once

#include "cuda/kernel.hpp"

// Kernels that need them have no body elsewhere.
#if defined(COTERIE_EMULATED) || !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define COTERIE_HAS_WARPGROUPS
#endif

namespace coterie::COTERIE_GPU {

struct alignas(8) PhaseBarrier {
  std::uint64_t state;
};

// Which phase comes next, for one who waits for one after the other; and, in a ring of barriers, which of them.
struct PhaseRing {
  int n = 1, place = 0;
  unsigned parity = 0;

  __host__ __device__ void advance() {
    if (++place < n) return;
    place = 0;
    parity ^= 1;
  }
};

#ifdef COTERIE_EMULATED

void start_barrier(PhaseBarrier& barrier, unsigned n_threads);
void arrive(PhaseBarrier& barrier);
void arrive_and_announce(PhaseBarrier& barrier, unsigned bytes);
void wait_phase(PhaseBarrier& barrier, unsigned parity);
// As late as allowed: when somebody waits.
void copy_bulk(void* shared, const void* global, unsigned bytes, PhaseBarrier& barrier);
inline void show_to_copies_and_products() {}

#elif defined(__CUDACC__)

__device__ __forceinline__ unsigned shared_address(const void* shared) { return static_cast<unsigned>(__cvta_generic_to_shared(shared)); }

// By one thread; __syncthreads() shows it to the others.
__device__ __forceinline__ void start_barrier(PhaseBarrier& barrier, unsigned n_threads) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&barrier)), "r"(n_threads) : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void arrive(PhaseBarrier& barrier) {
  asm volatile("{.reg .b64 state; mbarrier.arrive.shared::cta.b64 state, [%0];}" ::"r"(shared_address(&barrier)) : "memory");
}

// Arrives and announces copies, which are started after it.
__device__ __forceinline__ void arrive_and_announce(PhaseBarrier& barrier, unsigned bytes) {
  asm volatile("{.reg .b64 state; mbarrier.arrive.expect_tx.shared::cta.b64 state, [%0], %1;}" ::"r"(shared_address(&barrier)), "r"(bytes)
               : "memory");
}

// Waits for the end of the phase of this parity; the first one has 0. Of the phase before the first one, 1, the end is past.
__device__ __forceinline__ void wait_phase(PhaseBarrier& barrier, unsigned parity) {
  // The loop is not shown to the compiler, which else takes what follows for divergent and waits for every product of tensor cores.
  asm volatile(
      "{.reg .pred over; WAIT: mbarrier.try_wait.parity.shared::cta.b64 over, [%0], %1; @!over bra WAIT;}" ::"r"(shared_address(&barrier)),
      "r"(parity)
      : "memory");
}

// Starts a copy of a multiple of 16 bytes from and to multiples of 16.
__device__ __forceinline__ void copy_bulk(void* shared, const void* global, unsigned bytes, PhaseBarrier& barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared_address(shared)),
               "l"(global), "r"(bytes), "r"(shared_address(&barrier))
               : "memory");
}

// What this thread has written to shared memory, before the barrier after which tensor cores (or bulk copies) read it there.
__device__ __forceinline__ void show_to_copies_and_products() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

#endif

}  // namespace coterie::COTERIE_GPU
