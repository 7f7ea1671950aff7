// Integer sums wider than the atomics of shared memory: words of 32 bits, each a signed number, whose atomics tell when they wrap.
// Whoever wraps a word hands the carry to the next one, so no order of additions changes the sum.
#pragma once

#include "cuda/kernel.hpp"

namespace coterie::COTERIE_GPU {

// Negative where old + added wraps.
__device__ __forceinline__ int wraps(int old, int added) {
  const int sum = static_cast<int>(static_cast<unsigned>(old) + static_cast<unsigned>(added));
  return (old ^ sum) & (added ^ sum);
}

// Returns what the next word has to take.
__device__ __forceinline__ int add_word(int* word, int value) { return wraps(atomicAdd(word, value), value) >= 0 ? 0 : value < 0 ? -1 : 1; }

// |value| < 2^54, for up to 2^31 of them. words: three, n_words apart.
__device__ inline void add_wide(int* words, std::int64_t n_words, std::int64_t value) {
  const int low = static_cast<int>(value), carry = add_word(words, low);
  const int high = static_cast<int>((value - low) >> 32) + carry;
  if (high == 0) return;
  const int carry_high = add_word(words + n_words, high);
  if (carry_high != 0) atomicAdd(words + 2 * n_words, carry_high);
}

}  // namespace coterie::COTERIE_GPU
