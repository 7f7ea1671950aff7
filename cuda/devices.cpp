#include "cuda/devices.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "cuda/check.hpp"
#include "host/memory_ledger.hpp"

namespace coterie::COTERIE_GPU {
namespace {

constexpr int kOldestComputeMajor = 8;  // sm_80 is the oldest code in the binary

// 13020 -> "13.2"
std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

// A display or 3D controller (PCI class 0x03) of vendor 0x10de.
bool nvidia_gpu_on_pci() {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/bus/pci/devices", ignored)) {
    std::string vendor, device_class;
    std::ifstream(entry.path() / "vendor") >> vendor;
    std::ifstream(entry.path() / "class") >> device_class;
    if (vendor == "0x10de" && device_class.starts_with("0x03")) return true;
  }
  return false;
}

std::string why_no_driver(bool gpu_present) {
  int driver = 0, runtime = 0;
  check(cudaDriverGetVersion(&driver));
  check(cudaRuntimeGetVersion(&runtime));
  if (driver == 0) {
    return gpu_present ? fmt::format("an NVIDIA GPU is in this machine, but no CUDA driver was found; CUDA {} or newer is needed",
                                     version_text(runtime))
                       : "no NVIDIA driver was found on this machine";
  }
  return fmt::format("the NVIDIA driver is too old: found CUDA {}, needed CUDA {}.0 or newer", version_text(driver), runtime / 1000);
}

std::string why_none(cudaError_t status, bool gpu_present) {
  if (status == cudaErrorInsufficientDriver) return why_no_driver(gpu_present);
  if (status != cudaSuccess && status != cudaErrorNoDevice) {
    return fmt::format("the NVIDIA driver does not start: {} ({})", cudaGetErrorName(status), cudaGetErrorString(status));
  }
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  return visible != nullptr ? "the NVIDIA driver shows no GPU; CUDA_VISIBLE_DEVICES is set and may hide it"
                            : "the NVIDIA driver shows no GPU";
}

Device make_device(int index, const cudaDeviceProp& properties) {
  return {.index = index,
          .name = properties.name,
          .compute_major = properties.major,
          .compute_minor = properties.minor,
          .multiprocessors = properties.multiProcessorCount,
          .memory_bytes = static_cast<std::int64_t>(properties.totalGlobalMem),
          .l2_bytes = properties.l2CacheSize};
}

}  // namespace

Devices probe() {
  Devices devices;
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {  // without a driver the runtime leaves `count` untouched
    (void)cudaGetLastError();
    int driver = 0;
    check(cudaDriverGetVersion(&driver));
    devices.gpu_present = driver != 0 || nvidia_gpu_on_pci();
    devices.reason = why_none(status, devices.gpu_present);
    return devices;
  }
  devices.gpu_present = true;
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, index));
    if (properties.major >= kOldestComputeMajor) {
      devices.usable.push_back(make_device(index, properties));
    } else {
      devices.reason = fmt::format("{} (cuda:{}) has compute capability {}.{}; {}.0 or newer is needed", properties.name, index,
                                   properties.major, properties.minor, kOldestComputeMajor);
    }
  }
  return devices;
}

std::string describe(const Device& device) {
  return fmt::format("{}, compute capability {}.{}, {}", device.name, device.compute_major, device.compute_minor,
                     format_bytes(device.memory_bytes));
}

}  // namespace coterie::COTERIE_GPU
