// Profiles on the device: the passes of host/profile_pass.hpp with the same bits as the CPU.
#pragma once

#include "cuda/device.hpp"
#include "host/profile_pass.hpp"

namespace coterie::COTERIE_GPU {

// `device` must outlive the result. Tiles may lie on the host or on the device.
profile::Passes make_profile_passes(DeviceContext& device);

}  // namespace coterie::COTERIE_GPU
