// Compiled without ThreadSanitizer, like collectives.cpp: lanes read each other's registers.
#include "cuda/instructions/mma.hpp"

#include "cuda/half_bits.hpp"

namespace coterie::emulated {
namespace {

struct Fragments {
  float* d;                // (4)
  const std::uint32_t* a;  // (4)
  const std::uint32_t* b;  // (2)
};

float from_bf16(std::uint32_t pair, int half) { return std::bit_cast<float>(half == 0 ? pair << 16 : pair & 0xffff0000u); }

float from_fp16(std::uint32_t pair, int half) { return from_half_bits(pair >> (16 * half) & 0xffffu); }

float from_tf32(std::uint32_t bits, int) { return std::bit_cast<float>(bits & 0xffffe000u); }

// kHalves values per register; `value` unpacks one of them.
template <int kHalves, float (*value)(std::uint32_t, int)>
void complete(void* const* arguments, unsigned) {
  constexpr int kInner = 8 * kHalves;
  float a[16][kInner], b[8][kInner];  // B by columns
  for (int lane = 0; lane < static_cast<int>(kWarpSize); ++lane) {
    const int group = lane / 4, member = lane % 4;
    const Fragments& own = *static_cast<const Fragments*>(arguments[lane]);
    for (int i = 0; i < 4; ++i) {
      for (int half = 0; half < kHalves; ++half) {
        const int inner = kHalves * member + half + i / 2 * kInner / 2;
        a[group + i % 2 * 8][inner] = value(own.a[i], half);
        if (i % 2 == 0) b[group][inner] = value(own.b[i / 2], half);
      }
    }
  }
  for (int lane = 0; lane < static_cast<int>(kWarpSize); ++lane) {
    for (int i = 0; i < 4; ++i) {
      const float* const row = a[lane / 4 + i / 2 * 8];
      const float* const column = b[lane % 4 * 2 + i % 2];
      float& sum = static_cast<Fragments*>(arguments[lane])->d[i];
      for (int inner = 0; inner < kInner; ++inner) sum += row[inner] * column[inner];
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
