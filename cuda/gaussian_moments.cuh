// The sums of the M-step, on the device: rows that count for a component are listed first, so a component costs what its
// rows cost. Within a block of kBlockRows rows every sum has one order, which depends on the shape alone; then it is cut to
// whole quanta (fixed_point.cuh) and meets the sums of other blocks in any order.
#pragma once

#include "cuda/gaussian_density.cuh"

namespace coterie::COTERIE_GPU {

// Where the statistics of one model lie, and 1 / their quanta (host/gaussian_mixture_quanta.hpp), powers of two. Sums are
// scaled by one column after the other, so nothing leaves the range of a double on the way.
struct MixtureSums {
  FixedPoint* weight;          // (n_components)
  FixedPoint* first;           // (n_components, n_columns)
  FixedPoint* second;          // as gaussian_mixture::Statistics::second
  FixedPoint* missing;         // (n_components, n_columns), only where cells may be missing
  FixedPoint* log_likelihood;  // (2)
  const double* per_bound;     // (n_columns)
  double per_weight;           // 1 / Quanta::weight()
  double per_square;           // 1 / Quanta::square()
  double per_log_likelihood;   // 1 / Quanta::log_likelihood()

  __device__ void add_weight(std::int64_t component, double sum) const { add_quanta(weight + component, sum * per_weight); }
  __device__ void add_first(std::int64_t component, int n_columns, int column, double sum) const {
    add_quanta(first + component * n_columns + column, sum * per_bound[column] * per_weight);
  }
  __device__ void add_second(std::int64_t cell, int row, int column, double sum) const {
    add_quanta(second + cell, sum * per_bound[row] * per_bound[column] * per_weight);
  }
};

// What a thread has seen of the likelihood in a block of rows.
struct LikelihoodSums {
  double log_likelihood = 0, log_certainty = 0;

  template <class T>
  __device__ void add(double weight, const RowLikelihood<T>& row) {
    log_likelihood = fma(weight, static_cast<double>(row.log_likelihood), log_likelihood);
    log_certainty = fma(weight, static_cast<double>(row.log_certainty), log_certainty);
  }
  // All lanes: moves the sums of a warp to the statistics.
  __device__ void close(const MixtureSums& sums) {
    log_likelihood = add_lanes(log_likelihood);
    log_certainty = add_lanes(log_certainty);
    if (threadIdx.x % 32 == 0) {
      add_quanta(sums.log_likelihood, log_likelihood * sums.per_log_likelihood);
      add_quanta(sums.log_likelihood + 1, log_certainty * sums.per_log_likelihood);
    }
    log_likelihood = log_certainty = 0;
  }
};

// Rows of a strip whose responsibility for a component is positive, in ascending order; returns how many. One warp.
// responsibilities: of the component, `stride` from row to row; list: (n_rows) of this warp.
template <class T>
__device__ int list_rows(const T* responsibilities, int stride, int n_rows, std::uint16_t* list) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int count = 0;
  for (int first = 0; first < n_rows; first += 32) {
    const int row = first + lane;
    const bool counts = row < n_rows && responsibilities[row * stride] > 0;
    const unsigned ballot = __ballot_sync(kAllLanes, counts);
    if (counts) list[count + __popc(ballot & ((1u << lane) - 1))] = static_cast<std::uint16_t>(row);
    count += __popc(ballot);
  }
  __syncwarp();
  return count;
}

// Sums over a block of rows of kinds diag, spherical and tied, in shared or device memory; zero between blocks. Component k
// belongs to warp k % kStripWarps, so no barrier guards them.
struct BlockMoments {
  double* weight;   // (n_components)
  double* first;    // (n_components, n_columns)
  double* second;   // diag (n_components, n_columns), spherical (n_components), tied none
  double* missing;  // (n_components, n_columns), or nullptr: no cell may be missing
};
__host__ __device__ constexpr std::int64_t block_moments_size(CovarianceType type, int n_components, int n_columns, bool may_miss) {
  const std::int64_t cells = std::int64_t{n_components} * n_columns;
  return n_components + (may_miss ? 2 : 1) * cells +
         (type == CovarianceType::diag        ? cells
          : type == CovarianceType::spherical ? n_components
                                              : 0);
}

// squares: (rows) becomes |cells|^2 over cells that are not missing, in double, because the squared mean is taken off their sums.
template <class T>
__device__ void fill_squares(const StripShape& shape, int n_columns, const T* cells, double* squares) {
  const int per_row = shape.lanes_per_row;
  const int row = static_cast<int>(threadIdx.x) / per_row, part = static_cast<int>(threadIdx.x) % per_row;
  if (row >= shape.rows) return;
  double square = 0;
  for (int j = part; j < n_columns; j += per_row) {
    const auto cell = static_cast<double>(cells[row * shape.stride + j]);
    if (cell == cell) square = fma(cell, cell, square);
  }
  square = add_lanes(square, 1, per_row / 2);
  if (part == 0) squares[row] = square;
}

// What one strip adds to its components. A lane has one column and every (32 / columns_at_once)-th row of the list; float
// sums stay within the strip. squares: (rows) |x - center|^2, spherical only; list: (rows) of this warp.
template <CovarianceType kType, class T>
__device__ void add_strip_moments(const DeviceMixture<T>& mixture, const StripShape& shape, const T* cells, const T* responsibilities,
                                  const double* squares, std::uint16_t* list, const BlockMoments& moments) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32, d = mixture.n_columns;
  int columns_at_once = 32;
  while (columns_at_once / 2 >= d) columns_at_once /= 2;
  const int slices = 32 / columns_at_once, slice = lane / columns_at_once;
  for (int k = warp; k < mixture.n_components; k += kStripWarps) {
    const T* const r = responsibilities + k;
    const int n = list_rows(r, shape.density_stride, shape.rows, list);
    if (n == 0) continue;
    double weight = 0, square = 0;
    for (int i = lane; i < n; i += 32) {
      const auto wide = static_cast<double>(r[list[i] * shape.density_stride]);
      weight += wide;
      if constexpr (kType == CovarianceType::spherical) square += wide * squares[list[i]];
    }
    weight = add_lanes(weight);
    if constexpr (kType == CovarianceType::spherical) square = add_lanes(square);
    if (lane == 0) {
      moments.weight[k] += weight;
      if constexpr (kType == CovarianceType::spherical) moments.second[k] += square;
    }
    for (int column = lane % columns_at_once; column < (d + columns_at_once - 1) / columns_at_once * columns_at_once;
         column += columns_at_once) {
      const T pivot = mixture.pivots[static_cast<std::int64_t>(k) * mixture.padded_columns + min(column, d - 1)];
      T first = 0, second = 0, missing = 0;
      for (int i = slice; i < n; i += slices) {
        const T weight_of_row = r[list[i] * shape.density_stride], t = cells[list[i] * shape.stride + min(column, d - 1)] - pivot;
        if (kMayMiss<T> && t != t) {
          missing += weight_of_row;
          continue;
        }
        const T weighted = weight_of_row * t;
        first += weighted;
        if constexpr (kType == CovarianceType::diag) second = multiply_add(weighted, t, second);
      }
      first = add_lanes(first, columns_at_once);
      if constexpr (kType == CovarianceType::diag) second = add_lanes(second, columns_at_once);
      if (kMayMiss<T> && moments.missing != nullptr) missing = add_lanes(missing, columns_at_once);
      if (slice != 0 || column >= d) continue;
      if (kMayMiss<T> && moments.missing != nullptr)
        moments.missing[static_cast<std::int64_t>(k) * d + column] += static_cast<double>(missing);
      moments.first[static_cast<std::int64_t>(k) * d + column] += static_cast<double>(first);
      if constexpr (kType == CovarianceType::diag) moments.second[static_cast<std::int64_t>(k) * d + column] += static_cast<double>(second);
    }
    __syncwarp();  // the list is read before it is written again
  }
}

// Moves the sums of a block of rows to the statistics and clears them. All threads; begins and ends with a barrier.
template <CovarianceType kType>
__device__ void close_block(const MixtureSums& sums, const BlockMoments& moments, int n_components, int n_columns) {
  __syncthreads();
  const int n_cells = n_components * n_columns;
  for (int k = static_cast<int>(threadIdx.x); k < n_components; k += kStripThreads) {
    sums.add_weight(k, moments.weight[k]);
    moments.weight[k] = 0;
    if constexpr (kType == CovarianceType::spherical) {
      add_quanta(sums.second + k, moments.second[k] * sums.per_square);
      moments.second[k] = 0;
    }
  }
  for (int i = static_cast<int>(threadIdx.x); i < n_cells; i += kStripThreads) {
    const int column = i % n_columns;
    sums.add_first(i / n_columns, n_columns, column, moments.first[i]);
    moments.first[i] = 0;
    if (moments.missing != nullptr) {
      add_quanta(sums.missing + i, moments.missing[i] * sums.per_weight);
      moments.missing[i] = 0;
    }
    if constexpr (kType == CovarianceType::diag) {
      sums.add_second(i, column, column, moments.second[i]);
      moments.second[i] = 0;
    }
  }
  __syncthreads();
}

// The lower triangle of a matrix in tiles of 4 x 4, one per thread; where there are fewer tiles than threads, several slices
// of rows.
struct OuterTiles {
  int n_tiles, slices;  // slices * n_tiles <= kStripThreads, or 1
  int tile, slice;      // of this thread in the first round; a tile beyond n_tiles: none

  __device__ explicit OuterTiles(int n) {
    const int edge = (n + 3) / 4;
    n_tiles = edge * (edge + 1) / 2;
    slices = max(1, kStripThreads / n_tiles);
    tile = static_cast<int>(threadIdx.x) % (n_tiles < kStripThreads ? n_tiles : kStripThreads);
    slice = static_cast<int>(threadIdx.x) / (n_tiles < kStripThreads ? n_tiles : kStripThreads);
    if (slice >= slices) tile = n_tiles;
  }
};

// Rows to multiply: place and weight of each, in device memory.
template <class T, class Weight>
struct MemberRows {
  const float* x;            // (.., n_columns) of the block of rows
  const T* center;           // (n_columns)
  const T* pivot;            // (n_columns) less center, or nullptr: zero
  const std::uint16_t* row;  // (count) or nullptr: 0, 1, ...
  const Weight* weight;      // (count) or nullptr: ones
  int count, n_columns;
};

// z: (n_rows, stride) becomes x - center - pivot of the members from `first` on, then a 1, then zeros; r: (n_rows) weights.
template <class T, class Weight>
__device__ void load_members(const MemberRows<T, Weight>& members, int first, int n_rows, int stride, T* z, T* r) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32, d = members.n_columns;
  const auto row_of = [&](int i) { return members.row != nullptr ? members.row[first + i] : first + i; };
  for (int j = lane; j < stride; j += 32) {
    const bool exists = j < d;
    const T center = exists ? members.center[j] : T{0}, pivot = exists && members.pivot != nullptr ? members.pivot[j] : T{0};
    const T rest = j == d ? T{1} : T{0};
    for_rows_ahead(
        warp, n_rows, kStripWarps,
        [&](int i) { return exists ? static_cast<T>(members.x[static_cast<std::int64_t>(row_of(i)) * d + j]) - center - pivot : rest; },
        [&](int i, T cell) { z[i * stride + j] = cell; });
  }
  for (int i = static_cast<int>(threadIdx.x); i < n_rows; i += kStripThreads)
    r[i] = members.weight != nullptr ? static_cast<T>(members.weight[first + i]) : T{1};
}

// Calls add(i, j, sum) for the lower triangle of the sum of r z z^T over the members, z with a 1 after its last column; sums
// of slices come one by one. z, r: shared memory for shape.rows rows. All threads; begins and ends with a barrier.
template <class T, class Weight, class Add>
__device__ void add_outer_products(const MemberRows<T, Weight>& members, const StripShape& shape, T* z, T* r, Add&& add) {
  OuterTiles at(members.n_columns + 1);
  for (int base = 0; base < at.n_tiles; base += kStripThreads) {
    const int tile = base + at.tile;
    int row = 0;  // of tiles: the last one whose tiles begin at or before this
    while ((row + 1) * (row + 2) / 2 <= tile) ++row;
    const int left = 4 * row, right = 4 * (tile - row * (row + 1) / 2);
    T sum[4][4] = {};
    for (int first = 0; first < members.count; first += shape.rows) {
      const int n_rows = min(shape.rows, members.count - first);
      __syncthreads();
      load_members(members, first, n_rows, shape.stride, z, r);
      __syncthreads();
      if (tile >= at.n_tiles) continue;
      for (int i = at.slice; i < n_rows; i += at.slices) {
        const Four<T> a = load_four(z + i * shape.stride + left), b = load_four(z + i * shape.stride + right);
#pragma unroll
        for (int p = 0; p < 4; ++p) {
          const T weighted = r[i] * a.value[p];
#pragma unroll
          for (int q = 0; q < 4; ++q) sum[p][q] = multiply_add(weighted, b.value[q], sum[p][q]);
        }
      }
    }
    if (tile >= at.n_tiles) continue;
#pragma unroll
    for (int p = 0; p < 4; ++p) {
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        if (left + p <= members.n_columns && right + q <= left + p) add(left + p, right + q, static_cast<double>(sum[p][q]));
      }
    }
  }
  __syncthreads();
}

}  // namespace coterie::COTERIE_GPU
