// The histogram of the next digit on the device: one thread per cell, integer atomics in device memory, so that the order of the
// threads does not show. After the first digit few cells still share a prefix, and few atomics meet.
#include "cuda/quantiles_pass.hpp"

#include "cuda/device_tile.hpp"
#include "cuda/segment_rows.cuh"

namespace coterie::COTERIE_GPU {

// histogram: (n_groups, n_columns, kBins) weight steps by the first digit
template <class Cell>
__global__ void __launch_bounds__(kCellThreads) count_first_digits_kernel(SegmentRows<Cell> rows, std::int64_t* histogram) {
  constexpr int kShift = 8 * sizeof(Cell) - quantiles::kDigitBits;
  constexpr std::int64_t kBins = quantiles::kBins;
  for_each_cell(rows, [&](Cell x, std::int64_t group, std::int32_t column, std::int64_t weight) {
    if (x == x) atomic_add(&histogram[(group * rows.n_columns + column) * kBins + (device_key(x) >> kShift)], weight);
  });
}

// What the sweeps have found, on the device.
struct Digits {
  const std::uint64_t* prefixes;  // (n_segments + 1, n_columns, n_quantiles)
  std::int64_t n_quantiles;
  int shift;
  std::int64_t* histogram;  // (n_segments + 1, n_columns, n_quantiles, kBins)
};

// A key that begins with the prefix, xor the prefix, without the digits that come later, is the next digit; any other key gives more.
template <class Key>
__device__ void count_next_digit(const Digits& digits, Key key, std::int64_t cell, std::int64_t weight) {
  constexpr std::int64_t kBins = quantiles::kBins;
  for (std::int64_t entry = cell * digits.n_quantiles; entry < (cell + 1) * digits.n_quantiles; ++entry) {
    const Key digit = (key ^ static_cast<Key>(digits.prefixes[entry])) >> digits.shift;
    if (digit < quantiles::kDigits) atomic_add(&digits.histogram[entry * kBins + static_cast<std::int64_t>(digit)], weight);
  }
}

// Every cell counts for its segment and for the population.
template <class Cell>
__global__ void __launch_bounds__(kCellThreads) count_next_digits_kernel(SegmentRows<Cell> rows, Digits digits) {
  for_each_cell(rows, [&](Cell x, std::int64_t group, std::int32_t column, std::int64_t weight) {
    if (x != x) return;
    const auto key = device_key(x);
    count_next_digit(digits, key, std::int64_t{rows.n_segments} * rows.n_columns + column, weight);
    if (group < rows.n_segments) count_next_digit(digits, key, group * rows.n_columns + column, weight);
  });
}

namespace {

class QuantilesPass final : public quantiles::Pass {
 public:
  explicit QuantilesPass(DeviceContext& device) : device_(device) {}

  void begin(const quantiles::Search& search) override {
    search_ = &search;
    size_ = (search.known_digits == 0 ? search.scope.n_cells() : search.ranks.size()) * quantiles::kBins;
    histogram_.ensure(size_);
    prefixes_.ensure(search.prefixes.size());
    fill_zero(histogram_.data(), size_, stream());
    copy_to_device(prefixes_.data(), search.prefixes.data(), search.prefixes.size(), stream());
  }

  void accumulate(const Tile& host_or_device_tile) override {
    const Tile& tile = device_tile_.get(host_or_device_tile, stream());
    if (tile.n_rows > 0) visit_cells(tile, [&](const auto* x) { count(SegmentRows(tile, x, search_->scope)); });
  }

  quantiles::Statistics finish() override {
    quantiles::Statistics statistics{std::vector<std::int64_t>(size_)};
    copy_to_host(statistics.histogram.data(), histogram_.data(), size_, stream());
    device_.compute.synchronize();
    return statistics;
  }

 private:
  cudaStream_t stream() const { return device_.compute.get(); }

  template <class Cell>
  void count(const SegmentRows<Cell>& rows) const {
    const Launch how(count_cell_blocks(rows, device_.device.multiprocessors), kCellThreads, 0, stream());
    if (search_->known_digits == 0) {
      launch(count_first_digits_kernel<Cell>, how, rows, histogram_.data());
    } else {
      const auto n_quantiles = static_cast<std::int64_t>(search_->per_mille.size());
      launch(count_next_digits_kernel<Cell>, how, rows, Digits{prefixes_.data(), n_quantiles, search_->shift(), histogram_.data()});
    }
  }

  DeviceContext& device_;
  const quantiles::Search* search_ = nullptr;
  std::size_t size_ = 0;                  // of the histogram
  DeviceBuffer<std::int64_t> histogram_;  // quantiles::Statistics
  DeviceBuffer<std::uint64_t> prefixes_;  // (n_segments + 1, n_columns, n_quantiles)
  DeviceTile device_tile_;
};

}  // namespace

std::unique_ptr<quantiles::Pass> make_quantiles_pass(DeviceContext& device) { return std::make_unique<QuantilesPass>(device); }

}  // namespace coterie::COTERIE_GPU
