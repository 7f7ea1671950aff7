// The digits of quantiles on the device: the pass of host/quantiles.hpp with the same integers as the CPU.
#pragma once

#include <memory>

#include "cuda/device.hpp"
#include "host/quantiles.hpp"

namespace coterie::COTERIE_GPU {

// `device` must outlive the result. Tiles may lie on the host or on the device.
std::unique_ptr<quantiles::Pass> make_quantiles_pass(DeviceContext& device);

}  // namespace coterie::COTERIE_GPU
