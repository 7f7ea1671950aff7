// One group of centers for the entries of a strip (group_scan.hpp), by vectors or by a matrix unit, for the instruction set of the
// including file. Included once per instruction set by group_scan.cpp, which hwy/foreach_target.h compiles over and over.
#if defined(COTERIE_HOST_GROUP_ENTRIES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef COTERIE_HOST_GROUP_ENTRIES_INL_HPP
#undef COTERIE_HOST_GROUP_ENTRIES_INL_HPP
#else
#define COTERIE_HOST_GROUP_ENTRIES_INL_HPP
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "host/group_kernel-inl.hpp"
#include "host/group_scan.hpp"

HWY_BEFORE_NAMESPACE();
namespace coterie::nearest {
namespace HWY_NAMESPACE {

constexpr std::size_t kLanes = hn::MaxLanes(Floats{});

constexpr std::int64_t kWordsOfLine = 16;  // of the cache

// Chosen rows leave the prefetcher of the processor without a pattern. They are fetched this many ahead of their scan: far enough for
// memory, few enough for the cache.
constexpr std::size_t kRowsAhead = 32;

HWY_INLINE void fetch_words(const void* rows, std::int64_t row, std::int64_t n_words) {
  const auto* const words = static_cast<const std::int32_t*>(rows) + row * n_words;
  for (std::int64_t word = 0; word < n_words; word += kWordsOfLine) __builtin_prefetch(words + word);
}
// As it was before rounding, for the exact chain or the sums.
HWY_INLINE void fetch_exact(const Strip& strip, std::int32_t row) { fetch_words(strip.x, row, strip.n_columns); }
// Rows of entries, as they are scanned. Not in a function of its own, which would do nothing in the eyes of a compiler.
HWY_INLINE void fetch_rows(const Strip& strip, const StripScan& scan, std::size_t first, std::size_t last) {
  for (std::size_t entry = first; entry < std::min(last, scan.doubtful.size()); ++entry)
    fetch_words(strip.pairs, scan.doubtful[entry], strip.groups->n_pairs());
}

// With more than a few groups, a distance to one center is cheap beside a scan, and worth it.
HWY_INLINE bool is_tightened(const Strip& strip) { return strip.groups->n_groups() > 2; }

HWY_INLINE GroupOf group_of(const CenterGroups& groups, std::int32_t number) {
  const std::int32_t first_place = number * kGroupWidth;
  return {groups.group_pairs(number), groups.half_square() + first_place, groups.length() + first_place, groups.step() + first_place,
          groups.n_pairs()};
}

// Entries from `first_entry` on, or of all where `entries` is nullptr. Where four are not there, the last one stands in for others.
template <std::size_t kVectors>
void scan_by_vectors(const Strip& strip, StripScan& scan, std::int32_t number, const std::int32_t* entries, std::int64_t first_entry,
                     std::int64_t n_entries) {
  const CenterGroups& groups = *strip.groups;
  const GroupOf group = group_of(groups, number);
  float* const lowest = scan.lowest_of(number);
  float* const next = scan.next_of(number);
  const bool is_first = number == scan.scanned.front() && !is_tightened(strip);  // later, rows are in the cache
  for (std::int64_t first = first_entry; first < n_entries; first += kQuad) {
    if (is_first)
      fetch_rows(strip, scan, static_cast<std::size_t>(first) + kRowsAhead, static_cast<std::size_t>(first) + kRowsAhead + kQuad);
    const std::int32_t* row_pairs[kQuad];
    float unit[kQuad], rho[kQuad];
    std::size_t at[kQuad];
    for (std::size_t r = 0; r < kQuad; ++r) {
      const std::int64_t i = std::min(first + static_cast<std::int64_t>(r), n_entries - 1);
      at[r] = static_cast<std::size_t>(entries != nullptr ? entries[i] : i);
      row_pairs[r] = strip.pairs + static_cast<std::int64_t>(scan.doubtful[at[r]]) * groups.n_pairs();
      unit[r] = scan.unit[at[r]];
      rho[r] = scan.rho[at[r]];
    }
    if (entries == nullptr) {
      scan_quad<kVectors>(group, row_pairs, unit, rho, lowest + first, next + first);
      continue;
    }
    float of_entries[2][kQuad];
    scan_quad<kVectors>(group, row_pairs, unit, rho, of_entries[0], of_entries[1]);
    for (std::size_t r = 0; r < kQuad; ++r) {
      lowest[at[r]] = of_entries[0][r];
      next[at[r]] = of_entries[1][r];
    }
  }
}

// High and low bytes of cells.
HWY_INLINE void split_cells(const std::uint8_t* HWY_RESTRICT cells, std::ptrdiff_t n, std::uint8_t* HWY_RESTRICT high,
                            std::uint8_t* HWY_RESTRICT low) {
  for (std::ptrdiff_t j = 0; j < n; ++j) {
    high[j] = cells[2 * j + 1];
    low[j] = cells[2 * j];
  }
}

// The rows of all entries as the matrix unit wants them.
void split_rows(const Strip& strip, StripScan& scan) {
  const std::int32_t n_columns = 2 * strip.groups->n_pairs();
  const std::size_t n_lines = static_cast<std::size_t>(lines_of_row(n_columns));
  scan.lines.resize(static_cast<std::size_t>(scan.strip_rows + kUnitRows) * n_lines);
  for (std::size_t entry = 0; entry < scan.doubtful.size(); ++entry) {
    const auto* cells = reinterpret_cast<const std::uint8_t*>(strip.pairs + std::int64_t{scan.doubtful[entry]} * strip.groups->n_pairs());
    ByteLine* lines = &scan.lines[entry * n_lines];
    std::int32_t left = n_columns;
    for (; left >= kChunkColumns; left -= kChunkColumns, cells += std::ptrdiff_t{2} * kChunkColumns, lines += 2)
      split_cells(cells, kChunkColumns, lines[0].bytes, lines[1].bytes);
    split_cells(cells, left, lines[0].bytes, lines[1].bytes);
  }
}

// The lines of up to kUnitRows entries from one on.
const ByteLine* lines_of_entries(const Strip& strip, StripScan& scan, const std::int32_t* entries, std::int64_t first,
                                 std::int64_t n_entries) {
  const std::int64_t n_lines = lines_of_row(2 * strip.groups->n_pairs());
  if (entries == nullptr) return scan.lines.data() + first * n_lines;
  ByteLine* const gathered = scan.lines.data() + scan.strip_rows * n_lines;
  for (std::int64_t r = 0; r < std::min<std::int64_t>(kUnitRows, n_entries - first); ++r)
    std::copy_n(scan.lines.data() + entries[first + r] * n_lines, n_lines, gathered + r * n_lines);
  return gathered;
}

// The first n_entries of them.
template <std::size_t kVectors>
void scan_by_unit(const Strip& strip, StripScan& scan, std::int32_t number, const std::int32_t* entries, std::int64_t n_entries) {
  const CenterGroups& groups = *strip.groups;
  const GroupOf group = group_of(groups, number);
  const std::int32_t n_chunks = chunks_of(2 * groups.n_pairs());
  float* const lowest = scan.lowest_of(number);
  float* const next = scan.next_of(number);
  MatrixSums sums;
  for (std::int64_t first = 0; first < n_entries; first += kUnitRows) {
    groups.matrix_unit()->multiply(lines_of_entries(strip, scan, entries, first, n_entries), groups.group_lines(number), n_chunks, sums);
    for (std::int64_t row = 0; row < std::min<std::int64_t>(kUnitRows, n_entries - first); row += kQuad) {
      float unit[kQuad], rho[kQuad], of_entries[2][kQuad];
      std::size_t at[kQuad];
      for (std::size_t r = 0; r < kQuad; ++r) {
        const std::int64_t i = std::min(first + row + static_cast<std::int64_t>(r), n_entries - 1);
        at[r] = static_cast<std::size_t>(entries != nullptr ? entries[i] : i);
        unit[r] = scan.unit[at[r]];
        rho[r] = scan.rho[at[r]];
      }
      scan_sums<kVectors>(group, sums, static_cast<std::size_t>(row), unit, rho, of_entries[0], of_entries[1]);
      for (std::int64_t r = 0; r < std::min<std::int64_t>(kQuad, n_entries - first - row); ++r) {
        lowest[at[static_cast<std::size_t>(r)]] = of_entries[0][r];
        next[at[static_cast<std::size_t>(r)]] = of_entries[1][r];
      }
    }
  }
}

// Entries from first_entry on; all of them by the matrix unit if there is one, but for a few: it takes as long for these as for all it
// could take at once.
template <std::size_t kVectors>
void scan_entries(const Strip& strip, StripScan& scan, std::int32_t number, const std::int32_t* entries, std::int64_t first_entry,
                  std::int64_t n_entries) {
  if (strip.groups->matrix_unit() != nullptr) {
    const std::int64_t rest = n_entries % kUnitRows;
    first_entry = n_entries - (rest <= static_cast<std::int64_t>(kQuad) ? rest : 0);
    scan_by_unit<kVectors>(strip, scan, number, entries, first_entry);
  }
  scan_by_vectors<kVectors>(strip, scan, number, entries, first_entry, n_entries);
}

void scan_group(const Strip& strip, StripScan& scan, std::int32_t number, const std::int32_t* entries, std::int64_t first_entry,
                std::int64_t n_entries) {
  const bool is_narrow = strip.groups->n_centers() - number * kGroupWidth <= static_cast<std::int32_t>(kLanes);
  if (is_narrow)
    scan_entries<1>(strip, scan, number, entries, first_entry, n_entries);
  else
    scan_entries<static_cast<std::size_t>(kGroupWidth) / kLanes>(strip, scan, number, entries, first_entry, n_entries);
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie::nearest
HWY_AFTER_NAMESPACE();

#endif
