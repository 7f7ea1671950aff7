// A program of somebody else's: everything comes from the installed package.
#include <cstdio>
#include <vector>

#include "cuda/devices.hpp"
#include "host/context.hpp"
#include "host/error.hpp"
#include "host/tile_source.hpp"
#include "io/feature_file.hpp"

int main() {
  coterie::Context context({.threads = 1});
  const std::vector<float> x{1, 2, 3, 4, 5, 6};
  coterie::MemoryTileSource source(x, 2);
  const bool rows_arrive = source.next()->n_rows == 3;
  bool refuses = false;
  try {
    coterie::io::FeatureFile::open("no_such_file.h5ad");
  } catch (const coterie::InputError&) {
    refuses = true;
  }
  std::printf("%zu usable GPUs\n", coterie::gpu::probe().usable.size());
  return rows_arrive && refuses ? 0 : 1;
}
