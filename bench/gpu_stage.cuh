// What the stages of gpu_bench share: the device with its roofs, rows at a shape, and the line that a stage prints.
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>

#include "bench/gpu_roofs.cuh"
#include "bench/gpu_rows.cuh"
#include "host/context.hpp"
#include "host/tile.hpp"

namespace coterie::gpu {

struct Bench {
  Context context{{}};
  DeviceContext device;
  Roofs roofs{};
  std::string shape;  // the only one to measure; empty: all
};

struct Shape {
  std::int64_t n_rows;
  std::int32_t n_columns, n_clusters, n_models;

  double cells() const { return static_cast<double>(n_rows) * n_columns; }
};

struct Work {
  double bytes, operations, operations_per_second;  // the last: of the unit that does them
};

// One line: what was done, how long it took, and how much of that the slower of memory and arithmetic would take at its roof.
inline void print_line(const Bench& bench, const char* stage, const Shape& shape, double seconds, const Work& work, bool right,
                       const char* more) {
  const double floor = std::max(work.bytes / bench.roofs.copy, work.operations / work.operations_per_second);
  std::printf(
      "{\"stage\": \"%s\", \"rows\": %lld, \"columns\": %d, \"clusters\": %d, \"models\": %d, \"seconds\": %.6g, \"bytes\": %.4g, "
      "\"operations\": %.4g, \"percent_of_roof\": %.1f, \"right\": %s%s}\n",
      stage, static_cast<long long>(shape.n_rows), shape.n_columns, shape.n_clusters, shape.n_models, seconds, work.bytes, work.operations,
      100 * floor / seconds, right ? "true" : "false", more);
  std::fflush(stdout);
}

inline DeviceBuffer<float> make_rows(const DeviceContext& device, std::int64_t n_rows, std::int32_t n_columns) {
  DeviceBuffer<float> x(static_cast<std::size_t>(n_rows) * static_cast<std::size_t>(n_columns));
  launch(make_rows_kernel, {static_cast<unsigned>(device.device.multiprocessors) * 16, 256, 0, device.compute.get()}, x.data(), n_rows,
         n_columns);
  return x;
}

// Asked for, and rows that leave the device room.
inline bool is_wanted(const Bench& bench, const Shape& shape) {
  char name[64];
  std::snprintf(name, sizeof name, "%lldx%dx%dx%d", static_cast<long long>(shape.n_rows), shape.n_columns, shape.n_clusters,
                shape.n_models);
  return (bench.shape.empty() || bench.shape == name) &&
         static_cast<std::int64_t>(shape.cells()) * 4 < bench.device.device.memory_bytes / 10 * 8;
}

inline Tile tile_of(const DeviceBuffer<float>& x, const Shape& shape) {
  return {.x = x.data(), .n_rows = static_cast<std::int32_t>(shape.n_rows), .n_columns = shape.n_columns, .memory = Memory::device};
}

}  // namespace coterie::gpu
