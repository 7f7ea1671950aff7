// A counter-based generator: the draw for (seed, purpose, index) is a pure function, so no choice depends on threads,
// tiles or ranks. Mixing is the 64-bit finaliser of MurmurHash3 in its splitmix64 variant (Stafford, mix 13), applied
// once per key word.
#pragma once

#include <cstdint>

namespace coterie {

// One constant per kind of choice; two purposes never share draws.
enum class Purpose : std::uint64_t {
  survey_sample = 1,
  seeding_sample,
  seeding_first,
  seeding_next,
  seeding_random,
  synth_persona,
  synth_value,
  bootstrap,
  split,
  synth_outcome,
  seeding_round,
  synth_customer
};

constexpr std::uint64_t mix64(std::uint64_t z) {
  z += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// The draws of one kind, for many indices.
class RandomStream {
 public:
  constexpr RandomStream(std::uint64_t seed, Purpose purpose, std::uint64_t stream = 0)
      : mixed_(mix64(mix64(mix64(seed) ^ static_cast<std::uint64_t>(purpose)) ^ stream)) {}
  constexpr std::uint64_t bits(std::uint64_t index) const { return mix64(mixed_ ^ index); }

 private:
  std::uint64_t mixed_;
};

constexpr std::uint64_t random_bits(std::uint64_t seed, Purpose purpose, std::uint64_t index, std::uint64_t stream = 0) {
  return RandomStream(seed, purpose, stream).bits(index);
}

// Uniform in [0, 1) with 53 bits.
constexpr double random_uniform(std::uint64_t seed, Purpose purpose, std::uint64_t index, std::uint64_t stream = 0) {
  return static_cast<double>(random_bits(seed, purpose, index, stream) >> 11) * 0x1p-53;
}

}  // namespace coterie
