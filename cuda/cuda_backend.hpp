// The passes on one GPU, behind the catalogue of host/backend.hpp.
#pragma once

#include <memory>

#include "cuda/devices.hpp"
#include "host/backend.hpp"

namespace coterie::COTERIE_GPU {

// `device` is the I of cuda:I. gpu_memory_bytes bounds what buffers take on the GPU (device_budget.hpp); 0: nine tenths of what is
// free. DeviceError when probe() does not list the device, with its reason. Backends of a thread go in the reverse of their order.
std::unique_ptr<Backend> make_backend(Context& context, int device, std::int64_t gpu_memory_bytes = 0);

}  // namespace coterie::COTERIE_GPU
