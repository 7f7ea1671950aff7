#include "host/profile_sweeps.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <string_view>
#include <tuple>

#include "host/error.hpp"
#include "host/passes.hpp"

namespace coterie::profile {
namespace {

constexpr std::string_view kPhase = "profile";
constexpr std::array<std::int32_t, 3> kPerMille = {100, 500, 900};  // by Quantile

void refuse_infinite(const Counts& counts, const SegmentScope& scope) {
  for (std::size_t cell = 0; cell < counts.min.size(); ++cell) {
    const bool empty = counts.known_rows[cell] == 0;
    if (!empty && (std::isinf(counts.min[cell]) || std::isinf(counts.max[cell])))
      throw ContentsError(
          fmt::format("column {} of the matrix holds an infinite cell, so it has no mean; nothing was written. Correct the column "
                      "or give it the role ignore",
                      scope.first_column + static_cast<std::int32_t>(cell % static_cast<std::size_t>(scope.n_columns))));
  }
}

// The pivot of a segment is what is known of its median; rows of other labels use the population's. Clamped to the cells there are.
Frame make_frame(const SegmentScope& scope, const Counts& counts, const quantiles::Search& search) {
  Frame frame{scope, std::vector<double>(scope.n_cells()), std::vector<std::int32_t>(scope.n_cells()),
              std::vector<std::int32_t>(scope.n_cells())};
  for (std::int32_t group = 0; group <= scope.n_segments; ++group) {
    for (std::int32_t column = 0; column < scope.n_columns; ++column) {
      const std::size_t i = scope.cell(static_cast<std::size_t>(group), column);
      if (counts.known_rows[i] == 0) continue;
      frame.pivot[i] = std::clamp(quantiles::value(search, group, column, Quantile::median), counts.min[i], counts.max[i]);
      const double half_reach = std::max(counts.max[i] / 2 - frame.pivot[i] / 2, frame.pivot[i] / 2 - counts.min[i] / 2);
      // Within [-1000, 1022] the scale and its inverse are normal numbers. |t| <= 4 even where 1022 binds, so a sum of w t^2 is at
      // most 16 times the weight, 108 bits of the 110 that WideSums hold.
      frame.exponent[i] = half_reach > 0 ? std::clamp(std::ilogb(half_reach) + 2, -1000, 1022) : 0;
      frame.fraction_bits[i] = 104 - std::bit_width(static_cast<std::uint64_t>(counts.known_weight[i]));
    }
  }
  return frame;
}

std::int64_t column_bytes_of_one(std::int32_t n_segments) {
  return statistics_bytes(n_segments) + quantiles::statistics_bytes(n_segments, kPerMille.size());
}

}  // namespace

std::int64_t column_bytes(const Context& context, std::int32_t n_segments) { return context.threads() * column_bytes_of_one(n_segments); }

std::int32_t columns_per_round(Context& context, const Passes& passes, std::int32_t n_segments, std::int32_t n_columns) {
  const MemoryLedger& memory = context.memory();
  const std::int64_t needed = column_bytes(context, n_segments);
  const std::int64_t on_device = std::max<std::int64_t>(passes.device_bytes / column_bytes_of_one(n_segments), 1);
  std::int64_t fit =
      std::min({memory.available() / needed, on_device, quantiles::most_columns(n_segments, kPerMille.size()), std::int64_t{n_columns}});
  context.communicator().all_reduce(std::span(&fit, 1), Merge::min);
  if (fit == 0)
    throw ResourceError(
        fmt::format("not enough memory for the profile of {} segments: {} needed for each column, {} of the --memory budget of {} "
                    "left here, or less on another rank; nothing was written. Raise --memory or lower --threads",
                    n_segments, format_bytes(needed), format_bytes(memory.available()), format_bytes(memory.budget())));
  const std::int64_t rounds = (n_columns + fit - 1) / fit;
  return static_cast<std::int32_t>((n_columns + rounds - 1) / rounds);
}

Findings sweep_columns(Context& context, TileSource& raw, const SegmentScope& scope, Passes& passes) {
  Findings findings;
  auto& search = findings.search = quantiles::start(scope, {kPerMille.begin(), kPerMille.end()}, raw.is_wide());
  JointPass first_sweep(*passes.counts, *passes.quantiles);
  auto first = reduce_tiles(context, raw, first_sweep, std::tie(scope, search), kPhase);
  findings.counts = std::move(first.first);
  refuse_infinite(findings.counts, scope);
  quantiles::update(search, first.second);
  while (search.known_digits + 1 < search.n_digits())
    quantiles::update(search, reduce_tiles(context, raw, *passes.quantiles, search, kPhase));
  findings.frame = make_frame(scope, findings.counts, search);
  JointPass last_sweep(*passes.moments, *passes.quantiles);
  auto last = reduce_tiles(context, raw, last_sweep, std::tie(findings.frame, search), kPhase);
  findings.sums = std::move(last.first);
  quantiles::update(search, last.second);
  return findings;
}

}  // namespace coterie::profile
