// The sums of the M-step over one stretch (gaussian_density.hpp). Only the rows of a component count, and columns lie in lanes,
// so nothing is added across lanes; every few hundred rows the sums go to double.
#include <algorithm>

#include "host/gaussian_density.hpp"
#include "host/gaussian_mixture_quanta.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/gaussian_moments.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "host/chosen_lanes-inl.hpp"  // after foreach_target
#include "host/load_as-inl.hpp"

#ifndef COTERIE_GAUSSIAN_MOMENTS_KERNELS
#define COTERIE_GAUSSIAN_MOMENTS_KERNELS
namespace coterie::gaussian {

template <class T>
struct MomentsKernels {
  void (*add_moments)(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch, BlockSums& sums);
  void (*add_scatter)(const Stretch<T>& stretch, Scratch<T>& scratch, std::vector<double>& triangle);
  void (*add_likelihood)(const Stretch<T>& stretch, const Scratch<T>& scratch, BlockSums& sums);
};

}  // namespace coterie::gaussian
#endif

HWY_BEFORE_NAMESPACE();
namespace coterie::gaussian {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Chosen rows that are added in T before their sums go to double, a multiple of kUnroll.
constexpr std::int64_t kRun = 256;
// Chains of additions per sum, so that one addition need not wait for another.
constexpr std::int32_t kUnroll = 4;
// A Gram matrix takes its rows kGramRows at a time, and of every row up to kGramVectors vectors of columns: accumulators, cells of
// the columns and one of the row fit 16 registers. A panel of rows stays in the L1 cache beside them.
constexpr std::int64_t kGramRows = 4;
constexpr std::int64_t kGramVectors = 3;
constexpr std::int64_t kPanelBytes = std::int64_t{24} << 10;

using coterie::HWY_NAMESPACE::load_as;

template <class D>
HWY_INLINE double sum_of_lanes(D d, hn::Vec<D> v) {
  return static_cast<double>(hn::GetLane(hn::SumOfLanes(d, v)));
}

// Sum of weight * value over rows, in double: in chains, and the last few rows in the first of them.
template <class T, class V>
HWY_INLINE double weighted_sum(const T* weight, const V* value, std::int64_t n_rows) {
  using D = hn::ScalableTag<double>;
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  hn::Vec<D> sum[kUnroll];
  for (auto& chain : sum) chain = hn::Zero(d);
  std::int64_t row = 0;
  for (; row + kUnroll * lanes <= n_rows; row += kUnroll * lanes)
    for (std::int32_t i = 0; i < kUnroll; ++i)
      sum[i] = hn::MulAdd(load_as(d, weight + row + i * lanes), load_as(d, value + row + i * lanes), sum[i]);
  for (; row < n_rows; row += lanes) sum[0] = hn::MulAdd(load_as(d, weight + row), load_as(d, value + row), sum[0]);
  static_assert(kUnroll == 4);
  return sum_of_lanes(d, hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3])));
}

// Adds from[i] to to[i].
template <class T>
HWY_INLINE void add_to(const T* from, std::int64_t n, double* to) {
  const hn::ScalableTag<double> d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::Add(hn::LoadU(d, to + i), load_as(d, from + i)), d, to + i);
  for (; i < n; ++i) to[i] += static_cast<double>(from[i]);
}

// The rows of positive weight: scratch.places and scratch.weight, rounded up to kUnroll with the first row at weight zero.
// Returns how many. Most vectors of a component hold no row or a few.
template <class T>
std::int64_t choose_rows(const Stretch<T>& stretch, const T* weight, Scratch<T>& scratch) {
  const hn::ScalableTag<T> d;
  std::int64_t count = 0;
  for (std::int64_t row = 0; row < stretch.n_rows; row += static_cast<std::int64_t>(hn::Lanes(d))) {
    const auto weights = hn::LoadU(d, weight + row);
    const auto counts = hn::Gt(weights, hn::Zero(d));
    if (hn::AllFalse(d, counts)) continue;
    const coterie::HWY_NAMESPACE::ChosenLanes<decltype(d)> chosen(counts);
    chosen.store_numbers(static_cast<std::int32_t>(row), scratch.places.data() + count);
    chosen.store(weights, scratch.weight.data() + count);
    count += static_cast<std::int64_t>(chosen.size());
  }
  for (; count % kUnroll != 0; ++count) {
    scratch.places[static_cast<std::size_t>(count)] = 0;
    scratch.weight[static_cast<std::size_t>(count)] = 0;
  }
  return count;
}

template <class T>
double sum_of(const T* values, std::int64_t n) {
  const hn::ScalableTag<double> d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d)), whole = n / lanes * lanes;
  auto sum = hn::Zero(d);
  for (std::int64_t i = 0; i < whole; i += lanes) sum = hn::Add(sum, load_as(d, values + i));
  double total = sum_of_lanes(d, sum);
  for (std::int64_t i = whole; i < n; ++i) total += static_cast<double>(values[i]);
  return total;
}

// Where the sums of a component go: (n_columns) each; second only where squares are wanted.
struct ColumnSums {
  double* first = nullptr;
  double* second = nullptr;
};

// Sums of kVectors vectors of columns from `column` on over n chosen rows, about the pivot.
template <bool kSquares, std::int32_t kVectors, class T>
HWY_INLINE void add_column_block(const Stretch<T>& stretch, const std::int32_t* places, const T* weight, std::int64_t n, const T* pivot,
                                 std::int64_t column, const ColumnSums& sums) {
  using D = hn::ScalableTag<T>;
  const D d;
  constexpr std::int32_t kRows = kUnroll / kVectors;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  hn::Vec<D> p[kVectors], first[kRows][kVectors], second[kRows][kVectors];
  for (std::int32_t v = 0; v < kVectors; ++v) {
    p[v] = hn::LoadU(d, pivot + column + v * lanes);
    for (std::int32_t r = 0; r < kRows; ++r) first[r][v] = second[r][v] = hn::Zero(d);
  }
  for (std::int64_t i = 0; i < n; i += kRows)
    for (std::int32_t r = 0; r < kRows; ++r) {
      const T* const row = stretch.rows.data() + places[i + r] * stretch.row_stride + column;
      const auto w = hn::Set(d, weight[i + r]);
      for (std::int32_t v = 0; v < kVectors; ++v) {
        const auto t = hn::Sub(hn::LoadU(d, row + v * lanes), p[v]);
        const auto weighted = hn::Mul(w, t);
        first[r][v] = hn::Add(first[r][v], weighted);
        if constexpr (kSquares) second[r][v] = hn::MulAdd(weighted, t, second[r][v]);
      }
    }
  HWY_ALIGN T sum[HWY_MAX_BYTES / sizeof(T)];
  for (std::int32_t v = 0; v < kVectors; ++v) {
    const std::int64_t from = column + v * lanes, count = std::min(lanes, stretch.n_columns - from);
    for (std::int32_t r = 1; r < kRows; ++r) {
      first[0][v] = hn::Add(first[0][v], first[r][v]);
      second[0][v] = hn::Add(second[0][v], second[r][v]);
    }
    hn::Store(first[0][v], d, sum);
    add_to(sum, count, sums.first + from);
    if constexpr (!kSquares) continue;
    hn::Store(second[0][v], d, sum);
    add_to(sum, count, sums.second + from);
  }
}

// Adds w t and, where kSquares, w t^2 of n chosen rows, t = x - pivot.
template <bool kSquares, class T>
void add_columns(const Stretch<T>& stretch, const Scratch<T>& scratch, std::int64_t n, const T* pivot, const ColumnSums& sums) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  for (std::int64_t run = 0; run < n; run += kRun) {
    const std::int32_t* const places = scratch.places.data() + run;
    const T* const weight = scratch.weight.data() + run;
    const std::int64_t rows = std::min(kRun, n - run);
    std::int64_t column = 0;
    for (; column + 3 * lanes < stretch.n_columns; column += 4 * lanes)
      add_column_block<kSquares, 4>(stretch, places, weight, rows, pivot, column, sums);
    for (; column + lanes < stretch.n_columns; column += 2 * lanes)
      add_column_block<kSquares, 2>(stretch, places, weight, rows, pivot, column, sums);
    if (column < stretch.n_columns) add_column_block<kSquares, 1>(stretch, places, weight, rows, pivot, column, sums);
  }
}

template <bool kSquares, class T>
void add_diagonal_moments(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch, BlockSums& sums) {
  for (std::int32_t k = 0; k < components.n_components(); ++k) {
    const std::int64_t n = choose_rows(stretch, scratch.log_density.data() + k * stretch.stride, scratch);
    const std::size_t number = static_cast<std::size_t>(components.number(k));
    const std::int64_t cell = components.number(k) * std::int64_t{stretch.n_columns};
    sums.weight[number] += sum_of(scratch.weight.data(), n);
    add_columns<kSquares>(stretch, scratch, n, components.pivot(k),
                          {.first = sums.first.data() + cell, .second = kSquares ? sums.second.data() + cell : nullptr});
  }
}

// scratch.row_square: |x - center|^2, some vectors of rows at a time.
template <class T>
void fill_row_squares(const Stretch<T>& stretch, Scratch<T>& scratch) {
  using D = hn::ScalableTag<double>;
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  scratch.row_square.resize(static_cast<std::size_t>(stretch.stride));
  for (std::int64_t row = 0; row < stretch.n_rows; row += kUnroll * lanes) {
    hn::Vec<D> square[kUnroll];
    for (auto& of_rows : square) of_rows = hn::Zero(d);
    for (std::int32_t j = 0; j < stretch.n_columns; ++j)
      for (std::int32_t i = 0; i < kUnroll; ++i) {
        const auto cell = load_as(d, stretch.cells.data() + j * stretch.stride + row + i * lanes);
        square[i] = hn::MulAdd(cell, cell, square[i]);
      }
    for (std::int32_t i = 0; i < kUnroll; ++i) hn::StoreU(square[i], d, scratch.row_square.data() + row + i * lanes);
  }
}

// The squares of rows about the center are the same for all components, so they cost nothing beside the first moments;
// in double, because the squared mean is taken off them.
template <class T>
void add_spherical_moments(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch, BlockSums& sums) {
  add_diagonal_moments<false>(stretch, components, scratch, sums);
  fill_row_squares(stretch, scratch);
  for (std::int32_t k = 0; k < components.n_components(); ++k)
    sums.second[static_cast<std::size_t>(components.number(k))] +=
        weighted_sum(scratch.log_density.data() + k * stretch.stride, scratch.row_square.data(), stretch.n_rows);
}

// scratch.panel (n, row_stride): z = sqrt(weight) (x - pivot) of n chosen rows from `first` on.
template <class T>
void fill_panel(const Stretch<T>& stretch, std::int64_t first, std::int64_t n, const T* pivot, Scratch<T>& scratch) {
  const hn::ScalableTag<T> d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t i = 0; i < n; ++i) {
    const std::size_t chosen = static_cast<std::size_t>(first + i);
    const T* const row = stretch.rows.data() + scratch.places[chosen] * stretch.row_stride;
    const auto root = hn::Sqrt(hn::Set(d, scratch.weight[chosen]));
    T* const to = scratch.panel.data() + i * stretch.row_stride;
    for (std::int64_t j = 0; j < stretch.row_stride; j += lanes)
      hn::StoreU(hn::Mul(hn::Sub(hn::LoadU(d, row + j), hn::LoadU(d, pivot + j)), root), d, to + j);
  }
}

// Rows i .. i + kGramRows - 1 and kVectors vectors of columns from j on of the sums of z^T z over n rows.
// z: (n, stride); square: (stride, stride).
template <std::int64_t kVectors, class T>
HWY_INLINE void fill_gram_block(const T* z, std::int64_t n, std::int64_t stride, std::int64_t i, std::int64_t j, T* square) {
  using D = hn::ScalableTag<T>;
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  hn::Vec<D> sum[kGramRows][kVectors];
  for (auto& of_row : sum)
    for (auto& cell : of_row) cell = hn::Zero(d);
  for (const T* const end = z + n * stride; z != end; z += stride) {
    hn::Vec<D> right[kVectors];
    for (std::int64_t v = 0; v < kVectors; ++v) right[v] = hn::LoadU(d, z + j + v * lanes);
    for (std::int64_t r = 0; r < kGramRows; ++r) {
      const auto left = hn::Set(d, z[i + r]);
      for (std::int64_t v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(left, right[v], sum[r][v]);
    }
  }
  for (std::int64_t r = 0; r < kGramRows; ++r)
    for (std::int64_t v = 0; v < kVectors; ++v) hn::StoreU(sum[r][v], d, square + (i + r) * stride + j + v * lanes);
}

// At least the lower triangle of the sums of z^T z over n rows. z: (n, stride), zero beyond n_columns; square: (stride, stride).
template <class T>
void fill_gram(const T* z, std::int64_t n, std::int64_t stride, std::int64_t n_columns, T* square) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  for (std::int64_t i = 0; i < n_columns; i += kGramRows) {
    const std::int64_t n_vectors = (std::min(i + kGramRows, n_columns) - 1) / lanes + 1;
    for (std::int64_t v = 0; v < n_vectors;) {
      const std::int64_t left = n_vectors - v, taken = left == kGramVectors + 1 ? 2 : std::min(left, kGramVectors);
      if (taken == 3) fill_gram_block<3>(z, n, stride, i, v * lanes, square);
      if (taken == 2) fill_gram_block<2>(z, n, stride, i, v * lanes, square);
      if (taken == 1) fill_gram_block<1>(z, n, stride, i, v * lanes, square);
      v += taken;
    }
  }
}

// Adds the lower triangle of w t t^T of n chosen rows, t = x - pivot.
template <class T>
void add_triangle(const Stretch<T>& stretch, std::int64_t n, const T* pivot, Scratch<T>& scratch, double* triangle) {
  const std::int64_t stride = stretch.row_stride, row_bytes = stride * std::int64_t{sizeof(T)};
  const std::int64_t run = std::clamp<std::int64_t>(kPanelBytes / row_bytes, 32, kRun);
  scratch.panel.resize(static_cast<std::size_t>(run * stride));
  scratch.square.resize(static_cast<std::size_t>(stride * stride));
  for (std::int64_t first = 0; first < n; first += run) {
    const std::int64_t rows = std::min(run, n - first);
    fill_panel(stretch, first, rows, pivot, scratch);
    fill_gram(scratch.panel.data(), rows, stride, stretch.n_columns, scratch.square.data());
    for (std::int64_t i = 0; i < stretch.n_columns; ++i)
      add_to(scratch.square.data() + i * stride, i + 1, triangle + triangle_cells(static_cast<std::size_t>(i)));
  }
}

template <class T>
void add_full_moments(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch, BlockSums& sums) {
  const std::size_t d = static_cast<std::size_t>(stretch.n_columns);
  for (std::int32_t k = 0; k < components.n_components(); ++k) {
    const std::size_t number = static_cast<std::size_t>(components.number(k));
    const std::int64_t n = choose_rows(stretch, scratch.log_density.data() + k * stretch.stride, scratch);
    sums.weight[number] += sum_of(scratch.weight.data(), n);
    add_columns<false>(stretch, scratch, n, components.pivot(k), {.first = sums.first.data() + number * d});
    add_triangle(stretch, n, components.pivot(k), scratch, sums.second.data() + number * triangle_cells(d));
  }
}

// The weight of missing cells; and off the moments about pivots what the zeros in their places have added.
template <class T>
void add_missing(const Stretch<T>& stretch, const Components<T>& components, const Scratch<T>& scratch, BlockSums& sums) {
  for (std::int32_t k = 0; k < components.n_components(); ++k)
    for (const std::int32_t j : stretch.missing_columns) {
      const std::size_t cell = static_cast<std::size_t>(k) * static_cast<std::size_t>(stretch.n_columns) + static_cast<std::size_t>(j);
      const double missing =
          weighted_sum(scratch.log_density.data() + k * stretch.stride, stretch.missing.data() + j * stretch.stride, stretch.n_rows);
      const double pivot = static_cast<double>(components.pivot(k)[j]);
      sums.missing[cell] += missing;
      sums.first[cell] += missing * pivot;
      if (components.type() == CovarianceType::diag) sums.second[cell] -= missing * pivot * pivot;
    }
}

template <class T>
void add_moments_target(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch, BlockSums& sums) {
  switch (components.type()) {
    case CovarianceType::full: return add_full_moments(stretch, components, scratch, sums);
    case CovarianceType::tied: return add_diagonal_moments<false>(stretch, components, scratch, sums);
    case CovarianceType::diag: add_diagonal_moments<true>(stretch, components, scratch, sums); break;
    case CovarianceType::spherical: add_spherical_moments(stretch, components, scratch, sums); break;
  }
  if (!stretch.missing_columns.empty()) add_missing(stretch, components, scratch, sums);
}

template <class T>
void add_scatter_target(const Stretch<T>& stretch, Scratch<T>& scratch, std::vector<double>& triangle) {
  const std::vector<T> zero(static_cast<std::size_t>(stretch.row_stride));
  add_triangle(stretch, choose_rows(stretch, stretch.weight.data(), scratch), zero.data(), scratch, triangle.data());
}

template <class T>
void add_likelihood_target(const Stretch<T>& stretch, const Scratch<T>& scratch, BlockSums& sums) {
  sums.log_likelihood += weighted_sum(stretch.weight.data(), scratch.row_likelihood.data(), stretch.n_rows);
  sums.log_certainty += weighted_sum(stretch.weight.data(), scratch.row_certainty.data(), stretch.n_rows);
}

template <class T>
constexpr MomentsKernels<T> kKernels{add_moments_target<T>, add_scatter_target<T>, add_likelihood_target<T>};

const MomentsKernels<float>* float_moments_kernels() { return &kKernels<float>; }
const MomentsKernels<double>* double_moments_kernels() { return &kKernels<double>; }

}  // namespace HWY_NAMESPACE
}  // namespace coterie::gaussian
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie::gaussian {
namespace {

HWY_EXPORT(float_moments_kernels);
HWY_EXPORT(double_moments_kernels);

template <class T>
const MomentsKernels<T>& kernels() {
  if constexpr (sizeof(T) == 4)
    return *HWY_DYNAMIC_DISPATCH(float_moments_kernels)();
  else
    return *HWY_DYNAMIC_DISPATCH(double_moments_kernels)();
}

}  // namespace

template <class T>
void add_moments(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch, BlockSums& sums) {
  kernels<T>().add_moments(stretch, components, scratch, sums);
}

template <class T>
void add_scatter(const Stretch<T>& stretch, Scratch<T>& scratch, std::vector<double>& triangle) {
  kernels<T>().add_scatter(stretch, scratch, triangle);
}

template <class T>
void add_likelihood(const Stretch<T>& stretch, const Scratch<T>& scratch, BlockSums& sums) {
  kernels<T>().add_likelihood(stretch, scratch, sums);
}

template void add_moments(const Stretch<float>&, const Components<float>&, Scratch<float>&, BlockSums&);
template void add_moments(const Stretch<double>&, const Components<double>&, Scratch<double>&, BlockSums&);
template void add_scatter(const Stretch<float>&, Scratch<float>&, std::vector<double>&);
template void add_scatter(const Stretch<double>&, Scratch<double>&, std::vector<double>&);
template void add_likelihood(const Stretch<float>&, const Scratch<float>&, BlockSums&);
template void add_likelihood(const Stretch<double>&, const Scratch<double>&, BlockSums&);

}  // namespace coterie::gaussian
#endif
