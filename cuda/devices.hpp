// Which GPUs this process can use, and in one sentence why there is none. Safe to call on any machine: a missing driver
// is an answer, not an error.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cuda/namespace.hpp"

namespace coterie::COTERIE_GPU {

struct Device {
  int index = 0;  // the I of --device cuda:I
  std::string name;
  int compute_major = 0, compute_minor = 0;
  int multiprocessors = 0;
  std::int64_t memory_bytes = 0;
  std::int64_t l2_bytes = 0;
};

struct Devices {
  std::vector<Device> usable;
  std::string reason;        // one sentence when nothing is usable, or some GPU is not; else empty
  bool gpu_present = false;  // a GPU is in the machine: with nothing usable, `reason` is a warning rather than news
};

Devices probe();

std::string describe(const Device& device);  // "NVIDIA H200, compute capability 9.0, 139.8 GiB"

}  // namespace coterie::COTERIE_GPU
