// What the rows of a tile give to the Newton steps of many logistic regressions: one read of every row for all of them.
//
// Persistent blocks of kStripThreads take blocks of kBlockRows rows and walk through them strip by strip. A strip lies in
// shared memory as z = (x - center) scale, with a last column of ones, and is as long as there are threads where that fits. For
// each model one thread per row takes log-odds in double, residual and curvature; then the threads share out the columns of the
// gradient, and its rows where columns are few; and one thread per 4 x 4 cells the weighted Gram matrices: in float32 within a
// strip where the model allows, in double beyond. A cell of a sum belongs to one thread for as long as a block of rows lasts, so
// nothing depends on which blocks run where, and block results meet as whole quanta. Of wide rows, the Gram matrices are left to
// newton_gram.cuh.
#pragma once

#include "cuda/fixed_point.cuh"
#include "cuda/row_strip.cuh"
#include "host/tile.hpp"

namespace coterie::COTERIE_GPU {

inline constexpr int kGramSide = 4;  // cells of a Gram matrix per thread and direction

// One model; sums lie one after the other: log-likelihood, curvature weight of all blocks and of those with a Hessian, then
// gradient, curvature (n_cells each) and the lower triangles of Hessian and squared scores.
struct NewtonModel {
  const double* parameters;  // (n_cells)
  std::int32_t target, left_out_fold;
  std::int64_t rows_every, hessian_every;  // 0: no Hessian
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
  int strip_rows;              // at most kStripThreads
  const float* x;              // (n_rows, n_cells - 1)
  const std::int32_t* weight;  // (n_rows), or nullptr
  const std::int8_t* target;   // (n_rows, n_targets)
  const std::int8_t* fold;     // (n_rows), or nullptr
  std::int32_t n_rows, n_targets;
  std::int64_t first_block;   // of the tile, in blocks of kBlockRows rows
  const float* center;        // (n_cells - 1)
  const float* scale;         // (n_cells - 1)
  double* terms;              // (n_models, 2, n_rows) curvature and squared residual of wide rows; narrow ones: nullptr
  std::int64_t n_block_sums;  // that a block of threads keeps: all, or of wide rows those before the Hessian, model after model
  const double* per_quantum;  // (n_sums)
  double* block_sums;         // (gridDim.x, n_block_sums) zeros between blocks of rows
  FixedPoint* sums;           // (n_sums)
  std::int64_t* counts;       // (n_models, 4) rows and weight, each of no and of yes
  std::uint64_t* largest;     // (n_models) bits of max |eta|, which order as integers

  __device__ bool wide() const { return terms != nullptr; }
  __device__ std::int64_t first_block_sum(int m) const { return wide() ? m * NewtonModel::hessian(n_cells) : models[m].first_sum; }
  // Which of all sums the i-th of a block is added to.
  __device__ std::int64_t sum_of(std::int64_t i) const {
    const std::int64_t linear = NewtonModel::hessian(n_cells);
    return wide() ? models[i / linear].first_sum + i % linear : i;
  }
};

// The rows of a strip to one model; zeros beyond the last. partial: a column of the gradient and of the curvature per part of the rows.
struct NewtonRows {
  double log_likelihood[kStripThreads], residual[kStripThreads], curvature[kStripThreads], squared[kStripThreads];
  double partial[2][kStripThreads];
};

// cells: (strip_rows, stride) becomes z for the rows from `first` on, zero beyond n_rows of them.
__device__ inline void load_cells(const NewtonSweep& sweep, std::int64_t first, int n_rows, int stride, float* cells) {
  const int n = sweep.n_cells - 1;
  for_each_strip_cell(
      sweep.x + first * n, n_rows, n, sweep.strip_rows, stride,
      [&](int j) {
        return [=, center = sweep.center[j], scale = sweep.scale[j]](int row, float cell) {
          cells[row * stride + j] = (cell - center) * scale;
        };
      },
      [&](int row, int j) { cells[row * stride + j] = j == n && row < n_rows ? 1.0f : 0.0f; });
}

// row: (n_cells) at a multiple of 16 bytes.
__device__ inline double log_odds_of(const double* parameters, int n_cells, const float* row) {
  double eta = 0;
  int j = 0;
  for (; j + 4 <= n_cells; j += 4) {
    const Four<float> z = load_four(row + j);
#pragma unroll
    for (int c = 0; c < 4; ++c) eta = fma(parameters[j + c], static_cast<double>(z.value[c]), eta);
  }
  for (; j < n_cells; ++j) eta = fma(parameters[j], static_cast<double>(row[j]), eta);
  return eta;
}

// One thread per row.
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
  const double eta = i < n_rows ? log_odds_of(model.parameters, sweep.n_cells, cells + i * stride) : 0.0;
  const double w = static_cast<double>(weight), size = eta < 0 ? -eta : eta;
  const double e = ::exp(-size), likelier = 1 / (1 + e), less_likely = e * likelier;
  const bool expected = (eta > 0) == yes;
  const double error = expected ? less_likely : likelier, r = yes ? error : -error;
  rows.log_likelihood[i] = -w * ((expected ? 0.0 : size) + ::log1p(e));
  rows.residual[i] = w * r;
  rows.curvature[i] = w * (less_likely * likelier);
  rows.squared[i] = w * r * r;
  if (sweep.wide() && i < n_rows) {
    double* const terms = sweep.terms + std::int64_t{2} * model.first_count * sweep.n_rows + row;
    terms[0] = rows.curvature[i];
    terms[sweep.n_rows] = rows.squared[i];
  }
  std::int64_t counts[4] = {weight > 0 && !yes ? 1 : 0, weight > 0 && yes ? 1 : 0, yes ? 0 : weight, yes ? weight : 0};
  double largest = weight > 0 ? size : 0;
  for (auto& count : counts) count = add_lanes(count);
  for (int other = 1; other <= 16; other *= 2) largest = max(largest, __shfl_xor_sync(kAllLanes, largest, other));
  if (i % 32 != 0) return;
  for (int c = 0; c < 4; ++c)
    if (counts[c] != 0) atomic_add(&sweep.counts[4 * model.first_count + c], counts[c]);
  atomic_max(&sweep.largest[model.first_count], static_cast<std::uint64_t>(__double_as_longlong(largest)));
}

// Sums of residual z and of curvature z over every `parts`-th row from `part` on, for one column.
struct LinearSums {
  double gradient = 0, curvature = 0;
};
__device__ inline LinearSums linear_sums(const NewtonSweep& sweep, int column, int part, int parts, int stride, const float* cells,
                                         const NewtonRows& rows) {
  LinearSums sums;
  for (int i = part; i < sweep.strip_rows; i += parts) {
    const auto cell = static_cast<double>(cells[i * stride + column]);
    sums.gradient = fma(rows.residual[i], cell, sums.gradient);
    sums.curvature = fma(rows.curvature[i], cell, sums.curvature);
  }
  return sums;
}

// A column of the gradient per thread or, where columns are few, per several threads, which then meet in shared memory.
__device__ inline void add_linear_sums(const NewtonSweep& sweep, const NewtonModel& model, int stride, const float* cells, NewtonRows& rows,
                                       double* sums) {
  const int thread = static_cast<int>(threadIdx.x), n = sweep.n_cells, parts = n < kStripThreads ? kStripThreads / n : 1;
  const auto add = [&](int column, const LinearSums& found) {
    sums[NewtonModel::kLinear + column] += found.gradient;
    if (model.wants_curvature) sums[NewtonModel::kLinear + n + column] += found.curvature;
  };
  if (parts == 1) {
    for (int column = thread; column < n; column += kStripThreads) add(column, linear_sums(sweep, column, 0, 1, stride, cells, rows));
    return;
  }
  if (thread < parts * n) {
    const LinearSums found = linear_sums(sweep, thread % n, thread / n, parts, stride, cells, rows);
    rows.partial[0][thread] = found.gradient;
    rows.partial[1][thread] = found.curvature;
  }
  __syncthreads();
  if (thread >= n) return;
  LinearSums all;
  for (int part = 0; part < parts; ++part) {
    all.gradient += rows.partial[0][part * n + thread];
    all.curvature += rows.partial[1][part * n + thread];
  }
  add(thread, all);
}

// Log-likelihood and summed curvature, by the last warp.
__device__ inline void add_totals(bool with_hessian, const NewtonRows& rows, double* sums) {
  const int lane = static_cast<int>(threadIdx.x) - (kStripThreads - 32);
  if (lane < 0) return;
  double log_likelihood = 0, curvature = 0;
  for (int i = lane; i < kStripThreads; i += 32) {
    log_likelihood += rows.log_likelihood[i];
    curvature += rows.curvature[i];
  }
  log_likelihood = add_lanes(log_likelihood);
  curvature = add_lanes(curvature);
  if (lane != 0) return;
  sums[0] += log_likelihood;
  sums[1] += curvature;
  if (with_hessian) sums[2] += curvature;
}

// Adds the lower triangle of the sum of term z z^T, one thread per kGramSide x kGramSide cells. term: (strip_rows).
template <class T>
__device__ void add_gram(const NewtonSweep& sweep, int stride, const float* cells, const double* term, double* triangle) {
  const int n_cells = sweep.n_cells;
  const int side = (n_cells + kGramSide - 1) / kGramSide, n_tiles = side * (side + 1) / 2;
  for (int tile = static_cast<int>(threadIdx.x); tile < n_tiles; tile += kStripThreads) {
    int a = 0;
    while ((a + 1) * (a + 2) / 2 <= tile) ++a;
    const int i0 = a * kGramSide, j0 = (tile - a * (a + 1) / 2) * kGramSide;
    T sum[kGramSide][kGramSide] = {};
    for (int row = 0; row < sweep.strip_rows; ++row) {
      const auto t = static_cast<T>(term[row]);
      const Four<float> left = load_four(cells + row * stride + i0), right = load_four(cells + row * stride + j0);
#pragma unroll
      for (int i = 0; i < kGramSide; ++i) {
        const T scaled = t * static_cast<T>(left.value[i]);
#pragma unroll
        for (int j = 0; j < kGramSide; ++j) sum[i][j] = multiply_add(scaled, static_cast<T>(right.value[j]), sum[i][j]);
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
                                 NewtonRows& rows, double* sums) {
  const bool with_hessian = model.hessian_every > 0 && block % model.hessian_every == 0;
  add_totals(with_hessian, rows, sums);
  add_linear_sums(sweep, model, stride, cells, rows, sums);
  if (sweep.wide()) return;
  double* const hessian = sums + NewtonModel::hessian(sweep.n_cells);
  if (with_hessian && model.precise) add_gram<double>(sweep, stride, cells, rows.curvature, hessian);
  if (with_hessian && !model.precise) add_gram<float>(sweep, stride, cells, rows.curvature, hessian);
  if (model.wants_scores) add_gram<double>(sweep, stride, cells, rows.squared, sums + NewtonModel::scores(sweep.n_cells));
}

// Dynamic shared memory: (strip_rows, strip_stride(n_cells - 1)) cells. One block of rows per turn.
__global__ void __launch_bounds__(kStripThreads, 2) add_newton_sums_kernel(NewtonSweep sweep) {
  SHARED_BYTES(memory);
  SHARED(rows, NewtonRows);
  auto* const cells = reinterpret_cast<float*>(memory);
  const int stride = strip_stride(sweep.n_cells - 1);
  double* const block_sums = sweep.block_sums + std::int64_t{blockIdx.x} * sweep.n_block_sums;
  const std::int64_t n_blocks = (sweep.n_rows + kBlockRows - 1) / kBlockRows;
  for (std::int64_t b = blockIdx.x; b < n_blocks; b += gridDim.x) {
    const std::int64_t last = min((b + 1) * kBlockRows, std::int64_t{sweep.n_rows});
    for (std::int64_t first = b * kBlockRows; first < last; first += sweep.strip_rows) {
      const int n_rows = static_cast<int>(min(last - first, std::int64_t{sweep.strip_rows}));
      load_cells(sweep, first, n_rows, stride, cells);
      __syncthreads();
      for (int m = 0; m < sweep.n_models; ++m) {
        const NewtonModel& model = sweep.models[m];
        if ((sweep.first_block + b) % model.rows_every != 0) continue;
        fill_newton_rows(sweep, model, first, n_rows, stride, cells, rows);
        __syncthreads();
        add_strip(sweep, model, sweep.first_block + b, stride, cells, rows, block_sums + sweep.first_block_sum(m));
        __syncthreads();
      }
    }
    for (std::int64_t i = threadIdx.x; i < sweep.n_block_sums; i += kStripThreads) {
      const std::int64_t sum = sweep.sum_of(i);
      add_quanta(sweep.sums + sum, block_sums[i] * sweep.per_quantum[sum]);
      block_sums[i] = 0;
    }
    __syncthreads();
  }
}

}  // namespace coterie::COTERIE_GPU
