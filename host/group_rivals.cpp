// What a scan leaves to the definition, and what its answer changes (group_scan.hpp).
#include <algorithm>
#include <bit>
#include <cmath>

#include "host/group_errors.hpp"
#include "host/group_scan.hpp"

namespace coterie::nearest {

// A group told its two lowest results; where both do not exceed the limit, all of them are looked at again.
void append_rivals(const Strip& strip, const StripScan& scan, std::int32_t entry, std::vector<std::int32_t>& centers) {
  const float limit = scan.limit[static_cast<std::size_t>(entry)];
  for (const std::int32_t g : scan.scanned) {
    const float lowest = scan.lowest_of(g)[entry];
    if (lowest > limit || lowest > kScanned) continue;
    const std::int32_t* const of_group = strip.groups->center() + std::ptrdiff_t{g} * kGroupWidth;
    if (scan.next_of(g)[entry] > limit) {
      centers.push_back(of_group[std::bit_cast<std::int32_t>(lowest) & kPlaceBits]);
      continue;
    }
    float results[kGroupWidth];
    results_of_group(strip, scan, static_cast<std::size_t>(entry), g, results);
    for (std::int32_t i = 0; i < kGroupWidth; ++i)
      if (of_group[i] >= 0 && !(results[i] > limit)) centers.push_back(of_group[i]);
  }
}

void set_label(const Strip& strip, StripScan& scan, std::int32_t entry, std::int32_t label) {
  const std::size_t i = static_cast<std::size_t>(entry);
  const std::int32_t row = scan.doubtful[i];
  if (const std::int32_t before = strip.bounds.label_of(row); before != label) scan.moves.add({row, before, label});
  if (strip.bounds.slack != nullptr) {
    strip.bounds.slack[row] = RowSlack::with_label(label);
    return;
  }
  strip.bounds.label[row] = label;
  const Errors errors(strip.n_columns);
  const std::int32_t place = strip.groups->place_of(label), group = place / kGroupWidth;
  const auto write = [&](std::int32_t g, float result) {
    const float square = scan.length[i] * scan.length[i] * errors.square_down, score = result - kUnderflow;
    strip.bounds.lower[g * strip.bounds.stride + row] =
        std::sqrt(std::max(0.0f, square + 2 * score)) * (1 - kOutwards) + strip.drifts.group[g] * (1 - kDriftOutwards);
  };
  const std::int32_t presumed = scan.place[i] / kGroupWidth;
  write(presumed, scan.lowest_of(presumed)[entry]);
  const float lowest = scan.lowest_of(group)[entry];
  write(group, (std::bit_cast<std::int32_t>(lowest) & kPlaceBits) == place % kGroupWidth ? scan.next_of(group)[entry] : lowest);
  strip.bounds.upper[row] = scan.reach[i] - strip.drifts.center[label] * (1 - kDriftOutwards);
}

}  // namespace coterie::nearest
