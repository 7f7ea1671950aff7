// What a k-means pass remembers from one sweep to the next: the label of every row under every model, on the device. A sweep then adds
// only the rows that change their center to the sums that go with these labels (sweep_sums.hpp), whatever the centers have done in
// between; that every sweep of a pass reads the same rows with the same weights is its contract (host/kmeans.hpp).
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <vector>

#include "cuda/device_buffer.hpp"
#include "host/kmeans.hpp"

namespace coterie::COTERIE_GPU {

// The labels of all models, 32 rows of one model side by side: (rows / 32, n_slots, 32).
struct KeptLabels {
  std::uint16_t* first = nullptr;  // nullptr: none are kept
  std::int64_t first_row = 0;      // of a tile, in the pass
  std::int32_t n_slots = 0;
};

class SweepMemory {
 public:
  // Where the labels of a model are kept, -1: nowhere. fresh: what lies there means nothing.
  struct Place {
    std::int32_t slot = -1;
    bool fresh = true;
  };

  // most_bytes: of labels. Without room for those of all models nothing is kept.
  explicit SweepMemory(std::int64_t most_bytes) : most_bytes_(most_bytes) {}

  // Before a sweep. A model is known by its address.
  void begin(std::span<const kmeans::Model* const> models);
  const std::vector<Place>& places() const { return places_; }
  // Makes room for the first n_rows rows, all of a pass so far.
  void grow(std::int64_t n_rows, cudaStream_t stream);
  // From a row of the pass on.
  KeptLabels labels_from(std::int64_t row) const { return {labels_.data(), row, n_slots_}; }
  void finish();  // a sweep

 private:
  struct Known {
    std::int32_t slot = -1, n_clusters = 0;
  };
  std::int32_t free_slot();
  void give_up();

  std::int64_t most_bytes_;
  bool sweeping_ = false;
  std::int32_t n_slots_ = 0, fewest_too_many_ = std::numeric_limits<std::int32_t>::max();  // slots that memory had no room for
  std::int64_t capacity_ = 0;                                                              // rows
  DeviceBuffer<std::uint16_t> labels_;
  std::map<const kmeans::Model*, Known> known_;
  std::vector<const kmeans::Model*> models_;  // of this sweep
  std::vector<Place> places_;                 // likewise
  std::vector<bool> taken_;                   // (n_slots)
};

}  // namespace coterie::COTERIE_GPU
