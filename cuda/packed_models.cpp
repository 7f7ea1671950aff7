#include "cuda/packed_models.hpp"

#include <limits>

namespace coterie::COTERIE_GPU {
namespace {

constexpr std::int32_t kGroup = 8;  // of nearest_centers.cuh, which only a .cu may include

}  // namespace

void PackedModels::pack(const kmeans::Model& model, float* to) const {
  const std::int32_t n_groups = (model.n_clusters + kGroup - 1) / kGroup;
  for (std::int32_t group = 0; group < n_groups; ++group) {
    for (std::int32_t j = 0; j < padded_columns_; ++j) {
      for (std::int32_t i = 0; i < kGroup; ++i) {
        const std::int32_t cluster = group * kGroup + i;
        if (cluster >= model.n_clusters)
          *to++ = std::numeric_limits<float>::infinity();
        else
          *to++ = j < n_columns_ ? model.cluster_centers[static_cast<std::size_t>(cluster) * static_cast<std::size_t>(n_columns_) +
                                                         static_cast<std::size_t>(j)]
                                 : 0.0f;
      }
    }
  }
}

void PackedModels::upload(std::span<const kmeans::Model* const> models, std::int32_t n_columns, cudaStream_t stream) {
  n_columns_ = n_columns;
  padded_columns_ = (n_columns + 3) / 4 * 4;
  n_cells_ = n_clusters_ = 0;
  layout_.clear();
  std::int64_t n_floats = 0;
  for (const kmeans::Model* model : models) {
    const std::int32_t n_groups = (model->n_clusters + kGroup - 1) / kGroup;
    layout_.push_back({n_floats, n_cells_, n_clusters_, model->n_clusters, n_groups});
    n_floats += std::int64_t{n_groups} * kGroup * padded_columns_;
    n_cells_ += std::int64_t{model->n_clusters} * n_columns;
    n_clusters_ += model->n_clusters;
  }
  centers_.ensure(static_cast<std::size_t>(n_floats));
  device_centers_.ensure(static_cast<std::size_t>(n_floats));
  device_layout_.ensure(layout_.size());
  for (std::size_t m = 0; m < models.size(); ++m) pack(*models[m], centers_.data() + layout_[m].centers);
  copy_to_device(device_centers_.data(), centers_.data(), static_cast<std::size_t>(n_floats), stream);
  copy_to_device(device_layout_.data(), layout_.data(), layout_.size(), stream);
}

}  // namespace coterie::COTERIE_GPU
