// The weighted Gram matrices of newton_sums.hpp: outer products of rows, register block by register block.
#include <algorithm>

#include "host/newton_sums.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/newton_gram.cpp"
#define HWY_DISABLED_TARGETS HWY_SSSE3  // nothing between it and SSE4 is worth the compile time
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "host/load_as-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace coterie::newton {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using coterie::HWY_NAMESPACE::load_as;

// Rows per register block of a Gram matrix: with two vectors of columns its sums, a vector of each and one cell fit the registers.
#if HWY_TARGET <= HWY_AVX3
constexpr std::int32_t kGramRows = 12;
#else
constexpr std::int32_t kGramRows = 6;
#endif

// Of a block of the triangle whose first row is i0 and first column j0; sums: (kGramRows, columns).
template <class T>
HWY_INLINE void add_to_triangle(const T* sums, std::int32_t columns, std::int32_t i0, std::int32_t j0, std::int32_t n_cells,
                                double* triangle) {
  const hn::ScalableTag<double> d;
  const std::int32_t lanes = static_cast<std::int32_t>(hn::Lanes(d));
  for (std::int32_t i = i0; i < std::min(n_cells, i0 + kGramRows); ++i, sums += columns) {
    double* const to = triangle + std::int64_t{i} * (i + 1) / 2 + j0;
    const std::int32_t n = std::min(columns, i + 1 - j0);  // of a row above the block none
    std::int32_t j = 0;
    for (; j + lanes <= n; j += lanes) hn::StoreU(hn::Add(hn::LoadU(d, to + j), load_as(d, sums + j)), d, to + j);
    for (; j < n; ++j) to[j] += static_cast<double>(sums[j]);
  }
}

// One register block of two vectors of columns. left: (n_rows, kGramRows), weighted.
template <class T>
HWY_INLINE void multiply_gram_block(const Stretch& stretch, const T* left, std::int32_t j0, T* sums) {
  using Tag = hn::ScalableTag<T>;
  const Tag d;
  const std::size_t lanes = hn::Lanes(d);
  hn::Vec<Tag> sum[kGramRows][2];
  for (auto& of_row : sum) of_row[0] = of_row[1] = hn::Zero(d);
  const float* right = stretch.cells.data() + j0;
  for (std::int64_t row = 0; row < stretch.n_rows; ++row, left += kGramRows, right += stretch.width) {
    const auto first = load_as(d, right), second = load_as(d, right + lanes);
    for (std::int32_t i = 0; i < kGramRows; ++i) {
      const auto cell = hn::Set(d, left[i]);
      sum[i][0] = hn::MulAdd(cell, first, sum[i][0]);
      sum[i][1] = hn::MulAdd(cell, second, sum[i][1]);
    }
  }
  for (auto& of_row : sum)
    for (const auto& cells : of_row) {
      hn::StoreU(cells, d, sums);
      sums += lanes;
    }
}

// Weighted cells of kGramRows columns from i0 on. What a vector holds beyond them, the next row overwrites.
template <class T>
HWY_INLINE void fill_gram_rows(const Stretch& stretch, const double* term, std::int32_t i0, T* left) {
  const hn::ScalableTag<T> d;
  const std::int32_t lanes = static_cast<std::int32_t>(hn::Lanes(d));
  const float* cells = stretch.cells.data() + i0;
  for (std::int64_t row = 0; row < stretch.n_rows; ++row, cells += stretch.width, left += kGramRows) {
    const auto weight = hn::Set(d, static_cast<T>(term[row]));
    for (std::int32_t i = 0; i < kGramRows; i += lanes) hn::StoreU(hn::Mul(weight, load_as(d, cells + i)), d, left + i);
  }
}

// Two vectors of columns on the right stay in the first cache, of wide rows at least, while all rows of the matrix below go by.
template <class T>
void add_gram_target(const Stretch& stretch, const double* term, std::vector<T>& scratch, double* triangle) {
  constexpr std::size_t kMostLanes = hn::MaxLanes(hn::ScalableTag<T>());
  const std::int32_t n = stretch.n_cells, columns = 2 * static_cast<std::int32_t>(hn::Lanes(hn::ScalableTag<T>()));
  const std::int64_t block = kGramRows * stretch.capacity, blocks = (n + kGramRows - 1) / kGramRows;
  scratch.resize(static_cast<std::size_t>(blocks * block) + kMostLanes);
  HWY_ALIGN T sums[std::size_t{kGramRows} * 2 * kMostLanes];
  for (std::int32_t b = 0; b < blocks; ++b) fill_gram_rows(stretch, term, b * kGramRows, scratch.data() + b * block);
  for (std::int32_t j0 = 0; j0 < n; j0 += columns)
    for (std::int32_t b = j0 / kGramRows; b < blocks; ++b) {
      multiply_gram_block(stretch, scratch.data() + b * block, j0, sums);
      add_to_triangle(sums, columns, b * kGramRows, j0, n, triangle);
    }
}

void add_gram_float(const Stretch& stretch, const double* term, std::vector<float>& scratch, double* triangle) {
  add_gram_target(stretch, term, scratch, triangle);
}
void add_gram_double(const Stretch& stretch, const double* term, std::vector<double>& scratch, double* triangle) {
  add_gram_target(stretch, term, scratch, triangle);
}

}  // namespace HWY_NAMESPACE
}  // namespace coterie::newton
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coterie::newton {
namespace {

HWY_EXPORT(add_gram_float);
HWY_EXPORT(add_gram_double);

}  // namespace

template <>
void add_gram(const Stretch& stretch, const double* term, std::vector<float>& scratch, double* triangle) {
  HWY_DYNAMIC_DISPATCH(add_gram_float)(stretch, term, scratch, triangle);
}
template <>
void add_gram(const Stretch& stretch, const double* term, std::vector<double>& scratch, double* triangle) {
  HWY_DYNAMIC_DISPATCH(add_gram_double)(stretch, term, scratch, triangle);
}

}  // namespace coterie::newton
#endif
