// The inner loop of the quantiles' sweeps on the CPU: a cell counts in at most one bin, found by comparing the known digits of its key
// with the few that are looked for in its group and column, a vector of columns at a time. (segment_rows.hpp, ordered_key.hpp)
#pragma once

#include <cstddef>
#include <cstdint>

#include "host/ordered_key.hpp"
#include "host/segment_rows.hpp"

namespace coterie::quantiles {

// What is looked for in the columns of one group. Slots of a column have different prefixes; one that is not used has kNoPrefix.
template <class Key>
struct WantedKeys {
  const Key* prefixes;  // (n_slots, n_columns) the known digits: key >> shift >> kDigitBits
  const Key* bins;      // (n_slots, n_columns) of digit 0, in the histogram
  std::size_t n_slots;
  std::size_t n_columns;
  int shift;  // of the digit to count
};

template <class Key>
inline constexpr Key kNoPrefix = ~Key{0};  // a prefix lacks at least the 8 bits of a digit

// Adds the weight of every known cell that has one of the prefixes to the bin of its digit.
void count_digits(const GroupRows<float>& rows, const WantedKeys<std::uint32_t>& wanted, std::int64_t* histogram);
void count_digits(const GroupRows<double>& rows, const WantedKeys<std::uint64_t>& wanted, std::int64_t* histogram);

}  // namespace coterie::quantiles
