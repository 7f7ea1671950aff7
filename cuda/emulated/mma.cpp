// Compiled without ThreadSanitizer, like collectives.cpp: lanes read each other's registers.
#include "cuda/instructions/mma.hpp"

namespace coterie::emulated {
namespace {

struct Fragments {
  float* d;                // (4)
  const std::uint32_t* a;  // (4)
  const std::uint32_t* b;  // (2)
};

float from_bf16(std::uint32_t pair, int half) { return std::bit_cast<float>(half == 0 ? pair << 16 : pair & 0xffff0000u); }

float from_fp16(std::uint32_t pair, int half) {
  const std::uint32_t bits = pair >> (16 * half) & 0xffffu;
  const int exponent = static_cast<int>(bits >> 10 & 31);
  const auto mantissa = static_cast<float>(bits & 1023);
  constexpr int kInfinity = 31;
  if (exponent == kInfinity) return std::bit_cast<float>((bits & 0x8000u) << 16 | 0x7f800000u | (bits & 1023) << 13);
  const float magnitude = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(mantissa + 1024.0f, exponent - 25);
  return (bits & 0x8000u) != 0 ? -magnitude : magnitude;
}

float from_tf32(std::uint32_t bits, int) { return std::bit_cast<float>(bits & 0xffffe000u); }

// kHalves values per register; `value` unpacks one of them.
template <int kHalves, float (*value)(std::uint32_t, int)>
void complete(void* const* arguments, unsigned) {
  const auto fragments = [&](unsigned group, unsigned member) -> const Fragments& {
    return *static_cast<const Fragments*>(arguments[4 * group + member]);
  };
  for (unsigned lane = 0; lane < kWarpSize; ++lane) {
    const unsigned group = lane / 4, member = lane % 4;
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned column = 2 * member + i % 2;
      float sum = fragments(group, member).d[i];
      for (unsigned high = 0; high < 2; ++high) {  // the second half of the inner dimension
        for (unsigned k = 0; k < 4; ++k) {         // the lane that holds it
          for (int half = 0; half < kHalves; ++half) {
            sum += value(fragments(group, k).a[i / 2 + 2 * high], half) * value(fragments(column, k).b[high], half);
          }
        }
      }
      static_cast<Fragments*>(arguments[lane])->d[i] = sum;
    }
  }
}

template <int kHalves, float (*value)(std::uint32_t, int)>
void multiply(const char* name, float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  Fragments mine{d, a, b};
  Scheduler::running().meet(kAllLanes, name, &mine, &complete<kHalves, value>, false);
}

}  // namespace

void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) { multiply<2, from_bf16>("mma_bf16", d, a, b); }
void mma_fp16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) { multiply<2, from_fp16>("mma_fp16", d, a, b); }
void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) { multiply<1, from_tf32>("mma_tf32", d, a, b); }

}  // namespace coterie::emulated
