// The histogram of the next digit on the device, of all cells in the first sweep and then of those that share a prefix: a cell counts in
// one of its slots at most (host/digit_slots.hpp).
#include "cuda/quantiles_pass.hpp"

#include "cuda/device_tile.hpp"
#include "cuda/row_strip.cuh"
#include "cuda/segment_rows.cuh"
#include "host/digit_slots.hpp"
#include "host/error.hpp"
#include "host/ordered_key.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr int kDigitThreads = 1024;

// Prefixes that a group and column look for, the latest known digit above a code in the place of the next one: the number of the quantile,
// and for the population's n_entries more.
template <class Key>
using Wanted = Four<Key>;
template <class Key>
inline constexpr Key kNotWanted = ~Key{0};  // as begins no number

template <class Key>
struct Digits {
  const Wanted<Key>* wanted;  // (n_groups, n_wanted, n_columns)
  std::int32_t n_wanted;      // 0 in the first sweep, which counts every cell in the only entry
  std::int32_t n_entries;
  std::int32_t shift;
  std::int64_t* histogram;  // (n_groups, n_columns, n_entries, kBins)
};

// The code of the prefix that the digits begin with; kDigits or more where it is none of those. wanted: of the group and column, `step`
// from one to the next
template <class Key>
__device__ __forceinline__ Key find_code(const Wanted<Key>* wanted, std::int32_t n_wanted, std::int32_t step, Key digits) {
  const Key known = digits / quantiles::kDigits * quantiles::kDigits;
  Key code = kNotWanted<Key>;
#pragma unroll 1
  for (std::int32_t i = 0; i < n_wanted; ++i, wanted += step) {
    const Wanted<Key> four = *wanted;
#pragma unroll
    for (const Key key : four.value) code = min(code, key ^ known);
  }
  return code;
}

template <class Cell, class Key, bool kShared>
__global__ void __launch_bounds__(kDigitThreads, 1) count_digits_kernel(SegmentRows<Cell> rows, Slices slices, Digits<Key> digits) {
  constexpr auto kBins = static_cast<std::int32_t>(quantiles::kBins);
  constexpr Key kLast = quantiles::kDigits - 1;
  SHARED_BYTES(memory);
  const Slice slice = own_slice(rows, slices);
  const std::int32_t n_groups = rows.n_segments + 1, n_runs = n_groups * digits.n_wanted;
  auto* const own = reinterpret_cast<Wanted<Key>*>(memory);  // (n_groups, n_wanted, columns), before the words
  const CellSums<kShared> sums{slice, n_groups, digits.n_entries * kBins, digits.histogram,
                               kShared ? reinterpret_cast<std::uint32_t*>(own + slice.at(n_runs, 0)) : nullptr};
  sums.clear();
  if constexpr (kShared)
    for_block(slice.at(n_runs, 0),
              [&](std::int32_t i) { own[i] = digits.wanted[slice.among_all(i / slice.n_columns, i % slice.n_columns)]; });
  __syncthreads();
  for_each_cell(rows, slice, [&](const GroupCell<Cell>& cell, std::int32_t column) {
    if (cell.x != cell.x) return;
    const Key key = device_key(cell.x) >> digits.shift;
    std::int32_t group = cell.group, entry = 0;
    if (digits.n_wanted > 0) {
      const std::int32_t run = group * digits.n_wanted, step = kShared ? slice.n_columns : slice.all_columns;
      const Wanted<Key>* const wanted = kShared ? own + slice.at(run, column) : digits.wanted + slice.among_all(run, column);
      const Key code = find_code(wanted, digits.n_wanted, step, key);
      if (code > kLast) return;
      entry = static_cast<std::int32_t>(code);
      if (entry >= digits.n_entries) {
        entry -= digits.n_entries;
        group = rows.n_segments;
      }
    }
    sums.add(group, column, entry * kBins + static_cast<std::int32_t>(key & kLast), cell.weight);
  });
  __syncthreads();
  sums.close();
}

namespace {

class QuantilesPass final : public quantiles::Pass {
 public:
  explicit QuantilesPass(DeviceContext& device) : device_(device) {}

  void begin(const quantiles::Search& search) override {
    if (2 * search.per_mille.size() > quantiles::kDigits) throw InternalError("a quantile search asks for more quantiles than codes");
    search_ = &search;
    n_entries_ = search.known_digits == 0 ? 1 : search.per_mille.size();
    size_ = search.scope.n_cells() * n_entries_ * quantiles::kBins;
    histogram_.ensure(size_);
    fill_zero(histogram_.data(), size_, stream());
    if (search.wide)
      upload_wanted(wide_);
    else
      upload_wanted(narrow_);
  }

  void accumulate(const Tile& host_or_device_tile) override {
    const Tile& tile = device_tile_.get(host_or_device_tile, stream());
    if (tile.n_rows == 0) return;
    if (tile.wide != nullptr)
      count(SegmentRows(tile, tile.wide, search_->scope), wide_);
    else
      count(SegmentRows(tile, tile.x, search_->scope), narrow_);
  }

  quantiles::Statistics finish() override {
    host_histogram_.ensure(size_);
    copy_to_host(host_histogram_.data(), histogram_.data(), size_, stream());
    device_.compute.synchronize();
    quantiles::Statistics statistics{{host_histogram_.data(), host_histogram_.data() + size_}};
    for (std::int32_t column = 0; column < search_->scope.n_columns; ++column)
      quantiles::share_counts(*search_, column, statistics.histogram.data());
    return statistics;
  }

 private:
  template <class Key>
  using WantedBuffer = DeviceBuffer<Wanted<Key>>;

  cudaStream_t stream() const { return device_.compute.get(); }

  template <class Key>
  void upload_wanted(WantedBuffer<Key>& buffer) {
    n_wanted_ = 0;
    if (search_->known_digits == 0) return;
    const SegmentScope& scope = search_->scope;
    std::vector<std::vector<quantiles::Slot>> slots;  // (n_groups, n_columns)
    std::size_t most = 0;
    for (std::size_t group = 0; group < scope.n_groups(); ++group) {
      for (std::int32_t column = 0; column < scope.n_columns; ++column) {
        slots.push_back(quantiles::find_slots(*search_, group, column));
        most = std::max(most, slots.back().size());
      }
    }
    n_wanted_ = (most + 3) / 4;
    constexpr Key kNone = kNotWanted<Key>;
    std::vector<Wanted<Key>> wanted(slots.size() * n_wanted_, Wanted<Key>{kNone, kNone, kNone, kNone});
    for (std::size_t cell = 0; cell < slots.size(); ++cell) {
      const auto n_columns = static_cast<std::size_t>(scope.n_columns), first = cell / n_columns * n_wanted_ * n_columns + cell % n_columns;
      for (std::size_t i = 0; i < slots[cell].size(); ++i)
        wanted[first + i / 4 * n_columns].value[i % 4] = wanted_key<Key>(slots[cell][i], cell);
    }
    upload(buffer, wanted, stream());
  }

  // cell: a group and column, which look for the slot
  template <class Key>
  Key wanted_key(const quantiles::Slot& slot, std::size_t cell) const {
    const bool of_population = slot.entry / n_entries_ != cell;
    return static_cast<Key>(slot.prefix >> search_->shift()) | static_cast<Key>(slot.entry % n_entries_ + (of_population ? n_entries_ : 0));
  }

  template <class Cell, class Key = OrderedKey<Cell>>
  void count(const SegmentRows<Cell>& rows, const WantedBuffer<Key>& wanted) const {
    const std::size_t group_bytes = n_wanted_ * sizeof(Wanted<Key>) + n_entries_ * quantiles::kBins * sizeof(std::uint32_t);
    const Slices slices = choose_slices(rows.n_columns, kDigitThreads, search_->scope.n_groups() * group_bytes, 0, device_.shared_bytes);
    const Digits<Key> digits{.wanted = wanted.data(),
                             .n_wanted = static_cast<std::int32_t>(n_wanted_),
                             .n_entries = static_cast<std::int32_t>(n_entries_),
                             .shift = search_->shift(),
                             .histogram = histogram_.data()};
    launch_slices(slices.shared ? count_digits_kernel<Cell, Key, true> : count_digits_kernel<Cell, Key, false>, kDigitThreads, device_,
                  rows, slices, digits);
  }

  DeviceContext& device_;
  const quantiles::Search* search_ = nullptr;
  std::size_t n_entries_ = 0, n_wanted_ = 0;
  std::size_t size_ = 0;                  // of the histogram
  DeviceBuffer<std::int64_t> histogram_;  // quantiles::Statistics
  PinnedBuffer<std::int64_t> host_histogram_;
  WantedBuffer<std::uint32_t> narrow_;  // Digits::wanted of floats, else
  WantedBuffer<std::uint64_t> wide_;    // of doubles
  DeviceTile device_tile_;
};

}  // namespace

std::unique_ptr<quantiles::Pass> make_quantiles_pass(DeviceContext& device) { return std::make_unique<QuantilesPass>(device); }

}  // namespace coterie::COTERIE_GPU
