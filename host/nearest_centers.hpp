// Which center is nearest to a row, and which is second: the definition of kmeans.hpp, computed fast and proven.
//
// Rows are packed column by column into panels so that each SIMD lane holds one row and runs the defined chain
// s = fma(t, t, s) in column order; there is no horizontal step. Two precisions share one loop:
//   exact  double, t = double(x) - double(c): the definition itself, bit for bit on every instruction set.
//   fast   float32, twice as many lanes. t and every fma round with relative error u = 2^-24, so the result is within a
//          relative (d + 2) u of the true sum (plus underflow); if the two smallest results are further apart than that
//          allows, the exact chain must name the same row winner. The few rows that stay ambiguous go to `exact`.
// Instruction sets are chosen at run time (Highway); results never depend on the choice.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace coterie::nearest {

inline constexpr std::int32_t kGroup = 8;  // centers per register block: 8 accumulators of one or two vectors each

// When a float32 scan names the winner of the definition: its second result exceeds `ratio` times its best, plus an
// allowance for underflow. Each of the two differs from the true sum by at most (d + 2) u relative and (d + 1) 2^-149
// absolute; the double chain of the definition by far less; 4 u more cover the rounding of the test itself.
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
  std::int32_t n_clusters() const { return n_clusters_; }
  std::int32_t n_columns() const { return n_columns_; }
  std::int32_t n_groups() const { return (n_clusters_ + kGroup - 1) / kGroup; }
  const float* fast(std::int32_t group) const { return fast_.data() + offset(group); }     // (n_columns, kGroup), +inf beyond n_clusters
  const double* exact(std::int32_t group) const { return exact_.data() + offset(group); }  // (n_columns, kGroup), +inf beyond n_clusters

 private:
  std::size_t offset(std::int32_t group) const { return static_cast<std::size_t>(group) * static_cast<std::size_t>(n_columns_) * kGroup; }
  std::int32_t n_clusters_ = 0;
  std::int32_t n_columns_ = 0;
  std::vector<float> fast_;
  std::vector<double> exact_;
};

// Rows packed for the fast scan; padded with zero rows to whole panels. Reused from block to block.
struct Panel {
  std::int64_t n_rows = 0;
  std::int32_t n_columns = 0;
  std::vector<float> cells;
};

void pack(const float* x, std::int64_t n_rows, std::int32_t n_columns, Panel& panel);  // x: (n_rows, n_columns)

// label (n_rows): the certified nearest center, or -1 where the row is ambiguous. slack (n_rows), where given: at most the
// distance to the second nearest center less that to the nearest; infinite when there is one center only.
void scan_fast(const Panel& panel, const Centers& centers, std::int32_t* label, float* slack = nullptr);

// The definition, for the chosen rows. One entry per row of `rows`.
struct Exact {
  std::vector<std::int32_t> label;
  std::vector<std::int32_t> second;  // -1 when there is one center only
  std::vector<double> squared_distance;
  std::vector<double> second_squared_distance;  // infinity when there is one center only
  std::vector<double> panel;                    // scratch
};
void scan_exact(const float* x, std::span<const std::int32_t> rows, const Centers& centers, Exact& result);  // x: (*, n_columns)

// The slack of scan_fast, from exact squared distances.
float slack_of(double squared_distance, double second_squared_distance);

// Rows whose label may have changed: those with slack <= drift[label] (kmeans_bounds.hpp). label, slack: (n_rows); drift: by
// label, from -1 on. Writes their numbers, in order, to `rows`, which has room for n_rows; returns how many there are.
std::int64_t find_doubtful(const std::int32_t* label, const float* slack, std::int64_t n_rows, const float* drift, std::int32_t* rows);

// Adds rows, or takes them away (sign -1), to the sums of their centers. Cells and sums are multiples of the column's grid step
// and the sums stay below 2^53 steps (the caller flushes in time), so every addition is exact. label: (n_rows), -1 skips the row.
struct SignedRows {
  const float* x;  // (n_rows, n_columns)
  std::int64_t n_rows;
  std::int32_t n_columns;
  double sign;
};
void add_rows(const SignedRows& rows, const std::int32_t* label, double* sums);  // sums: (n_clusters, n_columns)
// The same with integer weights of up to 24 bits, cut into 12-bit halves: sums[0] takes the low, sums[1] the high half.
void add_weighted_rows(const SignedRows& rows, const std::int32_t* label, const std::int32_t* weight, double* const sums[2]);

// (n_rows) squared distances of the definition to one center; columns: (n_columns, n_rows) column-major.
void squared_distances(const float* columns, std::int64_t stride, std::int64_t first, std::int64_t n_rows, std::span<const float> center,
                       double* result);

}  // namespace coterie::nearest
