// What a few hundred rows give to a Newton step of a logistic regression: log-odds, likelihood, residuals, gradient and
// weighted Gram matrices. Columns lie in SIMD lanes: a stretch of rows is copied row by row, less a center and scaled, and
// stays in the caches for everything that is made of it. Cells are float32 without rounding; products and sums are double
// but for Gram matrices in float32, where asked for. Instruction sets are chosen at run time (Highway); exp and log are
// our own (elementary.hpp).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "host/row_array.hpp"

namespace coterie::newton {

// Models whose log-odds and gradients are taken together: cells are read and widened once for all of them.
inline constexpr std::int32_t kModels = 4;
// Rows that are taken together; stretches are whole groups of them, with rows of zeros after the last.
inline constexpr std::int64_t kRowGroup = 64;

// Rows per stretch. Depends on the columns only, because sums over a stretch fix bits.
std::int64_t stretch_rows(std::int32_t n_columns);

// Floats from a row to the next: n_cells, then zeros. An odd number of lines of the cache, so that the same columns of
// neighbouring rows fall into different sets.
std::int64_t row_width(std::int32_t n_cells);

// Rows of one stretch as z: columns less center, times scale, and a last column of ones.
struct Stretch {
  std::int64_t n_rows = 0;
  std::int64_t capacity = 0;  // stretch_rows
  std::int32_t n_cells = 0;   // cells of a row: n_columns + 1
  std::int64_t width = 0;     // row_width
  LineVector<float> cells;    // (capacity, width), and some that may be read but mean nothing
};

// x: (n_rows, n_columns) row-major; center, scale: (n_columns), scales are powers of two.
void pack(const float* x, std::int64_t n_rows, std::span<const float> center, std::span<const float> scale, Stretch& stretch);

// What the rows of a stretch are to one model; all (capacity). Beyond n_rows weights and outcomes are zero.
struct RowTerms {
  std::vector<double> weight;     // in: weight in steps, 0 where the row does not count
  std::vector<double> outcome;    // in: 1 yes, 0 no
  std::vector<double> log_odds;   // in: effects; out: eta
  std::vector<double> hat;        // in: hat values of firth; empty: none
  std::vector<double> residual;   // out: w r
  std::vector<double> curvature;  // out: w v
  std::vector<double> squared;    // out: w r^2
  void resize(std::int64_t capacity);
};

// Adds z^T parameters to the log-odds of at most kModels models. parameters: one pointer to (width) per model, zero
// after n_cells.
void add_log_odds(const Stretch& stretch, std::span<const double* const> parameters, std::span<RowTerms* const> rows);

struct Likelihood {
  double log_likelihood = 0;  // sum of w log P(y)
  double curvature = 0;       // sum of w v
  double largest = 0;         // max |eta| of rows that count
};
// Fills residual, curvature and squared.
Likelihood fill_residuals(const Stretch& stretch, RowTerms& rows);

// Adds sum of term z to sums, (n_cells) each, for at most kModels models; terms: (capacity) each.
void add_weighted_rows(const Stretch& stretch, std::span<const double* const> terms, std::span<double* const> sums);

// Adds the lower triangle of sum of term z z^T, row by row, products in T: host/newton_gram.cpp. scratch is the caller's.
template <class T>
void add_gram(const Stretch& stretch, const double* term, std::vector<T>& scratch, double* triangle);

// out[row] = |F z|^2. factor: (n_cells, n_cells) row-major, lower triangular.
void squared_lengths(const Stretch& stretch, const double* factor, double* out);

}  // namespace coterie::newton
