// The sums of the M-step over one stretch (gaussian_density.hpp): rows in lanes, one reduction across lanes per sum and
// stretch, then double.
#include <algorithm>
#include <bit>

#include "host/gaussian_density.hpp"
#include "host/gaussian_mixture_quanta.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/gaussian_moments.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

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

// Components and columns per register block of the diagonal sums: 16 accumulators, with squares two per cell.
constexpr std::int32_t kComponents = 4;
template <bool kSquares>
constexpr std::int32_t kColumnsOf = kSquares ? 2 : 4;
// Rows and columns per register block of a Gram matrix: 16 accumulators.
constexpr std::int32_t kTile = 4;

template <class D, class T>
HWY_INLINE hn::Vec<D> load_wide(D d, const T* from) {
  if constexpr (sizeof(T) == sizeof(double))
    return hn::LoadU(d, from);
  else
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<T, D>(), from));
}

template <class D>
HWY_INLINE double sum_of_lanes(D d, hn::Vec<D> v) {
  return static_cast<double>(hn::GetLane(hn::SumOfLanes(d, v)));
}

// Sum of weight * value over rows, in double.
template <class T, class V>
HWY_INLINE double weighted_sum(const T* weight, const V* value, std::int64_t n_rows) {
  const hn::ScalableTag<double> d;
  auto sum = hn::Zero(d);
  for (std::int64_t row = 0; row < n_rows; row += static_cast<std::int64_t>(hn::Lanes(d)))
    sum = hn::MulAdd(load_wide(d, weight + row), load_wide(d, value + row), sum);
  return sum_of_lanes(d, sum);
}

template <class T>
void add_weights(const Stretch<T>& stretch, const Scratch<T>& scratch, BlockSums& sums) {
  const hn::ScalableTag<double> d;
  for (std::size_t k = 0; k < sums.weight.size(); ++k) {
    const T* responsibility = scratch.log_density.data() + static_cast<std::int64_t>(k) * stretch.stride;
    auto sum = hn::Zero(d);
    for (std::int64_t row = 0; row < stretch.n_rows; row += static_cast<std::int64_t>(hn::Lanes(d)))
      sum = hn::Add(sum, load_wide(d, responsibility + row));
    sums.weight[k] += sum_of_lanes(d, sum);
  }
}

// Sums of a block of components and columns, about zero or about the pivots. Columns beyond n_columns repeat
// the last one; components beyond n_components have responsibility zero.
template <bool kAboutZero, bool kSquares, class T>
void add_diagonal_block(const Stretch<T>& stretch, const Components<T>& components, const T* responsibility, std::int32_t first_component,
                        std::int32_t first_column, BlockSums& sums) {
  using D = hn::ScalableTag<T>;
  const D d;
  constexpr std::int32_t kColumns = kColumnsOf<kSquares>;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d)), stride = stretch.stride;
  const T* x[kColumns];
  hn::Vec<D> pivot[kComponents][kColumns], first[kComponents][kColumns], second[kComponents][kColumns];
  for (std::int32_t j = 0; j < kColumns; ++j) {
    const std::int32_t column = std::min(first_column + j, stretch.n_columns - 1);
    x[j] = stretch.cells.data() + column * stride;
    for (std::int32_t k = 0; k < kComponents; ++k) {
      pivot[k][j] = hn::Set(d, components.pivot(std::min(first_component + k, components.n_components() - 1))[column]);
      first[k][j] = second[k][j] = hn::Zero(d);
    }
  }
  const T* r = responsibility + first_component * stride;
  for (std::int64_t row = 0; row < stretch.n_rows; row += lanes) {
    hn::Vec<D> cell[kColumns], square[kColumns];
    for (std::int32_t j = 0; j < kColumns; ++j) {
      cell[j] = hn::LoadU(d, x[j] + row);
      square[j] = hn::Mul(cell[j], cell[j]);
    }
    for (std::int32_t k = 0; k < kComponents; ++k) {
      const auto weight = hn::LoadU(d, r + k * stride + row);
      for (std::int32_t j = 0; j < kColumns; ++j) {
        const auto t = kAboutZero ? cell[j] : hn::Sub(cell[j], pivot[k][j]);
        first[k][j] = hn::MulAdd(weight, t, first[k][j]);
        if constexpr (kSquares) second[k][j] = hn::MulAdd(weight, kAboutZero ? square[j] : hn::Mul(t, t), second[k][j]);
      }
    }
  }
  for (std::int32_t k = first_component; k < std::min(first_component + kComponents, components.n_components()); ++k)
    for (std::int32_t j = first_column; j < std::min(first_column + kColumns, stretch.n_columns); ++j) {
      const std::size_t cell = static_cast<std::size_t>(k) * static_cast<std::size_t>(stretch.n_columns) + static_cast<std::size_t>(j);
      sums.first[cell] += sum_of_lanes(d, first[k - first_component][j - first_column]);
      if constexpr (kSquares) sums.second[cell] += sum_of_lanes(d, second[k - first_component][j - first_column]);
    }
}

template <bool kSquares, class T>
void add_diagonal_moments(const Stretch<T>& stretch, const Components<T>& components, const Scratch<T>& scratch, BlockSums& sums) {
  add_weights(stretch, scratch, sums);
  const auto add_block = components.about_center() ? add_diagonal_block<true, kSquares, T> : add_diagonal_block<false, kSquares, T>;
  for (std::int32_t k = 0; k < components.n_components(); k += kComponents)
    for (std::int32_t j = 0; j < stretch.n_columns; j += kColumnsOf<kSquares>)
      add_block(stretch, components, scratch.log_density.data(), k, j, sums);
}

// The squares of rows about the center are the same for all components, so they cost nothing beside the first moments;
// in double, because the squared mean is taken off them.
template <class T>
void add_spherical_moments(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch, BlockSums& sums) {
  add_diagonal_moments<false>(stretch, components, scratch, sums);
  const hn::ScalableTag<double> d;
  scratch.row_square.resize(static_cast<std::size_t>(stretch.stride));
  for (std::int64_t row = 0; row < stretch.n_rows; row += static_cast<std::int64_t>(hn::Lanes(d))) {
    auto square = hn::Zero(d);
    for (std::int32_t j = 0; j < stretch.n_columns; ++j) {
      const auto cell = load_wide(d, stretch.cells.data() + j * stretch.stride + row);
      square = hn::MulAdd(cell, cell, square);
    }
    hn::StoreU(square, d, scratch.row_square.data() + row);
  }
  for (std::size_t k = 0; k < sums.second.size(); ++k)
    sums.second[k] +=
        weighted_sum(scratch.log_density.data() + static_cast<std::int64_t>(k) * stretch.stride, scratch.row_square.data(), stretch.n_rows);
}

// The rows of positive weight: their places in the stretch and the roots of their weights, rounded up to whole vectors
// with roots of zero. Returns how many, and whether they are all rows.
struct Chosen {
  std::int64_t n_rows = 0;
  bool all = false;
};

// Lane by lane from a bit mask: most vectors of a component hold no row or a few, and hn::Compress copies its table to the stack
// where the instruction set has none.
template <class T, class Index>
Chosen choose_rows(const Stretch<T>& stretch, const T* weight, Index* index, T* root) {
  const hn::ScalableTag<T> d;
  HWY_ALIGN T roots[HWY_MAX_BYTES / sizeof(T)];
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t count = 0;
  for (std::int64_t row = 0; row < stretch.n_rows; row += lanes) {
    const auto w = hn::LoadU(d, weight + row);
    const auto counts = hn::Gt(w, hn::Zero(d));
    std::uint64_t chosen = 0;
    hn::StoreMaskBits(d, counts, reinterpret_cast<std::uint8_t*>(&chosen));
    if (chosen == 0) continue;
    hn::Store(hn::Sqrt(w), d, roots);
    for (; chosen != 0; chosen &= chosen - 1, ++count) {
      const int lane = std::countr_zero(chosen);
      root[count] = roots[lane];
      index[count] = static_cast<Index>(row + lane);
    }
  }
  const std::int64_t padded = (count + lanes - 1) / lanes * lanes;
  std::fill(root + count, root + padded, T{0});
  std::fill(index + count, index + padded, Index{0});
  return {.n_rows = padded, .all = count == stretch.n_rows};
}

// The rows of positive weight, side by side, as z = sqrt(weight) (x - pivot) and in a last column sqrt(weight):
// scratch.cells (n_columns + 1 rounded up to kTile, stride). Returns how many, rounded up to whole vectors of zeros.
template <class T>
std::int64_t gather(const Stretch<T>& stretch, const T* weight, const T* pivot, Scratch<T>& scratch) {
  const hn::ScalableTag<T> d;
  const hn::RebindToSigned<decltype(d)> di;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d)), stride = stretch.stride;
  const std::int32_t n = stretch.n_columns;
  T* const root = scratch.cells.data() + n * stride;
  auto* const index = scratch.places.data();
  const auto [n_rows, all] = choose_rows(stretch, weight, index, root);
  for (std::int32_t j = 0; j < n; ++j) {
    const T* from = stretch.cells.data() + j * stride;
    T* const to = scratch.cells.data() + j * stride;
    const auto p = hn::Set(d, pivot[j]);
    for (std::int64_t row = 0; row < n_rows; row += lanes) {
      const auto cell = all ? hn::LoadU(d, from + row) : hn::GatherIndex(d, from, hn::LoadU(di, index + row));
      hn::StoreU(hn::Mul(hn::Sub(cell, p), hn::LoadU(d, root + row)), d, to + row);
    }
  }
  for (std::int32_t j = n + 1; j % kTile != 0; ++j) std::fill_n(scratch.cells.begin() + j * stride, n_rows, T{0});
  return n_rows;
}

// Calls add(i, j, value) for the lower triangle of z^T z. z: (n rounded up to kTile, stride), n_rows used.
template <class T, class Add>
void gram(const T* z, std::int64_t n_rows, std::int64_t stride, std::int32_t n, Add&& add) {
  using D = hn::ScalableTag<T>;
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int32_t i0 = 0; i0 < n; i0 += kTile)
    for (std::int32_t j0 = 0; j0 <= i0; j0 += kTile) {
      hn::Vec<D> sum[kTile][kTile];
      for (auto& of_row : sum)
        for (auto& cell : of_row) cell = hn::Zero(d);
      const T* a = z + i0 * stride;
      const T* b = z + j0 * stride;
      for (std::int64_t row = 0; row < n_rows; row += lanes) {
        hn::Vec<D> right[kTile];
        for (std::int32_t j = 0; j < kTile; ++j) right[j] = hn::LoadU(d, b + j * stride + row);
        for (std::int32_t i = 0; i < kTile; ++i) {
          const auto left = hn::LoadU(d, a + i * stride + row);
          for (std::int32_t j = 0; j < kTile; ++j) sum[i][j] = hn::MulAdd(left, right[j], sum[i][j]);
        }
      }
      for (std::int32_t i = i0; i < std::min(n, i0 + kTile); ++i)
        for (std::int32_t j = j0; j <= std::min(i, j0 + kTile - 1); ++j)
          add(static_cast<std::size_t>(i), static_cast<std::size_t>(j), sum_of_lanes(d, sum[i - i0][j - j0]));
    }
}

template <class T>
void add_full_moments(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch, BlockSums& sums) {
  const std::size_t n = static_cast<std::size_t>(stretch.n_columns);
  for (std::size_t k = 0; k < sums.weight.size(); ++k) {
    const std::int32_t component = static_cast<std::int32_t>(k);
    const std::int64_t rows =
        gather(stretch, scratch.log_density.data() + component * stretch.stride, components.pivot(component), scratch);
    if (rows == 0) continue;
    double* const second = sums.second.data() + k * triangle_cells(n);
    double* const first = sums.first.data() + k * n;
    gram(scratch.cells.data(), rows, stretch.stride, stretch.n_columns + 1, [&](std::size_t i, std::size_t j, double value) {
      double& sum = i < n ? second[triangle_cells(i) + j] : j < n ? first[j] : sums.weight[k];
      sum += value;
    });
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
  const std::vector<T> zero(static_cast<std::size_t>(stretch.n_columns));
  const std::int64_t rows = gather(stretch, stretch.weight.data(), zero.data(), scratch);
  gram(scratch.cells.data(), rows, stretch.stride, stretch.n_columns,
       [&](std::size_t i, std::size_t j, double value) { triangle[triangle_cells(i) + j] += value; });
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
