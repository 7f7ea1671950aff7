// Raw tiles in, clustering tiles out: transformed once into memory when every row fits, else anew in every sweep.
#include <fmt/format.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <optional>

#include "host/error.hpp"
#include "host/row_array.hpp"
#include "host/row_blocks.hpp"
#include "host/transform.hpp"
#include "host/transform_cells.hpp"
#include "host/transform_strip.hpp"

namespace coterie {
namespace {

// Rows of one tile when rows are not kept: about 2^22 cells (16 MiB), and a block for every thread of the pass.
std::int64_t rows_per_tile(std::int64_t n_rows, std::int64_t n_columns, int threads) {
  constexpr std::int64_t kCells = std::int64_t{1} << 22;
  const std::int64_t blocks = std::max<std::int64_t>(kCells / n_columns / kBlockRows, threads);
  return std::min(blocks, blocks_of(n_rows)) * kBlockRows;
}

class TransformedSource final : public TileSource {
 public:
  TransformedSource(Context& context, TileSource& raw, const Transform& transform)
      : context_(context), raw_(raw), transform_(transform), tile_rows_(rows_per_tile(raw.n_rows(), n_columns(), context.threads())) {
    for (const ColumnTransform& column : transform_.columns) sources_.push_back(column.source);
    reserve_rows(context.memory());
    const std::int64_t rows = keeps_rows_ ? raw.n_rows() : tile_rows_;
    rows_ = make_row_array<float>(static_cast<std::size_t>(rows * n_columns()));
  }

  std::int64_t n_rows() const override { return raw_.n_rows(); }
  std::int64_t first_row() const override { return raw_.first_row(); }
  std::int32_t n_columns() const override { return static_cast<std::int32_t>(transform_.columns.size()); }
  bool is_wide() const override { return false; }

  void rewind() override {
    row_ = 0;
    if (keeps_rows_ && kept_ == n_rows()) return;
    kept_ = 0;
    raw_tile_ = nullptr;
    raw_.rewind();
  }

  const Tile* next() override {
    if (row_ == n_rows()) return nullptr;
    const bool kept = keeps_rows_ && row_ < kept_;
    const std::int64_t rows = kept ? std::min(tile_rows_, n_rows() - row_) : read_rows();
    if (!kept) kept_ = row_ + rows;
    tile_ = {.x = rows_.get() + (keeps_rows_ ? row_ * n_columns() : 0),
             .first_row = first_row() + row_,
             .n_rows = static_cast<std::int32_t>(rows),
             .n_columns = n_columns()};
    row_ += rows;
    return &tile_;
  }

 private:
  // Every row, when that leaves a quarter of the memory to those who come later; else a tile, a smaller one if need be.
  void reserve_rows(MemoryLedger& ledger) {
    const std::int64_t row_bytes = n_columns() * std::int64_t{sizeof(float)};
    const std::int64_t all_bytes = raw_.n_rows() * row_bytes;
    keeps_rows_ = all_bytes <= ledger.available() / 4 * 3 && ledger.try_reserve(all_bytes, memory_);
    if (keeps_rows_) return;
    while (tile_rows_ > kBlockRows && !ledger.try_reserve(tile_rows_ * row_bytes, memory_)) tile_rows_ -= kBlockRows;
    if (memory_.bytes() == 0) memory_ = ledger.reserve("a tile of transformed rows", tile_rows_ * row_bytes);
  }

  // Transforms the next rows of the raw source, at most a tile, to where they belong; returns how many.
  std::int64_t read_rows() {
    if (raw_tile_ == nullptr || raw_row_ == raw_tile_->n_rows) {
      raw_tile_ = raw_.next();
      raw_row_ = 0;
      if (raw_tile_ == nullptr) throw InternalError("the raw source ended before its last row");
    }
    const std::int64_t rows = std::min(tile_rows_, raw_tile_->n_rows - raw_row_);
    transform_rows(*raw_tile_, raw_row_, raw_row_ + rows, rows_.get() + (keeps_rows_ ? row_ * n_columns() : 0));
    raw_row_ += rows;
    return rows;
  }

  // out: (last - first, n_columns)
  void transform_rows(const Tile& tile, std::int64_t first, std::int64_t last, float* out) {
    std::atomic<bool> refused = false;
    for_each_block(context_, last - first, [&](std::int64_t from, std::int64_t to, std::size_t) {
      Strips<float> values;
      for_each_strips(
          tile, first + from, first + to, sources_, [&](std::size_t j, std::int64_t row, std::span<const std::span<double>> strips) {
            for (std::size_t k = 0; k < strips.size(); ++k)
              if (!transform_strip(transform_.columns[j + k], transform_.keep_missing, strips[k], values.data() + k * kStripRows))
                refused = true;
            scatter_strips(values, strips.size(), std::ssize(strips[0]), n_columns(),
                           out + (row - first) * n_columns() + static_cast<std::int64_t>(j));
          });
    });
    if (refused) refuse_first(tile, first, last);
  }

  [[noreturn]] void refuse_first(const Tile& tile, std::int64_t first, std::int64_t last) const {
    for (std::int64_t row = first; row < last; ++row)
      for (std::size_t j = 0; j < sources_.size(); ++j) {
        const double x =
            visit_cells(tile, [&](const auto* cells) { return static_cast<double>(cells[row * tile.n_columns + sources_[j]]); });
        if (is_unusable(x, stand_in(transform_.columns[j]))) refuse(tile.first_row + row, transform_.names[j], is_known(x));
      }
    throw InternalError("a cell was refused and cannot be found again; the input changed while it was read");
  }

  [[noreturn]] static void refuse(std::int64_t row, const std::string& column, bool infinite) {
    if (infinite)
      throw ContentsError(fmt::format(
          "row {} (counted from 0), column '{}': the cell is infinite or beyond the range of float32; nothing was written. Correct it or "
          "make it missing (NaN)",
          row, column));
    throw ContentsError(fmt::format(
        "row {} (counted from 0), column '{}': the cell is missing, and the transform has no value to fill it with; nothing was written. "
        "Fill it in, or fit again with --missing median",
        row, column));
  }

  Context& context_;
  TileSource& raw_;
  Transform transform_;
  std::vector<std::int32_t> sources_;  // (n_columns) raw column of each
  std::int64_t tile_rows_;
  bool keeps_rows_ = false;
  Reservation memory_;
  RowArray<float> rows_;   // (n_rows, n_columns) when rows are kept, else (tile_rows, n_columns)
  std::int64_t kept_ = 0;  // rows transformed so far
  std::int64_t row_ = 0;   // next row to hand out
  const Tile* raw_tile_ = nullptr;
  std::int64_t raw_row_ = 0;  // next row of raw_tile_
  Tile tile_;
};

void check_columns(const TileSource& raw, const Transform& transform) {
  if (transform.columns.empty() || transform.names.size() != transform.columns.size())
    throw ArgumentError("a transform needs at least one column, and a name for each");
  for (const ColumnTransform& column : transform.columns)
    if (column.source < 0 || column.source >= raw.n_columns())
      throw ArgumentError(fmt::format("the transform reads raw column {}, but the matrix has {} columns", column.source, raw.n_columns()));
}

}  // namespace

std::unique_ptr<TileSource> transformed(Context& context, TileSource& raw, const Transform& transform) {
  check_columns(raw, transform);
  return std::make_unique<TransformedSource>(context, raw, transform);
}

std::vector<double> Transform::steps() const {
  std::vector<double> steps;
  for (const ColumnTransform& column : columns) steps.push_back(column.step);
  return steps;
}

std::optional<double> log_volume(const Transform& transform) {
  double sum = 0;
  for (const ColumnTransform& column : transform.columns) {
    if (column.log1p || column.answered || std::isfinite(column.lower) || std::isfinite(column.upper)) return std::nullopt;
    if (transform.keep_missing && column.scale != 1) return std::nullopt;  // rows without the cell have no such factor
    sum += log(column.scale);
  }
  return sum;
}

double to_raw_units(const ColumnTransform& column, double value) {
  const double prepared_value = value * column.scale + column.center;
  return column.log1p ? expm1(prepared_value) : prepared_value;
}

}  // namespace coterie
