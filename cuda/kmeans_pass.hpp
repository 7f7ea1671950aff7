// k-means on the device: the interfaces of host/kmeans.hpp with the same bits as the CPU.
#pragma once

#include <memory>

#include "cuda/device.hpp"
#include "host/kmeans.hpp"

namespace coterie::COTERIE_GPU {

// `device` must outlive the result. Tiles may lie on the host or on the device.
std::unique_ptr<kmeans::Pass> make_kmeans_pass(DeviceContext& device, const kmeans::Grid& grid, std::int32_t n_columns);
std::unique_ptr<kmeans::Predictor> make_kmeans_predictor(DeviceContext& device);

}  // namespace coterie::COTERIE_GPU
