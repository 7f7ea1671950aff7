// The interface of this folder in a build without nvcc.
#include "cuda/cuda_backend.hpp"
#include "host/error.hpp"

namespace coterie::gpu {

Devices probe() { return {.usable = {}, .reason = "this build of Coterie has no CUDA support", .gpu_present = false}; }

std::string describe(const Device& device) { return device.name; }

std::unique_ptr<Backend> make_backend(Context&, int, std::int64_t) {
  throw DeviceError("This build of Coterie has no CUDA support. Use --device cpu, or build again where nvcc is installed.");
}

}  // namespace coterie::gpu
