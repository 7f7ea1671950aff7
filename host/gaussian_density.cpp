#include "host/gaussian_density.hpp"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/gaussian_density.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>  // after foreach_target

#include "host/transpose-inl.hpp"

#ifndef COTERIE_GAUSSIAN_DENSITY_KERNELS
#define COTERIE_GAUSSIAN_DENSITY_KERNELS
namespace coterie::gaussian {

template <class T>
struct DensityKernels {
  void (*pack)(const float* x, const std::int32_t* weight, std::int64_t n_rows, std::span<const float> center, Stretch<T>& stretch);
  void (*log_densities)(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch);
  void (*responsibilities)(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch);
};

// Smallest responsibility that counts, as a logarithm: 2^-30 and 2^-60.
template <class T>
constexpr T kLogLeastResponsibility = sizeof(T) == 4 ? T(-20.79441541679836) : T(-41.58883083359672);

}  // namespace coterie::gaussian
#endif

HWY_BEFORE_NAMESPACE();
namespace coterie::gaussian {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Components, or columns of P, whose sums a register block holds for some vectors of rows: accumulators, the vectors and one
// factor fit 16 registers, or 32. Strides have room for whole blocks of rows.
constexpr std::int32_t kBlock = 4;
static_assert(kGroup % kBlock == 0);
#if HWY_TARGET <= HWY_AVX3
constexpr std::int64_t kDiagonalVectors = 4, kTriangleVectors = 4;
#else
constexpr std::int64_t kDiagonalVectors = 2, kTriangleVectors = 3;
#endif

template <class D, std::int64_t kVectors>
using Accumulators = hn::Vec<D>[kVectors][kBlock];

template <std::int64_t kVectors, class D>
HWY_INLINE void clear(D d, Accumulators<D, kVectors>& sum) {
  for (auto& of_rows : sum)
    for (auto& cell : of_rows) cell = hn::Zero(d);
}

// Rows that are turned into columns at a time.
template <class T>
constexpr std::size_t kTurned = 16 / sizeof(T);

// cells: (n_columns, stride), from the first of kTurned rows on; rows: (kTurned, row_stride). Columns that are not whole vectors take what
// rows have beyond their end.
template <class T>
HWY_INLINE void turn_rows(const T* rows, std::size_t row_stride, std::size_t n_columns, T* cells, std::size_t stride) {
#if HWY_TARGET != HWY_SCALAR
  const hn::FixedTag<T, kTurned<T>> d;
  for (std::size_t j = 0; j < n_columns; j += kTurned<T>) {
    const auto store = [&](std::size_t column, auto cell) HWY_ATTR {
      if (j + column < n_columns) hn::StoreU(cell, d, cells + (j + column) * stride);
    };
    if constexpr (sizeof(T) == sizeof(float)) {
      coterie::HWY_NAMESPACE::transpose_4x4(rows + j, row_stride, store);
    } else {
      const auto first = hn::LoadU(d, rows + j), second = hn::LoadU(d, rows + row_stride + j);
      store(0, hn::InterleaveLower(d, first, second));
      store(1, hn::InterleaveUpper(d, first, second));
    }
  }
#else
  for (std::size_t j = 0; j < n_columns; ++j)
    for (std::size_t i = 0; i < kTurned<T>; ++i) cells[j * stride + i] = rows[i * row_stride + j];
#endif
}

// Rows first, one after the other as memory has them, then their columns.
template <class T>
void pack_target(const float* x, const std::int32_t* weight, std::int64_t n_rows, std::span<const float> center, Stretch<T>& stretch) {
  const std::size_t n = center.size(), rows = static_cast<std::size_t>(n_rows), stride = static_cast<std::size_t>(stretch.stride),
                    row_stride = static_cast<std::size_t>(stretch.row_stride);
  T* const cells = stretch.cells.data();
  for (std::size_t i = 0; i < rows; i += kTurned<T>) {
    const std::size_t end = std::min(rows, i + kTurned<T>);
    T* const first = stretch.rows.data() + i * row_stride;
    for (std::size_t r = i; r < end; ++r)
      for (std::size_t j = 0; j < n; ++j) first[(r - i) * row_stride + j] = static_cast<T>(x[r * n + j]) - static_cast<T>(center[j]);
    if (end - i == kTurned<T>) {
      turn_rows(first, row_stride, n, cells + i, stride);
    } else {
      for (std::size_t r = i; r < end; ++r)
        for (std::size_t j = 0; j < n; ++j) cells[j * stride + r] = first[(r - i) * row_stride + j];
    }
  }
  for (std::size_t j = 0; j < n; ++j) std::fill(cells + j * stride + rows, cells + (j + 1) * stride, T{0});
  for (std::size_t i = 0; i < rows; ++i) stretch.weight[i] = weight != nullptr ? static_cast<T>(weight[i]) : T{1};
  std::fill(stretch.weight.begin() + n_rows, stretch.weight.end(), T{0});
}

// What missing cells take off the log densities of scratch: their columns' share of the constant, and of |(cells - center)
// scale|^2, where their zeros stood for values.
template <bool kScaled, class T>
void leave_out_missing(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch) {
  const hn::ScalableTag<T> d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d)), stride = stretch.stride;
  for (std::int32_t k = 0; k < components.n_components(); ++k)
    for (const std::int32_t j : stretch.missing_columns) {
      const std::int32_t cell = j * kGroup + k % kGroup, group = k / kGroup;
      const T t = components.centers(group)[cell] * (kScaled ? components.scales(group)[cell] : T{1});
      const auto share = hn::Set(d, components.norms(group)[cell] + components.factor(k) * t * t);
      for (std::int64_t row = 0; row < stretch.n_rows; row += lanes) {
        T* const to = scratch.log_density.data() + k * stride + row;
        hn::StoreU(hn::NegMulAdd(hn::LoadU(d, stretch.missing.data() + j * stride + row), share, hn::LoadU(d, to)), d, to);
      }
    }
}

// log_density of kBlock components from `first` on for kDiagonalVectors vectors of rows. cells: those of the first row.
template <bool kScaled, class T>
HWY_INLINE void diagonal_block(const T* cells, std::int64_t stride, const Components<T>& components, std::int32_t first, T* log_density) {
  using D = hn::ScalableTag<T>;
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  Accumulators<D, kDiagonalVectors> sum;
  clear<kDiagonalVectors>(d, sum);
  const T* center = components.centers(first / kGroup) + first % kGroup;
  const T* scale = kScaled ? components.scales(first / kGroup) + first % kGroup : center;
  for (std::int32_t j = 0; j < components.n_columns(); ++j, cells += stride, center += kGroup, scale += kGroup) {
    hn::Vec<D> cell[kDiagonalVectors];
    for (std::int64_t v = 0; v < kDiagonalVectors; ++v) cell[v] = hn::LoadU(d, cells + v * lanes);
    for (std::int32_t k = 0; k < kBlock; ++k) {
      const auto c = hn::Set(d, center[k]);
      for (std::int64_t v = 0; v < kDiagonalVectors; ++v) {
        auto t = hn::Sub(cell[v], c);
        if constexpr (kScaled) t = hn::Mul(t, hn::Set(d, scale[k]));
        sum[v][k] = hn::MulAdd(t, t, sum[v][k]);
      }
    }
  }
  for (std::int32_t k = 0; k < std::min(kBlock, components.n_components() - first); ++k) {
    const auto factor = hn::Set(d, components.factor(first + k)), constant = hn::Set(d, components.constant(first + k));
    for (std::int64_t v = 0; v < kDiagonalVectors; ++v)
      hn::StoreU(hn::MulAdd(factor, sum[v][k], constant), d, log_density + (first + k) * stride + v * lanes);
  }
}

// log_density of scratch: constant + factor |(cells - center) scale|^2, without scales where kScaled is false.
// cells: (n_columns, stride) of the stretch, or whitened.
template <bool kScaled, class T>
void diagonal_densities(const T* cells, const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch) {
  const std::int64_t step = kDiagonalVectors * static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  for (std::int64_t row = 0; row < stretch.n_rows; row += step)
    for (std::int32_t first = 0; first < components.n_components(); first += kBlock)
      diagonal_block<kScaled>(cells + row, stretch.stride, components, first, scratch.log_density.data() + row);
}

// Calls with_block(first column, y) with y = P^T t for kTriangleVectors vectors of rows, kBlock columns of P at a time.
// t: (n_columns, kTriangleVectors * lanes), or a longer stride.
template <class D, class T, class WithBlock>
HWY_INLINE void transform(D d, const T* t, std::int64_t stride, const T* triangle, std::int32_t n_columns, WithBlock&& with_block) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int32_t first = 0; first < n_columns; first += kBlock) {
    Accumulators<D, kTriangleVectors> y;
    clear<kTriangleVectors>(d, y);
    const T* cell = t;
    const T* p = triangle + first % kGroup;
    for (std::int32_t j = 0; j < std::min(n_columns, first + kBlock); ++j, cell += stride, p += kGroup) {
      hn::Vec<D> x[kTriangleVectors];
      for (std::int64_t v = 0; v < kTriangleVectors; ++v) x[v] = hn::LoadU(d, cell + v * lanes);
      for (std::int32_t i = 0; i < kBlock; ++i) {
        const auto factor = hn::Set(d, p[i]);
        for (std::int64_t v = 0; v < kTriangleVectors; ++v) y[v][i] = hn::MulAdd(x[v], factor, y[v][i]);
      }
    }
    with_block(first, y);
    if ((first + kBlock) % kGroup == 0) triangle += std::min(n_columns, first + kBlock) * kGroup;
  }
}

// to: (n_columns, kTriangleVectors * lanes) cells less the mean. cells: (n_columns, stride).
template <class D, class T>
HWY_INLINE void subtract_mean(D d, const T* cells, std::int64_t stride, const T* mean, std::int32_t n_columns, T* to) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int32_t j = 0; j < n_columns; ++j, cells += stride, to += kTriangleVectors * lanes) {
    const auto m = hn::Set(d, mean[j]);
    for (std::int64_t v = 0; v < kTriangleVectors; ++v) hn::StoreU(hn::Sub(hn::LoadU(d, cells + v * lanes), m), d, to + v * lanes);
  }
}

template <class T>
void full_densities(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch) {
  using D = hn::ScalableTag<T>;
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d)), width = kTriangleVectors * lanes;
  const auto half = hn::Set(d, T(0.5));
  T* const t = scratch.cells.data();
  for (std::int32_t k = 0; k < components.n_components(); ++k) {
    const auto constant = hn::Set(d, components.constant(k));
    for (std::int64_t row = 0; row < stretch.n_rows; row += width) {
      subtract_mean(d, stretch.cells.data() + row, stretch.stride, components.mean(k), stretch.n_columns, t);
      hn::Vec<D> square[kTriangleVectors];
      for (auto& sum : square) sum = hn::Zero(d);
      transform(d, t, width, components.triangle(k), stretch.n_columns,
                [&](std::int32_t, const Accumulators<D, kTriangleVectors>& y) HWY_ATTR {
                  for (std::int64_t v = 0; v < kTriangleVectors; ++v)
                    for (std::int32_t i = 0; i < kBlock; ++i) square[v] = hn::MulAdd(y[v][i], y[v][i], square[v]);
                });
      for (std::int64_t v = 0; v < kTriangleVectors; ++v)
        hn::StoreU(hn::NegMulAdd(half, square[v], constant), d, scratch.log_density.data() + k * stretch.stride + row + v * lanes);
    }
  }
}

template <class T>
void tied_densities(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch) {
  using D = hn::ScalableTag<T>;
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t row = 0; row < stretch.n_rows; row += kTriangleVectors * lanes)
    transform(d, stretch.cells.data() + row, stretch.stride, components.triangle(0), stretch.n_columns,
              [&](std::int32_t first, const Accumulators<D, kTriangleVectors>& y) HWY_ATTR {
                for (std::int32_t i = 0; i < std::min(kBlock, stretch.n_columns - first); ++i)
                  for (std::int64_t v = 0; v < kTriangleVectors; ++v)
                    hn::StoreU(y[v][i], d, scratch.cells.data() + (first + i) * stretch.stride + row + v * lanes);
              });
  diagonal_densities<false>(scratch.cells.data(), stretch, components, scratch);
}

template <class T>
void log_densities_target(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch) {
  switch (components.type()) {
    case CovarianceType::full: return full_densities(stretch, components, scratch);
    case CovarianceType::tied: return tied_densities(stretch, components, scratch);
    case CovarianceType::diag:
      diagonal_densities<true>(stretch.cells.data(), stretch, components, scratch);
      if (!stretch.missing_columns.empty()) leave_out_missing<true>(stretch, components, scratch);
      return;
    case CovarianceType::spherical:
      diagonal_densities<false>(stretch.cells.data(), stretch, components, scratch);
      if (!stretch.missing_columns.empty()) leave_out_missing<false>(stretch, components, scratch);
      return;
  }
}

template <class T>
void responsibilities_target(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch) {
  const hn::ScalableTag<T> d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d)), stride = stretch.stride;
  const std::int32_t n = components.n_components();
  const auto least = hn::Set(d, kLogLeastResponsibility<T>);
  for (std::int64_t row = 0; row < stretch.n_rows; row += lanes) {
    T* const of_row = scratch.log_density.data() + row;
    auto best = hn::LoadU(d, of_row);
    for (std::int32_t k = 1; k < n; ++k) best = hn::Max(best, hn::LoadU(d, of_row + k * stride));
    auto sum = hn::Zero(d);
    for (std::int32_t k = 0; k < n; ++k) {
      const auto below = hn::Sub(hn::LoadU(d, of_row + k * stride), best);
      const auto counts = hn::Ge(below, least);
      auto ratio = hn::Zero(d);
      if (!hn::AllFalse(d, counts)) ratio = hn::IfThenElseZero(counts, hn::Exp(d, hn::Max(below, least)));
      hn::StoreU(ratio, d, of_row + k * stride);
      sum = hn::Add(sum, ratio);
    }
    const auto log_sum = hn::Log(d, sum);
    hn::StoreU(hn::Add(best, log_sum), d, scratch.row_likelihood.data() + row);
    hn::StoreU(hn::Neg(log_sum), d, scratch.row_certainty.data() + row);
    const auto factor = hn::Div(hn::LoadU(d, stretch.weight.data() + row), sum);
    for (std::int32_t k = 0; k < n; ++k) hn::StoreU(hn::Mul(hn::LoadU(d, of_row + k * stride), factor), d, of_row + k * stride);
    for (std::int32_t k = n; k < components.n_groups() * kGroup; ++k) hn::StoreU(hn::Zero(d), d, of_row + k * stride);
  }
}

template <class T>
constexpr DensityKernels<T> kKernels{pack_target<T>, log_densities_target<T>, responsibilities_target<T>};

const DensityKernels<float>* float_density_kernels() { return &kKernels<float>; }
const DensityKernels<double>* double_density_kernels() { return &kKernels<double>; }

}  // namespace HWY_NAMESPACE
}  // namespace coterie::gaussian
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie::gaussian {
namespace {

HWY_EXPORT(float_density_kernels);
HWY_EXPORT(double_density_kernels);

template <class T>
const DensityKernels<T>& kernels() {
  if constexpr (sizeof(T) == 4)
    return *HWY_DYNAMIC_DISPATCH(float_density_kernels)();
  else
    return *HWY_DYNAMIC_DISPATCH(double_density_kernels)();
}

}  // namespace

template <class T>
void pack(const float* x, const std::int32_t* weight, std::int64_t n_rows, std::span<const float> center, Stretch<T>& stretch) {
  if (stretch.n_columns != static_cast<std::int32_t>(center.size())) stretch = {.n_columns = static_cast<std::int32_t>(center.size())};
  stretch.n_rows = n_rows;
  stretch.missing_columns.clear();
  stretch.stride = stretch_rows(stretch.n_columns) + 64 / std::int64_t{sizeof(T)};
  stretch.cells.resize(center.size() * static_cast<std::size_t>(stretch.stride));
  stretch.weight.resize(static_cast<std::size_t>(stretch.stride));
  stretch.row_stride = row_stride<T>(stretch.n_columns);
  stretch.rows.resize(static_cast<std::size_t>(stretch_rows(stretch.n_columns) * stretch.row_stride));  // zeros beyond n_columns stay
  kernels<T>().pack(x, weight, n_rows, center, stretch);
}

template <class T>
void find_missing(Stretch<T>& stretch) {
  stretch.missing.resize(stretch.cells.size());
  for (std::int32_t j = 0; j < stretch.n_columns; ++j) {
    T* const cells = stretch.cells.data() + j * stretch.stride;
    T* const missing = stretch.missing.data() + j * stretch.stride;
    T count = 0;
    for (std::int64_t row = 0; row < stretch.stride; ++row) {
      missing[row] = cells[row] == cells[row] ? T{0} : T{1};
      cells[row] = cells[row] == cells[row] ? cells[row] : T{0};
      count += missing[row];
    }
    if (count > 0) stretch.missing_columns.push_back(j);
  }
  if (stretch.missing_columns.empty()) return;
  for (T& cell : stretch.rows) cell = cell == cell ? cell : T{0};
}

template <class T>
void log_densities(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch) {
  const std::size_t stride = static_cast<std::size_t>(stretch.stride), d = static_cast<std::size_t>(stretch.n_columns);
  scratch.log_density.resize(static_cast<std::size_t>(components.n_groups()) * kGroup * stride);
  scratch.row_likelihood.resize(stride);
  scratch.row_certainty.resize(stride);
  scratch.cells.resize((d + kGroup) * stride);
  scratch.places.resize(stride);
  scratch.weight.resize(stride);
  kernels<T>().log_densities(stretch, components, scratch);
}

template <class T>
void responsibilities(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch) {
  kernels<T>().responsibilities(stretch, components, scratch);
}

template void pack(const float*, const std::int32_t*, std::int64_t, std::span<const float>, Stretch<float>&);
template void pack(const float*, const std::int32_t*, std::int64_t, std::span<const float>, Stretch<double>&);
template void find_missing(Stretch<float>&);
template void find_missing(Stretch<double>&);
template void log_densities(const Stretch<float>&, const Components<float>&, Scratch<float>&);
template void log_densities(const Stretch<double>&, const Components<double>&, Scratch<double>&);
template void responsibilities(const Stretch<float>&, const Components<float>&, Scratch<float>&);
template void responsibilities(const Stretch<double>&, const Components<double>&, Scratch<double>&);

}  // namespace coterie::gaussian
#endif
