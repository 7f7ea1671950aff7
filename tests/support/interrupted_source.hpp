// A source whose first sweep ends after a tile, as on a device that runs out of memory: the sweep begins anew.
#pragma once

#include "host/error.hpp"
#include "tests/support/counting_source.hpp"

namespace coterie::testing {

class InterruptedSource final : public CountingSource {
 public:
  using CountingSource::CountingSource;
  void rewind() override {
    tiles_ = 0;
    CountingSource::rewind();
  }
  const Tile* next() override {
    if (sweeps() == 1 && tiles_ == 1) throw OutOfDeviceMemory("no room for the second tile");
    ++tiles_;
    return CountingSource::next();
  }
  bool hold_less() override { return sweeps() == 1; }

 private:
  int tiles_ = 0;
};

}  // namespace coterie::testing
