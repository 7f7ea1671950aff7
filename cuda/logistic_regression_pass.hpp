// Logistic regressions on the device: pass and predictor of host/logistic_regression.hpp. Sums agree with the CPU's to the
// rounding of double, and of float32 in Hessians that need no more; log-odds and reasons are the CPU's bits, probabilities agree
// to the last two bits of exp.
#pragma once

#include <memory>

#include "cuda/device.hpp"
#include "host/logistic_regression.hpp"

namespace coterie::COTERIE_GPU {

// `device` and `moments` must outlive the result. Tiles may lie on the host or on the device. ArgumentError at begin()
// where a model asks for Penalty::firth, which is fitted on the CPU. Where there is cuBLAS, it multiplies wide
// rows, unless own_products.
std::unique_ptr<logistic_regression::Pass> make_logistic_regression_pass(DeviceContext& device, const logistic_regression::Grid& grid,
                                                                         const logistic_regression::GridMoments& moments,
                                                                         bool own_products = false);

// ArgumentError at begin() where a row does not fit the shared memory of a block.
std::unique_ptr<logistic_regression::Predictor> make_logistic_regression_predictor(DeviceContext& device, std::int32_t n_reasons);

}  // namespace coterie::COTERIE_GPU
