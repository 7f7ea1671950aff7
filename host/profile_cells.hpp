// The inner loop of a profile's first sweep on the CPU: what the rows of one group add to its counts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "host/segment_rows.hpp"

namespace coterie::profile {

// The entries of one group in Counts.
struct GroupCounts {
  std::int64_t* known_rows;      // (n_columns), as everything else
  std::int64_t* known_weight;    // steps
  std::int64_t* nonzero_weight;  // steps
  double* min;
  double* max;
};
void count_cells(const GroupRows<float>& rows, std::size_t n_columns, const GroupCounts& counts);
void count_cells(const GroupRows<double>& rows, std::size_t n_columns, const GroupCounts& counts);

}  // namespace coterie::profile
