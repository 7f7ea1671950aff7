#include "host/quantiles.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "host/error.hpp"
#include "host/ordered_key.hpp"

namespace coterie::quantiles {
namespace {

// The first sweep counts groups, which part the rows: the population is their sum, a segment is its group.
std::vector<std::int64_t> first_digit_bins(const Search& search, const std::vector<std::int64_t>& histogram, std::size_t row,
                                           std::size_t column) {
  const auto n_columns = static_cast<std::size_t>(search.scope.n_columns);
  const bool population = row == static_cast<std::size_t>(search.scope.n_segments);
  std::vector<std::int64_t> bins(kDigits);
  for (std::size_t group = population ? 0 : row; group <= row; ++group)
    for (std::size_t bin = 0; bin < kDigits; ++bin) bins[bin] += histogram[(group * n_columns + column) * kBins + bin];
  return bins;
}

// Weight steps to reach: the smallest integer >= p * weight, and at least the first cell.
std::int64_t rank_of(std::int32_t per_mille, std::int64_t weight) {
  const int128 thousandths = static_cast<int128>(weight) * per_mille;
  return weight == 0 ? 0 : std::max<std::int64_t>(1, static_cast<std::int64_t>((thousandths + 999) / 1000));
}

// Descends into the bin that holds the cell of this rank. bins: (kDigits)
void take_digit(Search& search, std::size_t entry, const std::int64_t* bins) {
  std::int64_t& rank = search.ranks[entry];
  if (rank == 0) return;
  std::uint64_t digit = 0;
  while (digit < kDigits && rank > bins[digit]) rank -= bins[digit++];
  if (digit == kDigits) throw InternalError("a quantile search lost its cells: the source gave other rows in a later sweep");
  search.prefixes[entry] |= digit << search.shift();
}

void take_first_digits(Search& search, const std::vector<std::int64_t>& histogram) {
  const auto n_columns = static_cast<std::size_t>(search.scope.n_columns);
  const std::size_t n_quantiles = search.per_mille.size();
  for (std::size_t row = 0; row < search.scope.n_groups(); ++row) {
    for (std::size_t column = 0; column < n_columns; ++column) {
      const std::vector<std::int64_t> bins = first_digit_bins(search, histogram, row, column);
      std::int64_t weight = 0;
      for (const std::int64_t bin : bins) weight += bin;
      for (std::size_t quantile = 0; quantile < n_quantiles; ++quantile) {
        const std::size_t entry = (row * n_columns + column) * n_quantiles + quantile;
        search.ranks[entry] = rank_of(search.per_mille[quantile], weight);
        take_digit(search, entry, bins.data());
      }
    }
  }
}

}  // namespace

std::size_t Search::entry(std::int32_t row, std::int32_t column, std::size_t quantile) const {
  return scope.cell(static_cast<std::size_t>(row), column) * per_mille.size() + quantile;
}

std::int64_t statistics_bytes(std::int32_t n_segments, std::size_t n_quantiles) {
  constexpr std::int64_t kBytesPerEntry = kBins * sizeof(std::int64_t) + 4 * sizeof(std::uint64_t);  // two slots of prefix and bin
  return (std::int64_t{n_segments} + 1) * static_cast<std::int64_t>(n_quantiles) * kBytesPerEntry;
}

std::int64_t most_columns(std::int32_t n_segments, std::size_t n_quantiles) {
  constexpr std::int64_t kMostEntries = (std::int64_t{1} << 32) / kBins;
  return kMostEntries / ((std::int64_t{n_segments} + 1) * static_cast<std::int64_t>(n_quantiles));
}

Search start(const SegmentScope& scope, std::vector<std::int32_t> per_mille, bool wide) {
  const std::size_t n_entries = scope.n_cells() * per_mille.size();
  Search search;
  search.scope = scope;
  search.per_mille = std::move(per_mille);
  search.wide = wide;
  search.prefixes.resize(n_entries);
  search.ranks.resize(n_entries);
  return search;
}

void update(Search& search, const Statistics& statistics) {
  if (search.known_digits == 0)
    take_first_digits(search, statistics.histogram);
  else
    for (std::size_t i = 0; i < search.ranks.size(); ++i) take_digit(search, i, statistics.histogram.data() + i * kBins);
  ++search.known_digits;
}

double value(const Search& search, std::int32_t row, std::int32_t column, std::size_t quantile) {
  const std::size_t entry = search.entry(row, column, quantile);
  if (search.ranks[entry] == 0) return std::numeric_limits<double>::quiet_NaN();
  if (search.wide) return from_ordered_key<double>(search.prefixes[entry]);
  return static_cast<double>(from_ordered_key<float>(static_cast<std::uint32_t>(search.prefixes[entry])));
}

}  // namespace coterie::quantiles
