#include "cuda/check.hpp"

#include <fmt/format.h>

#include <string_view>

namespace coterie::COTERIE_GPU {
namespace {

std::string_view file_stem(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace

void throw_device_error(const std::string& what, bool is_out_of_memory) {
  if (is_out_of_memory) {
    throw OutOfDeviceMemory(
        fmt::format("The GPU is out of memory: {}. No output was written. Free the GPU, lower --gpu-memory, or use --device cpu.", what));
  }
  throw DeviceError(fmt::format("The GPU reported {}. No output was written. Run `coterie devices`, or use --device cpu.", what));
}

void throw_device_error(cudaError_t status, std::source_location where) {
  (void)cudaGetLastError();  // the runtime remembers errors; the next launch must not report one that passes
  const std::string what =
      fmt::format("{} ({}), at {}:{}", cudaGetErrorName(status), cudaGetErrorString(status), file_stem(where.file_name()), where.line());
  throw_device_error(what, status == cudaErrorMemoryAllocation);
}

}  // namespace coterie::COTERIE_GPU
