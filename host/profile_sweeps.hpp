// The sweeps of a profile, and what they leave behind for a range of columns.
#pragma once

#include "host/context.hpp"
#include "host/profile_pass.hpp"
#include "host/quantiles.hpp"
#include "host/tile_source.hpp"

namespace coterie::profile {

enum Quantile : std::size_t { p10, median, p90 };  // their places in a search of a profile

struct Findings {
  Counts counts;
  quantiles::Search search;  // done
  Frame frame;
  MomentSums sums;
};

// Bytes of the statistics of all workers, per column.
std::int64_t column_bytes(const Context& context, std::int32_t n_segments);

// How many columns may share their sweeps: as many as the memory ledger allows and the passes' device holds, in rounds of equal size.
// The same on every rank. ResourceError (on every rank) when the ledger does not even allow one; a device is tried with one.
std::int32_t columns_per_round(Context& context, const Passes& passes, std::int32_t n_segments, std::int32_t n_columns);

// Reads `raw` once per digit: counts join the first sweep, moments the last. ContentsError: an infinite cell (after one sweep).
Findings sweep_columns(Context& context, TileSource& raw, const SegmentScope& scope, Passes& passes);

}  // namespace coterie::profile
