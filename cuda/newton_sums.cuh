// What the rows of a tile give to the Newton steps of many logistic regressions: one read of every row for all of them.
//
// Persistent blocks of kStripThreads take blocks of kBlockRows rows and walk through them strip by strip. A strip lies in
// shared memory as z = (x - center) scale, with a last column of ones. For each model one thread per row takes log-odds in
// double, residual and curvature; then one thread per column the gradient, and one thread per 4 x 4 cells the weighted
// Gram matrices: in float32 within a strip where the model allows, in double beyond. A cell of a sum belongs to one thread
// for as long as a block of rows lasts, so nothing depends on which blocks run where, and block results meet as whole quanta.
#pragma once

#include "cuda/fixed_point.cuh"
#include "cuda/row_strip.cuh"
#include "host/tile.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr int kNewtonRows = 64;  // of a strip
inline constexpr int kGramSide = 4;     // cells of a Gram matrix per thread and direction

// One model; sums lie one after the other: log-likelihood, curvature weight of all blocks and of those with a Hessian, then
// gradient, curvature (n_cells each) and the lower triangles of Hessian and squared scores.
struct NewtonModel {
  const double* parameters;  // (n_cells)
  std::int32_t target, left_out_fold;
  std::int64_t rows_every, hessian_every;
  bool precise, wants_curvature, wants_scores;
  std::int64_t first_sum;  // of this model among the sums of all
  std::int32_t first_count;

  static constexpr int kLinear = 3;
  __host__ __device__ static std::int64_t triangle(int n_cells) { return std::int64_t{n_cells} * (n_cells + 1) / 2; }
  __host__ __device__ static std::int64_t hessian(int n_cells) { return kLinear + 2 * std::int64_t{n_cells}; }
  __host__ __device__ static std::int64_t scores(int n_cells) { return hessian(n_cells) + triangle(n_cells); }
  __host__ __device__ std::int64_t n_sums(int n_cells) const { return scores(n_cells) + (wants_scores ? triangle(n_cells) : 0); }
};

struct NewtonSweep {
  const NewtonModel* models;   // (n_models)
  int n_models, n_cells;       // n_cells: n_columns + 1
  const float* x;              // (n_rows, n_cells - 1)
  const std::int32_t* weight;  // (n_rows), or nullptr
  const std::int8_t* target;   // (n_rows, n_targets)
  const std::int8_t* fold;     // (n_rows), or nullptr
  std::int32_t n_rows, n_targets;
  std::int64_t first_block;  // of the tile, in blocks of kBlockRows rows
  const float* center;       // (n_cells - 1)
  const float* scale;        // (n_cells - 1)
  std::int64_t n_sums;
  const double* per_quantum;  // (n_sums)
  double* block_sums;         // (gridDim.x, n_sums) zeros between blocks of rows
  FixedPoint* sums;           // (n_sums)
  std::int64_t* counts;       // (n_models, 4) rows and weight, each of no and of yes
  std::uint64_t* largest;     // (n_models) bits of max |eta|, which order as integers
};

// The rows of a strip to one model.
struct NewtonRows {
  double log_likelihood[kNewtonRows], residual[kNewtonRows], curvature[kNewtonRows], squared[kNewtonRows];
};

__device__ inline void load_cells(const NewtonSweep& sweep, std::int64_t first, int n_rows, int stride, float* cells) {
  const int n = sweep.n_cells - 1;
  for (int i = static_cast<int>(threadIdx.x); i < kNewtonRows * stride; i += kStripThreads) {
    const int row = i / stride, j = i % stride;
    float cell = 0;
    if (row < n_rows && j < n) cell = (sweep.x[(first + row) * n + j] - sweep.center[j]) * sweep.scale[j];
    cells[i] = row < n_rows && j == n ? 1.0f : cell;
  }
}

// One thread per row, in the first two warps.
__device__ inline void fill_newton_rows(const NewtonSweep& sweep, const NewtonModel& model, std::int64_t first, int n_rows, int stride,
                                        const float* cells, NewtonRows& rows) {
  const int i = static_cast<int>(threadIdx.x);
  const std::int64_t row = first + i;
  std::int64_t weight = 0;
  bool yes = false;
  if (i < n_rows) {
    const int outcome = sweep.target[row * sweep.n_targets + model.target], fold = sweep.fold != nullptr ? sweep.fold[row] : 0;
    yes = outcome > 0;
    if (outcome >= 0 && fold >= 0 && fold != model.left_out_fold) weight = sweep.weight != nullptr ? sweep.weight[row] : 1;
  }
  double eta = 0;
  for (int j = 0; j < sweep.n_cells; ++j) eta = fma(model.parameters[j], static_cast<double>(cells[i * stride + j]), eta);
  const double w = static_cast<double>(weight), size = eta < 0 ? -eta : eta;
  const double e = ::exp(-size), likelier = 1 / (1 + e), less_likely = e * likelier;
  const bool expected = (eta > 0) == yes;
  const double error = expected ? less_likely : likelier, r = yes ? error : -error;
  rows.log_likelihood[i] = -w * ((expected ? 0.0 : size) + ::log1p(e));
  rows.residual[i] = w * r;
  rows.curvature[i] = w * (less_likely * likelier);
  rows.squared[i] = w * r * r;
  std::int64_t counts[4] = {weight > 0 && !yes ? 1 : 0, weight > 0 && yes ? 1 : 0, yes ? 0 : weight, yes ? weight : 0};
  double largest = weight > 0 ? size : 0;
  for (auto& count : counts) count = add_lanes(count);
  for (int other = 1; other <= 16; other *= 2) largest = max(largest, __shfl_xor_sync(kAllLanes, largest, other));
  if (i % 32 != 0) return;
  for (int c = 0; c < 4; ++c)
    if (counts[c] != 0) atomic_add(&sweep.counts[4 * model.first_count + c], counts[c]);
  atomic_max(&sweep.largest[model.first_count], static_cast<std::uint64_t>(__double_as_longlong(largest)));
}

// Log-likelihood and summed curvature by the last warp; a column of the gradient per thread.
__device__ inline void add_linear_sums(const NewtonSweep& sweep, const NewtonModel& model, bool with_hessian, int stride,
                                       const float* cells, const NewtonRows& rows, double* sums) {
  const int thread = static_cast<int>(threadIdx.x);
  for (int j = thread; j < sweep.n_cells; j += kStripThreads) {
    double gradient = 0, curvature = 0;
    for (int i = 0; i < kNewtonRows; ++i) {
      const auto cell = static_cast<double>(cells[i * stride + j]);
      gradient = fma(rows.residual[i], cell, gradient);
      curvature = fma(rows.curvature[i], cell, curvature);
    }
    sums[NewtonModel::kLinear + j] += gradient;
    if (model.wants_curvature) sums[NewtonModel::kLinear + sweep.n_cells + j] += curvature;
  }
  if (thread < kStripThreads - 32) return;
  const int lane = thread % 32;
  const double log_likelihood = add_lanes(rows.log_likelihood[lane] + rows.log_likelihood[lane + 32]);
  const double curvature = add_lanes(rows.curvature[lane] + rows.curvature[lane + 32]);
  if (lane != 0) return;
  sums[0] += log_likelihood;
  sums[1] += curvature;
  if (with_hessian) sums[2] += curvature;
}

// Adds the lower triangle of the sum of term z z^T, one thread per kGramSide x kGramSide cells. term: (kNewtonRows).
template <class T>
__device__ void add_gram(int n_cells, int stride, const float* cells, const double* term, double* triangle) {
  const int side = (n_cells + kGramSide - 1) / kGramSide, n_tiles = side * (side + 1) / 2;
  for (int tile = static_cast<int>(threadIdx.x); tile < n_tiles; tile += kStripThreads) {
    int a = 0;
    while ((a + 1) * (a + 2) / 2 <= tile) ++a;
    const int i0 = a * kGramSide, j0 = (tile - a * (a + 1) / 2) * kGramSide;
    T sum[kGramSide][kGramSide] = {};
    for (int row = 0; row < kNewtonRows; ++row) {
      const auto t = static_cast<T>(term[row]);
      const float* const cell = cells + row * stride;
      T right[kGramSide];
#pragma unroll
      for (int j = 0; j < kGramSide; ++j) right[j] = static_cast<T>(cell[j0 + j]);
#pragma unroll
      for (int i = 0; i < kGramSide; ++i) {
        const T left = t * static_cast<T>(cell[i0 + i]);
#pragma unroll
        for (int j = 0; j < kGramSide; ++j) sum[i][j] = multiply_add(left, right[j], sum[i][j]);
      }
    }
#pragma unroll
    for (int i = 0; i < kGramSide; ++i) {
#pragma unroll
      for (int j = 0; j < kGramSide; ++j)
        if (i0 + i < n_cells && j0 + j <= i0 + i) triangle[NewtonModel::triangle(i0 + i) + j0 + j] += static_cast<double>(sum[i][j]);
    }
  }
}

__device__ inline void add_strip(const NewtonSweep& sweep, const NewtonModel& model, std::int64_t block, int stride, const float* cells,
                                 const NewtonRows& rows, double* sums) {
  const bool with_hessian = block % model.hessian_every == 0;
  add_linear_sums(sweep, model, with_hessian, stride, cells, rows, sums);
  double* const hessian = sums + NewtonModel::hessian(sweep.n_cells);
  if (with_hessian && model.precise) add_gram<double>(sweep.n_cells, stride, cells, rows.curvature, hessian);
  if (with_hessian && !model.precise) add_gram<float>(sweep.n_cells, stride, cells, rows.curvature, hessian);
  if (model.wants_scores) add_gram<double>(sweep.n_cells, stride, cells, rows.squared, sums + NewtonModel::scores(sweep.n_cells));
}

// Dynamic shared memory: (kNewtonRows, strip_stride(n_cells - 1)) cells. One block of rows per turn.
__global__ void __launch_bounds__(kStripThreads) add_newton_sums_kernel(NewtonSweep sweep) {
  SHARED_BYTES(memory);
  SHARED(rows, NewtonRows);
  auto* const cells = reinterpret_cast<float*>(memory);
  const int stride = strip_stride(sweep.n_cells - 1);
  double* const block_sums = sweep.block_sums + std::int64_t{blockIdx.x} * sweep.n_sums;
  const std::int64_t n_blocks = (sweep.n_rows + kBlockRows - 1) / kBlockRows;
  for (std::int64_t b = blockIdx.x; b < n_blocks; b += gridDim.x) {
    const std::int64_t last = min((b + 1) * kBlockRows, std::int64_t{sweep.n_rows});
    for (std::int64_t first = b * kBlockRows; first < last; first += kNewtonRows) {
      const int n_rows = static_cast<int>(min(last - first, std::int64_t{kNewtonRows}));
      load_cells(sweep, first, n_rows, stride, cells);
      __syncthreads();
      for (int m = 0; m < sweep.n_models; ++m) {
        const NewtonModel& model = sweep.models[m];
        if ((sweep.first_block + b) % model.rows_every != 0) continue;
        if (threadIdx.x < kNewtonRows) fill_newton_rows(sweep, model, first, n_rows, stride, cells, rows);
        __syncthreads();
        add_strip(sweep, model, sweep.first_block + b, stride, cells, rows, block_sums + model.first_sum);
        __syncthreads();
      }
    }
    for (std::int64_t i = threadIdx.x; i < sweep.n_sums; i += kStripThreads) {
      add_quanta(sweep.sums + i, block_sums[i] * sweep.per_quantum[i]);
      block_sums[i] = 0;
    }
    __syncthreads();
  }
}

}  // namespace coterie::COTERIE_GPU
