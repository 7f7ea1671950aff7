// The models of one sweep as the device wants them: centers row by row, padded with zeros to whole vectors of four columns, the units of
// their fragments (center_fragments.hpp), and where each model's share of the statistics lies, all in one block, which one copy uploads.
// Models, cells and clusters are numbered through all models of the sweep.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cuda/device_buffer.hpp"
#include "cuda/sweep_memory.hpp"
#include "host/kmeans.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr int kStepColumns = 16;  // of one product of the tensor cores
inline constexpr int kPairCenters = 16;  // two products side by side share a fragment

// Of a row. Kernels that hold rows in registers exist for 1, 2, 3, 4, 6 and 8.
constexpr int count_steps(int n_columns) {
  const int steps = (n_columns + kStepColumns - 1) / kStepColumns;
  return steps == 5 || steps == 7 ? steps + 1 : steps;
}

inline constexpr int kTileCenters = 128;  // of a product of warpgroups (warpgroup_mma.hpp)

// How the fragments of a model lie in memory.
enum class CenterLayout : std::int32_t {
  fragments,  // (n_pairs, steps, 32) Fragments, for products of warps
  tiles,      // (n_pairs / 8, steps) tiles of kTileCenters centers as core matrices, for products of warpgroups
};

struct PackedModel {
  std::int64_t centers;   // first of its (n_clusters, padded_columns) floats
  std::int64_t cells;     // first of its (n_clusters, n_columns) cells
  std::int32_t clusters;  // first of its clusters
  std::int32_t n_clusters;
  std::int32_t pairs;    // first of its pairs of tiles of centers
  std::int32_t n_pairs;  // as many as its layout takes at once
  CenterLayout layout;
  SweepMemory::Place labels;
};

class PackedModels {
 public:
  // Allocates what is missing and starts the upload; models may go away, this object not before the stream is through. labels,
  // layouts: by model, or none.
  void upload(Context& context, std::span<const kmeans::Model* const> models, std::span<const SweepMemory::Place> labels,
              std::span<const CenterLayout> layouts, std::int32_t n_columns, cudaStream_t stream);

  std::int32_t n_columns() const { return n_columns_; }
  std::int32_t padded_columns() const { return padded_columns_; }
  const std::vector<PackedModel>& layout() const { return layout_; }
  std::int64_t n_cells() const { return n_cells_; }
  std::int32_t n_clusters() const { return n_clusters_; }
  std::int32_t n_pairs() const { return n_pairs_; }
  std::int32_t most_pairs() const { return most_pairs_; }  // of a model
  double scale() const { return scale_; }
  // On the device.
  const float* centers() const { return device_.data(); }
  const float* pivot() const { return device_.data() + pivot_at_; }  // (steps * kStepColumns)
  const PackedModel* device_layout() const { return reinterpret_cast<const PackedModel*>(device_.data() + layout_at_); }

 private:
  std::int64_t lay_out(std::span<const kmeans::Model* const> models, std::span<const SweepMemory::Place> labels,
                       std::span<const CenterLayout> layouts);
  std::uint32_t pack(const kmeans::Model& model, std::int64_t first, std::int64_t last, const float* pivot, float* to) const;

  std::int32_t n_columns_ = 0, padded_columns_ = 0, n_clusters_ = 0, n_pairs_ = 0, most_pairs_ = 0;
  std::int64_t n_cells_ = 0;
  double scale_ = 1;
  std::vector<PackedModel> layout_;
  std::size_t pivot_at_ = 0, layout_at_ = 0;  // after the centers
  PinnedBuffer<float> host_;
  DeviceBuffer<float> device_;
};

}  // namespace coterie::COTERIE_GPU
