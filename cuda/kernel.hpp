// What a kernel source includes. Kernels are plain CUDA but for shared memory, SHARED(name, type) and
// SHARED_BYTES(name), and the launch, which is a function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <type_traits>

#include "cuda/check.hpp"

#ifdef COTERIE_EMULATED
#include "cuda/emulated/language.hpp"
#else
#define SHARED(name, ...) __shared__ std::type_identity_t<__VA_ARGS__> name
#define SHARED_BYTES(name) extern __shared__ __align__(16) std::byte name[]
#endif

namespace coterie::COTERIE_GPU {

inline constexpr unsigned kAllLanes = 0xffffffffu;

// Where a kernel runs; the place of the call is kept for the error message.
struct Launch {
  Launch(dim3 grid_, dim3 block_, std::size_t shared_bytes_, cudaStream_t stream_,
         std::source_location where_ = std::source_location::current())
      : grid(grid_), block(block_), shared_bytes(shared_bytes_), stream(stream_), where(where_) {}
  dim3 grid, block;
  std::size_t shared_bytes;  // dynamic
  cudaStream_t stream;
  std::source_location where;
};

template <class... Parameters>
void launch(void (*kernel)(Parameters...), const Launch& how, std::type_identity_t<Parameters>... arguments) {
#ifdef COTERIE_EMULATED
  enqueue_launch(reinterpret_cast<const void*>(kernel), how.grid, how.block, how.shared_bytes, how.stream, [=] { kernel(arguments...); });
#else
  // clang-format off
  kernel<<<how.grid, how.block, how.shared_bytes, how.stream>>>(arguments...);
  // clang-format on
#endif
  check_launch(how.where);
}

#if defined(COTERIE_EMULATED) || defined(__CUDACC__)
// 64-bit sums wrap around in two's complement, so unsigned addition serves signed integers.
__device__ inline void atomic_add(std::int64_t* address, std::int64_t value) {
#ifdef COTERIE_EMULATED
  atomicAdd(address, value);
#else
  atomicAdd(reinterpret_cast<unsigned long long*>(address), static_cast<unsigned long long>(value));
#endif
}
// These return what was there before.
__device__ inline std::uint64_t atomic_add(std::uint64_t* address, std::uint64_t value) {
#ifdef COTERIE_EMULATED
  return atomicAdd(address, value);
#else
  return atomicAdd(reinterpret_cast<unsigned long long*>(address), static_cast<unsigned long long>(value));
#endif
}
__device__ inline std::uint64_t atomic_exchange(std::uint64_t* address, std::uint64_t value) {
#ifdef COTERIE_EMULATED
  return atomicExch(address, value);
#else
  return atomicExch(reinterpret_cast<unsigned long long*>(address), static_cast<unsigned long long>(value));
#endif
}
__device__ inline void atomic_max(std::uint32_t* address, std::uint32_t value) { atomicMax(address, value); }
__device__ inline void atomic_max(std::uint64_t* address, std::uint64_t value) {
#ifdef COTERIE_EMULATED
  atomicMax(address, value);
#else
  atomicMax(reinterpret_cast<unsigned long long*>(address), static_cast<unsigned long long>(value));
#endif
}
// What an atomic has left there, sooner or later.
template <class T>
__device__ __forceinline__ T peek(const T* address) {
#ifdef COTERIE_EMULATED
  return std::atomic_ref<T>(*const_cast<T*>(address)).load(std::memory_order_relaxed);
#else
  return *static_cast<const volatile T*>(address);
#endif
}
// The same value from several lanes at a time.
template <class T>
__device__ __forceinline__ void poke(T* address, T value) {
#ifdef COTERIE_EMULATED
  std::atomic_ref<T>(*address).store(value, std::memory_order_relaxed);
#else
  *address = value;
#endif
}
#endif

}  // namespace coterie::COTERIE_GPU
