// A small kernel with one of several bugs planted in it. Run under a sanitizer by ctest, which expects the report; `none`
// must be clean.
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "cuda/device_buffer.hpp"
#include "cuda/emulated/emulator.hpp"
#include "cuda/kernel.hpp"
#include "cuda/stream.hpp"

namespace coterie::emulated {
namespace {

enum class Bug { none, tail_off_by_one, past_shared_memory, missing_barrier, race_in_accumulation, race_between_blocks };
constexpr std::string_view kNames[] = {
    "none", "tail_off_by_one", "past_shared_memory", "missing_barrier", "race_in_accumulation", "race_between_blocks"};

constexpr int kThreads = 64;

// x: (n) numbers; sums: (2) of the even and of the odd ones. One number per thread.
__global__ void sum_by_parity_kernel(const int* x, int n, std::int64_t* sums, Bug bug) {
  SHARED(values, int[kThreads]);
  SHARED(partial, int[2]);
  const auto thread = static_cast<int>(threadIdx.x);
  const int i = static_cast<int>(blockIdx.x) * kThreads + thread;
  const int last = bug == Bug::tail_off_by_one ? n : n - 1;
  values[bug == Bug::past_shared_memory ? thread + 1 : thread] = i <= last ? x[i] : 0;
  if (thread < 2) partial[thread] = 0;
  if (bug != Bug::missing_barrier) __syncthreads();
  const int neighbour = values[(thread + 1) % kThreads];
  if (bug == Bug::race_in_accumulation) {
    partial[neighbour & 1] += neighbour;
  } else {
    atomicAdd(&partial[neighbour & 1], neighbour);
  }
  __syncthreads();
  if (thread >= 2) return;
  if (bug == Bug::race_between_blocks) {
    sums[thread] += partial[thread];
  } else {
    atomic_add(&sums[thread], partial[thread]);
  }
}

int run(Bug bug) {
  constexpr int n = 3 * kThreads + 5;
  std::vector<int> x(n);
  std::int64_t expected[2] = {};
  for (int i = 0; i < n; ++i) {
    x[static_cast<std::size_t>(i)] = i;
    expected[i % 2] += i;
  }
  Stream stream;
  DeviceBuffer<int> device_x(n);
  DeviceBuffer<std::int64_t> sums(2);
  copy_to_device(device_x.data(), x.data(), x.size(), stream.get());
  fill_zero(sums.data(), 2, stream.get());
  launch(sum_by_parity_kernel, {(n + kThreads - 1) / kThreads, kThreads, 0, stream.get()}, device_x.data(), n, sums.data(), bug);
  std::int64_t found[2];
  copy_to_host(found, sums.data(), 2, stream.get());
  return found[0] == expected[0] && found[1] == expected[1] ? 0 : 1;
}

}  // namespace
}  // namespace coterie::emulated

int main(int argc, char** argv) {
  for (std::size_t i = 0; i < std::size(coterie::emulated::kNames); ++i) {
    if (argc == 2 && coterie::emulated::kNames[i] == argv[1]) return coterie::emulated::run(static_cast<coterie::emulated::Bug>(i));
  }
  std::fputs("usage: planted_bugs NAME\n", stderr);
  return 2;
}
