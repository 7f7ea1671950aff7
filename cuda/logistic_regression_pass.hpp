// Logistic regressions on the device: the pass of host/logistic_regression.hpp. Sums agree with the CPU's to the rounding
// of double, and of float32 in Hessians that need no more.
#pragma once

#include <memory>

#include "cuda/device.hpp"
#include "host/logistic_regression.hpp"

namespace coterie::COTERIE_GPU {

// `device` and `moments` must outlive the result. Tiles may lie on the host or on the device. ArgumentError at begin()
// where a model asks for Penalty::firth or segment effects: those are fitted on the CPU.
std::unique_ptr<logistic_regression::Pass> make_logistic_regression_pass(DeviceContext& device, const logistic_regression::Grid& grid,
                                                                         const logistic_regression::GridMoments& moments);

}  // namespace coterie::COTERIE_GPU
