// The blocks of kBlockRows that rows are summed in, and the loop over them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "host/context.hpp"
#include "host/tile.hpp"

namespace coterie {

// Those of n_rows rows, the last one maybe short.
constexpr std::int64_t blocks_of(std::int64_t n_rows) { return (n_rows + kBlockRows - 1) / kBlockRows; }

// Calls f(first, last, worker) for every block of n_rows rows: rows [first, last), kBlockRows of them but in the last block.
template <class F>
void for_each_block(Context& context, std::int64_t n_rows, F&& f) {
  context.parallel_for(blocks_of(n_rows), [&](std::int64_t block, int worker) {
    const std::int64_t first = block * kBlockRows;
    f(first, std::min(first + kBlockRows, n_rows), static_cast<std::size_t>(worker));
  });
}

}  // namespace coterie
