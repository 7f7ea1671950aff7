#include "host/newton_sums.hpp"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/newton_sums.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "host/elementary-inl.hpp"
#include "host/transpose-inl.hpp"

#ifndef COTERIE_NEWTON_SUMS_KERNELS
#define COTERIE_NEWTON_SUMS_KERNELS
namespace coterie::newton {

struct Kernels {
  void (*pack)(const float* x, std::int64_t n_rows, std::span<const float> center, std::span<const float> scale, Stretch& stretch);
  void (*add_log_odds)(const Stretch& stretch, std::span<const double* const> parameters, std::span<RowTerms* const> rows);
  Likelihood (*fill_residuals)(const Stretch& stretch, RowTerms& rows);
  void (*add_weighted_rows)(const Stretch& stretch, std::span<const double* const> terms, std::span<double* const> sums);
  void (*add_gram_float)(const Stretch& stretch, const double* term, std::vector<float>& scratch, double* triangle);
  void (*add_gram_double)(const Stretch& stretch, const double* term, std::vector<double>& scratch, double* triangle);
  void (*squared_lengths)(const Stretch& stretch, const double* factor, double* out);
};

}  // namespace coterie::newton
#endif

HWY_BEFORE_NAMESPACE();
namespace coterie::newton {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<double>;
using V = hn::Vec<D>;

// Rows and columns per register block of a Gram matrix: accumulators, a row of cells and one more fit the registers.
#if HWY_TARGET <= HWY_AVX3
constexpr std::int32_t kGramRows = 6;
#else
constexpr std::int32_t kGramRows = 3;
#endif
constexpr std::int32_t kGramColumns = 4;
static_assert(kGramRows <= kPadding && kGramColumns <= kPadding);

HWY_INLINE std::int64_t lanes_of_double() { return static_cast<std::int64_t>(hn::Lanes(D())); }

template <class Tag>
HWY_INLINE hn::Vec<Tag> load_as(Tag d, const float* from) {
  if constexpr (sizeof(hn::TFromD<Tag>) == sizeof(double))
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<float, Tag>(), from));
  else
    return hn::LoadU(d, from);
}

void pack_target(const float* x, std::int64_t n_rows, std::span<const float> center, std::span<const float> scale, Stretch& stretch) {
  const std::size_t n = center.size(), rows = static_cast<std::size_t>(n_rows), stride = static_cast<std::size_t>(stretch.stride);
  std::size_t whole_rows = 0, whole_columns = 0;
  float* const cells = stretch.cells.data();
#if HWY_TARGET != HWY_SCALAR
  const hn::FixedTag<float, 4> d;
  whole_rows = rows / 4 * 4;
  whole_columns = n / 4 * 4;
  constexpr std::size_t kAhead = 1024, kLine = 16;  // floats: a page, a line of the cache
  for (std::size_t i = 0; i < whole_rows; i += 4) {
    for (std::size_t cell = 0; cell < 4 * n; cell += kLine) hwy::Prefetch(x + i * n + kAhead + cell);
    for (std::size_t j = 0; j < whole_columns; j += 4)
      coterie::HWY_NAMESPACE::transpose_4x4(x + i * n + j, n, [&](std::size_t column, auto cell) HWY_ATTR {
        const auto centered = hn::Sub(cell, hn::Set(d, center[j + column]));
        hn::StoreU(hn::Mul(centered, hn::Set(d, scale[j + column])), d, cells + (j + column) * stride + i);
      });
  }
#endif
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = i < whole_rows ? whole_columns : 0; j < n; ++j) cells[j * stride + i] = (x[i * n + j] - center[j]) * scale[j];
  std::fill_n(cells + n * stride, rows, 1.0f);
  for (std::size_t j = 0; j <= n; ++j) std::fill(cells + j * stride + rows, cells + (j + 1) * stride, 0.0f);
}

template <std::size_t kCount>
void add_log_odds_of(const Stretch& stretch, std::span<const double* const> parameters, std::span<RowTerms* const> rows) {
  constexpr std::int64_t kVectors = kCount == 1 ? 4 : 2;
  const D d;
  const std::int64_t lanes = lanes_of_double();
  for (std::int64_t row = 0; row < stretch.n_rows; row += kVectors * lanes) {
    V sum[kCount][kVectors];
    for (std::size_t m = 0; m < kCount; ++m)
      for (std::int64_t v = 0; v < kVectors; ++v) sum[m][v] = hn::LoadU(d, rows[m]->log_odds.data() + row + v * lanes);
    const float* cell = stretch.cells.data() + row;
    for (std::int32_t j = 0; j < stretch.n_cells; ++j, cell += stretch.stride) {
      V z[kVectors];
      for (std::int64_t v = 0; v < kVectors; ++v) z[v] = load_as(d, cell + v * lanes);
      for (std::size_t m = 0; m < kCount; ++m) {
        const V parameter = hn::Set(d, parameters[m][j]);
        for (std::int64_t v = 0; v < kVectors; ++v) sum[m][v] = hn::MulAdd(z[v], parameter, sum[m][v]);
      }
    }
    for (std::size_t m = 0; m < kCount; ++m)
      for (std::int64_t v = 0; v < kVectors; ++v) hn::StoreU(sum[m][v], d, rows[m]->log_odds.data() + row + v * lanes);
  }
}

void add_log_odds_target(const Stretch& stretch, std::span<const double* const> parameters, std::span<RowTerms* const> rows) {
  switch (rows.size()) {
    case 1: return add_log_odds_of<1>(stretch, parameters, rows);
    case 2: return add_log_odds_of<2>(stretch, parameters, rows);
    case 3: return add_log_odds_of<3>(stretch, parameters, rows);
    default: return add_log_odds_of<4>(stretch, parameters, rows);
  }
}

// What a vector of rows adds to the likelihood, beside what it leaves in RowTerms.
struct Surprise {
  V linear, share;  // -log P(y) = linear + log(1 + share)
};

HWY_INLINE Surprise fill_terms(RowTerms& rows, std::int64_t row, V weight, V eta, V size) {
  const D d;
  const V zero = hn::Zero(d), one = hn::Set(d, 1.0);
  const auto yes = hn::Gt(hn::LoadU(d, rows.outcome.data() + row), zero);
  const auto expected = hn::Not(hn::Xor(hn::Gt(eta, zero), yes));
  const V e = coterie::HWY_NAMESPACE::exp_of_negative(d, hn::Neg(size));
  const V likelier = hn::Div(one, hn::Add(one, e)), less_likely = hn::Mul(e, likelier);
  const V error = hn::IfThenElse(expected, less_likely, likelier);
  const V r = hn::IfThenElse(yes, error, hn::Neg(error)), weighted = hn::Mul(weight, r);
  hn::StoreU(weighted, d, rows.residual.data() + row);
  hn::StoreU(hn::Mul(weighted, r), d, rows.squared.data() + row);
  hn::StoreU(hn::Mul(weight, hn::Mul(less_likely, likelier)), d, rows.curvature.data() + row);
  return {hn::IfThenZeroElse(expected, size), e};
}

// Sum of w log(1 + share). Rows of one weight step, the usual ones, share a logarithm: that of the product of all 1 + share, each at most
// 2, which errs by no more than a sum of their logarithms would.
class LogSum {
 public:
  explicit LogSum(bool unit_weights) : unit_weights_(unit_weights) {}
  HWY_INLINE void add(V weight, V share) {
    const D d;
    if (!unit_weights_) {
      sum_ = hn::MulAdd(weight, coterie::HWY_NAMESPACE::log1p_of_share(d, share), sum_);
      return;
    }
    product_ = hn::Mul(product_, hn::MulAdd(weight, share, hn::Set(d, 1.0)));
    if (++factors_ == kMostFactors) close();
  }
  double finish() {
    close();
    return log_ + hn::GetLane(hn::SumOfLanes(D(), sum_));
  }

 private:
  static constexpr std::int32_t kMostFactors = 512;  // their product is below 2^512

  void close() {
    HWY_ALIGN double lanes[hn::MaxLanes(D())];
    hn::Store(product_, D(), lanes);
    for (std::int64_t lane = 0; lane < lanes_of_double(); ++lane) log_ += coterie::log(lanes[lane]);
    product_ = hn::Set(D(), 1.0);
    factors_ = 0;
  }

  bool unit_weights_;
  std::int32_t factors_ = 0;
  double log_ = 0;
  V sum_ = hn::Zero(D()), product_ = hn::Set(D(), 1.0);
};

bool has_unit_weights(const Stretch& stretch, const RowTerms& rows) {
  const D d;
  V largest = hn::Zero(d);
  for (std::int64_t row = 0; row < stretch.n_rows; row += lanes_of_double())
    largest = hn::Max(largest, hn::LoadU(d, rows.weight.data() + row));
  return hn::GetLane(hn::MaxOfLanes(d, largest)) <= 1;  // whole numbers
}

// Two vectors at a time, because the chain of an exponential is long.
Likelihood fill_residuals_target(const Stretch& stretch, RowTerms& rows) {
  constexpr std::int64_t kVectors = 2;
  const D d;
  const V zero = hn::Zero(d);
  const std::int64_t lanes = lanes_of_double();
  LogSum log_sum(has_unit_weights(stretch, rows));
  V linear[kVectors] = {zero, zero}, total[kVectors] = {zero, zero}, largest = zero;
  for (std::int64_t row = 0; row < stretch.n_rows; row += kVectors * lanes) {
    V weight[kVectors], size[kVectors];
    Surprise surprise[kVectors];
    for (std::int64_t v = 0; v < kVectors; ++v) {
      weight[v] = hn::LoadU(d, rows.weight.data() + row + v * lanes);
      const V eta = hn::LoadU(d, rows.log_odds.data() + row + v * lanes);
      size[v] = hn::Abs(eta);
      surprise[v] = fill_terms(rows, row + v * lanes, weight[v], eta, size[v]);
    }
    for (std::int64_t v = 0; v < kVectors; ++v) {
      linear[v] = hn::NegMulAdd(weight[v], surprise[v].linear, linear[v]);
      total[v] = hn::Add(total[v], hn::LoadU(d, rows.curvature.data() + row + v * lanes));
      largest = hn::Max(largest, hn::IfThenElseZero(hn::Gt(weight[v], zero), size[v]));
      log_sum.add(weight[v], surprise[v].share);
    }
  }
  return {.log_likelihood = hn::GetLane(hn::SumOfLanes(d, hn::Add(linear[0], linear[1]))) - log_sum.finish(),
          .curvature = hn::GetLane(hn::SumOfLanes(d, hn::Add(total[0], total[1]))),
          .largest = hn::GetLane(hn::MaxOfLanes(d, largest))};
}

// Sums of kColumns columns from `first` on for kCount models; columns beyond the last are zeros.
template <std::size_t kCount, std::int32_t kColumns>
HWY_INLINE void add_weighted_columns(const Stretch& stretch, std::int32_t first, std::span<const double* const> terms,
                                     std::span<double* const> sums) {
  const D d;
  V sum[kCount][kColumns];
  for (auto& of_model : sum)
    for (auto& cell : of_model) cell = hn::Zero(d);
  const float* const cells = stretch.cells.data() + first * stretch.stride;
  for (std::int64_t row = 0; row < stretch.n_rows; row += lanes_of_double()) {
    V z[kColumns];
    for (std::int32_t j = 0; j < kColumns; ++j) z[j] = load_as(d, cells + j * stretch.stride + row);
    for (std::size_t m = 0; m < kCount; ++m) {
      const V term = hn::LoadU(d, terms[m] + row);
      for (std::int32_t j = 0; j < kColumns; ++j) sum[m][j] = hn::MulAdd(term, z[j], sum[m][j]);
    }
  }
  for (std::size_t m = 0; m < kCount; ++m)
    for (std::int32_t j = 0; j < std::min(kColumns, stretch.n_cells - first); ++j)
      sums[m][first + j] += hn::GetLane(hn::SumOfLanes(d, sum[m][j]));
}

template <std::size_t kCount>
void add_weighted_rows_of(const Stretch& stretch, std::span<const double* const> terms, std::span<double* const> sums) {
  constexpr std::int32_t kColumns = kCount == 1 ? 8 : kCount == 2 ? 4 : 2;
  for (std::int32_t j = 0; j < stretch.n_cells; j += kColumns) add_weighted_columns<kCount, kColumns>(stretch, j, terms, sums);
}

void add_weighted_rows_target(const Stretch& stretch, std::span<const double* const> terms, std::span<double* const> sums) {
  switch (terms.size()) {
    case 1: return add_weighted_rows_of<1>(stretch, terms, sums);
    case 2: return add_weighted_rows_of<2>(stretch, terms, sums);
    case 3: return add_weighted_rows_of<3>(stretch, terms, sums);
    default: return add_weighted_rows_of<4>(stretch, terms, sums);
  }
}

// One register block: rows i of the triangle from the scaled panel, columns j from the cells.
template <class T>
HWY_INLINE void add_gram_block(const Stretch& stretch, const T* panel, std::int32_t i0, std::int32_t j0, double* triangle) {
  using Tag = hn::ScalableTag<T>;
  const Tag d;
  hn::Vec<Tag> sum[kGramRows][kGramColumns];
  for (auto& of_row : sum)
    for (auto& cell : of_row) cell = hn::Zero(d);
  const float* const right = stretch.cells.data() + j0 * stretch.stride;
  for (std::int64_t row = 0; row < stretch.n_rows; row += static_cast<std::int64_t>(hn::Lanes(d))) {
    hn::Vec<Tag> left[kGramRows];
    for (std::int32_t i = 0; i < kGramRows; ++i) left[i] = hn::LoadU(d, panel + i * stretch.stride + row);
    for (std::int32_t j = 0; j < kGramColumns; ++j) {
      const auto cell = load_as(d, right + j * stretch.stride + row);
      for (std::int32_t i = 0; i < kGramRows; ++i) sum[i][j] = hn::MulAdd(left[i], cell, sum[i][j]);
    }
  }
  for (std::int32_t i = i0; i < std::min(stretch.n_cells, i0 + kGramRows); ++i)
    for (std::int32_t j = j0; j <= std::min(i, j0 + kGramColumns - 1); ++j)
      triangle[std::int64_t{i} * (i + 1) / 2 + j] += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum[i - i0][j - j0])));
}

template <class T>
void add_gram_target(const Stretch& stretch, const double* term, std::vector<T>& scratch, double* triangle) {
  const std::int64_t stride = stretch.stride;
  scratch.resize(static_cast<std::size_t>((kGramRows + 1) * stride));
  T* const panel = scratch.data();
  T* const weight = panel + kGramRows * stride;
  for (std::int64_t row = 0; row < stride; ++row) weight[row] = static_cast<T>(term[row]);
  for (std::int32_t i0 = 0; i0 < stretch.n_cells; i0 += kGramRows) {
    for (std::int32_t i = 0; i < kGramRows; ++i) {
      const float* const cell = stretch.cells.data() + (i0 + i) * stride;
      for (std::int64_t row = 0; row < stride; ++row) panel[i * stride + row] = weight[row] * static_cast<T>(cell[row]);
    }
    for (std::int32_t j0 = 0; j0 < std::min(stretch.n_cells, i0 + kGramRows); j0 += kGramColumns)
      add_gram_block(stretch, panel, i0, j0, triangle);
  }
}

void squared_lengths_target(const Stretch& stretch, const double* factor, double* out) {
  const D d;
  const std::int64_t lanes = lanes_of_double();
  for (std::int64_t row = 0; row < stretch.n_rows; row += lanes) {
    V square = hn::Zero(d);
    for (std::int32_t i = 0; i < stretch.n_cells; ++i) {
      V y = hn::Zero(d);
      for (std::int32_t j = 0; j <= i; ++j)
        y = hn::MulAdd(load_as(d, stretch.cells.data() + j * stretch.stride + row), hn::Set(d, factor[i * stretch.n_cells + j]), y);
      square = hn::MulAdd(y, y, square);
    }
    hn::StoreU(square, d, out + row);
  }
}

constexpr Kernels kKernels{pack_target,
                           add_log_odds_target,
                           fill_residuals_target,
                           add_weighted_rows_target,
                           add_gram_target<float>,
                           add_gram_target<double>,
                           squared_lengths_target};

const Kernels* newton_kernels() { return &kKernels; }

}  // namespace HWY_NAMESPACE
}  // namespace coterie::newton
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie::newton {
namespace {

HWY_EXPORT(newton_kernels);
const Kernels& kernels() { return *HWY_DYNAMIC_DISPATCH(newton_kernels)(); }

// A quarter of a megabyte of float32 cells, which stays in a core's L2 cache.
constexpr std::int64_t kStretchCells = std::int64_t{1} << 15;

}  // namespace

std::int64_t stretch_rows(std::int32_t n_columns) { return std::clamp<std::int64_t>(kStretchCells / (n_columns + 1) / 64 * 64, 64, 1024); }

void RowTerms::resize(std::int64_t stride) {
  for (auto* values : {&weight, &outcome, &log_odds, &residual, &curvature, &squared}) values->resize(static_cast<std::size_t>(stride));
}

void pack(const float* x, std::int64_t n_rows, std::span<const float> center, std::span<const float> scale, Stretch& stretch) {
  stretch.n_rows = n_rows;
  stretch.n_cells = static_cast<std::int32_t>(center.size()) + 1;
  stretch.stride = stretch_rows(static_cast<std::int32_t>(center.size())) + 64 / std::int64_t{sizeof(float)};
  stretch.cells.resize(static_cast<std::size_t>((stretch.n_cells + kPadding) * stretch.stride));
  kernels().pack(x, n_rows, center, scale, stretch);
}

void add_log_odds(const Stretch& stretch, std::span<const double* const> parameters, std::span<RowTerms* const> rows) {
  kernels().add_log_odds(stretch, parameters, rows);
}

Likelihood fill_residuals(const Stretch& stretch, RowTerms& rows) { return kernels().fill_residuals(stretch, rows); }

void add_weighted_rows(const Stretch& stretch, std::span<const double* const> terms, std::span<double* const> sums) {
  kernels().add_weighted_rows(stretch, terms, sums);
}

template <>
void add_gram(const Stretch& stretch, const double* term, std::vector<float>& scratch, double* triangle) {
  kernels().add_gram_float(stretch, term, scratch, triangle);
}
template <>
void add_gram(const Stretch& stretch, const double* term, std::vector<double>& scratch, double* triangle) {
  kernels().add_gram_double(stretch, term, scratch, triangle);
}

void squared_lengths(const Stretch& stretch, const double* factor, double* out) { kernels().squared_lengths(stretch, factor, out); }

}  // namespace coterie::newton
#endif
