// How models share launches: which fit together into the shared memory of a block, and by which kernel. Decides speed only, never a
// result.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "cuda/kmeans_narrow.cuh"
#include "cuda/kmeans_predict.cuh"
#include "cuda/kmeans_warpgroup.cuh"
#include "cuda/kmeans_wide.cuh"

namespace coterie::COTERIE_GPU {

inline std::size_t words_to_bytes(int words) { return sizeof(int) * static_cast<std::size_t>(words); }

// Half the rows of a wide tile, each with twice the warps; 0 below those of one warp.
inline void halve_rows(SweepShape& shape) {
  shape.rows = shape.rows / 2 < kWarpRows ? 0 : shape.rows / 2;
  ++shape.parts_log;
}

// rows: as many of a wide tile as leave room.
inline SweepShape choose_shape(int n_columns, std::size_t shared_limit) {
  SweepShape shape{.n_columns = n_columns,
                   .padded_columns = (n_columns + 3) / 4 * 4,
                   .steps = count_steps(n_columns),
                   .lanes_log = 5,
                   .rows = kMostWideRows,
                   .parts_log = 1};
  while (shape.lanes_log > 3 && 1 << (shape.lanes_log - 1) >= n_columns) --shape.lanes_log;
  const auto fits = [&] {  // without sums in shared memory; and predictors
    const int moving = SumsMemory(sweep_tile_memory(shape).words, shape.rows, 0, 0, n_columns, kSumWords<true>).words;
    return words_to_bytes(std::max(moving, predict_tile_memory(shape).words)) <= shared_limit;
  };
  while (shape.rows > 0 && !fits()) halve_rows(shape);
  return shape;
}

// For a tile that may have fewer rows than the shape.
inline SweepShape fit_rows(SweepShape shape, int n_rows) {
  while (shape.rows > n_rows) halve_rows(shape);
  return shape;
}

enum class SweepKind {
  narrow,      // kmeans_narrow.cuh
  wide,        // kmeans_wide.cuh
  warpgroups,  // kmeans_warpgroup.cuh, one model alone
};

struct SweepGroup {
  int first_model = 0, n_models = 0;
  int n_pairs = 0;      // Sweep::n_pairs
  PackedModel group{};  // Sweep::group
  std::int64_t cells = 0;
  std::size_t shared_bytes = 0;
  SweepKind kind = SweepKind::wide;
  bool shared_sums = true;

  SweepGroup(int m, const PackedModel& model, int n_columns)
      : first_model(m),
        n_models(1),
        n_pairs((model.n_clusters + kPairCenters - 1) / kPairCenters),
        group(model),
        cells(std::int64_t{model.n_clusters} * n_columns) {}

  SweepGroup with(const SweepGroup& next) const {
    SweepGroup both = *this;
    both.n_models += next.n_models;
    both.n_pairs += next.n_pairs;
    both.group.n_clusters += next.group.n_clusters;
    both.cells += next.cells;
    return both;
  }
};

inline std::size_t shared_bytes_of(const SweepGroup& group, const SweepShape& shape, bool weighted) {
  const int sum_words = weighted ? kSumWords<true> : kSumWords<false>, n_clusters = group.group.n_clusters;
  if (group.kind == SweepKind::narrow)
    return words_to_bytes(NarrowMemory(shape, group.n_pairs, n_clusters, group.cells, sum_words).sums.words);
  if (shape.rows == 0) return 0;  // for no kernel
  const int words = sweep_tile_memory(shape).words;
  const bool shared = group.shared_sums;
  return words_to_bytes(SumsMemory(words, shape.rows, shared ? n_clusters : 0, shared ? group.cells : 0, shape.n_columns, sum_words).words);
}

// What a device and the columns allow.
struct SweepLimits {
  SweepShape shape;
  WarpgroupShape warpgroup_shape;  // without warpgroups: not on this device
  std::size_t shared_bytes;

  SweepLimits(int n_columns, bool has_warpgroups, std::size_t shared_limit)
      : shape(choose_shape(n_columns, shared_limit)), shared_bytes(shared_limit) {
    if (has_warpgroups) warpgroup_shape = choose_warpgroup_shape(n_columns, shared_limit);
  }

  // Of a model: narrow where it can be with weights and without. Warpgroups with less than a quarter of a tile of centers would multiply
  // by nothing mostly.
  SweepKind kind_of(int n_clusters) const {
    PackedModel model{};
    model.n_clusters = n_clusters;
    SweepGroup alone(0, model, shape.n_columns);
    alone.kind = SweepKind::narrow;
    if (shape.n_columns <= kMostNarrowColumns && shared_bytes_of(alone, shape, true) <= shared_bytes) return SweepKind::narrow;
    return warpgroup_shape.warpgroups > 0 && n_clusters > kTileCenters / 4 ? SweepKind::warpgroups : SweepKind::wide;
  }
  CenterLayout layout_of(int n_clusters) const {
    return kind_of(n_clusters) == SweepKind::warpgroups ? CenterLayout::tiles : CenterLayout::fragments;
  }
};

// Consecutive models of one kind as long as they fit. A wide model whose sums fit in no shared
// memory has them on the device.
inline std::vector<SweepGroup> group_models(const PackedModels& models, const SweepLimits& limits, bool weighted) {
  const SweepShape& shape = limits.shape;
  const auto fits = [&](const SweepGroup& group) { return shared_bytes_of(group, shape, weighted) <= limits.shared_bytes; };
  std::vector<SweepGroup> groups;
  for (std::size_t m = 0; m < models.layout().size(); ++m) {
    SweepGroup group(static_cast<int>(m), models.layout()[m], shape.n_columns);
    group.kind = limits.kind_of(group.group.n_clusters);
    const bool joins = !groups.empty() && groups.back().kind == group.kind && group.kind != SweepKind::warpgroups;
    if (joins && groups.back().shared_sums) {
      const SweepGroup both = groups.back().with(group);
      if (fits(both)) {
        groups.back() = both;
        continue;
      }
    }
    group.shared_sums = fits(group);
    groups.push_back(group);
  }
  for (SweepGroup& group : groups) group.shared_bytes = shared_bytes_of(group, shape, weighted);
  return groups;
}

}  // namespace coterie::COTERIE_GPU
