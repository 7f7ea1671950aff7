// A tile where kernels can read it: device tiles as they are, host tiles through buffers of this object.
#pragma once

#include "cuda/device_buffer.hpp"
#include "host/tile.hpp"

namespace coterie::COTERIE_GPU {

class DeviceTile {
 public:
  // The result lives until the next call; a host tile may end after this one.
  const Tile& get(const Tile& tile, cudaStream_t stream) {
    if (tile.memory == Memory::device) return tile;
    tile_ = tile;
    tile_.memory = Memory::device;
    const auto n_rows = static_cast<std::size_t>(tile.n_rows);
    tile_.x = copy(x_, tile.x, n_rows * static_cast<std::size_t>(tile.n_columns), stream);
    tile_.wide = copy(wide_, tile.wide, n_rows * static_cast<std::size_t>(tile.n_columns), stream);
    tile_.weight = copy(weight_, tile.weight, n_rows, stream);
    tile_.label = copy(label_, tile.label, n_rows, stream);
    tile_.target = copy(target_, tile.target, n_rows * static_cast<std::size_t>(tile.n_targets), stream);
    tile_.fold = copy(fold_, tile.fold, n_rows, stream);
    check(cudaStreamSynchronize(stream));
    return tile_;
  }

 private:
  template <class T>
  static const T* copy(DeviceBuffer<T>& buffer, const T* from, std::size_t size, cudaStream_t stream) {
    if (from == nullptr) return nullptr;
    buffer.ensure(size);
    copy_to_device(buffer.data(), from, size, stream);
    return buffer.data();
  }

  DeviceBuffer<float> x_;                      // (n_rows, n_columns)
  DeviceBuffer<double> wide_;                  // (n_rows, n_columns)
  DeviceBuffer<std::int32_t> weight_, label_;  // (n_rows)
  DeviceBuffer<std::int8_t> target_, fold_;    // (n_rows, n_targets), (n_rows)
  Tile tile_;
};

}  // namespace coterie::COTERIE_GPU
