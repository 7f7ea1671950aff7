// A source whose first sweep ends after a tile, as on a device that runs out of memory: the sweep begins anew.
#pragma once

#include "host/error.hpp"
#include "host/tile_source.hpp"

namespace coterie::testing {

class InterruptedSource final : public TileSource {
 public:
  explicit InterruptedSource(TileSource& source) : source_(source) {}
  int sweeps() const { return sweeps_; }
  std::int64_t n_rows() const override { return source_.n_rows(); }
  std::int64_t first_row() const override { return source_.first_row(); }
  std::int32_t n_columns() const override { return source_.n_columns(); }
  bool is_wide() const override { return source_.is_wide(); }
  void rewind() override {
    ++sweeps_;
    tiles_ = 0;
    source_.rewind();
  }
  const Tile* next() override {
    if (sweeps_ == 1 && tiles_ == 1) throw OutOfDeviceMemory("no room for the second tile");
    ++tiles_;
    return source_.next();
  }
  bool hold_less() override { return sweeps_ == 1; }

 private:
  TileSource& source_;
  int sweeps_ = 0, tiles_ = 0;
};

}  // namespace coterie::testing
