#include "cuda/staged_source.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "cuda/device_buffer.hpp"

namespace coterie::COTERIE_GPU {
namespace {

constexpr std::int64_t kResidentTileRows = std::int64_t{1} << 26;  // of one launch: seconds apart are chances to cancel, not microseconds

// Bytes of a row's parts.
struct RowWidth {
  std::int64_t cells;
  std::int64_t n_targets;
  std::int64_t bytes() const { return cells + 2 * static_cast<std::int64_t>(sizeof(std::int32_t)) + n_targets + n_folds(); }
  std::int64_t n_folds() const { return n_targets > 0 ? 1 : 0; }
};

// Rows with their side columns, on the device or pinned.
template <template <class> class BufferOf>
struct Columns {
  BufferOf<std::byte> cells;  // (n_rows, n_columns) float32, or float64 of a wide source
  BufferOf<std::int32_t> weight, label;
  BufferOf<std::int8_t> target, fold;  // (n_rows, n_targets) and (n_rows) where there are targets

  Columns() = default;
  Columns(std::int64_t n_rows, const RowWidth& width)
      : cells(static_cast<std::size_t>(n_rows * width.cells)),
        weight(static_cast<std::size_t>(n_rows)),
        label(static_cast<std::size_t>(n_rows)),
        target(static_cast<std::size_t>(n_rows * width.n_targets)),
        fold(static_cast<std::size_t>(n_rows * width.n_folds())) {}
};

struct Slot {
  Columns<PinnedBuffer> pinned;
  Event copied;    // the copies' stream has left `pinned`
  Event consumed;  // the kernels have left the slot's device rows
  bool used = false;
};

class StagedSource final : public TileSource {
 public:
  StagedSource(Context& context, DeviceContext& device, TileSource& source) : context_(context), device_(device), source_(source) {
    reserve_slots();
  }

  std::int64_t n_rows() const override { return source_.n_rows(); }
  std::int64_t first_row() const override { return source_.first_row(); }
  std::int32_t n_columns() const override { return source_.n_columns(); }
  bool is_wide() const override { return source_.is_wide(); }
  std::int32_t n_targets() const override { return source_.n_targets(); }

  RowRange in_flight() const override { return in_flight_; }

  // First rows no longer stay on the device, then tiles shrink.
  bool hold_less() override {
    if (!allocated_ || (!resident_ && slot_rows_ == kBlockRows)) return false;
    device_.compute.synchronize();
    device_.copies.synchronize();
    handed_out_ = allocated_ = false;
    if (std::exchange(resident_, false)) {
      may_stay_ = false;
      reservation_.release();
      reserve_slots();
    } else {
      slot_rows_ = whole_blocks(slot_rows_ / 2);
    }
    free_slots();
    return true;
  }

  void rewind() override {
    if (!allocated_) allocate();
    mark_consumed();
    served_ = 0;
    in_flight_ = {};
    last_pieces_ = {};
    pending_ = nullptr;
    from_device_ = resident_ && stored_ == n_rows();
    if (from_device_) {
      device_.copies.synchronize();
      free_slots();
      reservation_.release();
    } else {
      stored_ = 0;
      source_.rewind();
    }
  }

  const Tile* next() override {
    context_.check_cancelled();
    mark_consumed();
    if (from_device_) return next_resident();
    if (pending_ == nullptr || taken_ == pending_->n_rows) {
      pending_ = source_.next();
      taken_ = 0;
      if (pending_ == nullptr) return nullptr;
    }
    return copy_piece();
  }

 private:
  std::int64_t row_cell_bytes() const { return n_columns() * static_cast<std::int64_t>(is_wide() ? sizeof(double) : sizeof(float)); }
  RowWidth row_width() const { return {row_cell_bytes(), n_targets()}; }
  std::int64_t row_bytes() const { return row_width().bytes(); }

  // What was handed out is read by kernels that the compute stream holds by now.
  void mark_consumed() {
    if (std::exchange(handed_out_, false)) slots_[slot_].consumed.record(device_.compute);
  }

  std::int64_t slot_bytes() const { return 2 * slot_rows_ * row_bytes(); }

  // Host memory of two slots, now, so that statistics take what is left: as large as the source's largest tile may be, but at most
  // half of what is free.
  void reserve_slots() {
    constexpr std::int64_t kSlotRows = 64 * kBlockRows;
    const std::int64_t fit = context_.memory().available() / 2 / (2 * row_bytes());
    slot_rows_ = whole_blocks(std::min({kSlotRows, n_rows() + kBlockRows, fit}));
    reservation_ = context_.memory().reserve("rows on their way to the GPU", slot_bytes());
  }

  static std::int64_t whole_blocks(std::int64_t rows) { return std::max(rows / kBlockRows, std::int64_t{1}) * kBlockRows; }

  // Everything, if it leaves a fifth of the device's budget to statistics; else the two slots, halved until the device can hold them.
  void allocate() {
    try_resident();
    for (;; slot_rows_ = whole_blocks(slot_rows_ / 2)) {
      try {
        allocate_slots();
        allocated_ = true;
        break;
      } catch (const OutOfDeviceMemory&) {
        free_slots();
        if (slot_rows_ == kBlockRows) throw;
      }
    }
    reservation_.release();
    reservation_ = context_.memory().reserve("rows on their way to the GPU", slot_bytes());
  }

  void try_resident() {
    if (!may_stay_ || row_bytes() * n_rows() > device_.memory_bytes / 5 * 4) return;
    try {
      rows_ = Columns<DeviceBuffer>(n_rows(), row_width());
      resident_ = true;
    } catch (const OutOfDeviceMemory&) {
      rows_ = {};
    }
  }

  void allocate_slots() {
    if (!resident_) rows_ = Columns<DeviceBuffer>(2 * slot_rows_, row_width());
    for (Slot& slot : slots_) slot.pinned = Columns<PinnedBuffer>(slot_rows_, row_width());
  }

  void free_slots() {
    if (!resident_) rows_ = {};
    for (Slot& slot : slots_) slot.pinned = {};
  }

  const Tile* next_resident() {
    if (served_ == n_rows()) return nullptr;
    const std::int64_t count = std::min(kResidentTileRows, n_rows() - served_);
    serve(served_, served_, count);
    served_ += count;
    in_flight_.end = served_;
    return &tile_;
  }

  // The next rows of the pending tile, through the slot that was not used last.
  const Tile* copy_piece() {
    slot_ = 1 - slot_;
    Slot& slot = slots_[slot_];
    const std::int64_t count = std::min(slot_rows_, pending_->n_rows - taken_);
    const std::int64_t to = resident_ ? stored_ : static_cast<std::int64_t>(slot_) * slot_rows_;
    if (slot.used) {
      slot.copied.synchronize();
      slot.consumed.hold(device_.copies);
    }
    const std::int64_t row = pending_->first_row - first_row() + taken_;
    in_flight_ = {last_pieces_[2], row + count};  // what this slot held came when kernels had left what it had held before
    last_pieces_ = {row, last_pieces_[0], last_pieces_[1]};
    has_weight_ = pending_->weight != nullptr;
    has_label_ = pending_->label != nullptr;
    has_target_ = pending_->target != nullptr;
    has_fold_ = has_target_ && pending_->fold != nullptr;
    const auto* const cells = visit_cells(*pending_, [](const auto* x) { return reinterpret_cast<const std::byte*>(x); });
    copy(cells + taken_ * row_cell_bytes(), slot.pinned.cells, rows_.cells, to, count, row_cell_bytes());
    if (has_weight_) copy(pending_->weight + taken_, slot.pinned.weight, rows_.weight, to, count, 1);
    if (has_label_) copy(pending_->label + taken_, slot.pinned.label, rows_.label, to, count, 1);
    if (has_target_) copy(pending_->target + taken_ * n_targets(), slot.pinned.target, rows_.target, to, count, n_targets());
    if (has_fold_) copy(pending_->fold + taken_, slot.pinned.fold, rows_.fold, to, count, 1);
    slot.copied.record(device_.copies);
    slot.copied.hold(device_.compute);
    slot.used = true;
    serve(to, row, count);
    taken_ += count;
    stored_ += count;
    handed_out_ = true;
    return &tile_;
  }

  // from: (count, width) on the host, to row `row` of the device's.
  template <class T>
  void copy(const T* from, const PinnedBuffer<T>& pinned, const DeviceBuffer<T>& to, std::int64_t row, std::int64_t count,
            std::int64_t width) {
    const auto size = static_cast<std::size_t>(count * width);
    std::memcpy(pinned.data(), from, size * sizeof(T));
    copy_to_device(to.data() + row * width, static_cast<const T*>(pinned.data()), size, device_.copies.get());
  }

  // `at`: row in the device's buffers; `row`: of this source.
  void serve(std::int64_t at, std::int64_t row, std::int64_t count) {
    tile_ = {};
    const std::byte* const cells = rows_.cells.data() + at * row_cell_bytes();
    if (is_wide())
      tile_.wide = reinterpret_cast<const double*>(cells);
    else
      tile_.x = reinterpret_cast<const float*>(cells);
    if (has_weight_) tile_.weight = rows_.weight.data() + at;
    if (has_label_) tile_.label = rows_.label.data() + at;
    if (has_target_) tile_.target = rows_.target.data() + at * n_targets();
    if (has_fold_) tile_.fold = rows_.fold.data() + at;
    tile_.first_row = first_row() + row;
    tile_.n_rows = static_cast<std::int32_t>(count);
    tile_.n_columns = n_columns();
    tile_.n_targets = has_target_ ? n_targets() : 0;
    tile_.memory = Memory::device;
  }

  Context& context_;
  DeviceContext& device_;
  TileSource& source_;
  Reservation reservation_;
  bool resident_ = false;   // rows_ holds all of them
  bool may_stay_ = true;    // unless they have left no room for what passes need
  bool allocated_ = false;  // rows_ and slots_
  std::int64_t slot_rows_ = 0;
  Columns<DeviceBuffer> rows_;  // all rows, or two slots
  std::array<Slot, 2> slots_;
  int slot_ = 0;
  std::int64_t stored_ = 0;   // rows of this sweep that were copied
  bool from_device_ = false;  // this sweep reads resident rows, which an earlier one has copied
  std::int64_t served_ = 0;   // resident rows handed out in this sweep
  const Tile* pending_ = nullptr;
  std::int64_t taken_ = 0;  // rows of the pending tile that were copied
  bool has_weight_ = false, has_label_ = false, has_target_ = false, has_fold_ = false;
  bool handed_out_ = false;
  RowRange in_flight_;
  std::array<std::int64_t, 3> last_pieces_{};  // their first rows, the last one's first
  Tile tile_;
};

}  // namespace

std::unique_ptr<TileSource> stage(Context& context, DeviceContext& device, TileSource& source) {
  return std::make_unique<StagedSource>(context, device, source);
}

}  // namespace coterie::COTERIE_GPU
