// The histogram of the next digit, on the CPU: one histogram per worker, merged at the end.
#include <algorithm>

#include "host/merge.hpp"
#include "host/ordered_key.hpp"
#include "host/quantiles.hpp"

namespace coterie::quantiles {
namespace {

class CpuPass final : public Pass {
 public:
  explicit CpuPass(Context& context) : context_(context) {}
  void begin(const Search& search) override;
  void accumulate(const Tile& tile) override;
  Statistics finish() override { return merge_workers(std::move(workers_)); }

 private:
  Context& context_;
  const Search* search_ = nullptr;
  std::vector<Statistics> workers_;  // (threads)
};

// cells: (n_columns); bins: (n_columns, kBins)
template <class Cell>
void count_first_digits(const Cell* cells, std::size_t n_columns, std::int64_t weight, std::int64_t* bins) {
  constexpr int kShift = 8 * sizeof(Cell) - kDigitBits;
  for (std::size_t column = 0; column < n_columns; ++column, bins += kBins) {
    const bool known = cells[column] == cells[column];
    bins[known ? ordered_key(cells[column]) >> kShift : kDigits] += weight;
  }
}

// A key that begins with the prefix, xor the prefix, without the digits that come later, is the next digit; any other key gives more.
// key: of a known cell; prefixes: (n_quantiles); bins: (n_quantiles, kBins)
template <class Key>
inline void count_next_digit(Key key, const std::uint64_t* prefixes, std::size_t n_quantiles, int shift, std::int64_t weight,
                             std::int64_t* bins) {
  for (std::size_t quantile = 0; quantile < n_quantiles; ++quantile, bins += kBins)
    bins[std::min<Key>((key ^ static_cast<Key>(prefixes[quantile])) >> shift, kDigits)] += weight;
}

// Counts the rows [first, last) of a tile for their segment and for the population.
// histogram: (n_segments + 1, n_columns, n_quantiles, kBins)
template <class Cell>
void count_next_digits(const Search& search, const Tile& tile, const Cell* x, std::int64_t first, std::int64_t last,
                       std::int64_t* histogram) {
  const auto n_columns = static_cast<std::size_t>(search.scope.n_columns);
  const auto population = static_cast<std::size_t>(search.scope.n_segments);
  const std::size_t n_quantiles = search.per_mille.size();
  const std::uint64_t* prefixes = search.prefixes.data();
  const int shift = search.shift();
  for_each_row(tile, x, search.scope, first, last, [=](const Cell* cells, std::size_t group, std::int64_t weight) {
    for (std::size_t column = 0; column < n_columns; ++column) {
      const OrderedKey<Cell> key = ordered_key(cells[column]);
      const std::int64_t known_weight = cells[column] == cells[column] ? weight : 0;
      const std::size_t of_all = (population * n_columns + column) * n_quantiles;
      count_next_digit(key, prefixes + of_all, n_quantiles, shift, known_weight, histogram + of_all * kBins);
      if (group == population) continue;
      const std::size_t of_segment = (group * n_columns + column) * n_quantiles;
      count_next_digit(key, prefixes + of_segment, n_quantiles, shift, known_weight, histogram + of_segment * kBins);
    }
  });
}

void CpuPass::begin(const Search& search) {
  search_ = &search;
  const std::size_t n_histograms = search.known_digits == 0 ? search.scope.n_cells() : search.ranks.size();
  workers_.assign(static_cast<std::size_t>(context_.threads()), Statistics{std::vector<std::int64_t>(n_histograms * kBins)});
}

void CpuPass::accumulate(const Tile& tile) {
  const auto n_columns = static_cast<std::size_t>(search_->scope.n_columns);
  visit_cells(tile, [&](const auto* x) {
    for_each_block(context_, tile, [&](std::int64_t first, std::int64_t last, std::size_t worker) {
      std::int64_t* histogram = workers_[worker].histogram.data();
      if (search_->known_digits > 0) return count_next_digits(*search_, tile, x, first, last, histogram);
      for_each_row(tile, x, search_->scope, first, last, [&](const auto* cells, std::size_t group, std::int64_t weight) {
        count_first_digits(cells, n_columns, weight, histogram + group * n_columns * kBins);
      });
    });
  });
}

}  // namespace

std::unique_ptr<Pass> make_cpu_pass(Context& context) { return std::make_unique<CpuPass>(context); }

}  // namespace coterie::quantiles
