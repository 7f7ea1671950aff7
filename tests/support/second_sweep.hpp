// What the second sweep of a pass asks of the emulated device: the first one has made room, and has left the rows there.
#pragma once

#include <gtest/gtest.h>

#include "cuda/emulated/emulator.hpp"
#include "host/tile_source.hpp"

namespace coterie::testing {

struct AskedOfDevice {
  std::int64_t allocations = 0, waits = 0, operations = 0;

  template <class F>
  void add(F&& f) {
    const emulated::Emulator before = emulated::emulator();
    f();
    const emulated::Emulator& after = emulated::emulator();
    allocations += after.allocations - before.allocations;
    waits += after.waits - before.waits;
    operations += after.operations - before.operations;
  }
};

struct SecondSweep {
  AskedOfDevice by_all, by_accumulate;
};

template <class Pass, class Models>
SecondSweep measure_second_sweep(TileSource& staged, Pass& pass, const Models& models) {
  SecondSweep found;
  for ([[maybe_unused]] const int sweep : {1, 2}) {
    found = {};
    found.by_all.add([&] { pass.begin(models); });
    staged.rewind();
    while (const Tile* tile = staged.next()) found.by_accumulate.add([&] { pass.accumulate(*tile); });
    found.by_all.add([&] { (void)pass.finish(); });
  }
  found.by_all.allocations += found.by_accumulate.allocations;
  found.by_all.waits += found.by_accumulate.waits;
  found.by_all.operations += found.by_accumulate.operations;
  return found;
}

// Inside a sweep of rows on the device nothing is allocated, and nobody waits.
template <class Pass, class Models>
void expect_no_stop_inside_a_sweep(TileSource& staged, Pass& pass, const Models& models) {
  const AskedOfDevice asked = measure_second_sweep(staged, pass, models).by_accumulate;
  EXPECT_EQ(asked.allocations, 0);
  EXPECT_EQ(asked.waits, 0);
  EXPECT_GT(asked.operations, 0);
}

}  // namespace coterie::testing
