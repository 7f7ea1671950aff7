// Log-densities and responsibilities of a strip of rows (row_strip.cuh) under the components of a mixture: the device side
// of host/gaussian_density.hpp, with the same formulas and the same order of columns. Neighbouring threads have neighbouring
// rows and the same components, so what they read of the mixture is one address.
#pragma once

#include "cuda/fixed_point.cuh"
#include "cuda/packed_mixture.hpp"
#include "cuda/row_strip.cuh"

namespace coterie::COTERIE_GPU {

__device__ inline float exp_of(float x) { return ::expf(x); }
__device__ inline double exp_of(double x) { return ::exp(x); }
__device__ inline float log_of(float x) { return ::logf(x); }
__device__ inline double log_of(double x) { return ::log(x); }

// Smallest responsibility that counts, as a logarithm: 2^-30 and 2^-60.
template <class T>
inline constexpr T kLogLeastResponsibility = sizeof(T) == 4 ? T(-20.79441541679836) : T(-41.58883083359672);

// Rows with missing cells are swept in double only.
template <class T>
inline constexpr bool kMayMiss = sizeof(T) == sizeof(double);

struct StripShape {
  int rows;            // a power of two
  int stride;          // cells from row to row
  int density_stride;  // from row to row of log-densities: odd, so that neighbouring rows lie in different banks
  int lanes_per_row;   // that share a row when its log-densities are normalised: kStripThreads / rows, at most a warp
};

// Rows that one thread takes at once, so that what it reads of the mixture serves all of them: `apart` rows lie between two,
// and neighbouring threads have neighbouring rows. Where a strip has fewer rows, the last one is taken again.
template <class T>
inline constexpr int kRowsAtOnce = 16 / sizeof(T);

template <class T>
struct RowGroup {
  const T* row[kRowsAtOnce<T>];
  int index[kRowsAtOnce<T>];

  __device__ RowGroup(const T* cells, const StripShape& shape, int first, int apart) {
#pragma unroll
    for (int r = 0; r < kRowsAtOnce<T>; ++r) {
      index[r] = min(first + r * apart, shape.rows - 1);
      row[r] = cells + index[r] * shape.stride;
    }
  }
};

// Calls f(rows, i) for i = 0 .. count - 1 and all rows of a strip, rows first.
template <class T, class F>
__device__ void for_each_rows_and(int count, const T* cells, const StripShape& shape, F&& f) {
  const int apart = max(1, shape.rows / kRowsAtOnce<T>);
  for (int i = static_cast<int>(threadIdx.x); i < count * apart; i += kStripThreads)
    f(RowGroup<T>(cells, shape, i % apart, apart), i / apart);
}

// sum += |(x - center) scale|^2 for four neighbouring components, without scales where kScaled is false. center, scale:
// (padded_columns, kGaussianGroup) from the first of the four on.
template <bool kScaled, class T>
__device__ void add_squares(const RowGroup<T>& rows, int padded_columns, const T* center, const T* scale, T (&sum)[kRowsAtOnce<T>][4]) {
  for (int j = 0; j < padded_columns; j += 4) {
    Four<T> cells[kRowsAtOnce<T>];
#pragma unroll
    for (int r = 0; r < kRowsAtOnce<T>; ++r) cells[r] = load_four(rows.row[r] + j);
#pragma unroll
    for (int i = 0; i < 4; ++i, center += kGaussianGroup) {
      const Four<T> c = load_four(center);
      Four<T> s{};
      if constexpr (kScaled) {
        s = load_four(scale);
        scale += kGaussianGroup;
      }
#pragma unroll
      for (int r = 0; r < kRowsAtOnce<T>; ++r) {
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          T t = cells[r].value[i] - c.value[k];
          if constexpr (kScaled) t *= s.value[k];
          sum[r][k] = multiply_add(t, t, sum[r][k]);
        }
      }
    }
  }
}

// The same over the cells that are not missing (NaN); off becomes what the missing ones take off the constants. norm: as scale.
template <bool kScaled, class T>
__device__ void add_known_squares(const RowGroup<T>& rows, const DeviceMixture<T>& mixture, std::int64_t at, T (&sum)[kRowsAtOnce<T>][4],
                                  T (&off)[kRowsAtOnce<T>][4]) {
  for (int j = 0; j < mixture.n_columns; ++j, at += kGaussianGroup) {
#pragma unroll
    for (int r = 0; r < kRowsAtOnce<T>; ++r) {
      const T cell = rows.row[r][j];
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const T difference = cell - mixture.centers[at + k];
        const T t = kScaled ? difference * mixture.scales[at + k] : difference;
        sum[r][k] = cell == cell ? multiply_add(t, t, sum[r][k]) : sum[r][k];
        off[r][k] += cell == cell ? T{0} : mixture.norms[at + k];
      }
    }
  }
}

// y = columns first .. first + kGaussianGroup - 1 of P^T (x - mean), mean nullptr: zero. mean: (padded_columns); triangle:
// group first / kGaussianGroup of P. Returns where the next group begins.
template <class T>
__device__ const T* whiten_group(const RowGroup<T>& rows, const T* mean, int padded_columns, const T* triangle, int first,
                                 T (&y)[kRowsAtOnce<T>][kGaussianGroup]) {
#pragma unroll
  for (int r = 0; r < kRowsAtOnce<T>; ++r) {
#pragma unroll
    for (int k = 0; k < kGaussianGroup; ++k) y[r][k] = 0;
  }
  for (int j = 0; j < min(padded_columns, first + kGaussianGroup); j += 4) {
    Four<T> t[kRowsAtOnce<T>], m{};
    if (mean != nullptr) m = load_four(mean + j);
#pragma unroll
    for (int r = 0; r < kRowsAtOnce<T>; ++r) {
      t[r] = load_four(rows.row[r] + j);
#pragma unroll
      for (int i = 0; i < 4; ++i) t[r].value[i] -= m.value[i];
    }
#pragma unroll
    for (int i = 0; i < 4; ++i, triangle += kGaussianGroup) {
      const Four<T> p[2] = {load_four(triangle), load_four(triangle + 4)};
#pragma unroll
      for (int r = 0; r < kRowsAtOnce<T>; ++r) {
#pragma unroll
        for (int k = 0; k < kGaussianGroup; ++k) y[r][k] = multiply_add(t[r].value[i], p[k / 4].value[k % 4], y[r][k]);
      }
    }
  }
  return triangle;
}

// densities: (rows, density_stride) becomes log (weight_k N_k). cells: (rows, stride), tied: whitened.
template <bool kScaled, class T>
__device__ void fill_by_squares(const DeviceMixture<T>& mixture, const StripShape& shape, const T* cells, T* densities) {
  const int padded = mixture.padded_columns;
  for_each_rows_and((mixture.n_components + 3) / 4, cells, shape, [&](const RowGroup<T>& rows, int quarter) {
    const int first = 4 * quarter, in_group = first % kGaussianGroup;
    const std::int64_t at = static_cast<std::int64_t>(first - in_group) * padded + in_group;
    T sum[kRowsAtOnce<T>][4] = {}, off[kRowsAtOnce<T>][4] = {};
    if (kMayMiss<T> && mixture.norms != nullptr) {
      add_known_squares<kScaled>(rows, mixture, at, sum, off);
    } else {
      add_squares<kScaled>(rows, padded, mixture.centers + at, kScaled ? mixture.scales + at : nullptr, sum);
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if (first + k >= mixture.n_components) continue;
      const T factor = mixture.factors[first + k], constant = mixture.constants[first + k];
#pragma unroll
      for (int r = 0; r < kRowsAtOnce<T>; ++r)
        densities[rows.index[r] * shape.density_stride + first + k] = multiply_add(factor, sum[r][k], constant - off[r][k]);
    }
  });
}

// The same for whole covariances.
template <class T>
__device__ void fill_by_triangles(const DeviceMixture<T>& mixture, const StripShape& shape, const T* cells, T* densities) {
  for_each_rows_and(mixture.n_components, cells, shape, [&](const RowGroup<T>& rows, int component) {
    const T* triangle = mixture.triangles + component * mixture.triangle_size;
    const T* const mean = mixture.means + static_cast<std::int64_t>(component) * mixture.padded_columns;
    T square[kRowsAtOnce<T>] = {};
    for (int first = 0; first < mixture.n_columns; first += kGaussianGroup) {
      T y[kRowsAtOnce<T>][kGaussianGroup];
      triangle = whiten_group(rows, mean, mixture.padded_columns, triangle, first, y);
#pragma unroll
      for (int r = 0; r < kRowsAtOnce<T>; ++r) {
#pragma unroll
        for (int k = 0; k < kGaussianGroup; ++k) square[r] = multiply_add(y[r][k], y[r][k], square[r]);
      }
    }
#pragma unroll
    for (int r = 0; r < kRowsAtOnce<T>; ++r)
      densities[rows.index[r] * shape.density_stride + component] = multiply_add(T(-0.5), square[r], mixture.constants[component]);
  });
}

// whitened: (rows, stride) becomes P^T cells, zero beyond the columns.
template <class T>
__device__ void whiten_strip(const DeviceMixture<T>& mixture, const StripShape& shape, const T* cells, T* whitened) {
  const int n_groups = (mixture.n_columns + kGaussianGroup - 1) / kGaussianGroup;
  for_each_rows_and(n_groups, cells, shape, [&](const RowGroup<T>& rows, int group) {
    // the groups before hold kGaussianGroup, 2 kGaussianGroup, ... rows
    const T* const triangle = mixture.triangles + kGaussianGroup * kGaussianGroup * group * (group + 1) / 2;
    T y[kRowsAtOnce<T>][kGaussianGroup];
    whiten_group<T>(rows, nullptr, mixture.padded_columns, triangle, group * kGaussianGroup, y);
#pragma unroll
    for (int k = 0; k < kGaussianGroup; ++k) {
      if (group * kGaussianGroup + k >= mixture.padded_columns) continue;
#pragma unroll
      for (int r = 0; r < kRowsAtOnce<T>; ++r) whitened[rows.index[r] * shape.stride + group * kGaussianGroup + k] = y[r][k];
    }
  });
}

// whitened: as many cells as the strip, for tied only. Ends with a barrier.
template <CovarianceType kType, class T>
__device__ void fill_log_densities(const DeviceMixture<T>& mixture, const StripShape& shape, const T* cells, T* whitened, T* densities) {
  if constexpr (kType == CovarianceType::full) {
    fill_by_triangles(mixture, shape, cells, densities);
  } else if constexpr (kType == CovarianceType::tied) {
    whiten_strip(mixture, shape, cells, whitened);
    __syncthreads();
    fill_by_squares<false>(mixture, shape, whitened, densities);
  } else {
    fill_by_squares<kType == CovarianceType::diag>(mixture, shape, cells, densities);
  }
  __syncthreads();
}

// What the first lane of a row keeps of it; zero in all other threads.
template <class T>
struct RowLikelihood {
  T log_likelihood = 0;  // log p(x)
  T log_certainty = 0;   // log max_k r_k
};

// densities becomes w r_k, by log-sum-exp; weight_of(row) is asked by all lanes of a row of the strip. Ends with a barrier.
template <class T, class WeightOf>
__device__ RowLikelihood<T> normalise_strip(int n_components, const StripShape& shape, T* densities, WeightOf&& weight_of) {
  const int per_row = shape.lanes_per_row;
  const int row = static_cast<int>(threadIdx.x) / per_row, part = static_cast<int>(threadIdx.x) % per_row;
  RowLikelihood<T> likelihood;
  if (row < shape.rows) {  // whole warps: fewer than kStripThreads / 32 rows have a warp each
    T* const of_row = densities + row * shape.density_stride;
    T best = -static_cast<T>(__builtin_huge_val());
    for (int k = part; k < n_components; k += per_row) best = max(best, of_row[k]);
    for (int other = 1; other < per_row; other *= 2) best = max(best, __shfl_xor_sync(kAllLanes, best, other));
    T sum = 0;
    for (int k = part; k < n_components; k += per_row) {
      const T below = of_row[k] - best;
      const T ratio = below >= kLogLeastResponsibility<T> ? exp_of(below) : T{0};
      of_row[k] = ratio;
      sum += ratio;
    }
    sum = add_lanes(sum, 1, per_row / 2);
    const T log_sum = log_of(sum), factor = weight_of(row) / sum;
    for (int k = part; k < n_components; k += per_row) of_row[k] *= factor;
    if (part == 0) likelihood = {best + log_sum, -log_sum};
  }
  __syncthreads();
  return likelihood;
}

}  // namespace coterie::COTERIE_GPU
