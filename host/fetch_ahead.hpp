// Rows on their way into the cache while those before them are worked on. The processor looks ahead within a page only, and no more
// once other work has come between.
#pragma once

#include <cstddef>

namespace coterie {

// As many cells as are worked on at x, a page behind them. What lies there is not read: it may be nothing.
inline void fetch_ahead(const float* x, std::size_t n_cells) {
  constexpr std::size_t kPage = 1024, kLine = 16;  // floats
  for (std::size_t i = 0; i < n_cells; i += kLine) __builtin_prefetch(x + i + kPage);
}

}  // namespace coterie
