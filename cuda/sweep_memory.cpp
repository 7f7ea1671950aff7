#include "cuda/sweep_memory.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace coterie::COTERIE_GPU {
namespace {

bool has_short_labels(const kmeans::Model& model) { return model.n_clusters <= std::numeric_limits<std::uint16_t>::max(); }

}  // namespace

void SweepMemory::begin(std::span<const kmeans::Model* const> models) {
  if (std::exchange(sweeping_, true)) known_.clear();  // the last sweep was cut short: some rows are ahead of the others
  models_.assign(models.begin(), models.end());
  std::map<const kmeans::Model*, Known> known;
  for (const kmeans::Model* model : models_) {
    const auto found = known_.find(model);
    if (found != known_.end() && found->second.n_clusters == model->n_clusters) known.insert(known_.extract(found));
  }
  known_ = std::move(known);
  if (known_.empty()) {  // the slots are cut anew
    n_slots_ = static_cast<std::int32_t>(std::count_if(models_.begin(), models_.end(), [](const auto* m) { return has_short_labels(*m); }));
    if (n_slots_ >= fewest_too_many_) n_slots_ = 0;
    capacity_ = n_slots_ > 0 ? static_cast<std::int64_t>(labels_.size()) / n_slots_ / 32 * 32 : 0;
  }
  taken_.assign(static_cast<std::size_t>(n_slots_), false);
  for (const auto& [model, remembered] : known_) taken_[static_cast<std::size_t>(remembered.slot)] = true;
  places_.clear();
  for (auto model = models_.begin(); model != models_.end(); ++model) {
    const auto found = known_.find(*model);
    const bool again = std::find(models_.begin(), model, *model) != model;
    if (again)
      places_.push_back({});
    else if (found != known_.end())
      places_.push_back({found->second.slot, false});
    else
      places_.push_back({has_short_labels(**model) ? free_slot() : -1, true});
  }
}

std::int32_t SweepMemory::free_slot() {
  const auto found = std::find(taken_.begin(), taken_.end(), false);
  if (found == taken_.end()) return -1;
  *found = true;
  return static_cast<std::int32_t>(found - taken_.begin());
}

// In a first sweep only: later ones have the same rows, so no model loses labels that its statistics count on.
void SweepMemory::give_up() {
  fewest_too_many_ = n_slots_;
  n_slots_ = 0;
  capacity_ = 0;
  labels_ = {};
}

void SweepMemory::grow(std::int64_t n_rows, cudaStream_t stream) {
  if (n_rows <= capacity_ || n_slots_ == 0) return;
  const std::int64_t row_bytes = n_slots_ * static_cast<std::int64_t>(sizeof(std::uint16_t)), most = most_bytes_ / row_bytes / 32 * 32;
  if (n_rows > most) return give_up();
  const std::int64_t capacity = std::min(most, (std::max(n_rows, 2 * capacity_) + 31) / 32 * 32);
  try {
    DeviceBuffer<std::uint16_t> larger(static_cast<std::size_t>(capacity * n_slots_));
    copy_on_device(larger.data(), labels_.data(), static_cast<std::size_t>(capacity_ * n_slots_), stream);
    labels_ = std::move(larger);
    capacity_ = capacity;
  } catch (const OutOfDeviceMemory&) {
    give_up();
  }
}

void SweepMemory::finish() {
  sweeping_ = false;
  if (labels_.data() == nullptr) return;
  for (std::size_t m = 0; m < models_.size(); ++m) {
    if (places_[m].slot >= 0) known_[models_[m]] = {places_[m].slot, models_[m]->n_clusters};
  }
}

}  // namespace coterie::COTERIE_GPU
