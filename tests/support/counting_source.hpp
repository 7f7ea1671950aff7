// A source that counts how often it is read.
#pragma once

#include "host/tile_source.hpp"

namespace coterie::testing {

class CountingSource : public TileSource {
 public:
  explicit CountingSource(TileSource& source) : source_(source) {}
  int sweeps() const { return sweeps_; }
  std::int64_t n_rows() const override { return source_.n_rows(); }
  std::int64_t first_row() const override { return source_.first_row(); }
  std::int32_t n_columns() const override { return source_.n_columns(); }
  bool is_wide() const override { return source_.is_wide(); }
  void rewind() override {
    ++sweeps_;
    source_.rewind();
  }
  const Tile* next() override { return source_.next(); }

 private:
  TileSource& source_;
  int sweeps_ = 0;
};

}  // namespace coterie::testing
