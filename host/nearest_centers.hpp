// The definition of kmeans.hpp, bit for bit on every instruction set: which center is nearest to a row, which is second, and how far
// they are, for all centers or for the rivals that a faster scan (group_scan.hpp) has left.
//
// Rows are packed column by column into panels so that each SIMD lane holds one row and runs the defined chain
// s = fma(t, t, s) in column order; there is no horizontal step. Instruction sets are chosen at run time (Highway).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace coterie::nearest {

inline constexpr std::int32_t kGroup = 8;  // centers per register block: 8 accumulators of one or two vectors each

// When a scan of squared differences in float32 (cuda/open_centers.cuh) names the winner of the definition: its second result
// exceeds `ratio` times its best, plus an allowance for underflow. Each of the two differs from the true sum by at most (d + 2) u
// relative, u = 2^-24, and (d + 1) 2^-149 absolute; the double chain of the definition by far less; 4 u more cover the rounding of
// the test itself.
struct Certainty {
  float ratio;
  static constexpr float kUnderflow = 0x1p-120f;  // > 2 (d + 1) 2^-149 for d < 2^27
  explicit Certainty(std::int32_t n_columns) {
    const double e = (n_columns + 8) * 0x1p-24;
    ratio = static_cast<float>((1 + e) / (1 - e) * (1 + 0x1p-22));
  }
};

// Centers of one model, interleaved in groups of kGroup so that one row of a group is one cache line or less.
class Centers {
 public:
  Centers() = default;
  Centers(std::span<const float> cluster_centers, std::int32_t n_clusters, std::int32_t n_columns);  // (n_clusters, n_columns)
  std::int32_t n_columns() const { return n_columns_; }
  std::int32_t n_groups() const { return (n_clusters_ + kGroup - 1) / kGroup; }
  const double* exact(std::int32_t group) const { return exact_.data() + offset(group); }  // (n_columns, kGroup), +inf beyond n_clusters

 private:
  std::size_t offset(std::int32_t group) const { return static_cast<std::size_t>(group) * static_cast<std::size_t>(n_columns_) * kGroup; }
  std::int32_t n_clusters_ = 0;
  std::int32_t n_columns_ = 0;
  std::vector<double> exact_;
};

// The definition, for the chosen rows. One entry per row of `rows`.
struct Exact {
  std::vector<std::int32_t> label;
  std::vector<std::int32_t> second;  // -1 when there is one center only
  std::vector<double> squared_distance;
  std::vector<double> second_squared_distance;  // infinity when there is one center only
  std::vector<float> panel;                     // scratch
};
void scan_exact(const float* x, std::span<const std::int32_t> rows, const Centers& centers, Exact& result);  // x: (*, n_columns)

// The definition for single pairs of a row and a center. x: (*, n_columns), centers: (*, n_columns).
struct Pair {
  std::int32_t row, center;
};
void squared_distances_of_pairs(const float* x, const float* centers, std::int32_t n_columns, std::span<const Pair> pairs,
                                double* result);  // result: (pairs)

// A row that leaves the sums of one center, or none (-1), for those of another.
struct Move {
  std::int32_t row, from, to;
};

// Moves rows between the sums of their centers. Cells and sums are multiples of the column's grid step and the sums stay below
// 2^53 steps (the caller flushes in time), so every addition is exact.
void move_rows(const float* x, std::int32_t n_columns, std::span<const Move> moves,
               double* sums);  // x: (*, n_columns), sums: (*, n_columns)
// The same with integer weights of up to 24 bits, by row, cut into 12-bit halves: sums[0] takes the low, sums[1] the high half.
void move_weighted_rows(const float* x, std::int32_t n_columns, std::span<const Move> moves, const std::int32_t* weight,
                        double* const sums[2]);

// Rows that lie column by column, so many at a time: a line of the cache.
inline constexpr std::int64_t kColumnStrip = 16;
// Squared distances of the definition from the rows of a strip to some centers. strip: (n_columns, kColumnStrip), centers: (n_columns,
// n_centers), result: (n_centers, kColumnStrip).
void squared_distances(const float* strip, std::int64_t n_columns, const double* centers, std::size_t n_centers, double* result);

}  // namespace coterie::nearest
