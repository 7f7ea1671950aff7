// What --gpu-memory allows: device buffers (device_buffer.hpp) of a host thread, which has one GPU, take no more together.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/namespace.hpp"

namespace coterie::COTERIE_GPU {

class DeviceBudget {
 public:
  // Until it goes, buffers that would exceed this many bytes are refused. One within another holds alone.
  explicit DeviceBudget(std::int64_t bytes);
  ~DeviceBudget();
  DeviceBudget(const DeviceBudget&) = delete;
  DeviceBudget& operator=(const DeviceBudget&) = delete;

  static void take(std::size_t bytes);  // OutOfDeviceMemory, and nothing is taken
  static void give_back(std::size_t bytes) noexcept;
  static std::int64_t left() noexcept;  // bytes

 private:
  std::int64_t before_;
};

}  // namespace coterie::COTERIE_GPU
