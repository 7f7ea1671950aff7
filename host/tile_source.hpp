// Where rows come from. A source can be read any number of times; one reading is a sweep.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "host/tile.hpp"

namespace coterie {

// Of a source, from 0 on.
struct RowRange {
  std::int64_t first = 0, end = 0;
};

class TileSource {
 public:
  virtual ~TileSource() = default;
  virtual std::int64_t n_rows() const = 0;     // rows of this rank
  virtual std::int64_t first_row() const = 0;  // global index of this rank's first row, a multiple of kBlockRows
  virtual std::int32_t n_columns() const = 0;
  virtual bool is_wide() const = 0;                     // tiles carry `wide` (float64) instead of `x`
  virtual std::int32_t n_targets() const { return 0; }  // of the tiles' outcomes
  virtual void rewind() = 0;
  virtual const Tile* next() = 0;  // valid until the following call; nullptr after the last tile

  // Of a source that holds rows on a device: those of this sweep that may still be on their way there or read there; and whether it holds
  // less from the next rewind on, after which no device reads what it has handed out.
  virtual RowRange in_flight() const { return {}; }
  virtual bool hold_less() { return false; }
};

// Rows that already lie in memory. Does not copy; the span must outlive the source.
class MemoryTileSource final : public TileSource {
 public:
  // x: (n_rows, n_columns) row-major; tile_rows is rounded up to a multiple of kBlockRows.
  MemoryTileSource(std::span<const float> x, std::int32_t n_columns, std::int64_t tile_rows = 16 * kBlockRows, std::int64_t first_row = 0);
  MemoryTileSource(std::span<const double> wide, std::int32_t n_columns, std::int64_t tile_rows = 16 * kBlockRows,
                   std::int64_t first_row = 0);

  std::int64_t n_rows() const override { return n_rows_; }
  std::int64_t first_row() const override { return first_row_; }
  std::int32_t n_columns() const override { return n_columns_; }
  bool is_wide() const override { return wide_ != nullptr; }
  void rewind() override { row_ = 0; }
  const Tile* next() override;

 private:
  const float* x_ = nullptr;      // (n_rows, n_columns)
  const double* wide_ = nullptr;  // (n_rows, n_columns)
  std::int64_t n_rows_ = 0;
  std::int64_t first_row_ = 0;
  std::int64_t tile_rows_ = 0;
  std::int64_t row_ = 0;
  std::int32_t n_columns_ = 0;
  Tile tile_;
};

// Row-aligned columns that zip() adds to a source's tiles; indexed by global row minus the source's first row.
struct SideColumns {
  std::span<const std::int32_t> weight;      // (n_rows) weight steps, or empty
  std::span<const std::int32_t> label;       // (n_rows), or empty
  std::span<const std::int8_t> target = {};  // (n_rows, n_targets), or empty
  std::int32_t n_targets = 0;
  std::span<const std::int8_t> fold = {};  // (n_rows), or empty
};

// The same tiles with side columns attached. Owns neither the source nor the columns.
class ZippedSource final : public TileSource {
 public:
  ZippedSource(TileSource& source, SideColumns columns);
  std::int64_t n_rows() const override { return source_.n_rows(); }
  std::int64_t first_row() const override { return source_.first_row(); }
  std::int32_t n_columns() const override { return source_.n_columns(); }
  bool is_wide() const override { return source_.is_wide(); }
  std::int32_t n_targets() const override { return columns_.target.empty() ? source_.n_targets() : columns_.n_targets; }
  void rewind() override { source_.rewind(); }
  const Tile* next() override;

 private:
  TileSource& source_;
  SideColumns columns_;
  Tile tile_;
};

}  // namespace coterie
