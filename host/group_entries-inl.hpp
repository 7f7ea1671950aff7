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

void fetch_rows(const Strip& strip, const StripScan& scan, std::size_t first, std::size_t last) {
  const std::int64_t n_pairs = strip.groups->n_pairs();
  for (std::size_t entry = first; entry < std::min(last, scan.doubtful.size()); ++entry) {
    const std::int32_t* const row = strip.pairs + scan.doubtful[entry] * n_pairs;
    for (std::int64_t pair = 0; pair < n_pairs; pair += kWordsOfLine) __builtin_prefetch(row + pair);
  }
}

// With more than a few groups, a distance to one center is cheap beside a scan, and worth it.
HWY_INLINE bool is_tightened(const Strip& strip) { return strip.groups->n_groups() > 2; }

HWY_INLINE GroupOf group_of(const CenterGroups& groups, std::int32_t number) {
  const std::int32_t first_place = number * kGroupWidth;
  return {groups.group_pairs(number), groups.half_square() + first_place, groups.length() + first_place, groups.step() + first_place,
          groups.n_pairs()};
}

// Four entries: where they are, and what is known of their rows.
struct EntryQuad {
  std::int64_t first;
  std::size_t at[kQuad];
  float unit[kQuad], rho[kQuad];
};

// One group for some entries, or for all where `entries` is nullptr, from one of them on. scan_quad(quad, lowest, next) is called for
// four at a time, the last one standing in for those that are missing, whose results are of no account.
template <class ScanQuad>
HWY_INLINE void scan_quads(StripScan& scan, std::int32_t number, const std::int32_t* entries, std::int64_t first, std::int64_t n_entries,
                           ScanQuad&& scan_quad) {
  float* const lowest = scan.lowest_of(number);
  float* const next = scan.next_of(number);
  EntryQuad quad;
  for (quad.first = first; quad.first < n_entries; quad.first += kQuad) {
    for (std::size_t r = 0; r < kQuad; ++r) {
      const std::int64_t i = std::min(quad.first + static_cast<std::int64_t>(r), n_entries - 1);
      quad.at[r] = static_cast<std::size_t>(entries != nullptr ? entries[i] : i);
      quad.unit[r] = scan.unit[quad.at[r]];
      quad.rho[r] = scan.rho[quad.at[r]];
    }
    float of_entries[2][kQuad];
    scan_quad(quad, entries == nullptr ? lowest + quad.first : of_entries[0], entries == nullptr ? next + quad.first : of_entries[1]);
    const std::size_t n = std::min(kQuad, static_cast<std::size_t>(n_entries - quad.first));
    for (std::size_t r = 0; r < n && entries != nullptr; ++r) {
      lowest[quad.at[r]] = of_entries[0][r];
      next[quad.at[r]] = of_entries[1][r];
    }
  }
}

template <std::size_t kVectors>
void scan_by_vectors(const Strip& strip, StripScan& scan, std::int32_t number, const std::int32_t* entries, std::int64_t first,
                     std::int64_t n_entries) {
  const CenterGroups& groups = *strip.groups;
  const GroupOf group = group_of(groups, number);
  const bool is_first = scan.scanned.size() == 1 && !is_tightened(strip);  // later, rows are in the cache
  scan_quads(scan, number, entries, first, n_entries, [&](const EntryQuad& quad, float* lowest, float* next) HWY_ATTR {
    const std::size_t ahead = static_cast<std::size_t>(quad.first) + kRowsAhead;
    if (is_first) fetch_rows(strip, scan, ahead, ahead + kQuad);
    const std::int32_t* row_pairs[kQuad];
    for (std::size_t r = 0; r < kQuad; ++r)
      row_pairs[r] = strip.pairs + static_cast<std::int64_t>(scan.doubtful[quad.at[r]]) * groups.n_pairs();
    scan_quad<kVectors>(group, row_pairs, quad.unit, quad.rho, lowest, next);
  });
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
  scan.lines.resize(static_cast<std::size_t>(kStripRows + kUnitRows) * n_lines);
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
  ByteLine* const gathered = scan.lines.data() + kStripRows * n_lines;
  for (std::int64_t r = 0; r < std::min<std::int64_t>(kUnitRows, n_entries - first); ++r)
    std::copy_n(scan.lines.data() + entries[first + r] * n_lines, n_lines, gathered + r * n_lines);
  return gathered;
}

template <std::size_t kVectors>
void scan_by_unit(const Strip& strip, StripScan& scan, std::int32_t number, const std::int32_t* entries, std::int64_t n_entries) {
  const CenterGroups& groups = *strip.groups;
  const GroupOf group = group_of(groups, number);
  const std::int32_t n_chunks = chunks_of(2 * groups.n_pairs());
  MatrixSums sums;
  scan_quads(scan, number, entries, 0, n_entries, [&](const EntryQuad& quad, float* lowest, float* next) HWY_ATTR {
    const std::int64_t row = quad.first % kUnitRows;
    if (row == 0)
      groups.matrix_unit()->multiply(lines_of_entries(strip, scan, entries, quad.first, n_entries), groups.group_lines(number), n_chunks,
                                     sums);
    scan_sums<kVectors>(group, sums, static_cast<std::size_t>(row), quad.unit, quad.rho, lowest, next);
  });
}

// By the matrix unit if there is one; it takes as long for a few rows as for all it could take, so these few go by vectors.
template <std::size_t kVectors>
void scan_entries(const Strip& strip, StripScan& scan, std::int32_t number, const std::int32_t* entries, std::int64_t n_entries) {
  std::int64_t n_by_unit = 0;
  if (strip.groups->matrix_unit() != nullptr) {
    const std::int64_t rest = n_entries % kUnitRows;
    n_by_unit = n_entries - (rest <= static_cast<std::int64_t>(kQuad) ? rest : 0);
    scan_by_unit<kVectors>(strip, scan, number, entries, n_by_unit);
  }
  scan_by_vectors<kVectors>(strip, scan, number, entries, n_by_unit, n_entries);
}

void scan_group(const Strip& strip, StripScan& scan, std::int32_t number, const std::int32_t* entries, std::int64_t n_entries) {
  const bool is_narrow = strip.groups->n_centers() - number * kGroupWidth <= static_cast<std::int32_t>(kLanes);
  if (is_narrow)
    scan_entries<1>(strip, scan, number, entries, n_entries);
  else
    scan_entries<static_cast<std::size_t>(kGroupWidth) / kLanes>(strip, scan, number, entries, n_entries);
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie::nearest
HWY_AFTER_NAMESPACE();

#endif
