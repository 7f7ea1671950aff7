// Every instruction wrapper against a naive loop, on the device this is compiled for.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "cuda/device_buffer.hpp"
#include "cuda/instructions/copy_async.hpp"
#include "cuda/instructions/half.hpp"
#include "cuda/instructions/mma.hpp"
#include "cuda/instructions/square_root.hpp"
#include "cuda/stream.hpp"
#include "tests/support/backends.hpp"

namespace coterie::COTERIE_GPU {
namespace {

enum class Format { bf16, fp16, tf32 };

// The 16 bits of a value that fits the format exactly.
std::uint32_t encode(Format format, float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (format == Format::bf16) return bits >> 16;
  if (format == Format::tf32) return bits;
  if (value == 0) return 0;
  return (bits >> 16 & 0x8000u) | (((bits >> 23 & 255) - 112) << 10) | (bits >> 13 & 1023);
}

// One warp. a: (16, k), b: (k, 8), d: (16, 8), row-major, a and b encoded, one value per word; k is 8 for tf32, else 16.
__global__ void multiply_kernel(Format format, const std::uint32_t* a, const std::uint32_t* b, float* d) {
  const unsigned group = threadIdx.x / 4, member = threadIdx.x % 4;
  std::uint32_t fragment_a[4], fragment_b[2];
  float fragment_d[4];
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = group + 8 * (i % 2);
    const unsigned high = i / 2;
    if (format == Format::tf32) {
      fragment_a[i] = a[row * 8 + member + 4 * high];
    } else {
      const unsigned column = 2 * member + 8 * high;
      fragment_a[i] = a[row * 16 + column] | a[row * 16 + column + 1] << 16;
    }
    fragment_d[i] = d[(group + 8 * (i / 2)) * 8 + 2 * member + i % 2];
  }
  for (unsigned high = 0; high < 2; ++high) {
    if (format == Format::tf32) {
      fragment_b[high] = b[(member + 4 * high) * 8 + group];
    } else {
      const unsigned row = 2 * member + 8 * high;
      fragment_b[high] = b[row * 8 + group] | b[(row + 1) * 8 + group] << 16;
    }
  }
  if (format == Format::bf16) mma_bf16(fragment_d, fragment_a, fragment_b);
  if (format == Format::fp16) mma_fp16(fragment_d, fragment_a, fragment_b);
  if (format == Format::tf32) mma_tf32(fragment_d, fragment_a, fragment_b);
  for (unsigned i = 0; i < 4; ++i) d[(group + 8 * (i / 2)) * 8 + 2 * member + i % 2] = fragment_d[i];
}

// Small integers: every product and sum is exact in every format, so the order of the sum cannot matter.
void expect_matches_naive_product(Format format) {
  const std::size_t inner = format == Format::tf32 ? 8 : 16;
  std::mt19937 random(static_cast<unsigned>(format) + 1);
  std::uniform_int_distribution<int> number(-100, 100);
  std::vector<float> a(16 * inner), b(inner * 8), d(16 * 8);
  for (float& value : a) value = static_cast<float>(number(random));
  for (float& value : b) value = static_cast<float>(number(random));
  for (float& value : d) value = static_cast<float>(number(random));
  std::vector<std::uint32_t> encoded_a, encoded_b;
  for (const float value : a) encoded_a.push_back(encode(format, value));
  for (const float value : b) encoded_b.push_back(encode(format, value));

  Stream stream;
  DeviceBuffer<std::uint32_t> device_a(a.size()), device_b(b.size());
  DeviceBuffer<float> device_d(d.size());
  copy_to_device(device_a.data(), encoded_a.data(), a.size(), stream.get());
  copy_to_device(device_b.data(), encoded_b.data(), b.size(), stream.get());
  copy_to_device(device_d.data(), d.data(), d.size(), stream.get());
  launch(multiply_kernel, {1, 32, 0, stream.get()}, format, device_a.data(), device_b.data(), device_d.data());
  std::vector<float> found(d.size());
  copy_to_host(found.data(), device_d.data(), d.size(), stream.get());
  stream.synchronize();
  for (std::size_t i = 0; i < 16; ++i) {
    for (std::size_t j = 0; j < 8; ++j) {
      float expected = d[i * 8 + j];
      for (std::size_t k = 0; k < inner; ++k) expected += a[i * inner + k] * b[k * 8 + j];
      EXPECT_EQ(found[i * 8 + j], expected) << i << ", " << j;
    }
  }
}

TEST(Instructions, Bf16ProductMatchesNaiveLoop) { expect_matches_naive_product(Format::bf16); }
TEST(Instructions, Fp16ProductMatchesNaiveLoop) { expect_matches_naive_product(Format::fp16); }
TEST(Instructions, Tf32ProductMatchesNaiveLoop) { expect_matches_naive_product(Format::tf32); }

// Two groups of copies per thread, the older waited for alone first; out: (3, 4 * 32): after no wait is not looked at,
// the older group, both groups, and a copy that is switched off.
__global__ void copy_kernel(const int* in, int* out) {
  SHARED(older, int[32][4]);
  SHARED(newer, int[32][4]);
  SHARED(zeroed, int[32][4]);
  const unsigned thread = threadIdx.x;
  copy_async<16>(older[thread], in + 4 * thread);
  commit_copies();
  copy_async<16>(newer[thread], in + 128 + 4 * thread);
  copy_async<16>(zeroed[thread], in, false);
  commit_copies();
  wait_copies<1>();
  for (unsigned i = 0; i < 4; ++i) out[4 * thread + i] = older[thread][i];
  wait_copies<0>();
  for (unsigned i = 0; i < 4; ++i) out[128 + 4 * thread + i] = newer[thread][i];
  for (unsigned i = 0; i < 4; ++i) out[256 + 4 * thread + i] = zeroed[thread][i];
}

TEST(Instructions, AsynchronousCopiesArriveWhenWaitedFor) {
  std::vector<int> in(256), out(384), expected(384, 0);
  std::iota(in.begin(), in.end(), 1);
  std::copy(in.begin(), in.end(), expected.begin());
  Stream stream;
  DeviceBuffer<int> device_in(in.size()), device_out(out.size());
  copy_to_device(device_in.data(), in.data(), in.size(), stream.get());
  launch(copy_kernel, {1, 32, 0, stream.get()}, device_in.data(), device_out.data());
  copy_to_host(out.data(), device_out.data(), out.size(), stream.get());
  stream.synchronize();
  EXPECT_EQ(out, expected);
}

// As above in words; odd ones are switched off. in: (33), out: (32).
__global__ void copy_words_kernel(const int* in, int* out) {
  SHARED(words, int[32]);
  words[threadIdx.x] = -1;
  copy_async<4>(words + threadIdx.x, in + 1 + threadIdx.x, threadIdx.x % 2 == 0);
  commit_copies();
  wait_copies<0>();
  out[threadIdx.x] = words[threadIdx.x];
}

TEST(Instructions, AsynchronousCopiesOfWordsNeedNoWiderAlignment) {
  std::vector<int> in(33), out(32), expected(32, 0);
  std::iota(in.begin(), in.end(), 1);
  for (std::size_t i = 0; i < 32; i += 2) expected[i] = in[i + 1];
  Stream stream;
  DeviceBuffer<int> device_in(in.size()), device_out(out.size());
  copy_to_device(device_in.data(), in.data(), in.size(), stream.get());
  launch(copy_words_kernel, {1, 32, 0, stream.get()}, device_in.data(), device_out.data());
  copy_to_host(out.data(), device_out.data(), out.size(), stream.get());
  stream.synchronize();
  EXPECT_EQ(out, expected);
}

// in: (2 * threads); packed: (threads); unpacked: (2 * threads) of the packed values.
__global__ void pack_kernel(const float* in, int n_pairs, bool as_bf16, std::uint32_t* packed, float* unpacked) {
  const auto i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n_pairs) return;
  packed[i] = as_bf16 ? pack_bfloats(in[2 * i], in[2 * i + 1]) : pack_halves(in[2 * i], in[2 * i + 1]);
  const float2 back = as_bf16 ? unpack_bfloats(packed[i]) : unpack_halves(packed[i]);
  unpacked[2 * i] = back.x;
  unpacked[2 * i + 1] = back.y;
}

std::vector<std::uint32_t> pack_on_device(const std::vector<float>& in, bool as_bf16, std::vector<float>& unpacked) {
  const std::size_t n_pairs = in.size() / 2;
  Stream stream;
  DeviceBuffer<float> device_in(in.size()), device_unpacked(in.size());
  DeviceBuffer<std::uint32_t> device_packed(n_pairs);
  copy_to_device(device_in.data(), in.data(), in.size(), stream.get());
  launch(pack_kernel, {static_cast<unsigned>((n_pairs + 255) / 256), 256, 0, stream.get()}, device_in.data(), static_cast<int>(n_pairs),
         as_bf16, device_packed.data(), device_unpacked.data());
  std::vector<std::uint32_t> packed(n_pairs);
  unpacked.resize(in.size());
  copy_to_host(packed.data(), device_packed.data(), n_pairs, stream.get());
  copy_to_host(unpacked.data(), device_unpacked.data(), in.size(), stream.get());
  stream.synchronize();
  return packed;
}

// As IEEE 754 defines them: 1 bit of sign, 5 of exponent, 10 of fraction.
float value_of_half(std::uint32_t bits) {
  const auto exponent = static_cast<int>(bits >> 10 & 31), fraction = static_cast<int>(bits & 1023);
  const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return static_cast<float>((bits & 0x8000u) != 0 ? -magnitude : magnitude);
}

// Every half, and between every two neighbours the middle and the floats beside it, of both signs.
TEST(Instructions, HalvesAreRoundedToTheNearestAndTiesToEven) {
  std::vector<float> in;
  std::vector<std::uint32_t> expected;
  constexpr std::uint32_t kLargest = 0x7bff;
  for (std::uint32_t bits = 0; bits < kLargest; ++bits) {
    const float value = value_of_half(bits), next = value_of_half(bits + 1), middle = value + (next - value) / 2;
    for (const float number : {value, std::nextafter(middle, 0.0f), middle, std::nextafter(middle, next)}) in.push_back(number);
    for (const std::uint32_t rounded : {bits, bits, bits + bits % 2, bits + 1}) expected.push_back(rounded);
  }
  for (const float number : {65504.0f, 65519.0f, 65520.0f, 1e30f}) in.push_back(number);
  for (const std::uint32_t rounded : {kLargest, kLargest, kLargest + 1, kLargest + 1}) expected.push_back(rounded);
  for (std::size_t i = 0, n = in.size(); i < n; ++i) {
    in.push_back(-in[i]);
    expected.push_back(expected[i] | 0x8000u);
  }
  std::vector<float> unpacked;
  const std::vector<std::uint32_t> packed = pack_on_device(in, false, unpacked);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::uint32_t bits = packed[i / 2] >> (16 * (i % 2)) & 0xffffu;
    const float value = (bits & 0x7fffu) > kLargest ? std::copysign(INFINITY, in[i]) : value_of_half(bits);
    wrong += bits != expected[i] || unpacked[i] != value;
  }
  EXPECT_EQ(wrong, 0u);
}

// bf16 are the upper halves of float32: every one of them, and the middle to the next and the floats beside it.
TEST(Instructions, BfloatsAreRoundedToTheNearestAndTiesToEven) {
  std::vector<float> in;
  std::vector<std::uint32_t> expected;
  constexpr std::uint32_t kInfinity = 0x7f80;
  for (const std::uint32_t sign : {0u, 0x8000u})
    for (std::uint32_t bits = sign; bits < sign + kInfinity; ++bits) {
      for (const std::uint32_t lower : {0u, 0x7fffu, 0x8000u, 0x8001u}) in.push_back(std::bit_cast<float>(bits << 16 | lower));
      for (const std::uint32_t rounded : {bits, bits, bits + bits % 2, bits + 1}) expected.push_back(rounded);
    }
  std::vector<float> unpacked;
  const std::vector<std::uint32_t> packed = pack_on_device(in, true, unpacked);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::uint32_t bits = packed[i / 2] >> (16 * (i % 2)) & 0xffffu;
    wrong += bits != expected[i] || std::bit_cast<std::uint32_t>(unpacked[i]) != bits << 16;
  }
  EXPECT_EQ(wrong, 0u);
}

// in, out: (n)
__global__ void square_root_kernel(const float* in, int n, float* out) {
  const auto i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) out[i] = approximate_square_root(in[i]);
}

std::vector<float> square_roots(const std::vector<float>& in) {
  std::vector<float> out(in.size());
  Stream stream;
  DeviceBuffer<float> device_in(in.size()), device_out(in.size());
  copy_to_device(device_in.data(), in.data(), in.size(), stream.get());
  launch(square_root_kernel, {static_cast<unsigned>((in.size() + 255) / 256), 256, 0, stream.get()}, device_in.data(),
         static_cast<int>(in.size()), device_out.data());
  copy_to_host(out.data(), device_out.data(), out.size(), stream.get());
  stream.synchronize();
  return out;
}

// Fractions spread over both parities of every exponent that a normal number may have, and the ends of that range.
TEST(Instructions, SquareRootsAreWithinTheirBound) {
  std::vector<float> in = {0x1p-126f, std::numeric_limits<float>::max()};
  for (int exponent = -126; exponent <= 127; ++exponent) {
    for (int i = 0; i < 64; ++i) in.push_back(std::ldexp(1 + static_cast<float>(i * 131071 % (1 << 23)) * 0x1p-23f, exponent));
  }
  const std::vector<float> roots = square_roots(in);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const double expected = std::sqrt(static_cast<double>(in[i]));
    wrong += !(std::abs(roots[i] - expected) <= 0x1p-22 * expected);
  }
  EXPECT_EQ(wrong, 0u);
}

TEST(Instructions, SquareRootsOfSubnormalsAreZeroAndOfWhatHasNoneAreNaN) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity(), kSubnormal = 0x1.fffffcp-127f, kLeast = 0x1p-149f;
  for (const float root : square_roots({0.0f, -0.0f, kSubnormal, -kSubnormal, kLeast, -kLeast})) EXPECT_EQ(root, 0.0f);
  EXPECT_EQ(square_roots({kInfinity}).front(), kInfinity);
  for (const float root : square_roots({-0x1p-126f, -1.0f, -kInfinity, std::numeric_limits<float>::quiet_NaN()}))
    EXPECT_TRUE(std::isnan(root)) << root;
}

}  // namespace
}  // namespace coterie::COTERIE_GPU
