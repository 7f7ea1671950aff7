// The models of one sweep as the device wants them: centers row by row, padded with zeros to whole vectors of four columns, and where each
// model's share of the statistics lies. Models, cells and clusters are numbered through all models of the sweep.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cuda/device_buffer.hpp"
#include "cuda/sweep_memory.hpp"
#include "host/kmeans.hpp"

namespace coterie::COTERIE_GPU {

struct PackedModel {
  std::int64_t centers;   // first of its (n_clusters, padded_columns) floats
  std::int64_t cells;     // first of its (n_clusters, n_columns) cells
  std::int32_t clusters;  // first of its clusters
  std::int32_t n_clusters;
  SweepMemory::Place labels;
};

class PackedModels {
 public:
  // Allocates what is missing and starts the upload; models may go away, this object not before the stream is through. labels: by model,
  // or none.
  void upload(std::span<const kmeans::Model* const> models, std::span<const SweepMemory::Place> labels, std::int32_t n_columns,
              cudaStream_t stream);

  std::int32_t padded_columns() const { return padded_columns_; }
  const std::vector<PackedModel>& layout() const { return layout_; }
  std::int64_t n_cells() const { return n_cells_; }
  std::int32_t n_clusters() const { return n_clusters_; }
  const float* centers() const { return device_centers_.data(); }
  const PackedModel* device_layout() const { return device_layout_.data(); }

 private:
  void pack(const kmeans::Model& model, float* to) const;

  std::int32_t n_columns_ = 0, padded_columns_ = 0, n_clusters_ = 0;
  std::int64_t n_cells_ = 0;
  std::vector<PackedModel> layout_;
  PinnedBuffer<float> centers_;
  DeviceBuffer<float> device_centers_;
  DeviceBuffer<PackedModel> device_layout_;
};

}  // namespace coterie::COTERIE_GPU
