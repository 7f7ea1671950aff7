#include "cuda/packed_models.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "host/error.hpp"

namespace coterie::COTERIE_GPU {

void PackedModels::pack(const kmeans::Model& model, float* to) const {
  const float* from = model.cluster_centers.data();
  for (std::int32_t cluster = 0; cluster < model.n_clusters; ++cluster, from += n_columns_, to += padded_columns_)
    std::fill(std::copy_n(from, n_columns_, to), to + padded_columns_, 0.0f);
}

void PackedModels::upload(std::span<const kmeans::Model* const> models, std::span<const SweepMemory::Place> labels, std::int32_t n_columns,
                          cudaStream_t stream) {
  n_columns_ = n_columns;
  padded_columns_ = (n_columns + 3) / 4 * 4;
  n_cells_ = n_clusters_ = 0;
  layout_.clear();
  std::int64_t n_floats = 0;
  for (const kmeans::Model* model : models) {
    layout_.push_back({n_floats, n_cells_, n_clusters_, model->n_clusters, labels.empty() ? SweepMemory::Place{} : labels[layout_.size()]});
    n_floats += std::int64_t{model->n_clusters} * padded_columns_;
    n_cells_ += std::int64_t{model->n_clusters} * n_columns;
    n_clusters_ += model->n_clusters;
  }
  if (n_cells_ > std::numeric_limits<std::int32_t>::max())  // kernels count them in 32 bits
    throw ResourceError(fmt::format(
        "{} models of one sweep have {} cells of segments and columns together, and a GPU takes 2147483647. Ask for fewer segments or "
        "restarts at a time (--n-clusters, --n-init), or use --device cpu.",
        models.size(), n_cells_));
  centers_.ensure(static_cast<std::size_t>(n_floats));
  device_centers_.ensure(static_cast<std::size_t>(n_floats));
  device_layout_.ensure(layout_.size());
  for (std::size_t m = 0; m < models.size(); ++m) pack(*models[m], centers_.data() + layout_[m].centers);
  copy_to_device(device_centers_.data(), centers_.data(), static_cast<std::size_t>(n_floats), stream);
  copy_to_device(device_layout_.data(), layout_.data(), layout_.size(), stream);
}

}  // namespace coterie::COTERIE_GPU
