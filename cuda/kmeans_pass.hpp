// k-means on the device: the interfaces of host/kmeans.hpp with the same bits as the CPU.
#pragma once

#include <memory>

#include "cuda/device.hpp"
#include "host/kmeans.hpp"

namespace coterie::COTERIE_GPU {

// Rows of the last sweep, counted once per model, that its fast scan left open, and of these the rows that took the definition in
// double. Of sweeps whose sums or rows fit in no shared memory nothing is known.
struct SweepTally {
  std::int64_t rechecked = 0, exact = 0;
};

// `context`, `device` and `tally` must outlive the result. Tiles may lie on the host or on the device.
std::unique_ptr<kmeans::Pass> make_kmeans_pass(Context& context, DeviceContext& device, const kmeans::Grid& grid, std::int32_t n_columns,
                                               SweepTally* tally = nullptr);
std::unique_ptr<kmeans::Predictor> make_kmeans_predictor(Context& context, DeviceContext& device);

}  // namespace coterie::COTERIE_GPU
