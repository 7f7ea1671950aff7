#include "host/gaussian_density.hpp"

#include <algorithm>

#include "host/fetch_ahead.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/gaussian_density.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>  // after foreach_target

#include "host/gaussian_full-inl.hpp"

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

}  // namespace coterie::gaussian
#endif

HWY_BEFORE_NAMESPACE();
namespace coterie::gaussian {
namespace HWY_NAMESPACE {

// Rows first, one after the other as memory has them, then their columns.
template <class T>
void pack_target(const float* x, const std::int32_t* weight, std::int64_t n_rows, std::span<const float> center, Stretch<T>& stretch) {
  const std::size_t n = center.size(), rows = static_cast<std::size_t>(n_rows), stride = static_cast<std::size_t>(stretch.stride),
                    row_stride = static_cast<std::size_t>(stretch.row_stride);
  T* const cells = stretch.cells.data();
  for (std::size_t i = 0; i < rows; i += kTurned<T>) {
    const std::size_t end = std::min(rows, i + kTurned<T>);
    T* const first = stretch.rows.data() + i * row_stride;
    fetch_ahead(x + i * n, (end - i) * n);
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

// exp(x) for kLogLeastResponsibility <= x <= 0, where nothing overflows, within two units in the last place: exp(n log 2) times the series
// of the rest, of at most log 2 / 2.
HWY_INLINE hn::Vec<hn::ScalableTag<float> > exp_of_share(hn::ScalableTag<float> d, hn::Vec<hn::ScalableTag<float> > x) {
  const hn::RebindToSigned<hn::ScalableTag<float> > di;
  constexpr float kMagic = 0x1.8p23f, kLog2High = 0x1.63p-1f, kLog2Low = -0x1.bd0106p-13f;  // n kLog2High is exact
  const auto magic = hn::Set(d, kMagic), shifted = hn::MulAdd(x, hn::Set(d, 0x1.715476p0f), magic), n = hn::Sub(shifted, magic);
  const auto r = hn::NegMulAdd(n, hn::Set(d, kLog2Low), hn::NegMulAdd(n, hn::Set(d, kLog2High), x));
  auto series = hn::Set(d, 1.0f / 720);
  for (const float coefficient : {1.0f / 120, 1.0f / 24, 1.0f / 6, 1.0f / 2, 1.0f, 1.0f})
    series = hn::MulAdd(series, r, hn::Set(d, coefficient));
  return hn::BitCast(d, hn::Add(hn::BitCast(di, series), hn::ShiftLeft<23>(hn::BitCast(di, shifted))));
}
HWY_INLINE hn::Vec<hn::ScalableTag<double> > exp_of_share(hn::ScalableTag<double> d, hn::Vec<hn::ScalableTag<double> > x) {
  return hn::Exp(d, x);
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
      if (!hn::AllFalse(d, counts)) ratio = hn::IfThenElseZero(counts, exp_of_share(d, hn::Max(below, least)));
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
