// The sums of a k-means sweep, on the device. Those of models whose labels are remembered (sweep_memory.hpp) stay from sweep to sweep, and
// move when other models leave or join.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cuda/device_buffer.hpp"
#include "cuda/packed_models.hpp"
#include "host/kmeans.hpp"

namespace coterie::COTERIE_GPU {

// Where they lie: (n_cells) limbs of 2^0 of the sums of w * q and as many of 2^32; (n_clusters) sums of w; (n_clusters) rows of positive
// weight; what a sweep counts besides.
struct SumsLayout {
  static constexpr std::size_t kCounters = 2;
  std::size_t n_cells = 0, n_clusters = 0;

  std::size_t high() const { return n_cells; }
  std::size_t weights() const { return 2 * n_cells; }
  std::size_t rows() const { return weights() + n_clusters; }
  std::size_t counters() const { return rows() + n_clusters; }
  std::size_t size() const { return counters() + kCounters; }
  bool operator==(const SumsLayout&) const = default;
};

class SweepSums {
 public:
  void begin(std::span<const kmeans::Model* const> models, const PackedModels& packed, cudaStream_t stream);
  const SumsLayout& layout() const { return layout_; }
  std::int64_t* on_device() const { return sums_.data(); }

  // Brings all of it to the host, and has the counters begin anew; on_host() once the stream is through.
  void finish(cudaStream_t stream);
  const std::int64_t* on_host() const { return host_->data(); }  // limbs in the order of WideSums: all high, all low
  // Of a model. Its sums use the memory of on_host(), which later sweeps then leave to them.
  kmeans::Statistics statistics(std::size_t m) const;

 private:
  bool are_in_place(std::span<const kmeans::Model* const> models, const PackedModels& packed) const;
  void move(std::span<const kmeans::Model* const> models, const PackedModels& packed, const SumsLayout& layout, cudaStream_t stream);

  SumsLayout layout_;
  std::vector<const kmeans::Model*> models_;  // of the last sweep
  std::vector<PackedModel> places_;           // likewise
  DeviceBuffer<std::int64_t> sums_, other_;
  std::shared_ptr<PinnedBuffer<std::int64_t>> host_;
};

}  // namespace coterie::COTERIE_GPU
