// cp.async (sm_80): global to shared memory without registers. A copy may happen any time until its group is waited for;
// after the wait a barrier makes it visible to the other threads. PTX ISA, "Data Movement: cp.async".
#pragma once

#include "cuda/kernel.hpp"

namespace coterie::COTERIE_GPU {

#ifdef COTERIE_EMULATED

// As late as allowed: at the wait.
void add_pending_copy(void* shared, const void* global, std::size_t bytes, std::size_t filled);
void commit_pending_copies();
void finish_pending_copies(std::size_t groups_left);

template <int kBytes>
void copy_async(void* shared, const void* global, bool copy = true) {
  add_pending_copy(shared, global, copy ? kBytes : 0, kBytes);
}
inline void commit_copies() { commit_pending_copies(); }
template <int kGroupsLeft>
void wait_copies() {
  finish_pending_copies(kGroupsLeft);
}

#elif defined(__CUDACC__)

// Copies kBytes (4, 8 or 16, both sides aligned to it), or writes zeros where `copy` is false; `global` must be valid
// either way.
template <int kBytes>
__device__ __forceinline__ void copy_async(void* shared, const void* global, bool copy = true) {
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  const int bytes = copy ? kBytes : 0;
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(global), "n"(kBytes), "r"(bytes) : "memory");
}

// Closes the group of the copies since the last call.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most kGroupsLeft of this thread's newest groups are under way.
template <int kGroupsLeft>
__device__ __forceinline__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroupsLeft) : "memory");
}

#endif

}  // namespace coterie::COTERIE_GPU
