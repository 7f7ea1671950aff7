#include "cuda/sweep_sums.hpp"

#include <algorithm>

#include "cuda/kernel.hpp"

namespace coterie::COTERIE_GPU {
namespace {

constexpr unsigned kThreads = 256;

struct SumsOut {
  std::int64_t* sums;  // SumsLayout
  std::int64_t n_cells, n_counts, n_counters;
  std::int64_t* host;
};

// One thread per cell or count: writes to the memory of the host, neighbours side by side. Limbs carry on the way, so that no number of
// sweeps makes them overflow.
__global__ void __launch_bounds__(kThreads) finish_sums_kernel(SumsOut job) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < job.n_cells) {
    const std::int64_t sum = job.sums[i], high = job.sums[job.n_cells + i] + (sum >> 32), low = sum & 0xffffffff;
    job.sums[i] = low;
    job.sums[job.n_cells + i] = high;
    job.host[i] = high >> 16;  // of 2^48
    job.host[job.n_cells + i] = (high & 0xffff) << 32 | low;
    return;
  }
  const std::int64_t count = i - job.n_cells, at = job.n_cells + i;
  if (count >= job.n_counts + job.n_counters) return;
  job.host[at] = job.sums[at];
  if (count >= job.n_counts) job.sums[at] = 0;
}

}  // namespace

bool SweepSums::are_in_place(std::span<const kmeans::Model* const> models, const PackedModels& packed) const {
  for (std::size_t m = 0; m < models.size(); ++m) {
    if (packed.layout()[m].labels.fresh || m >= models_.size() || models_[m] != models[m]) return false;
  }
  return models.size() == models_.size();
}

// From where the last sweep had them; of others zeros.
void SweepSums::move(std::span<const kmeans::Model* const> models, const PackedModels& packed, const SumsLayout& layout,
                     cudaStream_t stream) {
  other_.ensure(layout.size());
  fill_zero(other_.data(), layout.size(), stream);
  for (std::size_t m = 0; m < models.size(); ++m) {
    const PackedModel& to = packed.layout()[m];
    if (to.labels.fresh) continue;
    const auto before = static_cast<std::size_t>(std::find(models_.begin(), models_.end(), models[m]) - models_.begin());
    const auto copy = [&](std::size_t to_first, std::size_t from_first, std::int64_t n) {
      copy_on_device(other_.data() + to_first, sums_.data() + from_first, static_cast<std::size_t>(n), stream);
    };
    const PackedModel& from = places_[before];
    const auto to_cells = static_cast<std::size_t>(to.cells), from_cells = static_cast<std::size_t>(from.cells);
    const auto to_clusters = static_cast<std::size_t>(to.clusters), from_clusters = static_cast<std::size_t>(from.clusters);
    const std::int64_t n_cells = std::int64_t{to.n_clusters} * packed.n_columns();
    copy(to_cells, from_cells, n_cells);
    copy(layout.high() + to_cells, layout_.high() + from_cells, n_cells);
    copy(layout.weights() + to_clusters, layout_.weights() + from_clusters, to.n_clusters);
    copy(layout.rows() + to_clusters, layout_.rows() + from_clusters, to.n_clusters);
  }
  std::swap(sums_, other_);
}

void SweepSums::begin(std::span<const kmeans::Model* const> models, const PackedModels& packed, cudaStream_t stream) {
  const SumsLayout layout{static_cast<std::size_t>(packed.n_cells()), static_cast<std::size_t>(packed.n_clusters())};
  const auto& places = packed.layout();
  if (std::all_of(places.begin(), places.end(), [](const PackedModel& model) { return model.labels.fresh; })) {
    sums_.ensure(layout.size());
    fill_zero(sums_.data(), layout.size(), stream);
  } else if (!are_in_place(models, packed)) {
    move(models, packed, layout, stream);
  }
  layout_ = layout;
  models_.assign(models.begin(), models.end());
  places_ = places;
  if (host_.use_count() != 1 || host_->size() < layout.size()) {
    host_.reset();  // may be the last to need it
    host_ = std::make_shared<PinnedBuffer<std::int64_t>>(layout.size());
  }
}

void SweepSums::finish(cudaStream_t stream) {
  const auto n = static_cast<std::int64_t>(layout_.size() - layout_.high());
  const SumsOut job{.sums = sums_.data(),
                    .n_cells = static_cast<std::int64_t>(layout_.n_cells),
                    .n_counts = static_cast<std::int64_t>(layout_.counters() - layout_.weights()),
                    .n_counters = SumsLayout::kCounters,
                    .host = host_->data()};
  launch(finish_sums_kernel, {static_cast<unsigned>((n + kThreads - 1) / kThreads), kThreads, 0, stream}, job);
}

kmeans::Statistics SweepSums::statistics(std::size_t m) const {
  const PackedModel& model = places_[m];
  const auto k = static_cast<std::size_t>(model.n_clusters);
  std::int64_t* const sums = host_->data() + model.cells;
  const std::int64_t *const weights = host_->data() + layout_.weights() + model.clusters, *const rows = weights + layout_.n_clusters;
  return {.center_sums = WideSums(host_, k * static_cast<std::size_t>(models_[m]->n_columns), sums, sums + layout_.n_cells),
          .weight_in_clusters = std::vector<std::int64_t>(weights, weights + k),
          .rows_in_clusters = std::vector<std::int64_t>(rows, rows + k),
          .farthest = {}};
}

}  // namespace coterie::COTERIE_GPU
