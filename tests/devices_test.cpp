#include "cuda/devices.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cuda/cuda_backend.hpp"
#include "host/error.hpp"

#ifdef COTERIE_EMULATED
#include "cuda/emulated/emulator.hpp"
#endif

namespace coterie::COTERIE_GPU {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

TEST(Devices, AnswersOnAnyMachine) {
  const Devices devices = probe();
  EXPECT_TRUE(!devices.usable.empty() || !devices.reason.empty());
  for (const Device& device : devices.usable) {
    EXPECT_GE(device.compute_major, 8);
    EXPECT_GT(device.memory_bytes, 0);
    EXPECT_NE(describe(device).find(device.name), std::string::npos);
  }
}

TEST(Devices, NamesTheDeviceItCannotUse) {
  Context::Options options;
  options.threads = 1;
  Context context(options);
  try {
    (void)make_backend(context, 4711);
    FAIL() << "cuda:4711 does not exist";
  } catch (const DeviceError& error) {
    EXPECT_EQ(error.code(), ExitCode::device);
    EXPECT_NE(std::string(error.what()).find("--device cpu"), std::string::npos);
  }
}

#ifdef COTERIE_EMULATED

TEST(Devices, SaysWhichDriverIsMissing) {
  FreshEmulator device;
  device->device_count_error = cudaErrorInsufficientDriver;
  device->driver_version = 12040;
  EXPECT_TRUE(probe().gpu_present);
  EXPECT_THAT(probe().reason, AllOf(HasSubstr("found CUDA 12.4"), HasSubstr("needed CUDA 13.0")));
  device->driver_version = 0;
  EXPECT_THAT(probe().reason, AnyOf(HasSubstr("no NVIDIA driver"), HasSubstr("no CUDA driver")));
}

TEST(Devices, RefusesGpusOlderThanItsCode) {
  FreshEmulator device;
  device->compute_major = 7;
  device->compute_minor = 5;
  EXPECT_TRUE(probe().usable.empty());
  EXPECT_THAT(probe().reason, AllOf(HasSubstr("capability 7.5"), HasSubstr("8.0 or newer")));
}

TEST(Devices, AMachineWithoutGpuIsNoError) {
  FreshEmulator device;
  device->device_count = 0;
  EXPECT_TRUE(probe().usable.empty());
  EXPECT_THAT(probe().reason, HasSubstr("no GPU"));
}

#endif

}  // namespace
}  // namespace coterie::COTERIE_GPU
