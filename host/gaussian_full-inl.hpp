// Densities of full components, of all rows or of those where bounds leave a doubt (gaussian_directions.cpp), and the blocks of rows that
// all densities are made of, for the instruction set of the including file. Included once per instruction set by gaussian_density.cpp,
// which hwy/foreach_target.h compiles over and over.
#if defined(COTERIE_HOST_GAUSSIAN_FULL_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef COTERIE_HOST_GAUSSIAN_FULL_INL_HPP
#undef COTERIE_HOST_GAUSSIAN_FULL_INL_HPP
#else
#define COTERIE_HOST_GAUSSIAN_FULL_INL_HPP
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <limits>

#include "host/chosen_lanes-inl.hpp"
#include "host/gaussian_density.hpp"
#include "host/transpose-inl.hpp"

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
      coterie::HWY_NAMESPACE::transpose_quads(d, load(0), load(1), load(2), load(3), store);
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

}  // namespace HWY_NAMESPACE
}  // namespace coterie::gaussian
HWY_AFTER_NAMESPACE();

#endif
