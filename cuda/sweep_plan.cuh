// How models share launches: which fit together into the shared memory of a block, and which must go alone through
// device memory. Decides speed only, never a result.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "cuda/kmeans_sweep.cuh"

namespace coterie::COTERIE_GPU {

// Up to 128 rows per strip, halved until two strips leave 2/5 of the shared memory to centers and sums; rows is 0 when
// not even 8 rows do.
inline SweepShape choose_shape(int n_columns, std::size_t shared_bytes) {
  SweepShape shape{.n_columns = n_columns,
                   .padded_columns = (n_columns + 3) / 4 * 4,
                   .stride = 0,
                   .rows = 128,
                   .threads_per_row = 2,
                   .columns_at_once = 32,
                   .copy_bytes = 4};
  shape.stride = shape.padded_columns + (shape.padded_columns % 8 == 0 ? 4 : 0);
  while (shape.rows >= 8 && 2 * sizeof(float) * static_cast<std::size_t>(shape.rows * shape.stride) > shared_bytes / 5 * 3) shape.rows /= 2;
  if (shape.rows < 8) shape.rows = 0;
  if (shape.rows > 0) shape.threads_per_row = kSweepThreads / shape.rows;
  while (shape.columns_at_once / 2 >= n_columns) shape.columns_at_once /= 2;
  if (n_columns % 2 == 0) shape.copy_bytes = n_columns % 4 == 0 ? 16 : 8;
  return shape;
}

struct SweepGroup {
  int first_model = 0, n_models = 0;
  PackedModel group{};  // Sweep::group
  std::int64_t cells = 0;
  std::size_t shared_bytes = 0;
};

// Consecutive models as long as they fit; shared_bytes of a group above the limit says that its one model does not.
inline std::vector<SweepGroup> group_models(const PackedModels& models, const SweepShape& shape, std::size_t shared_limit, int n_limbs) {
  std::vector<SweepGroup> groups;
  for (std::size_t m = 0; m < models.layout().size(); ++m) {
    const PackedModel& model = models.layout()[m];
    const std::int64_t cells = std::int64_t{model.n_clusters} * shape.n_columns;
    const auto bytes = [&](int n_groups, int n_clusters, std::int64_t n_cells) {
      return sizeof(float) * static_cast<std::size_t>(SweepMemory(shape, n_groups, n_clusters, n_cells, n_limbs).words);
    };
    if (!groups.empty()) {
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
    groups.push_back({static_cast<int>(m), 1, model, cells, bytes(model.n_groups, model.n_clusters, cells)});
  }
  return groups;
}

}  // namespace coterie::COTERIE_GPU
