#include "cuda/cuda_backend.hpp"

#include "host/error.hpp"

namespace coterie::COTERIE_GPU {

std::unique_ptr<Backend> make_backend(Context&, int device, std::int64_t) {
  const Devices devices = probe();
  for (const Device& usable : devices.usable) {
    if (usable.index == device)
      throw DeviceError("cuda:" + std::to_string(device) + " is usable, but this version has no GPU passes. Use --device cpu.");
  }
  throw DeviceError("cuda:" + std::to_string(device) + " cannot be used: " + devices.reason + ". Use --device cpu.");
}

}  // namespace coterie::COTERIE_GPU
