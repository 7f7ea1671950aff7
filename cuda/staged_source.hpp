// A source's tiles on the device. When all rows fit, they are copied during the first sweep and stay; else two tiles are
// in flight: while kernels read one, the other is copied through pinned memory. Smaller tiles than the source's when the
// device runs short, and rows stay no longer where a sweep then finds no memory; rows, their order and so every result stay the same.
#pragma once

#include <memory>

#include "cuda/device.hpp"
#include "host/context.hpp"
#include "host/tile_source.hpp"

namespace coterie::COTERIE_GPU {

// `source` must yield tiles in host memory; context, device and source must outlive the result.
std::unique_ptr<TileSource> stage(Context& context, DeviceContext& device, TileSource& source);

}  // namespace coterie::COTERIE_GPU
