// What the kernels of a sweep of logistic regressions are told: models, rows, and how a block of threads uses its shared memory.
#pragma once

#include "cuda/fixed_point.cuh"
#include "cuda/row_strip.cuh"
#include "host/tile.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr int kNewtonModels = 4;   // of one launch: what their sums leave of the registers
inline constexpr int kChunkColumns = 64;  // two per lane

// One model; sums lie one after the other: log-likelihood, curvature weight of all blocks and of those with a Hessian, then
// gradient, curvature (n_cells each), the lower triangles of Hessian and squared scores, and those of segments (newton_segments.cuh).
struct NewtonModel {
  const double* parameters;  // (n_cells)
  const double* effects;     // (n_segments) or nullptr
  std::int32_t n_segments;
  std::int32_t target, left_out_fold;
  std::int64_t rows_every, hessian_every;  // 0: no Hessian
  bool precise, wants_curvature, wants_scores;
  std::int32_t curvature_term, residual_term, scores_term;  // among the terms, or -1
  std::int64_t first_sum;                                   // of this model among the sums of all
  std::int64_t* counts;                                     // (4) rows and weight, each of no and of yes
  std::uint64_t* largest;                                   // bits of max |eta|, which order as integers

  static constexpr int kLinear = 3;
  __host__ __device__ static std::int64_t triangle(int n_cells) { return std::int64_t{n_cells} * (n_cells + 1) / 2; }
  __host__ __device__ static std::int64_t hessian(int n_cells) { return kLinear + 2 * std::int64_t{n_cells}; }
  __host__ __device__ static std::int64_t scores(int n_cells) { return hessian(n_cells) + triangle(n_cells); }
  __host__ __device__ std::int64_t segments(int n_cells) const { return scores(n_cells) + (wants_scores ? triangle(n_cells) : 0); }
  __device__ bool has_hessian(std::int64_t block) const { return hessian_every > 0 && block % hessian_every == 0; }
};

// Rows of a slice of a tile, and what becomes of them.
struct NewtonRows {
  const float* x;              // (n_rows, n_cells - 1)
  const std::int32_t* weight;  // (n_rows), or nullptr
  const std::int8_t* target;   // (n_rows, n_targets)
  const std::int8_t* fold;     // (n_rows), or nullptr
  const std::int32_t* label;   // (n_rows) segments, or nullptr
  std::int32_t n_rows, n_targets;
  int n_cells;               // n_columns + 1
  std::int64_t first_block;  // of the slice, in blocks of kBlockRows rows
  const float* center;       // (n_cells - 1)
  const float* scale;        // (n_cells - 1)
  double* terms;             // (n_terms, term_rows) curvature, residual or its square of every row of the blocks that a Gram matrix
  std::int64_t term_rows;    // or segments take: multiples of terms_every, one after the other; 0: none does
  std::int64_t terms_every;
  const double* per_quantum;  // (n_sums)
  FixedPoint* sums;           // (n_sums)

  __host__ __device__ std::int64_t n_blocks() const { return (n_rows + kBlockRows - 1) / kBlockRows; }
  // The first multiple of `every` blocks, counted from the slice on.
  __host__ __device__ std::int64_t first_of(std::int64_t every) const { return (every - first_block % every) % every; }
  __host__ __device__ std::int64_t term_at(std::int64_t block) const { return (block - first_of(terms_every)) / terms_every * kBlockRows; }
};

// The shared memory of a block; all but the strips in doubles. Groups of warps share out the chunks of columns, and have sums of their own.
struct NewtonShape {
  int n_columns, strip_rows;  // rows of a warp: a power of two
  bool with_curvature;
  int stride, n_chunk_warps;  // floats from row to row; warps of a group

  NewtonShape() = default;
  __host__ NewtonShape(int n_columns_, int strip_rows_, bool with_curvature_)
      : n_columns(n_columns_),
        strip_rows(strip_rows_),
        with_curvature(with_curvature_),
        stride(strip_stride(n_columns_)),
        n_chunk_warps(1) {
    while (n_chunk_warps < kStripWarps && n_chunk_warps * kChunkColumns < n_columns) n_chunk_warps *= 2;
  }
  __host__ __device__ int n_groups() const { return kStripWarps / n_chunk_warps; }
  __host__ __device__ int n_lines() const { return with_curvature ? 2 : 1; }  // of factors and of sums
  __host__ __device__ int n_parameters(int n_models) const { return (pad_columns(n_columns) + 1) * n_models; }
  __host__ __device__ int n_factors(int n_models) const { return kStripWarps * strip_rows * n_models; }
  __host__ __device__ int n_sums(int n_models) const { return n_groups() * n_models * n_columns; }
  __host__ std::size_t bytes(int n_models) const {
    const int doubles = n_parameters(n_models) + n_lines() * (n_factors(n_models) + n_sums(n_models));
    const int floats = kStripWarps * strip_rows * stride + pad_columns(n_columns);
    return sizeof(double) * static_cast<std::size_t>((doubles + 1) / 2 * 2) + sizeof(float) * static_cast<std::size_t>(floats);
  }
};

template <int kModels>
struct NewtonSweep {
  NewtonRows rows;
  NewtonShape shape;
  NewtonModel models[kModels];
  std::int64_t blocks_every;  // multiples of it are taken
  bool copies_vectors;        // rows begin at multiples of 16 bytes
};

}  // namespace coterie::COTERIE_GPU
