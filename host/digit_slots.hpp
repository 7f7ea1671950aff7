// Where the sweeps of a quantile search count a cell. A key begins with one prefix only, so a cell counts in at most one histogram: in its
// segment's where the segment looks for that prefix, else in the population's. The end gives the population what segments have counted
// in its stead, and each quantile what an earlier one of the same prefix has counted for both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "host/quantiles.hpp"

namespace coterie::quantiles {

struct Slot {
  std::uint64_t prefix;  // the known digits, the others 0
  std::size_t entry;     // the histogram that counts its cells, kBins to each
};

// What is looked for in the cells of a group and column, each prefix once: every one of them in the first sweep.
std::vector<Slot> find_slots(const Search& search, std::size_t group, std::int32_t column);

// Completes the histograms of a column after a sweep that has counted each cell in one of its slots. histogram: as in Statistics
void share_counts(const Search& search, std::int32_t column, std::int64_t* histogram);

// Adds a histogram to another. (kDigits)
void add_bins(std::int64_t* to, const std::int64_t* from);

}  // namespace coterie::quantiles
