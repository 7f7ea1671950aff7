#include "host/digit_slots.hpp"

#include <algorithm>

namespace coterie::quantiles {
namespace {

// Appends what a group's cell (a group and column) looks for, as far as no slot has it yet.
void append_slots(const Search& search, std::size_t cell, std::vector<Slot>& slots) {
  const std::size_t n_quantiles = search.per_mille.size();
  for (std::size_t entry = cell * n_quantiles; entry < (cell + 1) * n_quantiles; ++entry) {
    const std::uint64_t prefix = search.prefixes[entry];
    const bool taken = std::any_of(slots.begin(), slots.end(), [=](const Slot& slot) { return slot.prefix == prefix; });
    if (search.ranks[entry] > 0 && !taken) slots.push_back({prefix, entry});
  }
}

}  // namespace

std::vector<Slot> find_slots(const Search& search, std::size_t group, std::int32_t column) {
  if (search.known_digits == 0) return {{.prefix = 0, .entry = search.scope.cell(group, column)}};
  std::vector<Slot> slots;
  const auto population = static_cast<std::size_t>(search.scope.n_segments);
  append_slots(search, search.scope.cell(group, column), slots);
  if (group != population) append_slots(search, search.scope.cell(population, column), slots);
  return slots;
}

void add_bins(std::int64_t* to, const std::int64_t* from) {
  for (std::size_t bin = 0; bin < kDigits; ++bin) to[bin] += from[bin];
}

void share_counts(const Search& search, std::int32_t column, std::int64_t* histogram) {
  if (search.known_digits == 0) return;
  const SegmentScope& scope = search.scope;
  const auto bins_of = [&](std::size_t entry) { return histogram + entry * kBins; };
  const auto population = static_cast<std::size_t>(scope.n_segments);
  const std::vector<Slot> of_all = find_slots(search, population, column);
  for (std::size_t group = 0; group < scope.n_groups(); ++group) {
    std::vector<Slot> slots;
    append_slots(search, scope.cell(group, column), slots);
    for (const Slot& slot : slots)
      for (const Slot& wanted : of_all)
        if (wanted.prefix == slot.prefix && wanted.entry != slot.entry) add_bins(bins_of(wanted.entry), bins_of(slot.entry));
    const std::size_t first = search.entry(static_cast<std::int32_t>(group), column, 0);
    for (std::size_t entry = first; entry < first + search.per_mille.size(); ++entry)
      for (const Slot& slot : slots)
        if (slot.prefix == search.prefixes[entry] && slot.entry != entry) std::copy_n(bins_of(slot.entry), kBins, bins_of(entry));
  }
}

}  // namespace coterie::quantiles
