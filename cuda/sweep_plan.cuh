// How models share launches: which fit together into the shared memory of a block, and which must go alone through
// device memory. Decides speed only, never a result.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "cuda/kmeans_sweep.cuh"

namespace coterie::COTERIE_GPU {

// Up to 128 rows per strip, 256 with tensor cores, halved until two strips and their fragments leave 2/5 of the shared memory to
// centers and sums, but not below 8 (32, of one warp, with tensor cores); rows is 0 when even those take more than 9/10.
inline SweepShape choose_shape(int n_columns, std::size_t shared_bytes, bool tensor) {
  SweepShape shape{.n_columns = n_columns,
                   .padded_columns = (n_columns + 3) / 4 * 4,
                   .steps = tensor ? (n_columns + kStepColumns - 1) / kStepColumns : 0,
                   .stride = 0,
                   .rows = tensor ? kScanWarps * kWarpRows : 128,
                   .threads_per_row = 2,
                   .columns_at_once = 32,
                   .copy_bytes = 4};
  const int strip_columns = tensor ? shape.steps * kStepColumns : shape.padded_columns, least = tensor ? kWarpRows : 8;
  shape.stride = strip_columns + (strip_columns % 8 == 0 ? 4 : 0);
  const auto row_bytes = static_cast<std::size_t>(2 * 4 * shape.stride + 2 * shape.steps * kStepColumns);
  while (shape.rows > least && static_cast<std::size_t>(shape.rows) * row_bytes > shared_bytes / 5 * 3) shape.rows /= 2;
  if (static_cast<std::size_t>(shape.rows) * row_bytes > shared_bytes / 10 * 9) shape.rows = 0;
  if (shape.rows > 0) shape.threads_per_row = kSweepThreads / shape.rows;
  while (shape.columns_at_once / 2 >= n_columns) shape.columns_at_once /= 2;
  if (n_columns % 2 == 0) shape.copy_bytes = n_columns % 4 == 0 ? 16 : 8;
  return shape;
}

// Whether a sweep takes tensor cores: where a multiply-add in float32 for every cell and center takes longer than reading the row, from
// 14 centers on by arithmetic (128 multiply-adds a clock and multiprocessor against 14 bytes of memory), and rows fit. Products take
// whole steps of columns and pairs of tiles of centers.
inline bool takes_tensor_cores(int n_columns, std::int64_t n_clusters, std::size_t shared_bytes) {
  return n_clusters >= kPairCenters && n_columns >= kStepColumns / 2 && choose_shape(n_columns, shared_bytes, true).rows > 0;
}

struct SweepGroup {
  int first_model = 0, n_models = 0;
  PackedModel group{};  // Sweep::group
  std::int64_t cells = 0;
  std::size_t shared_bytes = 0;
  bool shared_sums = true;
};

// Consecutive models as long as they fit. A model that does not fit alone keeps its sums in device memory with tensor cores;
// without, shared_bytes above the limit says so.
inline std::vector<SweepGroup> group_models(const PackedModels& models, const SweepShape& shape, std::size_t shared_limit, int n_limbs) {
  std::vector<SweepGroup> groups;
  for (std::size_t m = 0; m < models.layout().size(); ++m) {
    const PackedModel& model = models.layout()[m];
    const std::int64_t cells = std::int64_t{model.n_clusters} * shape.n_columns;
    const auto bytes = [&](int n_groups, int n_clusters, std::int64_t n_cells) {
      return sizeof(float) * static_cast<std::size_t>(SweepMemory(shape, n_groups, n_clusters, n_cells, n_limbs).words);
    };
    if (!groups.empty() && groups.back().shared_sums) {
      SweepGroup& last = groups.back();
      const std::size_t together =
          bytes(last.group.n_groups + model.n_groups, last.group.n_clusters + model.n_clusters, last.cells + cells);
      if (together <= shared_limit) {
        ++last.n_models;
        last.group.n_groups += model.n_groups;
        last.group.n_clusters += model.n_clusters;
        last.cells += cells;
        last.shared_bytes = together;
        continue;
      }
    }
    SweepGroup alone{static_cast<int>(m), 1, model, cells, bytes(model.n_groups, model.n_clusters, cells)};
    if (alone.shared_bytes > shared_limit && shape.steps > 0) {
      alone.shared_sums = false;
      alone.shared_bytes = bytes(model.n_groups, 0, 0);
    }
    groups.push_back(alone);
  }
  return groups;
}

}  // namespace coterie::COTERIE_GPU
