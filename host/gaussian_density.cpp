#include "host/gaussian_density.hpp"

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/gaussian_density.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>  // after foreach_target

#include "host/chosen_lanes-inl.hpp"
#include "host/transpose-inl.hpp"

#ifndef COTERIE_GAUSSIAN_DENSITY_KERNELS
#define COTERIE_GAUSSIAN_DENSITY_KERNELS
namespace coterie::gaussian {

template <class T>
struct DensityKernels {
  void (*pack)(const float* x, const std::int32_t* weight, std::int64_t n_rows, std::span<const float> center, Stretch<T>& stretch);
  void (*log_densities)(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch);
  void (*counting_densities)(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch);
  void (*responsibilities)(const Stretch<T>& stretch, std::int32_t n_components, Scratch<T>& scratch);
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
static_assert(kDirections == kBlock);

// What a density, a bound and bringing a row to others cost per column, in multiply-adds, as measured.
constexpr double kColumnCost = 4, kBoundCost = 6, kGatherCost = 10;

template <class D, std::int64_t kVectors>
using Accumulators = hn::Vec<D>[kVectors][kBlock];

template <std::int64_t kVectors, class D>
HWY_INLINE void clear(D d, Accumulators<D, kVectors>& sum) {
  for (auto& of_rows : sum)
    for (auto& cell : of_rows) cell = hn::Zero(d);
}

// Rows that are turned into columns at a time.
template <class T>
constexpr std::size_t kTurned = HWY_TARGET == HWY_SCALAR ? 1 : 16 / sizeof(T);

// cells: (n_columns, stride), from the first of kTurned rows on, which are row_of(0) and so on, less `mean` if there is one. All are read
// in whole vectors.
template <class T, class RowOf>
HWY_INLINE void turn_rows(RowOf&& row_of, const T* mean, std::size_t n_columns, T* cells, std::size_t stride) {
#if HWY_TARGET != HWY_SCALAR
  const hn::FixedTag<T, kTurned<T>> d;
  for (std::size_t j = 0; j < n_columns; j += kTurned<T>) {
    const auto load = [&](std::size_t i) HWY_ATTR {
      const auto cell = hn::LoadU(d, row_of(i) + j);
      return mean == nullptr ? cell : hn::Sub(cell, hn::LoadU(d, mean + j));
    };
    const auto store = [&](std::size_t column, auto cell) HWY_ATTR {
      if (j + column < n_columns) hn::StoreU(cell, d, cells + (j + column) * stride);
    };
    if constexpr (sizeof(T) == sizeof(float)) {
      coterie::HWY_NAMESPACE::transpose_quads(load(0), load(1), load(2), load(3), store);
    } else {
      const auto first = load(0), second = load(1);
      store(0, hn::InterleaveLower(d, first, second));
      store(1, hn::InterleaveUpper(d, first, second));
    }
  }
#else
  for (std::size_t j = 0; j < n_columns; ++j) cells[j * stride] = row_of(0)[j] - (mean == nullptr ? T{0} : mean[j]);
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
      turn_rows<T>([&](std::size_t r) HWY_ATTR { return first + r * row_stride; }, nullptr, n, cells + i, stride);
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

// to: (kTriangleVectors * lanes) log densities under full component k. t: (n_columns, kTriangleVectors * lanes) rows less its mean.
template <class D, class T>
HWY_INLINE void full_block(D d, const T* t, const Components<T>& components, std::int32_t k, T* to) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  hn::Vec<D> square[kTriangleVectors];
  for (auto& sum : square) sum = hn::Zero(d);
  transform(d, t, kTriangleVectors * lanes, components.triangle(k), components.n_columns(),
            [&](std::int32_t, const Accumulators<D, kTriangleVectors>& y) HWY_ATTR {
              for (std::int64_t v = 0; v < kTriangleVectors; ++v)
                for (std::int32_t i = 0; i < kBlock; ++i) square[v] = hn::MulAdd(y[v][i], y[v][i], square[v]);
            });
  const auto half = hn::Set(d, T(0.5)), constant = hn::Set(d, components.constant(k));
  for (std::int64_t v = 0; v < kTriangleVectors; ++v) hn::StoreU(hn::NegMulAdd(half, square[v], constant), d, to + v * lanes);
}

// Of the rows from first to last under component k.
template <class T>
void full_densities(const Stretch<T>& stretch, const Components<T>& components, std::int32_t k, std::int64_t first, std::int64_t last,
                    Scratch<T>& scratch) {
  const hn::ScalableTag<T> d;
  const std::int64_t width = kTriangleVectors * static_cast<std::int64_t>(hn::Lanes(d));
  T* const t = scratch.cells.data();
  for (std::int64_t row = first; row < last; row += width) {
    subtract_mean(d, stretch.cells.data() + row, stretch.stride, components.mean(k), stretch.n_columns, t);
    full_block(d, t, components, k, scratch.log_density.data() + k * stretch.stride + row);
  }
}

template <class T>
void full_densities(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch) {
  for (std::int32_t k = 0; k < components.n_components(); ++k) full_densities(stretch, components, k, 0, stretch.n_rows, scratch);
}

// to: (n_components, stride) bounds of the log densities of kTriangleVectors vectors of rows, from Components::directions(); likeliest: the
// component of the largest, in T. cells: (n_columns, stride).
template <class T>
HWY_INLINE void bound_block(const T* cells, std::int64_t stride, const Components<T>& components, T* to, T* likeliest) {
  using D = hn::ScalableTag<T>;
  const D d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto half = hn::Set(d, T(0.5));
  hn::Vec<D> best[kTriangleVectors], best_component[kTriangleVectors];
  for (auto& bound : best) bound = hn::Set(d, -std::numeric_limits<T>::infinity());
  for (auto& component : best_component) component = hn::Zero(d);
  for (std::int32_t k = 0; k < components.n_components(); ++k) {
    Accumulators<D, kTriangleVectors> z;
    clear<kTriangleVectors>(d, z);
    const T* cell = cells;
    const T* mean = components.mean(k);
    const T* direction = components.directions(k);
    for (std::int32_t j = 0; j < components.n_columns(); ++j, cell += stride, ++mean, direction += kBlock) {
      const auto m = hn::Set(d, *mean);
      hn::Vec<D> t[kTriangleVectors];
      for (std::int64_t v = 0; v < kTriangleVectors; ++v) t[v] = hn::Sub(hn::LoadU(d, cell + v * lanes), m);
      for (std::int32_t i = 0; i < kBlock; ++i) {
        const auto factor = hn::Set(d, direction[i]);
        for (std::int64_t v = 0; v < kTriangleVectors; ++v) z[v][i] = hn::MulAdd(t[v], factor, z[v][i]);
      }
    }
    const auto constant = hn::Set(d, components.constant(k)), component = hn::Set(d, static_cast<T>(k));
    for (std::int64_t v = 0; v < kTriangleVectors; ++v) {
      auto square = hn::Zero(d);
      for (std::int32_t i = 0; i < kBlock; ++i) square = hn::MulAdd(z[v][i], z[v][i], square);
      const auto bound = hn::NegMulAdd(half, square, constant);
      hn::StoreU(bound, d, to + k * stride + v * lanes);
      const auto more = hn::Gt(bound, best[v]);
      best_component[v] = hn::IfThenElse(more, component, best_component[v]);
      best[v] = hn::IfThenElse(more, bound, best[v]);
    }
  }
  for (std::int64_t v = 0; v < kTriangleVectors; ++v) hn::StoreU(best_component[v], d, likeliest + v * lanes);
}

// to[i] for the n rows i of scratch.places: log density under component k.
template <class T>
void full_densities_of_places(const Stretch<T>& stretch, const Components<T>& components, std::int32_t k, std::int64_t n,
                              Scratch<T>& scratch, T* to) {
  const hn::ScalableTag<T> d;
  constexpr std::int64_t kLanes = static_cast<std::int64_t>(hn::MaxLanes(hn::ScalableTag<T>{}));
  const std::int64_t width = kTriangleVectors * static_cast<std::int64_t>(hn::Lanes(d));
  T* const t = scratch.cells.data();
  T log_density[kTriangleVectors * kLanes];
  for (std::int64_t first = 0; first < n; first += width) {
    const std::int32_t* const places = scratch.places.data() + first;
    const std::int64_t rows = std::min(width, n - first);
    for (std::int64_t i = 0; i < rows; i += std::int64_t{kTurned<T>})
      turn_rows<T>(
          [&](std::size_t r)
              HWY_ATTR { return stretch.rows.data() + places[std::min(i + static_cast<std::int64_t>(r), rows - 1)] * stretch.row_stride; },
          components.mean(k), static_cast<std::size_t>(stretch.n_columns), t + i, static_cast<std::size_t>(width));
    full_block(d, t, components, k, log_density);
    for (std::int64_t i = 0; i < rows; ++i) to[places[i]] = log_density[i];
  }
}

// Rows from `first` on whose lanes mask_of(first row of a vector) has: scratch.places. Returns how many.
template <class T, class MaskOf>
HWY_INLINE std::int64_t place_rows(std::int64_t first, std::int64_t last, Scratch<T>& scratch, MaskOf&& mask_of) {
  const hn::ScalableTag<T> d;
  std::int64_t n = 0;
  for (std::int64_t row = first; row < last; row += static_cast<std::int64_t>(hn::Lanes(d))) {
    const auto mask = mask_of(row);
    if (hn::AllFalse(d, mask)) continue;
    const coterie::HWY_NAMESPACE::ChosenLanes<decltype(d)> chosen(mask);
    chosen.store_numbers(static_cast<std::int32_t>(row), scratch.places.data() + n);
    n += static_cast<std::int64_t>(chosen.size());
  }
  return n;
}

// Whether a density that is at most `bound` may count beside another of the row: as responsibilities_target finds it, so that what falls
// short here does there, however both round.
template <class D, class V>
HWY_INLINE auto may_count(D d, V bound, V other) {
  using T = hn::TFromD<D>;
  return hn::Not(hn::Lt(hn::Sub(bound, other), hn::Set(d, kLogLeastResponsibility<T>)));
}

// Whether the other rows of a stretch should be bounded first, as its first rows tell: from their densities in scratch and their bounds,
// (n_components, stride).
template <class T>
bool bounds_pay(const Stretch<T>& stretch, const Components<T>& components, const T* bounds, const Scratch<T>& scratch) {
  const hn::ScalableTag<T> d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d)), width = kTriangleVectors * lanes;
  std::size_t left = 0;
  for (std::int64_t row = 0; row < width; row += lanes) {
    const T* const of_row = scratch.log_density.data() + row;
    auto best = hn::LoadU(d, of_row);
    for (std::int32_t k = 1; k < components.n_components(); ++k) best = hn::Max(best, hn::LoadU(d, of_row + k * stretch.stride));
    for (std::int32_t k = 0; k < components.n_components(); ++k)
      left += hn::CountTrue(d, may_count(d, hn::LoadU(d, bounds + k * stretch.stride + row), best));
  }
  const double n_columns = stretch.n_columns, pairs = static_cast<double>(width * components.n_components());
  const double share = static_cast<double>(left) / pairs;
  const double of_density = n_columns * (n_columns / 2 + kColumnCost);
  return kBoundCost * n_columns + share * (of_density + kGatherCost * n_columns) < 0.9 * of_density;
}

// Of every row from `first` on the density of the component whose bound is largest, then those that may count beside it; of the others the
// bound stays.
template <class T>
void bounded_densities(const Stretch<T>& stretch, const Components<T>& components, std::int64_t first, Scratch<T>& scratch) {
  const hn::ScalableTag<T> d;
  const std::int64_t width = kTriangleVectors * static_cast<std::int64_t>(hn::Lanes(d)), last = stretch.n_rows;
  T* const likeliest = scratch.row_certainty.data();
  T* const its_density = scratch.row_likelihood.data();
  for (std::int64_t row = first; row < last; row += width)
    bound_block(stretch.cells.data() + row, stretch.stride, components, scratch.log_density.data() + row, likeliest + row);
  for (std::int32_t k = 0; k < components.n_components(); ++k) {
    const auto component = hn::Set(d, static_cast<T>(k));
    const std::int64_t n =
        place_rows(first, last, scratch, [&](std::int64_t row) HWY_ATTR { return hn::Eq(hn::LoadU(d, likeliest + row), component); });
    full_densities_of_places(stretch, components, k, n, scratch, its_density);
  }
  for (std::int32_t k = 0; k < components.n_components(); ++k) {
    const auto component = hn::Set(d, static_cast<T>(k));
    T* const log_density = scratch.log_density.data() + k * stretch.stride;
    const std::int64_t n = place_rows(first, last, scratch, [&](std::int64_t row) HWY_ATTR {
      const auto bound = hn::LoadU(d, log_density + row), known = hn::LoadU(d, its_density + row);
      const auto is_known = hn::Eq(hn::LoadU(d, likeliest + row), component);
      hn::StoreU(hn::IfThenElse(is_known, known, bound), d, log_density + row);
      return hn::AndNot(is_known, may_count(d, bound, known));
    });
    if (2 * n > last - first)
      full_densities(stretch, components, k, first, last, scratch);
    else
      full_densities_of_places(stretch, components, k, n, scratch, log_density);
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

// Densities of the other types cost as little as a bound.
template <class T>
void counting_densities_target(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch) {
  const std::int64_t width = kTriangleVectors * static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  if (!components.has_directions() || stretch.n_rows < 2 * width) return log_densities_target(stretch, components, scratch);
  for (std::int32_t k = 0; k < components.n_components(); ++k) full_densities(stretch, components, k, 0, width, scratch);
  T* const bounds = scratch.log_density.data() + width;  // where no density is yet
  bound_block(stretch.cells.data(), stretch.stride, components, bounds, scratch.row_certainty.data());
  if (bounds_pay(stretch, components, bounds, scratch)) return bounded_densities(stretch, components, width, scratch);
  for (std::int32_t k = 0; k < components.n_components(); ++k) full_densities(stretch, components, k, width, stretch.n_rows, scratch);
}

template <class T>
void responsibilities_target(const Stretch<T>& stretch, std::int32_t n, Scratch<T>& scratch) {
  const hn::ScalableTag<T> d;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d)), stride = stretch.stride;
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
  }
}

template <class T>
constexpr DensityKernels<T> kKernels{pack_target<T>, log_densities_target<T>, counting_densities_target<T>, responsibilities_target<T>};

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
void make_room(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch) {
  const std::size_t stride = static_cast<std::size_t>(stretch.stride), d = static_cast<std::size_t>(stretch.n_columns);
  scratch.log_density.resize(static_cast<std::size_t>(components.n_components()) * stride);
  scratch.row_likelihood.resize(stride);
  scratch.row_certainty.resize(stride);
  scratch.cells.resize((d + kGroup) * stride);
  scratch.places.resize(stride);
  scratch.weight.resize(stride);
}

template <class T>
void log_densities(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch) {
  make_room(stretch, components, scratch);
  kernels<T>().log_densities(stretch, components, scratch);
}

template <class T>
void counting_densities(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch) {
  make_room(stretch, components, scratch);
  kernels<T>().counting_densities(stretch, components, scratch);
}

template <class T>
void responsibilities(const Stretch<T>& stretch, std::int32_t n_components, Scratch<T>& scratch) {
  kernels<T>().responsibilities(stretch, n_components, scratch);
}

template void pack(const float*, const std::int32_t*, std::int64_t, std::span<const float>, Stretch<float>&);
template void pack(const float*, const std::int32_t*, std::int64_t, std::span<const float>, Stretch<double>&);
template void find_missing(Stretch<float>&);
template void find_missing(Stretch<double>&);
template void log_densities(const Stretch<float>&, const Components<float>&, Scratch<float>&);
template void log_densities(const Stretch<double>&, const Components<double>&, Scratch<double>&);
template void counting_densities(const Stretch<float>&, const Components<float>&, Scratch<float>&);
template void counting_densities(const Stretch<double>&, const Components<double>&, Scratch<double>&);
template void responsibilities(const Stretch<float>&, std::int32_t, Scratch<float>&);
template void responsibilities(const Stretch<double>&, std::int32_t, Scratch<double>&);

}  // namespace coterie::gaussian
#endif
