// First and second moments of the rows of one block, exact in steps of the grid.
#pragma once

#include <cstdint>
#include <vector>

#include "host/kmeans.hpp"

namespace coterie::kmeans {

// Rows, kBlockRows at most between two flushes: |q| <= 2^23 and w <= 2^24, so w q stays below 2^59 in all, and so do w times the
// high and the low 23 bits of q^2.
class BlockMoments {
 public:
  explicit BlockMoments(const Grid& grid);
  void add(const float* x, const std::int32_t* weight, std::int64_t n_rows);  // (n_rows, n_columns); (n_rows) or nullptr for ones
  void flush(GridMoments& to);

 private:
  void add_runs(const float* x, std::int64_t n_rows);
  void add_weighted(const float* x, const std::int32_t* weight, std::int64_t n_rows);

  std::vector<double> inverse_steps_;                         // (n_columns)
  std::vector<std::int64_t> sum_, square_high_, square_low_;  // (n_columns)
  std::vector<double> run_sum_, run_square_;                  // (n_columns) of rows of weight 1
};

}  // namespace coterie::kmeans
