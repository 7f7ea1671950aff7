// CUDA C++ as host C++: what a kernel may say. Every name means what the CUDA C++ Programming Guide says it means, for
// the subset that the kernels of this project use.
#pragma once

#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>

#include "cuda/emulated/runtime.hpp"
#include "cuda/emulated/scheduler.hpp"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define threadIdx (::coterie::emulated::Scheduler::running().thread().index)
#define blockIdx (::coterie::emulated::Scheduler::running().grid().block_index)
#define blockDim (::coterie::emulated::Scheduler::running().grid().block_dim)
#define gridDim (::coterie::emulated::Scheduler::running().grid().grid_dim)

// A variable of the block: SHARED(tile, float[32][33]);
#define SHARED(name, ...)                                        \
  static const char name##_site = 0;                             \
  auto& name = *static_cast<std::type_identity_t<__VA_ARGS__>*>( \
      ::coterie::emulated::Scheduler::running().shared().variable(&name##_site, sizeof(__VA_ARGS__), alignof(__VA_ARGS__)))
// The dynamic shared memory of the launch, as bytes aligned to 16.
#define SHARED_BYTES(name) std::byte* name = ::coterie::emulated::Scheduler::running().grid().dynamic_shared

namespace coterie::emulated {

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) int4 {
  int x, y, z, w;
};

inline void __syncthreads() { Scheduler::running().wait_block(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { Scheduler::running().meet(mask, "__syncwarp", nullptr, nullptr, true); }
inline void __threadfence() {}

// Shuffles and votes exchange values and order no other memory, as the guide says.
void exchange(unsigned mask, const char* operation, void* value, std::size_t bytes, unsigned source_lane);
unsigned vote(unsigned mask, const char* operation, bool predicate);
int sum_lanes(unsigned mask, int value);
unsigned match_lanes(unsigned mask, int value);

inline unsigned lane_in(unsigned lane, int width, unsigned source) {  // source, or the lane itself beyond its segment
  const unsigned segment = ~static_cast<unsigned>(width - 1);
  return (source & segment) == (lane & segment) && source < kWarpSize ? source : lane;
}
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  const unsigned lane = Scheduler::running().thread().lane;
  exchange(mask, "__shfl_sync", &value, sizeof value,
           (lane & ~static_cast<unsigned>(width - 1)) | (static_cast<unsigned>(source) & static_cast<unsigned>(width - 1)));
  return value;
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  const unsigned lane = Scheduler::running().thread().lane;
  exchange(mask, "__shfl_xor_sync", &value, sizeof value, lane_in(lane, width, lane ^ static_cast<unsigned>(bits)));
  return value;
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const unsigned lane = Scheduler::running().thread().lane;
  exchange(mask, "__shfl_down_sync", &value, sizeof value, lane_in(lane, width, lane + delta));
  return value;
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const unsigned lane = Scheduler::running().thread().lane;
  exchange(mask, "__shfl_up_sync", &value, sizeof value, delta > lane ? lane : lane_in(lane, width, lane - delta));
  return value;
}
inline unsigned __ballot_sync(unsigned mask, bool predicate) { return vote(mask, "__ballot_sync", predicate); }
inline bool __any_sync(unsigned mask, bool predicate) { return vote(mask, "__any_sync", predicate) != 0; }
inline bool __all_sync(unsigned mask, bool predicate) { return vote(mask, "__all_sync", predicate) == mask; }
inline int __reduce_add_sync(unsigned mask, int value) { return sum_lanes(mask, value); }
inline unsigned __match_any_sync(unsigned mask, int value) { return match_lanes(mask, value); }

template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return std::atomic_ref<T>(*address).fetch_add(value, std::memory_order_relaxed);
}
template <class T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return std::atomic_ref<T>(*address).exchange(value, std::memory_order_relaxed);
}
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  std::atomic_ref<T>(*address).compare_exchange_strong(expected, value, std::memory_order_relaxed);
  return expected;
}
template <class T, class Better>
T replace_if(T* address, T value, Better better) {
  std::atomic_ref<T> reference(*address);
  T old = reference.load(std::memory_order_relaxed);
  while (better(value, old) && !reference.compare_exchange_weak(old, value, std::memory_order_relaxed)) {
  }
  return old;
}
template <class T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return replace_if(address, value, std::less<T>());
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return replace_if(address, value, std::greater<T>());
}
template <class T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return std::atomic_ref<T>(*address).fetch_or(value, std::memory_order_relaxed);
}

template <class T>
T __ldg(const T* address) {
  return *address;
}
inline int __popc(unsigned bits) { return std::popcount(bits); }
inline int __ffs(unsigned bits) { return bits == 0 ? 0 : std::countr_zero(bits) + 1; }
inline int __clz(unsigned bits) { return std::countl_zero(bits); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __int_as_float(int bits) { return std::bit_cast<float>(bits); }
inline int __float_as_int(float value) { return std::bit_cast<int>(value); }
inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
inline long long __double_as_longlong(double value) { return std::bit_cast<long long>(value); }
inline double __longlong_as_double(long long bits) { return std::bit_cast<double>(bits); }
inline int __float2int_rn(float value) { return static_cast<int>(std::nearbyint(value)); }
using std::fma;
template <class T>
constexpr T min(T a, std::type_identity_t<T> b) {
  return b < a ? b : a;
}
template <class T>
constexpr T max(T a, std::type_identity_t<T> b) {
  return a < b ? b : a;
}

}  // namespace coterie::emulated
