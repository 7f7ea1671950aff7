// Every call of the CUDA runtime goes through here: check(cudaMalloc(...)).
#pragma once

#include <source_location>
#include <string>

#include "cuda/namespace.hpp"
#include "cuda/runtime.hpp"
#include "host/error.hpp"

namespace coterie::COTERIE_GPU {

// OutOfDeviceMemory or DeviceError with what went wrong, and what to do.
[[noreturn]] void throw_device_error(const std::string& what, bool is_out_of_memory);
// One that names the CUDA error and the place of the call.
[[noreturn]] void throw_device_error(cudaError_t status, std::source_location where);

inline void check(cudaError_t status, std::source_location where = std::source_location::current()) {
  if (status != cudaSuccess) throw_device_error(status, where);
}

// After a kernel launch: what the launch itself refused. Errors while it runs surface at the next synchronisation.
inline void check_launch(std::source_location where = std::source_location::current()) { check(cudaGetLastError(), where); }

}  // namespace coterie::COTERIE_GPU
