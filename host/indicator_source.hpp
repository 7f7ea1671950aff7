// The tiles of a source with columns of zeros and ones behind them: "this row has level l of category c". Missing codes give
// missing cells, as the CSV import writes them.
#pragma once

#include <cstdint>
#include <vector>

#include "host/tile_source.hpp"

namespace coterie {

struct IndicatorColumns {           // of one category
  std::vector<std::int8_t> codes;   // (n_rows) level of each row, -1 where missing
  std::vector<std::int8_t> levels;  // one column per entry: the code that it marks; -2 marks none
};

class IndicatorSource final : public TileSource {
 public:
  // `source` and `categories` must outlive this object. ArgumentError: codes of another length than the rows.
  IndicatorSource(TileSource& source, const std::vector<IndicatorColumns>& categories);
  std::int64_t n_rows() const override { return source_.n_rows(); }
  std::int64_t first_row() const override { return source_.first_row(); }
  std::int32_t n_columns() const override { return n_columns_; }
  bool is_wide() const override { return source_.is_wide(); }
  void rewind() override { source_.rewind(); }
  const Tile* next() override;

 private:
  template <class Cell>
  void widen(const Tile& tile, const Cell* cells, std::vector<Cell>& widened) const;

  TileSource& source_;
  const std::vector<IndicatorColumns>& categories_;
  std::int32_t n_columns_;
  std::vector<float> x_;      // (n_rows, n_columns) of the current tile, or empty
  std::vector<double> wide_;  // likewise
  Tile tile_;
};

}  // namespace coterie
