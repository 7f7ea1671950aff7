#include "cuda/devices.hpp"

#include <gtest/gtest.h>

#include "cuda/cuda_backend.hpp"
#include "host/error.hpp"

namespace coterie::COTERIE_GPU {
namespace {

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

}  // namespace
}  // namespace coterie::COTERIE_GPU
