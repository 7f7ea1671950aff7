// Mixtures on the device: the interfaces of host/gaussian_mixture.hpp. The bits do not depend on tiles, staging, memory or
// the number of blocks that run; they differ from the CPU's by rounding only (gaussian_mixture_device_test.cpp says by how
// much).
#pragma once

#include <memory>
#include <span>

#include "cuda/device.hpp"
#include "host/gaussian_mixture.hpp"

namespace coterie::COTERIE_GPU {

// `device` and `moments` must outlive the result. Tiles may lie on the host or on the device. begin() throws ResourceError
// where one row and its log-densities do not fit into the shared memory of a block.
std::unique_ptr<gaussian_mixture::Pass> make_gaussian_mixture_pass(DeviceContext& device, const gaussian_mixture::Grid& grid,
                                                                   const gaussian_mixture::GridMoments& moments);
std::unique_ptr<gaussian_mixture::Predictor> make_gaussian_mixture_predictor(DeviceContext& device, bool all_probabilities);

}  // namespace coterie::COTERIE_GPU
