// The backend that the tests of this executable run on. A test source that asks for it is built up to three times: for
// the CPU, for the emulated device (linked with coterie_emulated) and for a real one (COTERIE_TEST_CUDA), where every
// test is skipped when there is no device.
#pragma once

#include <gtest/gtest.h>

#include <iostream>
#include <memory>

#include "host/backend.hpp"

#if defined(COTERIE_EMULATED) || defined(COTERIE_TEST_CUDA)
#include "cuda/cuda_backend.hpp"
#endif

namespace coterie::testing {

#if defined(COTERIE_EMULATED) || defined(COTERIE_TEST_CUDA)

class RequireDevice : public ::testing::Environment {
 public:
  void SetUp() override {
    if (!COTERIE_GPU::probe().usable.empty()) return;
    std::cout << "[  SKIPPED ] ";  // what ctest looks for; for an environment GoogleTest itself does not say it
    GTEST_SKIP() << "no device: " << COTERIE_GPU::probe().reason;
  }
};
inline ::testing::Environment* const kRequireDevice = ::testing::AddGlobalTestEnvironment(new RequireDevice);

// gpu_memory_bytes bounds the device's memory; 0: what it has.
inline std::unique_ptr<Backend> make_backend(Context& context, std::int64_t gpu_memory_bytes = 0) {
  return COTERIE_GPU::make_backend(context, COTERIE_GPU::probe().usable.front().index, gpu_memory_bytes);
}

#else

inline std::unique_ptr<Backend> make_backend(Context& context, std::int64_t = 0) { return make_cpu_backend(context); }

#endif

// A size, and what the emulated device takes instead: a row costs it some ten microseconds per sweep and model.
#ifdef COTERIE_EMULATED
template <class T>
constexpr T size_for(T, T emulated) {
  return emulated;
}
#else
template <class T>
constexpr T size_for(T size, T) {
  return size;
}
#endif

}  // namespace coterie::testing
