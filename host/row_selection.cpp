#include "host/row_selection.hpp"

#include "host/error.hpp"
#include "host/row_blocks.hpp"

namespace coterie {
namespace {

// About 4 MiB of rows, as small tiles of a file are.
std::int64_t rows_per_tile(std::int64_t n_rows, std::int64_t row_bytes) {
  constexpr std::int64_t kBytes = std::int64_t{4} << 20;
  const std::int64_t blocks = std::max<std::int64_t>(1, kBytes / (row_bytes * kBlockRows));
  return std::min(blocks, blocks_of(n_rows)) * kBlockRows;
}

class SelectedSource final : public TileSource {
 public:
  SelectedSource(Context& context, TileSource& source, const RowSelection& selection)
      : source_(source), selection_(selection), cell_bytes_(source.is_wide() ? sizeof(double) : sizeof(float)) {
    const std::int64_t row_bytes = n_columns() * cell_bytes_;
    tile_rows_ = rows_per_tile(n_rows(), row_bytes);
    memory_ = context.memory().reserve("a tile of selected rows", tile_rows_ * row_bytes);
    const auto cells = static_cast<std::size_t>(tile_rows_ * n_columns());
    if (is_wide())
      wide_.resize(cells);
    else
      x_.resize(cells);
  }

  std::int64_t n_rows() const override { return selection_.n_chosen(); }
  std::int64_t first_row() const override { return 0; }
  std::int32_t n_columns() const override { return source_.n_columns(); }
  bool is_wide() const override { return source_.is_wide(); }

  void rewind() override {
    source_.rewind();
    raw_ = nullptr;
    row_ = 0;
  }

  const Tile* next() override {
    const std::int64_t wanted = std::min(tile_rows_, n_rows() - row_);
    if (wanted == 0) return nullptr;
    for (std::int64_t filled = 0; filled < wanted;) {
      if (raw_ == nullptr || raw_row_ == raw_->n_rows) {
        raw_ = source_.next();
        raw_row_ = 0;
        if (raw_ == nullptr) throw InternalError("the raw source ended before its last selected row");
      }
      filled = take_rows(filled, wanted);
    }
    tile_ = {.x = is_wide() ? nullptr : x_.data(),
             .wide = is_wide() ? wide_.data() : nullptr,
             .first_row = row_,
             .n_rows = static_cast<std::int32_t>(wanted),
             .n_columns = n_columns()};
    row_ += wanted;
    return &tile_;
  }

 private:
  // Copies runs of chosen rows of the raw tile behind the `filled` first ones; returns how many there are then.
  std::int64_t take_rows(std::int64_t filled, std::int64_t wanted) {
    const std::int64_t d = n_columns();
    while (filled < wanted && raw_row_ < raw_->n_rows) {
      if (!selection_.contains(raw_->first_row + raw_row_)) {
        ++raw_row_;
        continue;
      }
      std::int64_t end = raw_row_ + 1;
      while (end < raw_->n_rows && end - raw_row_ < wanted - filled && selection_.contains(raw_->first_row + end)) ++end;
      if (is_wide())
        std::copy(raw_->wide + raw_row_ * d, raw_->wide + end * d, wide_.begin() + filled * d);
      else
        std::copy(raw_->x + raw_row_ * d, raw_->x + end * d, x_.begin() + filled * d);
      filled += end - raw_row_;
      raw_row_ = end;
    }
    return filled;
  }

  TileSource& source_;
  const RowSelection& selection_;
  std::int64_t cell_bytes_;
  std::int64_t tile_rows_ = 0;
  Reservation memory_;
  std::vector<float> x_;      // (tile_rows, n_columns), empty where cells are wide
  std::vector<double> wide_;  // likewise
  const Tile* raw_ = nullptr;
  std::int64_t raw_row_ = 0;  // the next row of raw_
  std::int64_t row_ = 0;      // the next selected row
  Tile tile_;
};

}  // namespace

RowSelection::RowSelection(MemoryLedger& memory, std::int64_t n_rows)
    : memory_(memory.reserve("which rows are selected", n_rows / 8 + n_rows / (kBlockRows / 8))) {
  chosen_.reserve(static_cast<std::size_t>(n_rows));
  before_.reserve(static_cast<std::size_t>(n_rows / kBlockRows + 1));
}

void RowSelection::append(std::span<const char> chosen) {
  for (const char one : chosen) {
    if (n_rows() % kBlockRows == 0) before_.push_back(n_chosen_);
    chosen_.push_back(one != 0);
    n_chosen_ += one != 0 ? 1 : 0;
  }
}

std::int64_t RowSelection::row(std::int64_t i) const {
  const auto block = std::upper_bound(before_.begin(), before_.end(), i) - before_.begin() - 1;
  std::int64_t row = block * kBlockRows;
  for (std::int64_t left = i - before_[static_cast<std::size_t>(block)]; left > 0 || !contains(row); ++row)
    if (contains(row)) --left;
  return row;
}

std::unique_ptr<TileSource> selected(Context& context, TileSource& source, const RowSelection& selection) {
  return std::make_unique<SelectedSource>(context, source, selection);
}

}  // namespace coterie
