#include "host/newton_sums.hpp"

#include <algorithm>

#include "host/fetch_ahead.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/newton_sums.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "host/elementary-inl.hpp"
#include "host/load_as-inl.hpp"

#ifndef COTERIE_NEWTON_SUMS_KERNELS
#define COTERIE_NEWTON_SUMS_KERNELS
namespace coterie::newton {

struct Kernels {
  void (*pack)(const float* x, std::span<const float> center, std::span<const float> scale, Stretch& stretch);
  void (*add_log_odds)(const Stretch& stretch, std::span<const double* const> parameters, std::span<RowTerms* const> rows);
  Likelihood (*fill_residuals)(const Stretch& stretch, RowTerms& rows);
  void (*add_weighted_rows)(const Stretch& stretch, std::span<const double* const> terms, std::span<double* const> sums);
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

using coterie::HWY_NAMESPACE::load_as;

HWY_INLINE std::int64_t lanes_of_double() { return static_cast<std::int64_t>(hn::Lanes(D())); }

void pack_target(const float* x, std::span<const float> center, std::span<const float> scale, Stretch& stretch) {
  const hn::ScalableTag<float> d;
  const std::size_t n = center.size(), width = static_cast<std::size_t>(stretch.width), lanes = hn::Lanes(d), whole = n / lanes * lanes;
  float* to = stretch.cells.data();
  for (std::int64_t row = 0; row < stretch.n_rows; ++row, x += n, to += width) {
    fetch_ahead(x, n);
    for (std::size_t j = 0; j < whole; j += lanes) {
      const auto centered = hn::Sub(hn::LoadU(d, x + j), hn::LoadU(d, center.data() + j));
      hn::StoreU(hn::Mul(centered, hn::LoadU(d, scale.data() + j)), d, to + j);
    }
    for (std::size_t j = whole; j < n; ++j) to[j] = (x[j] - center[j]) * scale[j];
    to[n] = 1;
  }
}

template <std::size_t kCount>
void add_log_odds_of(const Stretch& stretch, std::span<const double* const> parameters, std::span<RowTerms* const> rows) {
  constexpr std::int64_t kRows = kCount == 1 ? 8 : kCount == 2 ? 4 : 2;
  static_assert(kRowGroup % kRows == 0);
  const D d;
  for (std::int64_t row = 0; row < stretch.n_rows; row += kRows) {
    V sum[kCount][kRows];
    for (auto& of_model : sum)
      for (auto& of_row : of_model) of_row = hn::Zero(d);
    const float* const cells = stretch.cells.data() + row * stretch.width;
    for (std::int64_t j = 0; j < stretch.n_cells; j += lanes_of_double()) {
      V z[kRows];
      for (std::int64_t r = 0; r < kRows; ++r) z[r] = load_as(d, cells + r * stretch.width + j);
      for (std::size_t m = 0; m < kCount; ++m) {
        const V parameter = hn::LoadU(d, parameters[m] + j);
        for (std::int64_t r = 0; r < kRows; ++r) sum[m][r] = hn::MulAdd(z[r], parameter, sum[m][r]);
      }
    }
    for (std::size_t m = 0; m < kCount; ++m)
      for (std::int64_t r = 0; r < kRows; ++r)
        rows[m]->log_odds[static_cast<std::size_t>(row + r)] += hn::GetLane(hn::SumOfLanes(d, sum[m][r]));
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

// Sums of kVectors vectors of columns from `first` on for kCount models.
template <std::size_t kCount, std::int64_t kVectors>
HWY_INLINE void add_weighted_columns(const Stretch& stretch, std::int64_t first, std::span<const double* const> terms,
                                     std::span<double* const> sums) {
  const D d;
  const std::int64_t lanes = lanes_of_double();
  V sum[kCount][kVectors];
  for (auto& of_model : sum)
    for (auto& cells : of_model) cells = hn::Zero(d);
  const float* cells = stretch.cells.data() + first;
  for (std::int64_t row = 0; row < stretch.n_rows; ++row, cells += stretch.width) {
    V z[kVectors];
    for (std::int64_t v = 0; v < kVectors; ++v) z[v] = load_as(d, cells + v * lanes);
    for (std::size_t m = 0; m < kCount; ++m) {
      const V term = hn::Set(d, terms[m][row]);
      for (std::int64_t v = 0; v < kVectors; ++v) sum[m][v] = hn::MulAdd(term, z[v], sum[m][v]);
    }
  }
  HWY_ALIGN double of_model[kVectors * hn::MaxLanes(d)];
  for (std::size_t m = 0; m < kCount; ++m) {
    for (std::int64_t v = 0; v < kVectors; ++v) hn::Store(sum[m][v], d, of_model + v * lanes);
    for (std::int64_t j = 0; j < std::min(kVectors * lanes, stretch.n_cells - first); ++j) sums[m][first + j] += of_model[j];
  }
}

// As above for `vectors` of at most kMost.
template <std::size_t kCount, std::int64_t kMost>
HWY_INLINE void add_weighted_vectors(const Stretch& stretch, std::int64_t first, std::int64_t vectors, std::span<const double* const> terms,
                                     std::span<double* const> sums) {
  if constexpr (kMost > 1)
    if (vectors < kMost) return add_weighted_vectors<kCount, kMost - 1>(stretch, first, vectors, terms, sums);
  add_weighted_columns<kCount, kMost>(stretch, first, terms, sums);
}

template <std::size_t kCount>
void add_weighted_rows_of(const Stretch& stretch, std::span<const double* const> terms, std::span<double* const> sums) {
  constexpr std::int64_t kMost = kCount == 1 ? 8 : kCount == 2 ? 4 : kCount == 3 ? 3 : 2;
  const std::int64_t lanes = lanes_of_double(), vectors = (stretch.n_cells + lanes - 1) / lanes;
  const std::int64_t turns = (vectors + kMost - 1) / kMost, per_turn = (vectors + turns - 1) / turns;
  for (std::int64_t v = 0; v < vectors; v += per_turn)
    add_weighted_vectors<kCount, kMost>(stretch, v * lanes, std::min(per_turn, vectors - v), terms, sums);
}

void add_weighted_rows_target(const Stretch& stretch, std::span<const double* const> terms, std::span<double* const> sums) {
  switch (terms.size()) {
    case 1: return add_weighted_rows_of<1>(stretch, terms, sums);
    case 2: return add_weighted_rows_of<2>(stretch, terms, sums);
    case 3: return add_weighted_rows_of<3>(stretch, terms, sums);
    default: return add_weighted_rows_of<4>(stretch, terms, sums);
  }
}

void squared_lengths_target(const Stretch& stretch, const double* factor, double* out) {
  const D d;
  const std::int32_t lanes = static_cast<std::int32_t>(lanes_of_double());
  for (std::int64_t row = 0; row < stretch.n_rows; ++row) {
    const float* const z = stretch.cells.data() + row * stretch.width;
    double square = 0;
    for (std::int32_t i = 0; i < stretch.n_cells; ++i) {
      const double* const of_row = factor + std::int64_t{i} * stretch.n_cells;
      const std::int32_t whole = (i + 1) / lanes * lanes;
      V sum = hn::Zero(d);
      for (std::int32_t j = 0; j < whole; j += lanes) sum = hn::MulAdd(load_as(d, z + j), hn::LoadU(d, of_row + j), sum);
      double y = hn::GetLane(hn::SumOfLanes(d, sum));
      for (std::int32_t j = whole; j <= i; ++j) y += static_cast<double>(z[j]) * of_row[j];
      square += y * y;
    }
    out[row] = square;
  }
}

constexpr Kernels kKernels{pack_target, add_log_odds_target, fill_residuals_target, add_weighted_rows_target, squared_lengths_target};

const Kernels* newton_kernels() { return &kKernels; }

}  // namespace HWY_NAMESPACE
}  // namespace coterie::newton
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie::newton {
namespace {

HWY_EXPORT(newton_kernels);
const Kernels& kernels() { return *HWY_DYNAMIC_DISPATCH(newton_kernels)(); }

// Float32 cells of 128 KiB, which stay in a core's L2 cache beside the columns that a Gram matrix copies.
constexpr std::int64_t kStretchCells = std::int64_t{1} << 15;
constexpr std::int64_t kReadBeyond = 256;  // floats: more than all vectors of a register block

}  // namespace

std::int64_t stretch_rows(std::int32_t n_columns) {
  return std::clamp<std::int64_t>(kStretchCells / (n_columns + 1) / kRowGroup * kRowGroup, kRowGroup, 1024);
}

std::int64_t row_width(std::int32_t n_cells) {
  constexpr std::int64_t kLine = 64 / sizeof(float);
  return ((n_cells + kLine - 1) / kLine | 1) * kLine;
}

void RowTerms::resize(std::int64_t capacity) {
  for (auto* values : {&weight, &outcome, &log_odds, &residual, &curvature, &squared}) values->resize(static_cast<std::size_t>(capacity));
}

void pack(const float* x, std::int64_t n_rows, std::span<const float> center, std::span<const float> scale, Stretch& stretch) {
  const std::int32_t n_columns = static_cast<std::int32_t>(center.size());
  if (stretch.n_cells != n_columns + 1) {
    stretch.n_cells = n_columns + 1;
    stretch.capacity = stretch_rows(n_columns);
    stretch.width = row_width(stretch.n_cells);
    stretch.cells.assign(static_cast<std::size_t>(stretch.capacity * stretch.width + kReadBeyond), 0.0f);
  }
  stretch.n_rows = n_rows;
  kernels().pack(x, center, scale, stretch);
  const std::int64_t end = (n_rows + kRowGroup - 1) / kRowGroup * kRowGroup;
  std::fill(stretch.cells.data() + n_rows * stretch.width, stretch.cells.data() + end * stretch.width, 0.0f);
}

void add_log_odds(const Stretch& stretch, std::span<const double* const> parameters, std::span<RowTerms* const> rows) {
  kernels().add_log_odds(stretch, parameters, rows);
}

Likelihood fill_residuals(const Stretch& stretch, RowTerms& rows) { return kernels().fill_residuals(stretch, rows); }

void add_weighted_rows(const Stretch& stretch, std::span<const double* const> terms, std::span<double* const> sums) {
  kernels().add_weighted_rows(stretch, terms, sums);
}

void squared_lengths(const Stretch& stretch, const double* factor, double* out) { kernels().squared_lengths(stretch, factor, out); }

}  // namespace coterie::newton
#endif
