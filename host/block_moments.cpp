#include "host/block_moments.hpp"

#include <algorithm>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/block_moments.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "host/load_as-inl.hpp"  // after foreach_target

HWY_BEFORE_NAMESPACE();
namespace coterie::kmeans {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Sums and squares of kVectors vectors of columns, in steps. x: n_rows rows, n_columns apart.
template <std::size_t kVectors>
HWY_INLINE void sum_columns(const float* x, std::int64_t n_rows, std::int64_t n_columns, const double* inverse_steps, double* sums,
                            double* squares) {
  using D = hn::ScalableTag<double>;
  const D d;
  const std::size_t lanes = hn::Lanes(d);
  hn::Vec<D> per_step[kVectors], sum[kVectors], square[kVectors];
  for (std::size_t v = 0; v < kVectors; ++v) {
    per_step[v] = hn::LoadU(d, inverse_steps + v * lanes);
    sum[v] = square[v] = hn::Zero(d);
  }
  for (const float* const end = x + n_rows * n_columns; x != end; x += n_columns)
    for (std::size_t v = 0; v < kVectors; ++v) {
      const auto q = hn::Mul(coterie::HWY_NAMESPACE::load_as(d, x + v * lanes), per_step[v]);
      sum[v] = hn::Add(sum[v], q);
      square[v] = hn::MulAdd(q, q, square[v]);
    }
  for (std::size_t v = 0; v < kVectors; ++v) {
    hn::StoreU(sum[v], d, sums + v * lanes);
    hn::StoreU(square[v], d, squares + v * lanes);
  }
}

void sum_run_target(const float* x, std::int64_t n_rows, std::size_t n_columns, const double* inverse_steps, double* sums,
                    double* squares) {
  constexpr std::size_t kVectors = 4;  // sums, squares and steps in 12 registers
  const std::int64_t stride = static_cast<std::int64_t>(n_columns);
  const std::size_t lanes = hn::Lanes(hn::ScalableTag<double>());
  std::size_t j = 0;
  for (; j + kVectors * lanes <= n_columns; j += kVectors * lanes)
    sum_columns<kVectors>(x + j, n_rows, stride, inverse_steps + j, sums + j, squares + j);
  for (; j + lanes <= n_columns; j += lanes) sum_columns<1>(x + j, n_rows, stride, inverse_steps + j, sums + j, squares + j);
  for (; j < n_columns; ++j) {
    double sum = 0, square = 0;
    for (std::int64_t row = 0; row < n_rows; ++row) {
      const double q = static_cast<double>(x[row * stride + static_cast<std::int64_t>(j)]) * inverse_steps[j];
      sum += q;
      square += q * q;
    }
    sums[j] = sum;
    squares[j] = square;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie::kmeans
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie::kmeans {

HWY_EXPORT(sum_run_target);

BlockMoments::BlockMoments(const Grid& grid) {
  for (const double step : grid.steps) inverse_steps_.push_back(1 / step);
  for (auto* column : {&sum_, &square_high_, &square_low_}) column->resize(inverse_steps_.size());
  for (auto* column : {&run_sum_, &run_square_}) column->resize(inverse_steps_.size());
}

void BlockMoments::add(const float* x, const std::int32_t* weight, std::int64_t n_rows) {
  weight != nullptr ? add_weighted(x, weight, n_rows) : add_runs(x, n_rows);
}

// In runs whose sums are exact in double: 2^53 holds 128 of q^2 <= 2^46. A block has 32 of them.
void BlockMoments::add_runs(const float* x, std::int64_t n_rows) {
  constexpr std::int64_t kRunRows = 128;
  const std::int64_t n_columns = std::ssize(inverse_steps_);
  for (std::int64_t row = 0; row < n_rows; row += kRunRows) {
    HWY_DYNAMIC_DISPATCH(sum_run_target)
    (x + row * n_columns, std::min(kRunRows, n_rows - row), inverse_steps_.size(), inverse_steps_.data(), run_sum_.data(),
     run_square_.data());
    for (std::size_t j = 0; j < sum_.size(); ++j) {
      sum_[j] += static_cast<std::int64_t>(run_sum_[j]);
      square_low_[j] += static_cast<std::int64_t>(run_square_[j]);
    }
  }
}

void BlockMoments::add_weighted(const float* x, const std::int32_t* weight, std::int64_t n_rows) {
  for (std::int64_t row = 0; row < n_rows; ++row, x += inverse_steps_.size()) {
    const std::int64_t w = weight[row];
    if (w == 0) continue;
    for (std::size_t j = 0; j < inverse_steps_.size(); ++j) {
      const auto q = static_cast<std::int64_t>(static_cast<double>(x[j]) * inverse_steps_[j]);
      const std::int64_t square = q * q;
      sum_[j] += w * q;
      square_high_[j] += w * (square >> 23);
      square_low_[j] += w * (square & 0x7fffff);
    }
  }
}

void BlockMoments::flush(GridMoments& to) {
  for (std::size_t j = 0; j < sum_.size(); ++j) {
    to.sums.add(j, std::exchange(sum_[j], 0));
    to.squares.add(j, (static_cast<int128>(std::exchange(square_high_[j], 0)) << 23) + std::exchange(square_low_[j], 0));
  }
}

}  // namespace coterie::kmeans
#endif
