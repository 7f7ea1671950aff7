// The laws of the emulated device: what it computes, and that it notices what a kernel or its host code does wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "cuda/device_buffer.hpp"
#include "cuda/emulated/emulator.hpp"
#include "cuda/instructions/warpgroup_mma.hpp"
#include "cuda/kernel.hpp"
#include "cuda/stream.hpp"

namespace coterie::emulated {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

// out: (n) sums over blocks of the numbers 0 ... threads - 1 of each block, by shuffles and shared memory.
__global__ void sum_block_kernel(int* out) {
  SHARED(partial, int[32]);
  int value = static_cast<int>(threadIdx.x);
  for (int delta = 16; delta > 0; delta /= 2) value += __shfl_xor_sync(kAllLanes, value, delta);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  if (threadIdx.x != 0) return;
  int sum = 0;
  for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) sum += partial[warp];
  out[blockIdx.x] = sum;
}

TEST(EmulatedDevice, IgnoresThreadOrder) {
  for (const std::uint64_t seed : {0, 1, 2, 3}) {
    FreshEmulator device;
    device->seed = seed;
    Stream stream;
    DeviceBuffer<int> out(3);
    launch(sum_block_kernel, {3, 128, 0, stream.get()}, out.data());
    std::vector<int> sums(3);
    copy_to_host(sums.data(), out.data(), 3, stream.get());
    EXPECT_THAT(sums, testing::Each(127 * 128 / 2));
  }
}

// Every lane leaves what __shfl_down_sync, __ballot_sync, __match_any_sync and __reduce_add_sync gave it: out (4, 32).
__global__ void collectives_kernel(int* out) {
  const auto lane = static_cast<int>(threadIdx.x);
  out[lane] = __shfl_down_sync(kAllLanes, lane, 3);
  out[32 + lane] = static_cast<int>(__ballot_sync(kAllLanes, lane % 3 == 0));
  out[64 + lane] = static_cast<int>(__match_any_sync(kAllLanes, lane % 5));
  const unsigned half = lane < 16 ? 0xffffu : 0xffff0000u;
  out[96 + lane] = __reduce_add_sync(half, lane);
}

TEST(EmulatedDevice, WarpCollectivesMatchNaiveLoops) {
  FreshEmulator device;
  Stream stream;
  DeviceBuffer<int> out(128);
  launch(collectives_kernel, {1, 32, 0, stream.get()}, out.data());
  std::vector<int> found(128);
  copy_to_host(found.data(), out.data(), 128, stream.get());
  for (int lane = 0; lane < 32; ++lane) {
    unsigned ballot = 0, match = 0;
    for (int other = 0; other < 32; ++other) {
      ballot |= static_cast<unsigned>(other % 3 == 0) << other;
      match |= static_cast<unsigned>(other % 5 == lane % 5) << other;
    }
    const auto at = static_cast<std::size_t>(lane);
    EXPECT_EQ(found[at], lane + 3 < 32 ? lane + 3 : lane);
    EXPECT_EQ(static_cast<unsigned>(found[32 + at]), ballot);
    EXPECT_EQ(static_cast<unsigned>(found[64 + at]), match);
    EXPECT_EQ(found[96 + at], lane < 16 ? 120 : 376);
  }
}

enum class Fault { barrier_in_branch, lane_stays_away, foreign_mask, two_operations, too_much_shared };

__global__ void faulty_kernel(Fault fault) {
  const unsigned lane = threadIdx.x;
  switch (fault) {
    case Fault::barrier_in_branch:
      if (lane < 7) {
        __syncthreads();
      } else {
        __syncwarp(0xffffff80u | 1u << 31);
        (void)__shfl_sync(kAllLanes, 1, 0);
      }
      break;
    case Fault::lane_stays_away:
      if (lane > 0) __syncwarp();
      break;
    case Fault::foreign_mask: __syncwarp(1u << (lane + 1) % 32); break;
    case Fault::two_operations:
      if (lane == 3) {
        __syncwarp();
      } else {
        (void)__ballot_sync(kAllLanes, true);
      }
      break;
    case Fault::too_much_shared: {
      SHARED(large, char[49 * 1024]);
      large[lane] = 0;
    }
  }
}

void run_faulty(Fault fault) {
  FreshEmulator device;
  Stream stream;
  launch(faulty_kernel, {1, 32, 0, stream.get()}, fault);
  stream.synchronize();
}

TEST(EmulatedDevice, NoticesWhatNoKernelMayDo) {
  EXPECT_THAT([] { run_faulty(Fault::barrier_in_branch); },
              ThrowsMessage<EmulationError>(
                  AllOf(HasSubstr("deadlock"), HasSubstr("7 threads wait at __syncthreads"), HasSubstr("25 threads wait at __shfl_sync"))));
  EXPECT_THAT([] { run_faulty(Fault::lane_stays_away); }, ThrowsMessage<EmulationError>(HasSubstr("lanes that have ended")));
  EXPECT_THAT([] { run_faulty(Fault::foreign_mask); }, ThrowsMessage<EmulationError>(HasSubstr("not in its own mask")));
  EXPECT_THAT([] { run_faulty(Fault::two_operations); }, ThrowsMessage<EmulationError>(HasSubstr("different collectives")));
  EXPECT_THAT([] { run_faulty(Fault::too_much_shared); }, ThrowsMessage<EmulationError>(HasSubstr("shared memory")));
}

enum class PhaseFault { nobody_copies, one_arrives_twice, barrier_not_started, odd_address };

// One warp; `in` begins at a multiple of 16 bytes.
__global__ void faulty_phases_kernel(PhaseFault fault, const int* in) {
  SHARED(barrier, PhaseBarrier);
  SHARED(cells, int4[2]);
  if (threadIdx.x == 0 && fault != PhaseFault::barrier_not_started) start_barrier(barrier, 1);
  __syncthreads();
  if (threadIdx.x == 0) arrive_and_announce(barrier, 32);
  if (threadIdx.x == 0 && fault == PhaseFault::one_arrives_twice) arrive(barrier);
  if (threadIdx.x == 0 && fault == PhaseFault::odd_address) copy_bulk(cells, in + 1, 32, barrier);
  wait_phase(barrier, 0);
}

TEST(EmulatedDevice, NoticesWhatNoPhaseMayDo) {
  const auto run_with = [](PhaseFault fault) {
    FreshEmulator device;
    Stream stream;
    const DeviceBuffer<int> in(16);
    launch(faulty_phases_kernel, {1, 32, 0, stream.get()}, fault, in.data());
    stream.synchronize();
  };
  EXPECT_THAT([&] { run_with(PhaseFault::nobody_copies); },
              ThrowsMessage<EmulationError>(AllOf(HasSubstr("deadlock"), HasSubstr("32 threads wait at wait_phase"))));
  EXPECT_THAT([&] { run_with(PhaseFault::one_arrives_twice); }, ThrowsMessage<EmulationError>(HasSubstr("more threads arrive")));
  EXPECT_THAT([&] { run_with(PhaseFault::barrier_not_started); }, ThrowsMessage<EmulationError>(HasSubstr("not started")));
  EXPECT_THAT([&] { run_with(PhaseFault::odd_address); }, ThrowsMessage<EmulationError>(HasSubstr("multiple of 16 bytes")));
}

// out, products: (2) what a hurried thread finds before the wait for a copy and for a product, and after it.
__global__ void hurried_kernel(const int* in, int* out, float* products) {
  SHARED(barrier, PhaseBarrier);
  SHARED(cells, int4);
  SHARED(ones, int4[kWarpgroupColumns * 2]);
  for (unsigned i = threadIdx.x; i < kWarpgroupColumns * 2; i += blockDim.x) ones[i] = {0x3c003c00, 0x3c003c00, 0x3c003c00, 0x3c003c00};
  if (threadIdx.x == 0) {
    start_barrier(barrier, 1);
    cells.x = 7;
    arrive_and_announce(barrier, 16);
    copy_bulk(&cells, in, 16, barrier);
    out[0] = cells.x;
  }
  __syncthreads();
  wait_phase(barrier, 0);
  if (threadIdx.x == 0) out[1] = cells.x;
  float sums[1][16][4] = {};
  begin_products(sums);
  multiply_fp16(sums[0], ProductOperand(ones), ProductOperand(ones));
  commit_products();
  if (threadIdx.x == 0) products[0] = sums[0][0][0];
  wait_products<0>();
  end_products(sums);
  if (threadIdx.x == 0) products[1] = sums[0][0][0];
}

TEST(EmulatedDevice, CopiesAndMultipliesNoSoonerThanItMust) {
  FreshEmulator device;
  Stream stream;
  const std::vector<int> in = {42, 43, 44, 45};
  DeviceBuffer<int> device_in(4), out(2);
  DeviceBuffer<float> products(2);
  copy_to_device(device_in.data(), in.data(), in.size(), stream.get());
  launch(hurried_kernel, {1, kWarpgroupThreads, 0, stream.get()}, device_in.data(), out.data(), products.data());
  stream.synchronize();
  EXPECT_EQ(out.data()[0], 7);
  EXPECT_EQ(out.data()[1], 42);
  EXPECT_EQ(products.data()[0], 0);
  EXPECT_EQ(products.data()[1], 16);
}

__global__ void read_unwritten_kernel(float* out) {
  SHARED(never_written, float[4]);
  SHARED_BYTES(dynamic);
  out[0] = never_written[3];
  out[1] = reinterpret_cast<float*>(dynamic)[0];
}

TEST(EmulatedDevice, UnwrittenMemoryIsNaN) {
  FreshEmulator device;
  Stream stream;
  DeviceBuffer<float> out(3);
  launch(read_unwritten_kernel, {1, 1, 16, stream.get()}, out.data());
  std::vector<float> found(3);
  copy_to_host(found.data(), out.data(), 3, stream.get());
  for (const float value : found) EXPECT_TRUE(std::isnan(value));
}

__global__ void add_one_kernel(int* values) { values[threadIdx.x] += 1; }

TEST(EmulatedDevice, StreamsAreAsLateAsTheyMayBe) {
  FreshEmulator device;
  Stream copies, compute;
  Event copied;
  PinnedBuffer<int> host(4);
  DeviceBuffer<int> values(4);
  std::iota(host.data(), host.data() + 4, 10);
  copy_to_device(values.data(), host.data(), 4, copies.get());
  copied.record(copies);
  host.data()[0] = 70;                                              // too early: nobody waited for the copy
  launch(add_one_kernel, {1, 4, 0, compute.get()}, values.data());  // nobody told this stream to wait: it adds to poison
  compute.synchronize();
  EXPECT_EQ(values.data()[1], 0);
  copied.hold(compute);
  launch(add_one_kernel, {1, 4, 0, compute.get()}, values.data());
  compute.synchronize();
  EXPECT_EQ(values.data()[0], 71);
  EXPECT_EQ(values.data()[1], 12);
}

TEST(EmulatedDevice, MemoryEnds) {
  FreshEmulator device;
  device->memory_bytes = 1000;
  DeviceBuffer<char> first(600);
  EXPECT_THROW(DeviceBuffer<char>(600), OutOfDeviceMemory);
  first = DeviceBuffer<char>();
  EXPECT_NO_THROW(DeviceBuffer<char>(600));
}

TEST(EmulatedDevice, FailsTheCallItWasToldTo) {
  FreshEmulator device;
  device->fail_call(2, cudaErrorLaunchFailure);
  Stream stream;
  EXPECT_THAT([] { DeviceBuffer<int> buffer(1); },
              ThrowsMessage<DeviceError>(
                  AllOf(HasSubstr("cudaErrorLaunchFailure"), HasSubstr("device_buffer.hpp:"), HasSubstr("No output was written"))));
  EXPECT_NO_THROW(DeviceBuffer<int>(1));
}

TEST(EmulatedDevice, CountsWhatTheHostAsksFor) {
  FreshEmulator device;
  Stream stream;
  Event event;
  DeviceBuffer<int> values(32);
  PinnedBuffer<int> pinned(32);
  EXPECT_EQ(device->allocations, 2);
  fill_zero(values.data(), 32, stream.get());
  launch(add_one_kernel, {1, 32, 0, stream.get()}, values.data());
  copy_to_host(pinned.data(), values.data(), 32, stream.get());
  event.record(stream);
  event.hold(stream);
  EXPECT_EQ(device->operations, 3);
  EXPECT_EQ(device->waits, 0);
  event.synchronize();
  stream.synchronize();
  EXPECT_EQ(device->waits, 2);
  std::vector<int> pageable(32);
  copy_to_device(values.data(), pageable.data(), 32, stream.get());
  EXPECT_EQ(device->waits, 3);
  values = DeviceBuffer<int>(64);  // and gives the old one back
  EXPECT_EQ(device->allocations, 3);
  EXPECT_EQ(device->waits, 4);
}

TEST(EmulatedDevice, RefusesLaunchesBeyondItsLimits) {
  FreshEmulator device;
  Stream stream;
  EXPECT_THROW(launch(add_one_kernel, {1, 1025, 0, stream.get()}, nullptr), DeviceError);
  EXPECT_THROW(launch(add_one_kernel, {1, 32, 100 * 1024, stream.get()}, nullptr), DeviceError);
  check(cudaFuncSetAttribute(add_one_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 * 1024));
  DeviceBuffer<int> values(32);
  EXPECT_NO_THROW(launch(add_one_kernel, {1, 32, 100 * 1024, stream.get()}, values.data()));
}

}  // namespace
}  // namespace coterie::emulated
