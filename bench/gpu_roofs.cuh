// What this device can do at most, measured: the denominators of every percentage that bench/gpu prints.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include "cuda/device.hpp"
#include "cuda/device_buffer.hpp"
#include "cuda/instructions/mma.hpp"
#include "cuda/kernel.hpp"

namespace coterie::gpu {

// Median seconds of `repeats` runs of f after two to warm up; f must leave the stream idle.
template <class F>
double median_seconds(int repeats, F&& f) {
  std::vector<double> seconds;
  for (int i = -2; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    f();
    if (i >= 0) seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + repeats / 2, seconds.end());
  return seconds[static_cast<std::size_t>(repeats / 2)];
}

inline constexpr int kChains = 8, kRepeats = 1 << 14;

// out: (blocks * threads); 2 * kChains * kRepeats operations per thread, in independent chains.
__global__ void multiply_add_kernel(float* out, float a, float b) {
  float s[kChains];
  for (int i = 0; i < kChains; ++i) s[i] = static_cast<float>(threadIdx.x + i);
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
#pragma unroll
    for (int i = 0; i < kChains; ++i) s[i] = __fmaf_rn(s[i], a, b);
  }
  float sum = 0;
  for (const float value : s) sum += value;
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

// out: (blocks * threads); 2 * 16 * 8 * 16 * kChains * kRepeats operations per warp. seed: of no regular bits, which draw less power.
__global__ void multiply_tiles_kernel(float* out, std::uint32_t seed) {
  float d[kChains][4] = {};
  std::uint32_t a[4], b[2];
  constexpr std::uint32_t kSmallHalves = 0x3bff3bff;  // below 1, so that no sum overflows
  for (std::uint32_t i = 0; i < 4; ++i) a[i] = ((seed + threadIdx.x) * (2654435761u + i)) & kSmallHalves;
  for (std::uint32_t i = 0; i < 2; ++i) b[i] = ((seed ^ threadIdx.x) * (2246822519u + i)) & kSmallHalves;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
#pragma unroll
    for (int i = 0; i < kChains; ++i) mma_fp16(d[i], a, b);
  }
  float sum = 0;
  for (int i = 0; i < kChains; ++i) sum += d[i][0] + d[i][1] + d[i][2] + d[i][3];
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

struct Roofs {
  double copy;     // bytes read and written per second, in device memory
  double upload;   // bytes per second from pinned host memory
  double float32;  // operations per second
  double half;     // operations per second of mma.sync in half precision
};

inline Roofs measure_roofs(const DeviceContext& device) {
  const cudaStream_t stream = device.compute.get();
  const std::size_t bytes = std::size_t{1} << 30;  // many times the L2 cache
  DeviceBuffer<char> from(bytes), to(bytes);
  PinnedBuffer<char> host(bytes / 4);
  fill_zero(from.data(), bytes, stream);
  const auto run = [&](int repeats, auto&& enqueue) {
    return median_seconds(repeats, [&] {
      enqueue();
      device.compute.synchronize();
    });
  };
  constexpr unsigned kThreads = 256;
  const unsigned blocks = static_cast<unsigned>(device.device.multiprocessors) * 16;
  DeviceBuffer<float> out(std::size_t{blocks} * kThreads);
  const double copy = run(20, [&] { check(cudaMemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyDeviceToDevice, stream)); });
  const double upload = run(10, [&] { copy_to_device(to.data(), host.data(), host.size(), stream); });
  const double scalar = run(10, [&] { launch(multiply_add_kernel, {blocks, kThreads, 0, stream}, out.data(), 0.999f, 0.001f); });
  const double tiles = run(10, [&] { launch(multiply_tiles_kernel, {blocks, kThreads, 0, stream}, out.data(), 12345u); });
  const double threads = static_cast<double>(blocks) * kThreads, repeats = static_cast<double>(kChains) * kRepeats;
  return {.copy = 2.0 * static_cast<double>(bytes) / copy,
          .upload = static_cast<double>(host.size()) / upload,
          .float32 = 2 * repeats * threads / scalar,
          .half = 2.0 * 16 * 8 * 16 * repeats * threads / 32 / tiles};
}

}  // namespace coterie::gpu
