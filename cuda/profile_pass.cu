// The sweeps of a profile on the device: uploads scopes and frames, launches once per tile, and turns what the kernels of
// profile_cells.cuh have summed into statistics.
#include "cuda/profile_pass.hpp"

#include <cmath>
#include <limits>

#include "cuda/device_tile.hpp"
#include "cuda/profile_cells.cuh"
#include "cuda/quantiles_pass.hpp"
#include "host/ordered_key.hpp"

namespace coterie::COTERIE_GPU {
namespace {

class CountsPass final : public profile::CountsPass {
 public:
  explicit CountsPass(DeviceContext& device) : device_(device) {}

  void begin(const SegmentScope& scope) override {
    scope_ = scope;
    integers_.ensure(n_integers());
    keys_.ensure(2 * scope.n_cells());
    fill_zero(integers_.data(), n_integers(), stream());
    fill_zero(keys_.data(), 2 * scope.n_cells(), stream());
  }

  void accumulate(const Tile& host_or_device_tile) override {
    const Tile& tile = device_tile_.get(host_or_device_tile, stream());
    if (tile.n_rows > 0) visit_cells(tile, [&](const auto* x) { count(SegmentRows(tile, x, scope_)); });
  }

  profile::Counts finish() override {
    std::vector<std::int64_t> integers(n_integers());
    std::vector<std::uint64_t> keys(2 * scope_.n_cells());
    copy_to_host(integers.data(), integers_.data(), integers.size(), stream());
    copy_to_host(keys.data(), keys_.data(), keys.size(), stream());
    device_.compute.synchronize();
    profile::Counts counts;
    auto next = integers.cbegin();
    const auto take = [&next](std::vector<std::int64_t>& field, std::size_t size) {
      field.assign(next, next + static_cast<std::ptrdiff_t>(size));
      next += static_cast<std::ptrdiff_t>(size);
    };
    take(counts.rows, scope_.n_groups());
    take(counts.weight, scope_.n_groups());
    for (auto* field : {&counts.known_rows, &counts.known_weight, &counts.nonzero_weight}) take(*field, scope_.n_cells());
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < scope_.n_cells(); ++i) {
      const std::uint64_t largest = keys[i], smallest = keys[scope_.n_cells() + i];
      counts.max.push_back(largest == 0 ? -kInfinity : from_ordered_key<double>(largest));
      counts.min.push_back(smallest == 0 ? kInfinity : from_ordered_key<double>(~smallest));
    }
    return counts;
  }

 private:
  cudaStream_t stream() const { return device_.compute.get(); }
  std::size_t n_integers() const { return 2 * scope_.n_groups() + 3 * scope_.n_cells(); }

  template <class Cell>
  void count(const SegmentRows<Cell>& rows) const {
    const std::size_t n_groups = scope_.n_groups(), n_cells = scope_.n_cells();
    std::int64_t* const of_cells = integers_.data() + 2 * n_groups;
    const DeviceCounts counts{.rows = integers_.data(),
                              .weight = integers_.data() + n_groups,
                              .known_rows = of_cells,
                              .known_weight = of_cells + n_cells,
                              .nonzero_weight = of_cells + 2 * n_cells,
                              .largest = keys_.data(),
                              .smallest = keys_.data() + n_cells};
    launch(count_cells_kernel<Cell>, {count_cell_blocks(rows, device_.device.multiprocessors), kCellThreads, 0, stream()}, rows, counts);
  }

  DeviceContext& device_;
  SegmentScope scope_;
  DeviceBuffer<std::int64_t> integers_;  // as DeviceCounts, one field after the other
  DeviceBuffer<std::uint64_t> keys_;     // (2, n_groups, n_columns) largest, smallest
  DeviceTile device_tile_;
};

class MomentsPass final : public profile::MomentsPass {
 public:
  explicit MomentsPass(DeviceContext& device) : device_(device) {}

  void begin(const profile::Frame& frame) override {
    scope_ = frame.scope;
    const std::size_t n = scope_.n_cells();
    std::vector<double> units(3 * n);
    for (std::size_t i = 0; i < n; ++i) {
      units[i] = std::ldexp(1.0, -frame.exponent[i]);
      units[n + i] = frame.pivot[i] * units[i];
      units[2 * n + i] = std::ldexp(1.0, frame.fraction_bits[i]);
    }
    units_.ensure(units.size());
    copy_to_device(units_.data(), units.data(), units.size(), stream());
    limbs_.ensure(2 * kMomentLimbs * n);
    fill_zero(limbs_.data(), 2 * kMomentLimbs * n, stream());
    scratch_.ensure(2 * n * slots());
    fill_zero(scratch_.data(), 2 * n * slots(), stream());
  }

  void accumulate(const Tile& host_or_device_tile) override {
    const Tile& tile = device_tile_.get(host_or_device_tile, stream());
    if (tile.n_rows > 0) visit_cells(tile, [&](const auto* x) { add(SegmentRows(tile, x, scope_)); });
  }

  profile::MomentSums finish() override {
    const std::size_t n = scope_.n_cells();
    std::vector<std::int64_t> limbs(2 * kMomentLimbs * n);
    copy_to_host(limbs.data(), limbs_.data(), limbs.size(), stream());
    device_.compute.synchronize();
    profile::MomentSums result{WideSums(n), WideSums(n)};
    for (std::size_t i = 0; i < n; ++i) {
      result.sums.add(i, value_of(limbs.data() + i, n));
      result.squares.add(i, value_of(limbs.data() + kMomentLimbs * n + i, n));
    }
    return result;
  }

 private:
  cudaStream_t stream() const { return device_.compute.get(); }

  // limbs: (kMomentLimbs) of one entry, n apart
  static int128 value_of(const std::int64_t* limbs, std::size_t n) {
    constexpr std::int64_t kLimb = std::int64_t{1} << 32;
    return (static_cast<int128>(limbs[2 * n]) * kLimb + limbs[n]) * kLimb + limbs[0];
  }

  // Blocks of rows at work at the same time: enough to fill the device, in at most 64 MB of scratch.
  std::size_t slots() const {
    constexpr std::size_t kScratchBytes = std::size_t{64} << 20;
    constexpr std::size_t kSlotsPerMultiprocessor = 16;  // of kMomentThreads threads: 2048, all that a multiprocessor can hold
    const std::size_t fit = kScratchBytes / (2 * sizeof(double) * std::max(scope_.n_cells(), std::size_t{1}));
    return std::clamp<std::size_t>(fit, 1, kSlotsPerMultiprocessor * static_cast<std::size_t>(device_.device.multiprocessors));
  }

  template <class Cell>
  void add(const SegmentRows<Cell>& rows) const {
    const std::size_t n = scope_.n_cells();
    const DeviceMoments moments{.n_cells = static_cast<std::int64_t>(n),
                                .scale = units_.data(),
                                .scaled_pivot = units_.data() + n,
                                .quanta = units_.data() + 2 * n,
                                .scratch = scratch_.data(),
                                .limbs = limbs_.data()};
    const auto n_blocks = static_cast<std::size_t>((rows.n_rows + kBlockRows - 1) / kBlockRows);
    const auto column_blocks = static_cast<unsigned>((rows.n_columns + kMomentThreads - 1) / kMomentThreads);
    const dim3 grid(static_cast<unsigned>(std::min(n_blocks, slots())), column_blocks);
    launch(add_moments_kernel<Cell>, {grid, kMomentThreads, 0, stream()}, rows, moments);
  }

  DeviceContext& device_;
  SegmentScope scope_;
  DeviceBuffer<double> units_;        // (3, n_groups, n_columns) scale, scaled pivot, quanta
  DeviceBuffer<double> scratch_;      // (slots, 2, n_groups, n_columns)
  DeviceBuffer<std::int64_t> limbs_;  // (2, kMomentLimbs, n_groups, n_columns)
  DeviceTile device_tile_;
};

}  // namespace

profile::Passes make_profile_passes(DeviceContext& device) {
  return {std::make_unique<CountsPass>(device), std::make_unique<MomentsPass>(device), make_quantiles_pass(device)};
}

}  // namespace coterie::COTERIE_GPU
