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

struct StripShape {
  int rows;            // a power of two
  int stride;          // cells from row to row
  int density_stride;  // from row to row of log-densities: odd, so that neighbouring rows lie in different banks
  int lanes_per_row;   // that share a row when its log-densities are normalised: kStripThreads / rows, at most a warp
};

// Calls f(row, index) for index 0 .. count - 1 and the rows of a strip, rows first.
template <class F>
__device__ void for_each_row_and(int count, int rows, F&& f) {
  for (int i = static_cast<int>(threadIdx.x); i < count * rows; i += kStripThreads) f(i % rows, i / rows);
}

// sum += |(x - center) scale|^2, without scale where kScaled is false, for one row and a group of components.
// x: (padded_columns); center, scale: (padded_columns, kGaussianGroup).
template <bool kScaled, class T>
__device__ void add_squares(const T* x, int padded_columns, const T* center, const T* scale, T (&sum)[kGaussianGroup]) {
  for (int j = 0; j < padded_columns; j += 4) {
    const Four<T> cells = load_four(x + j);
#pragma unroll
    for (int i = 0; i < 4; ++i, center += kGaussianGroup) {
      const Four<T> c[2] = {load_four(center), load_four(center + 4)};
      Four<T> s[2];
      if constexpr (kScaled) {
        s[0] = load_four(scale);
        s[1] = load_four(scale + 4);
        scale += kGaussianGroup;
      }
#pragma unroll
      for (int k = 0; k < kGaussianGroup; ++k) {
        T t = cells.value[i] - c[k / 4].value[k % 4];
        if constexpr (kScaled) t *= s[k / 4].value[k % 4];
        sum[k] = multiply_add(t, t, sum[k]);
      }
    }
  }
}

// y = columns first .. first + kGaussianGroup - 1 of P^T (x - mean), mean nullptr: zero. x, mean: (padded_columns);
// triangle: group first / kGaussianGroup of P. Returns where the next group begins.
template <class T>
__device__ const T* whiten_group(const T* x, const T* mean, int padded_columns, const T* triangle, int first, T (&y)[kGaussianGroup]) {
#pragma unroll
  for (int k = 0; k < kGaussianGroup; ++k) y[k] = 0;
  for (int j = 0; j < min(padded_columns, first + kGaussianGroup); j += 4) {
    Four<T> t = load_four(x + j);
    if (mean != nullptr) {
      const Four<T> m = load_four(mean + j);
#pragma unroll
      for (int i = 0; i < 4; ++i) t.value[i] -= m.value[i];
    }
#pragma unroll
    for (int i = 0; i < 4; ++i, triangle += kGaussianGroup) {
      const Four<T> p[2] = {load_four(triangle), load_four(triangle + 4)};
#pragma unroll
      for (int k = 0; k < kGaussianGroup; ++k) y[k] = multiply_add(t.value[i], p[k / 4].value[k % 4], y[k]);
    }
  }
  return triangle;
}

// densities: (rows, density_stride) becomes log (weight_k N_k). cells: (rows, stride), tied: whitened.
template <CovarianceType kType, class T>
__device__ void fill_by_squares(const DeviceMixture<T>& mixture, const StripShape& shape, const T* cells, T* densities) {
  constexpr bool kScaled = kType == CovarianceType::diag;
  const int padded = mixture.padded_columns, n_groups = (mixture.n_components + kGaussianGroup - 1) / kGaussianGroup;
  for_each_row_and(n_groups, shape.rows, [&](int row, int group) {
    const std::int64_t at = static_cast<std::int64_t>(group) * kGaussianGroup * padded;
    T sum[kGaussianGroup] = {};
    add_squares<kScaled>(cells + row * shape.stride, padded, mixture.centers + at, kScaled ? mixture.scales + at : nullptr, sum);
#pragma unroll
    for (int k = 0; k < kGaussianGroup; ++k) {
      const int component = group * kGaussianGroup + k;
      if (component < mixture.n_components) {
        densities[row * shape.density_stride + component] = multiply_add(mixture.factors[component], sum[k], mixture.constants[component]);
      }
    }
  });
}

// The same for whole covariances: one component per thread and turn.
template <class T>
__device__ void fill_by_triangles(const DeviceMixture<T>& mixture, const StripShape& shape, const T* cells, T* densities) {
  for_each_row_and(mixture.n_components, shape.rows, [&](int row, int component) {
    const T* triangle = mixture.triangles + component * mixture.triangle_size;
    const T* const mean = mixture.means + static_cast<std::int64_t>(component) * mixture.padded_columns;
    T square = 0;
    for (int first = 0; first < mixture.n_columns; first += kGaussianGroup) {
      T y[kGaussianGroup];
      triangle = whiten_group(cells + row * shape.stride, mean, mixture.padded_columns, triangle, first, y);
#pragma unroll
      for (int k = 0; k < kGaussianGroup; ++k) square = multiply_add(y[k], y[k], square);
    }
    densities[row * shape.density_stride + component] = multiply_add(T(-0.5), square, mixture.constants[component]);
  });
}

// whitened: (rows, stride) becomes P^T cells, zero beyond the columns.
template <class T>
__device__ void whiten_strip(const DeviceMixture<T>& mixture, const StripShape& shape, const T* cells, T* whitened) {
  const int n_groups = (mixture.n_columns + kGaussianGroup - 1) / kGaussianGroup;
  for_each_row_and(n_groups, shape.rows, [&](int row, int group) {
    // all groups before hold kGaussianGroup, 2 kGaussianGroup, ... rows
    const T* const triangle = mixture.triangles + kGaussianGroup * kGaussianGroup * group * (group + 1) / 2;
    T y[kGaussianGroup];
    whiten_group<T>(cells + row * shape.stride, nullptr, mixture.padded_columns, triangle, group * kGaussianGroup, y);
#pragma unroll
    for (int k = 0; k < kGaussianGroup; ++k) {
      if (group * kGaussianGroup + k < mixture.padded_columns) whitened[row * shape.stride + group * kGaussianGroup + k] = y[k];
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
    fill_by_squares<kType>(mixture, shape, whitened, densities);
  } else {
    fill_by_squares<kType>(mixture, shape, cells, densities);
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
