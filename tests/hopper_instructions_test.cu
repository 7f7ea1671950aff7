// What only Hopper has, products of warpgroups and copies past all threads, against naive loops.
#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <vector>

#include "cuda/device_buffer.hpp"
#include "cuda/devices.hpp"
#include "cuda/half_bits.hpp"
#include "cuda/instructions/warpgroup_mma.hpp"
#include "cuda/stream.hpp"
#include "tests/support/backends.hpp"

namespace coterie::COTERIE_GPU {
namespace {

class HopperInstructions : public ::testing::Test {
 protected:
  void SetUp() override {
    if (probe().usable.front().compute_major != 9) GTEST_SKIP() << "no device of compute capability 9.0";
  }
};

constexpr int kOperandSteps = 2, kRowsOfA = 2 * kWarpgroupRows;

// Two warpgroups. a: (kRowsOfA, 16 kOperandSteps), b: (kWarpgroupColumns, 16 kOperandSteps), both as core matrices, step by step; d:
// (kRowsOfA, kWarpgroupColumns), row-major.
__global__ void multiply_warpgroup_kernel(const std::uint16_t* a, const std::uint16_t* b, float* d) {
#ifdef COTERIE_HAS_WARPGROUPS
  constexpr int kStepA = kRowsOfA * 16, kStepB = kWarpgroupColumns * 16;
  SHARED_BYTES(memory);
  auto* const shared_a = reinterpret_cast<std::uint16_t*>(memory);
  std::uint16_t* const shared_b = shared_a + kOperandSteps * kStepA;
  for (unsigned i = threadIdx.x; i < kOperandSteps * kStepA; i += blockDim.x) shared_a[i] = a[i];
  for (unsigned i = threadIdx.x; i < kOperandSteps * kStepB; i += blockDim.x) shared_b[i] = b[i];
  show_to_copies_and_products();
  __syncthreads();
  const unsigned lane = threadIdx.x % 32, first_row = threadIdx.x / 32 * 16 + lane / 4, first_column = lane % 4 * 2;
  const auto cell = [&](unsigned tile, unsigned i) -> float& {
    return d[(first_row + i / 2 * 8) * kWarpgroupColumns + tile * 8 + first_column + i % 2];
  };
  float sums[1][16][4];
#pragma unroll
  for (unsigned i = 0; i < 64; ++i) sums[0][i / 4][i % 4] = cell(i / 4, i % 4);
  begin_products(sums);
  const ProductOperand own(shared_a + threadIdx.x / kWarpgroupThreads * kWarpgroupRows * 16), other(shared_b);
  for (int step = 0; step < kOperandSteps; ++step) multiply_fp16(sums[0], own.after(step * kStepA * 2), other.after(step * kStepB * 2));
  commit_products();
  wait_products<0>();
  end_products(sums);
#pragma unroll
  for (unsigned i = 0; i < 64; ++i) cell(i / 4, i % 4) = sums[0][i / 4][i % 4];
#endif
}

TEST_F(HopperInstructions, WarpgroupProductMatchesNaiveLoop) {
  constexpr std::size_t kInner = 16 * kOperandSteps, kRows = kRowsOfA, kColumns = kWarpgroupColumns;
  std::mt19937 random(7);
  std::uniform_int_distribution<int> number(-100, 100);
  std::vector<float> a(kRows * kInner), b(kColumns * kInner), d(kRows * kColumns);
  for (auto* matrix : {&a, &b, &d}) {
    for (float& value : *matrix) value = static_cast<float>(number(random));
  }
  const auto as_core_matrices = [](const std::vector<float>& matrix, std::size_t n_rows) {
    std::vector<std::uint16_t> cores(matrix.size());
    for (std::size_t i = 0; i < matrix.size(); ++i) {
      const std::size_t row = i / kInner, column = i % kInner;
      const std::size_t at = column / 16 * n_rows * 16 + row / 8 * 128 + column % 16 / 8 * 64 + row % 8 * 8 + column % 8;
      cores[at] = static_cast<std::uint16_t>(to_half_bits(matrix[i]));
    }
    return cores;
  };
  const std::vector<std::uint16_t> cores_a = as_core_matrices(a, kRows), cores_b = as_core_matrices(b, kColumns);
  Stream stream;
  DeviceBuffer<std::uint16_t> device_a(a.size()), device_b(b.size());
  DeviceBuffer<float> device_d(d.size());
  copy_to_device(device_a.data(), cores_a.data(), a.size(), stream.get());
  copy_to_device(device_b.data(), cores_b.data(), b.size(), stream.get());
  copy_to_device(device_d.data(), d.data(), d.size(), stream.get());
  launch(multiply_warpgroup_kernel, {1, 256, (a.size() + b.size()) * 2, stream.get()}, device_a.data(), device_b.data(), device_d.data());
  std::vector<float> found(d.size());
  copy_to_host(found.data(), device_d.data(), d.size(), stream.get());
  stream.synchronize();
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < d.size(); ++i) {
    float expected = d[i];
    for (std::size_t k = 0; k < kInner; ++k) expected += a[i / kColumns * kInner + k] * b[i % kColumns * kInner + k];
    wrong += found[i] != expected;
  }
  EXPECT_EQ(wrong, 0u);
}

constexpr int kPieces = 7, kPieceInts = 64;

// The second warp brings pieces of `in`, the first one adds 1 to them; two places in a ring.
__global__ void bring_kernel(const int* in, int* out) {
#ifdef COTERIE_HAS_WARPGROUPS
  SHARED(full, PhaseBarrier[2]);
  SHARED(empty, PhaseBarrier[2]);
  SHARED_BYTES(memory);
  auto* const places = reinterpret_cast<int*>(memory);  // (2, kPieceInts)
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; ++i) {
      start_barrier(full[i], 1);
      start_barrier(empty[i], 32);
    }
  }
  __syncthreads();
  PhaseRing ring{.n = 2};
  for (int piece = 0; piece < kPieces; ++piece, ring.advance()) {
    int* const place = places + ring.place * kPieceInts;
    if (threadIdx.x >= 32) {
      if (threadIdx.x > 32) return;
      wait_phase(empty[ring.place], ring.parity ^ 1);
      arrive_and_announce(full[ring.place], kPieceInts * 4);
      copy_bulk(place, in + piece * kPieceInts, kPieceInts * 2, full[ring.place]);
      copy_bulk(place + kPieceInts / 2, in + piece * kPieceInts + kPieceInts / 2, kPieceInts * 2, full[ring.place]);
    } else {
      wait_phase(full[ring.place], ring.parity);
      for (int i = static_cast<int>(threadIdx.x); i < kPieceInts; i += 32) out[piece * kPieceInts + i] = place[i] + 1;
      arrive(empty[ring.place]);
    }
  }
#endif
}

TEST_F(HopperInstructions, BulkCopiesArriveInTheirPhases) {
  std::vector<int> in(kPieces * kPieceInts), out(in.size());
  std::iota(in.begin(), in.end(), 1);
  Stream stream;
  DeviceBuffer<int> device_in(in.size()), device_out(in.size());
  copy_to_device(device_in.data(), in.data(), in.size(), stream.get());
  launch(bring_kernel, {1, 64, 2 * kPieceInts * 4, stream.get()}, device_in.data(), device_out.data());
  copy_to_host(out.data(), device_out.data(), out.size(), stream.get());
  stream.synchronize();
  for (std::size_t i = 0; i < in.size(); ++i) EXPECT_EQ(out[i], in[i] + 1);
}

}  // namespace
}  // namespace coterie::COTERIE_GPU
