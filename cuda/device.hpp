// What the passes and sources of one GPU share: which device, its limits, and the two streams. Work is enqueued from one
// host thread; passes use `compute` only, sources copy on `copies`, and so do results that leave while others are made.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>

#include "cuda/dense_products.hpp"
#include "cuda/devices.hpp"
#include "cuda/stream.hpp"
#include "host/tile.hpp"

namespace coterie::COTERIE_GPU {

struct DeviceContext {
  Device device;
  std::size_t shared_bytes = 0;   // a block may have
  std::int64_t memory_bytes = 0;  // of the device that all buffers may take together
  Stream compute;
  Stream copies;
  std::unique_ptr<DenseProducts> products;  // on `compute`, opened by the first pass that wants them; nullptr: not yet, or there are none
};

// Rows whose results a predictor holds at a time, on the device and pinned: whole blocks of them.
inline std::int64_t rows_of_results(const DeviceContext& device, std::size_t row_bytes) {
  const std::int64_t bytes = std::min(std::int64_t{256} << 20, device.memory_bytes / 16);
  return std::max(bytes / static_cast<std::int64_t>(row_bytes) / kBlockRows, std::int64_t{1}) * kBlockRows;
}

}  // namespace coterie::COTERIE_GPU
