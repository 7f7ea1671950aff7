// How models share launches: which fit together into the shared memory of a block, and which must go alone through
// device memory. Decides speed only, never a result.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "cuda/kmeans_sweep.cuh"

namespace coterie::COTERIE_GPU {

inline SweepShape make_shape(int n_columns, bool tensor, int rows, int strips) {
  SweepShape shape{.n_columns = n_columns,
                   .padded_columns = (n_columns + 3) / 4 * 4,
                   .steps = tensor ? (n_columns + kStepColumns - 1) / kStepColumns : 0,
                   .stride = 0,
                   .rows = rows,
                   .strips = strips,
                   .threads_per_row = kSweepThreads / rows,
                   .columns_at_once = 32,
                   .copy_bytes = n_columns % 4 == 0   ? 16
                                 : n_columns % 2 == 0 ? 8
                                                      : 4};
  const int strip_columns = tensor ? shape.steps * kStepColumns : shape.padded_columns;
  shape.stride = strip_columns + (strip_columns % 8 == 0 ? 4 : 0);
  while (shape.columns_at_once / 2 >= n_columns) shape.columns_at_once /= 2;
  return shape;
}

// As many rows per strip as leave a multiprocessor room for so many blocks that one works while others wait, with their share of the
// shared memory for strips and for the sums of n_clusters centers, unless these take more than half of it: then for strips alone. Up to
// 128 rows, 256 with tensor cores, but not below 8 (32, of one warp, with tensor cores); rows is 0 where one block has no room even
// for those.
inline SweepShape choose_shape(int n_columns, std::int64_t n_clusters, std::size_t shared_bytes, bool tensor) {
  const std::int64_t n_cells = n_clusters * n_columns, share = static_cast<std::int64_t>(shared_bytes) / (tensor ? 2 : 3) - 1024;
  const bool with_sums = 4 * n_cells <= share / 2;
  const auto bytes = [&](const SweepShape& shape) {
    const int n_groups = with_sums ? static_cast<int>((n_clusters + kGroup - 1) / kGroup) : 0;
    return 4 * std::int64_t{SweepMemory(shape, n_groups, with_sums ? static_cast<int>(n_clusters) : 0, with_sums ? n_cells : 0, 1).words};
  };
  const int least = tensor ? kWarpRows : 8;
  for (int rows = tensor ? kScanWarps * kWarpRows : 128; rows >= least; rows /= 2) {
    for (const int strips : {2, 1}) {
      const SweepShape shape = make_shape(n_columns, tensor, rows, strips);
      if (bytes(shape) <= share) return shape;
    }
  }
  SweepShape smallest = make_shape(n_columns, tensor, least, 1);
  if (bytes(smallest) > static_cast<std::int64_t>(shared_bytes / 10 * 9)) smallest.rows = 0;
  return smallest;
}

// Whether a sweep takes tensor cores: where a multiply-add in float32 for every cell and center takes longer than reading the row, from
// 14 centers on by arithmetic (128 multiply-adds a clock and multiprocessor against 14 bytes of memory), and rows fit. Products take
// whole steps of columns and pairs of tiles of centers.
inline bool takes_tensor_cores(int n_columns, std::int64_t n_clusters, std::size_t shared_bytes) {
  return n_clusters >= kPairCenters && n_columns >= kStepColumns / 2 && choose_shape(n_columns, 0, shared_bytes, true).rows > 0;
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
