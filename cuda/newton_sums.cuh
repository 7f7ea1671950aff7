// What the rows of a tile give to the Newton steps of a few logistic regressions, but for Gram matrices (newton_gram.cuh): one read of
// every row for all of them.
//
// Persistent blocks of kStripThreads take blocks of kBlockRows rows. Each warp copies a strip of rows into shared memory and takes
// log-odds in double: a lane per row or, of wide rows, which come in shorter strips, several lanes with every so many-th vector of columns
// each. Residuals go to shared memory; then lanes are columns, and walk through the rows of the warp or, where columns are many, of several
// warps that share them out. Every cell is widened once per use for all models. Who adds what in which order depends on the number of
// columns alone, so nothing depends on which blocks run where, and block results meet as whole quanta.
#pragma once

#include "cuda/instructions/copy_async.hpp"
#include "cuda/newton_plan.cuh"

namespace coterie::COTERIE_GPU {

// One number per model.
template <int kModels>
struct alignas(kModels % 2 == 0 ? 16 : 8) PerModel {
  double of[kModels];
};

template <int kModels>
struct NewtonMemory {
  PerModel<kModels>* parameters;  // (padded columns + 1) times the scale of the column, zero beyond; last, of the column of ones
  PerModel<kModels>* factors;     // (lines, warps, strip_rows) residual and curvature
  double* sums;                   // (lines, groups, models, columns) in cells that are not scaled
  float* center;                  // (padded columns)
  float* strips;                  // (warps, strip_rows, stride) as they are in x; zero between

  __device__ NewtonMemory(const NewtonShape& shape, std::byte* memory)
      : parameters(reinterpret_cast<PerModel<kModels>*>(memory)), factors(parameters + shape.n_parameters(1)) {
    const int n_factors = shape.n_lines() * shape.n_factors(1), n_sums = shape.n_lines() * shape.n_sums(kModels);
    sums = reinterpret_cast<double*>(factors + n_factors);
    center = reinterpret_cast<float*>(sums + n_sums + (shape.n_parameters(kModels) + n_factors * kModels + n_sums) % 2);
    strips = center + pad_columns(shape.n_columns);
  }
};

// A block of rows: what there is of it, which of the models take it, as bits, and its its first terms, or nullptr.
struct NewtonBlock {
  int first_row, n_rows;
  unsigned takers;
  double* terms;

  template <int kModels>
  __device__ NewtonBlock(const NewtonSweep<kModels>& sweep, std::int64_t block)
      : first_row(static_cast<int>(block * kBlockRows)), takers(0), terms(nullptr) {
    const NewtonRows& rows = sweep.rows;
    const std::int64_t global = rows.first_block + block;
    n_rows = min(static_cast<int>(kBlockRows), rows.n_rows - first_row);
    for (int m = 0; m < kModels; ++m) takers |= global % sweep.models[m].rows_every == 0 ? 1u << m : 0u;
    if (rows.term_rows > 0 && global % rows.terms_every == 0) terms = rows.terms + rows.term_at(block);
  }
};

// What a lane has met in its rows of a block.
template <int kModels>
struct NewtonTotals {
  double log_likelihood[kModels], product[kModels], residual[kModels], curvature[kModels];
};

// Of the block of threads, whatever the columns: sums that warps add up, and what registers have no room for, the largest |eta| of a
// thread and its count of rows or weight.
template <int kModels>
struct NewtonMeeting {
  PerModel<kModels> log_likelihood[kStripWarps], residual[kStripWarps], curvature[kStripWarps];
  double largest[kModels][kStripThreads];
  std::int64_t count[kStripThreads];
};

// Cells of n_rows consecutive rows, kFloats at a time. strip: (n_rows, stride)
template <int kFloats>
__device__ void copy_rows(const float* x, int n_rows, int n_columns, int stride, float* strip) {
  const int lane = static_cast<int>(threadIdx.x) % 32, width = n_columns / kFloats, rows_on = 32 / width, on = 32 % width;
  int row = lane / width, at = lane % width;
  for (int i = lane; i < n_rows * width; i += 32) {
    copy_async<4 * kFloats>(strip + row * stride + at * kFloats, x + std::int64_t{i} * kFloats);
    row += rows_on;
    at += on;
    if (at >= width) at -= width, ++row;
  }
}

// Log-odds of a row, but for the intercept, by `parts` neighbouring lanes. cells: (n_columns) of the row.
template <int kModels>
__device__ void add_log_odds(const NewtonShape& shape, const NewtonMemory<kModels>& memory, const float* cells, int part, int parts,
                             double (&eta)[kModels]) {
  for (int j = 4 * part; j < shape.n_columns; j += 4 * parts) {
    const Four<float> cell = load_four(cells + j), center = load_four(memory.center + j);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const auto z = static_cast<double>(cell.value[i] - center.value[i]);
      const PerModel<kModels> parameter = memory.parameters[j + i];
#pragma unroll
      for (int m = 0; m < kModels; ++m) eta[m] = fma(parameter.of[m], z, eta[m]);
    }
  }
#pragma unroll
  for (int m = 0; m < kModels; ++m) eta[m] = add_lanes(eta[m], 1, parts / 2);
}

// A row to a model: its weight where the outcome is yes, less than zero where it is no, 0 where it does not count.
__device__ inline int vote_of(const NewtonRows& rows, const NewtonModel& model, int row) {
  const int outcome = rows.target[std::int64_t{row} * rows.n_targets + model.target], fold = rows.fold != nullptr ? rows.fold[row] : 0;
  const bool counts = outcome >= 0 && fold >= 0 && fold != model.left_out_fold;
  const int weight = !counts ? 0 : rows.weight != nullptr ? rows.weight[row] : 1;
  return outcome > 0 ? weight : -weight;
}

// What the segment of a row adds to its log-odds.
__device__ inline double effect_of(const NewtonRows& rows, const NewtonModel& model, int row) {
  if (model.effects == nullptr || rows.label == nullptr) return 0;
  const int segment = rows.label[row];
  return segment >= 0 && segment < model.n_segments ? model.effects[segment] : 0;
}

// Rows and weight of 32 lanes; lane 4 m + c keeps the c-th count of the m-th model. A weight has 24 bits.
__device__ inline void add_counts(int vote, int m, std::int64_t& own_count) {
  const int counter = static_cast<int>(threadIdx.x) % 32 - 4 * m;
  const int no = __popc(__ballot_sync(kAllLanes, vote < 0)), yes = __popc(__ballot_sync(kAllLanes, vote > 0));
  const int no_weight = __reduce_add_sync(kAllLanes, max(-vote, 0)), yes_weight = __reduce_add_sync(kAllLanes, max(vote, 0));
  if (counter >= 0 && counter < 4) own_count += counter == 0 ? no : counter == 1 ? yes : counter == 2 ? no_weight : yes_weight;
}

// What log-odds and vote of a row say of a model.
struct RowTerms {
  double residual, curvature, squared;
};
template <int kModels>
__device__ RowTerms take_row(double eta, int vote, bool has_weights, int m, NewtonTotals<kModels>& totals, double& largest) {
  const double w = static_cast<double>(vote < 0 ? -vote : vote), size = eta < 0 ? -eta : eta;
  const double e = ::exp(-size), likelier = 1 / (1 + e), less_likely = e * likelier;
  const bool expected = (eta > 0) == (vote > 0);
  const double error = expected ? less_likely : likelier, r = vote > 0 ? error : -error;
  const RowTerms terms{w * r, w * (less_likely * likelier), w * r * r};
  if (!expected) totals.log_likelihood[m] -= w * size;
  // Rows that weigh the same share a logarithm: that of the product of all 1 + e, each at most 2, of some 500 rows at most.
  if (has_weights)
    totals.log_likelihood[m] -= w * ::log1p(e);
  else
    totals.product[m] *= fma(w, e, 1.0);
  totals.residual[m] += terms.residual;
  totals.curvature[m] += terms.curvature;
  if (vote != 0 && size > largest) largest = size;
  return terms;
}

// A strip is `first` rows into its block, of which n_rows exist; neighbouring lanes have a row, and the first of them speaks for it.
struct NewtonStrip {
  int first, n_rows, parts, own;
  __device__ NewtonStrip(const NewtonShape& shape, const NewtonBlock& block, int turn) {
    first = turn + static_cast<int>(threadIdx.x) / 32 * shape.strip_rows;
    n_rows = max(0, min(shape.strip_rows, block.n_rows - first));
    parts = 32 / shape.strip_rows;
    own = static_cast<int>(threadIdx.x) % 32 / parts;
  }
  __device__ int part() const { return static_cast<int>(threadIdx.x) % parts; }
  __device__ bool speaks() const { return part() == 0 && own < n_rows; }
};

// Factors of the rows of a strip, zero beyond, and terms of Gram matrices.
template <int kModels>
__device__ void fill_factors(const NewtonSweep<kModels>& sweep, const NewtonMemory<kModels>& memory, const NewtonBlock& block,
                             const NewtonStrip& strip, const int (&votes)[kModels], NewtonTotals<kModels>& totals,
                             NewtonMeeting<kModels>& meeting) {
  const NewtonRows& rows = sweep.rows;
  const NewtonShape& shape = sweep.shape;
  const int thread = static_cast<int>(threadIdx.x), at = thread / 32 * shape.strip_rows + strip.own;
  double eta[kModels] = {};
  add_log_odds(shape, memory, memory.strips + at * shape.stride, strip.part(), strip.parts, eta);
#pragma unroll
  for (int m = 0; m < kModels; ++m) {
    const NewtonModel& model = sweep.models[m];
    add_counts(votes[m], m, meeting.count[thread]);
    const double effect = strip.own < strip.n_rows ? effect_of(rows, model, block.first_row + strip.first + strip.own) : 0;
    const RowTerms terms = take_row(eta[m] + memory.parameters[pad_columns(shape.n_columns)].of[m] + effect, votes[m],
                                    rows.weight != nullptr, m, totals, meeting.largest[m][thread]);
    if (strip.part() == 0) {
      memory.factors[at].of[m] = terms.residual;
      if (shape.with_curvature) memory.factors[shape.n_factors(1) + at].of[m] = terms.curvature;
    }
    if (block.terms == nullptr || !strip.speaks()) continue;
    double* const to = block.terms + strip.first + strip.own;
    if (model.curvature_term >= 0) to[model.curvature_term * rows.term_rows] = terms.curvature;
    if (model.residual_term >= 0) to[model.residual_term * rows.term_rows] = terms.residual;
    if (model.scores_term >= 0) to[model.scores_term * rows.term_rows] = terms.squared;
  }
}

// Adds the sums of factor (x - center) over n_rows rows for columns j and, of two, j + 32. cells: (n_rows, stride); sums: (models, columns)
template <int kModels, int kColumns>
__device__ void add_columns(const NewtonShape& shape, const float* cells, const PerModel<kModels>* factors, int n_rows, const float* center,
                            int j, double* sums) {
  double sum[kColumns][kModels] = {};
  const float* from[kColumns];
  float pivot[kColumns];
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    const int column = min(j + 32 * c, shape.n_columns - 1);
    from[c] = cells + column;
    pivot[c] = center[column];
  }
#pragma unroll(kModels == 1 ? 4 : 2)
  for (int row = 0; row < n_rows; ++row) {
    const PerModel<kModels> factor = factors[row];
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const auto z = static_cast<double>(*from[c] - pivot[c]);
      from[c] += shape.stride;
#pragma unroll
      for (int m = 0; m < kModels; ++m) sum[c][m] = fma(factor.of[m], z, sum[c][m]);
    }
  }
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    if (j + 32 * c >= shape.n_columns) continue;
#pragma unroll
    for (int m = 0; m < kModels; ++m) sums[m * shape.n_columns + j + 32 * c] += sum[c][m];
  }
}

// The rows of a group of warps: of every chunk that is this warp's.
template <int kModels>
__device__ void add_linear_sums(const NewtonShape& shape, const NewtonMemory<kModels>& memory) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int group = warp / shape.n_chunk_warps, n_rows = shape.n_chunk_warps * shape.strip_rows, first = group * n_rows;
  const float* const cells = memory.strips + first * shape.stride;
  for (int line = 0; line < shape.n_lines(); ++line) {
    const PerModel<kModels>* const factors = memory.factors + line * shape.n_factors(1) + first;
    double* const sums = memory.sums + (line * shape.n_groups() + group) * kModels * shape.n_columns;
    for (int j = warp % shape.n_chunk_warps * kChunkColumns; j < shape.n_columns; j += shape.n_chunk_warps * kChunkColumns) {
      if (shape.n_columns - j > 32)
        add_columns<kModels, 2>(shape, cells, factors, n_rows, memory.center, j + lane, sums);
      else
        add_columns<kModels, 1>(shape, cells, factors, n_rows, memory.center, j + lane, sums);
    }
  }
}

// All strips of a block of rows.
template <int kModels>
__device__ void add_block(const NewtonSweep<kModels>& sweep, const NewtonMemory<kModels>& memory, const NewtonBlock& block,
                          NewtonTotals<kModels>& totals, NewtonMeeting<kModels>& meeting) {
  const NewtonShape& shape = sweep.shape;
  const int n_columns = shape.n_columns;
  float* const cells = memory.strips + static_cast<int>(threadIdx.x) / 32 * shape.strip_rows * shape.stride;
  const auto meet = [&] {
    if (shape.n_chunk_warps == 1)
      __syncwarp();
    else
      __syncthreads();
  };
  for (int turn = 0; turn < block.n_rows; turn += kStripWarps * shape.strip_rows) {
    const NewtonStrip strip(shape, block, turn);
    const float* const x = sweep.rows.x + std::int64_t{block.first_row + strip.first} * n_columns;
    if (sweep.copies_vectors)
      copy_rows<4>(x, strip.n_rows, n_columns, shape.stride, cells);
    else
      copy_rows<1>(x, strip.n_rows, n_columns, shape.stride, cells);
    commit_copies();
    int votes[kModels];
#pragma unroll
    for (int m = 0; m < kModels; ++m) {
      const bool takes = strip.speaks() && (block.takers >> m & 1u) != 0;
      votes[m] = takes ? vote_of(sweep.rows, sweep.models[m], block.first_row + strip.first + strip.own) : 0;
    }
    wait_copies<0>();
    __syncwarp();
    fill_factors(sweep, memory, block, strip, votes, totals, meeting);
    meet();
    add_linear_sums(shape, memory);
    meet();
  }
}

// Block results as quanta; the sums of the next block begin at zero.
template <int kModels>
__device__ void flush_block(const NewtonSweep<kModels>& sweep, const NewtonMemory<kModels>& memory, std::int64_t block,
                            NewtonTotals<kModels>& totals, NewtonMeeting<kModels>& meeting) {
  const NewtonRows& rows = sweep.rows;
  const NewtonShape& shape = sweep.shape;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32, n = shape.n_columns,
            n_groups = shape.n_groups();
  const auto flush = [&](std::int64_t sum, double value) { add_quanta(rows.sums + sum, value * rows.per_quantum[sum]); };
#pragma unroll
  for (int m = 0; m < kModels; ++m) {
    const double log_likelihood = add_lanes(totals.log_likelihood[m] - (sweep.rows.weight == nullptr ? ::log(totals.product[m]) : 0.0));
    const double residual = add_lanes(totals.residual[m]), curvature = add_lanes(totals.curvature[m]);
    totals.log_likelihood[m] = totals.residual[m] = totals.curvature[m] = 0;
    totals.product[m] = 1;
    if (lane != 0) continue;
    meeting.log_likelihood[warp].of[m] = log_likelihood;
    meeting.residual[warp].of[m] = residual;
    meeting.curvature[warp].of[m] = curvature;
  }
  __syncthreads();
  for (int i = thread; i < shape.n_lines() * kModels * n; i += kStripThreads) {
    const int line = i / (kModels * n), m = i / n % kModels, j = i % n;
    double* const sums = memory.sums + line * n_groups * kModels * n + m * n + j;
    double sum = 0;
    for (int group = 0; group < n_groups; ++group) {
      sum += sums[group * kModels * n];
      sums[group * kModels * n] = 0;
    }
    const std::int64_t first = sweep.models[m].first_sum + NewtonModel::kLinear;
    if (line == 0 || sweep.models[m].wants_curvature) flush(first + line * (n + 1) + j, sum * static_cast<double>(rows.scale[j]));
  }
  if (thread < kModels) {
    const NewtonModel& model = sweep.models[thread];
    double log_likelihood = 0, residual = 0, curvature = 0;
    for (int i = 0; i < kStripWarps; ++i) {
      log_likelihood += meeting.log_likelihood[i].of[thread];
      residual += meeting.residual[i].of[thread];
      curvature += meeting.curvature[i].of[thread];
    }
    flush(model.first_sum, log_likelihood);
    flush(model.first_sum + 1, curvature);
    if (model.has_hessian(rows.first_block + block)) flush(model.first_sum + 2, curvature);
    flush(model.first_sum + NewtonModel::kLinear + n, residual);
    if (model.wants_curvature) flush(model.first_sum + NewtonModel::kLinear + 2 * n + 1, curvature);
  }
  __syncthreads();
}

// Dynamic shared memory: shape.bytes(kModels). One block of rows per turn.
template <int kModels>
__global__ void __launch_bounds__(kStripThreads, 2) add_newton_sums_kernel(NewtonSweep<kModels> sweep) {
  SHARED_BYTES(bytes);
  SHARED(meeting, NewtonMeeting<kModels>);
  const NewtonShape& shape = sweep.shape;
  const NewtonMemory<kModels> memory(shape, bytes);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  for (int i = thread; i < kStripWarps * shape.strip_rows * shape.stride; i += kStripThreads) memory.strips[i] = 0;
  for (int i = thread; i < shape.n_lines() * shape.n_sums(kModels); i += kStripThreads) memory.sums[i] = 0;
  for (int j = thread; j < pad_columns(shape.n_columns); j += kStripThreads) {
    const bool exists = j < shape.n_columns;
    memory.center[j] = exists ? sweep.rows.center[j] : 0.0f;
#pragma unroll
    for (int m = 0; m < kModels; ++m)
      memory.parameters[j].of[m] = exists ? sweep.models[m].parameters[j] * static_cast<double>(sweep.rows.scale[j]) : 0.0;
  }
  if (thread < kModels) memory.parameters[pad_columns(shape.n_columns)].of[thread] = sweep.models[thread].parameters[shape.n_columns];
  for (auto& of_model : meeting.largest) of_model[thread] = 0;
  meeting.count[thread] = 0;
  __syncthreads();
  NewtonTotals<kModels> totals = {};
#pragma unroll
  for (int m = 0; m < kModels; ++m) totals.product[m] = 1;
  const std::int64_t every = sweep.blocks_every, n_blocks = sweep.rows.n_blocks();
  for (std::int64_t b = sweep.rows.first_of(every) + blockIdx.x * every; b < n_blocks; b += gridDim.x * every) {
    add_block(sweep, memory, NewtonBlock(sweep, b), totals, meeting);
    flush_block(sweep, memory, b, totals, meeting);
  }
#pragma unroll
  for (int m = 0; m < kModels; ++m) {
    double largest = meeting.largest[m][thread];
    for (int other = 1; other <= 16; other *= 2) largest = max(largest, __shfl_xor_sync(kAllLanes, largest, other));
    if (lane / 4 == m) atomic_add(&sweep.models[m].counts[lane % 4], meeting.count[thread]);
    if (lane == 0) atomic_max(sweep.models[m].largest, static_cast<std::uint64_t>(__double_as_longlong(largest)));
  }
}

}  // namespace coterie::COTERIE_GPU
