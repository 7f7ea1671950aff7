// What a few hundred rows give to a Newton step of a logistic regression: log-odds, likelihood, residuals, gradient and
// weighted Gram matrices. Rows lie in SIMD lanes: a stretch of rows is packed column by column, less a center and scaled,
// so nothing is added across lanes but at the end of a stretch. Cells are float32 without rounding; products and sums
// are double but for Gram matrices in float32, where asked for. Instruction sets are chosen at run time (Highway);
// exp and log are our own (elementary.hpp).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace coterie::newton {

// Models whose log-odds and gradients are taken together: cells are read and widened once for all of them.
inline constexpr std::int32_t kModels = 4;
// Columns of zeros after the last, so that register blocks may read beyond it.
inline constexpr std::int32_t kPadding = 8;

// Rows per stretch. Depends on the columns only, because sums over a stretch fix bits.
std::int64_t stretch_rows(std::int32_t n_columns);

// Rows of one stretch as z: columns less center, times scale, and a last column of ones. Rows beyond n_rows, up to the
// stride, are zero.
struct Stretch {
  std::int64_t n_rows = 0;
  std::int64_t stride = 0;   // rows per column, with a cache line to spare so that columns fall into different sets
  std::int32_t n_cells = 0;  // cells of a row: n_columns + 1
  std::vector<float> cells;  // (n_cells + kPadding, stride)
};

// x: (n_rows, n_columns) row-major; center, scale: (n_columns), scales are powers of two.
void pack(const float* x, std::int64_t n_rows, std::span<const float> center, std::span<const float> scale, Stretch& stretch);

// What the rows of a stretch are to one model; all (stride). Beyond n_rows weights and outcomes are zero, up to the stride.
struct RowTerms {
  std::vector<double> weight;     // in: weight in steps, 0 where the row does not count
  std::vector<double> outcome;    // in: 1 yes, 0 no
  std::vector<double> log_odds;   // in: effects; out: eta
  std::vector<double> hat;        // in: hat values of firth; empty: none
  std::vector<double> residual;   // out: w r
  std::vector<double> curvature;  // out: w v
  std::vector<double> squared;    // out: w r^2
  void resize(std::int64_t stride);
};

// Adds z^T parameters to the log-odds of at most kModels models. parameters: one pointer to (n_cells) per model.
void add_log_odds(const Stretch& stretch, std::span<const double* const> parameters, std::span<RowTerms* const> rows);

struct Likelihood {
  double log_likelihood = 0;  // sum of w log P(y)
  double curvature = 0;       // sum of w v
  double largest = 0;         // max |eta| of rows that count
};
// Fills residual, curvature and squared.
Likelihood fill_residuals(const Stretch& stretch, RowTerms& rows);

// Adds sum of term z to sums, (n_cells) each, for at most kModels models; terms: (stride) each.
void add_weighted_rows(const Stretch& stretch, std::span<const double* const> terms, std::span<double* const> sums);

// Adds the lower triangle of sum of term z z^T, row by row, products in T. scratch is the caller's.
template <class T>
void add_gram(const Stretch& stretch, const double* term, std::vector<T>& scratch, double* triangle);

// out[row] = |F z|^2. factor: (n_cells, n_cells) row-major, lower triangular.
void squared_lengths(const Stretch& stretch, const double* factor, double* out);

}  // namespace coterie::newton
