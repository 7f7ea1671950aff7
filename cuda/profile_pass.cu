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
    wide_ = false;
    integers_.ensure(n_integers());
    keys_.ensure(2 * scope.n_cells());
    fill_zero(integers_.data(), n_integers(), stream());
    fill_zero(keys_.data(), 2 * scope.n_cells(), stream());
  }

  void accumulate(const Tile& host_or_device_tile) override {
    const Tile& tile = device_tile_.get(host_or_device_tile, stream());
    wide_ = tile.wide != nullptr;  // as every tile of the source
    if (tile.n_rows > 0) visit_cells(tile, [&](const auto* x) { count(SegmentRows(tile, x, scope_)); });
  }

  profile::Counts finish() override {
    std::vector<std::int64_t> integers(n_integers());
    std::vector<std::uint64_t> keys(2 * scope_.n_cells());
    copy_to_host(integers.data(), integers_.data(), integers.size(), stream());
    copy_to_host(keys.data(), keys_.data(), keys.size(), stream());
    device_.compute.synchronize();
    profile::Counts counts;
    take_integers(integers.data(), counts);
    if (wide_)
      take_extremes<double>(keys, counts);
    else
      take_extremes<float>(keys, counts);
    return counts;
  }

 private:
  cudaStream_t stream() const { return device_.compute.get(); }
  std::size_t n_integers() const { return kRowCounts * scope_.n_groups() + kCellCounts * scope_.n_cells(); }

  // integers: as integers_
  void take_integers(const std::int64_t* integers, profile::Counts& counts) const {
    const std::int64_t* of_cell = integers + kRowCounts * scope_.n_groups();
    for (std::size_t group = 0; group < scope_.n_groups(); ++group) {
      const std::int64_t* const of_rows = integers + kRowCounts * group;
      counts.rows.push_back(of_rows[kRows]);
      counts.weight.push_back(of_rows[kWeight]);
      for (std::int32_t column = 0; column < scope_.n_columns; ++column, of_cell += kCellCounts) {
        counts.known_rows.push_back(of_rows[kRows] - of_cell[kMissingRows]);
        counts.known_weight.push_back(of_rows[kWeight] - of_cell[kMissingWeight]);
        counts.nonzero_weight.push_back(counts.known_weight.back() - of_cell[kZeroWeight]);
      }
    }
  }

  // keys: as keys_
  template <class Cell>
  void take_extremes(const std::vector<std::uint64_t>& keys, profile::Counts& counts) const {
    constexpr Cell kInfinity = std::numeric_limits<Cell>::infinity();
    for (std::size_t i = 0; i < scope_.n_cells(); ++i) {
      const auto largest = static_cast<OrderedKey<Cell>>(keys[i]), smallest = static_cast<OrderedKey<Cell>>(keys[scope_.n_cells() + i]);
      counts.max.push_back(largest == 0 ? -kInfinity : from_ordered_key<Cell>(largest));
      counts.min.push_back(smallest == 0 ? kInfinity : from_ordered_key<Cell>(static_cast<OrderedKey<Cell>>(~smallest)));
    }
  }

  template <class Cell>
  void count(const SegmentRows<Cell>& rows) const {
    const std::size_t n_groups = scope_.n_groups();
    const Slices slices =
        choose_slices(rows.n_columns, kCountThreads, n_groups * kCellCountBytes<Cell>, n_groups * kRowCountBytes, device_.shared_bytes);
    launch_slices(slices.shared ? count_cells_kernel<Cell, true> : count_cells_kernel<Cell, false>, kCountThreads, device_, rows, slices,
                  DeviceCounts{integers_.data(), integers_.data() + kRowCounts * n_groups, keys_.data()});
  }

  DeviceContext& device_;
  SegmentScope scope_;
  bool wide_ = false;                    // cells of the sweep
  DeviceBuffer<std::int64_t> integers_;  // DeviceCounts::of_rows, of_cells
  DeviceBuffer<std::uint64_t> keys_;     // DeviceCounts::extremes
  DeviceTile device_tile_;
};

class MomentsPass final : public profile::MomentsPass {
 public:
  explicit MomentsPass(DeviceContext& device) : device_(device) {}

  void begin(const profile::Frame& frame) override {
    scope_ = frame.scope;
    const std::size_t n = scope_.n_cells();
    std::vector<MomentUnits> units(n);
    std::vector<double> quanta(n);
    for (std::size_t i = 0; i < n; ++i) {
      const double scale = std::ldexp(1.0, -frame.exponent[i]);
      units[i] = {scale, frame.pivot[i] * scale};
      quanta[i] = std::ldexp(1.0, frame.fraction_bits[i]);
    }
    upload(units_, units, stream());
    upload(quanta_, quanta, stream());
    limbs_.ensure(2 * kMomentLimbs * n);
    fill_zero(limbs_.data(), 2 * kMomentLimbs * n, stream());
    slices_ = {cut_columns(scope_.n_columns, kMomentThreads), slot_bytes() <= device_.shared_bytes, 0};
    if (slices_.shared)
      slices_.shared_bytes = slot_bytes();
    else
      scratch_.ensure(slot_bytes() / sizeof(BlockMoments) * n_slices() * slots());
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

  std::size_t slot_bytes() const { return sizeof(BlockMoments) * kMomentThreads * scope_.n_groups(); }  // of a block of threads
  std::size_t n_slices() const { return static_cast<std::size_t>(slices_.count(scope_.n_columns)); }

  // Blocks of threads at work in a slice at the same time: enough to fill the device, and in at most 64 MB of scratch, or a sixteenth of
  // the budget, where they need some.
  std::size_t slots() const {
    const std::size_t scratch_bytes = std::min(std::size_t{64} << 20, static_cast<std::size_t>(device_.memory_bytes) / 16);
    const std::size_t most =
        static_cast<std::size_t>(kMomentBlocks) * static_cast<std::size_t>(device_.device.multiprocessors) / n_slices();
    const std::size_t fit = slices_.shared ? most : scratch_bytes / (slot_bytes() * n_slices());
    return std::max<std::size_t>(std::min(fit, most), 1);
  }

  template <class Cell>
  void add(const SegmentRows<Cell>& rows) const {
    const DeviceMoments moments{.n_cells = static_cast<std::int64_t>(scope_.n_cells()),
                                .units = units_.data(),
                                .quanta = quanta_.data(),
                                .scratch = scratch_.data(),
                                .limbs = limbs_.data()};
    const auto at_once = static_cast<std::size_t>(kBlockRows) * static_cast<std::size_t>(kMomentThreads / slices_.n_columns);
    const std::size_t needed = (static_cast<std::size_t>(rows.n_rows) - 1) / at_once + 1;
    const dim3 grid(static_cast<unsigned>(n_slices()), static_cast<unsigned>(std::min(needed, slots())));
    const auto kernel = slices_.shared ? add_moments_kernel<Cell, true> : add_moments_kernel<Cell, false>;
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(device_.shared_bytes)));
    launch(kernel, {grid, kMomentThreads, slices_.shared_bytes, stream()}, rows, slices_, moments);
  }

  DeviceContext& device_;
  SegmentScope scope_;
  Slices slices_{};
  DeviceBuffer<MomentUnits> units_;     // (n_groups, n_columns)
  DeviceBuffer<double> quanta_;         // (n_groups, n_columns)
  DeviceBuffer<BlockMoments> scratch_;  // (slots, slices, n_groups, kMomentThreads)
  DeviceBuffer<std::int64_t> limbs_;    // (2, kMomentLimbs, n_groups, n_columns)
  DeviceTile device_tile_;
};

}  // namespace

profile::Passes make_profile_passes(DeviceContext& device) {
  return {.device_bytes = device.memory_bytes / 8,  // rows may have taken four fifths
          .counts = std::make_unique<CountsPass>(device),
          .moments = std::make_unique<MomentsPass>(device),
          .quantiles = make_quantiles_pass(device)};
}

}  // namespace coterie::COTERIE_GPU
