// What a test can set and see of the emulated device. Every host thread has a device of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "cuda/emulated/runtime.hpp"

namespace coterie::emulated {

// A kernel did what no kernel may do: deadlock, a collective that not all its lanes reach, too much shared memory.
class EmulationError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

// What memory holds before anything is written: floats and doubles read as NaN, integers as -1.
inline constexpr std::byte kPoison{0xff};

struct Emulator {
  int device_count = 1;
  cudaError_t device_count_error = cudaSuccess;  // what cudaGetDeviceCount answers; the count then stays untouched
  int driver_version = 13000;                    // 0: no driver
  int compute_major = 9, compute_minor = 0;
  std::size_t memory_bytes = std::size_t{1} << 30;
  std::uint64_t seed = 0;  // order of blocks, and of threads at every switch; 0: in order

  // The nth call of a runtime function from now on (1: the next) fails with `error`: once, or with all that follow and the work that waits.
  void fail_call(std::int64_t nth, cudaError_t error, bool sticky = false);
  std::int64_t calls = 0;          // runtime calls so far
  std::int64_t failing_call = -1;  // absolute number of the call that will fail
  cudaError_t failing_error = cudaSuccess;
  bool sticky = false;                // failing_error
  std::size_t memory_used = 0;        // by cudaMalloc
  std::size_t most_memory_used = 0;   // at any time
  std::int64_t copied_to_device = 0;  // bytes
  std::int64_t allocations = 0;       // of device memory and of pinned memory
  std::int64_t operations = 0;        // launches, copies and fills
  std::int64_t waits = 0;  // of the host for what is in streams: asked for, or to be feared because memory is pageable or given back
};

Emulator& emulator();

// A device as new for a test, and again afterwards.
class FreshEmulator {
 public:
  FreshEmulator();
  ~FreshEmulator();
  Emulator* operator->() { return &emulator(); }
};

}  // namespace coterie::emulated
