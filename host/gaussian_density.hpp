// Log-densities and responsibilities of a few hundred rows under the components of a mixture, and the sums of the
// M-step over them. Densities have rows in SIMD lanes: a stretch of rows is packed column by column, less a center. Moments
// have columns in lanes and visit the rows of a component only. So nothing is added across lanes. One text for float32 and
// double; instruction sets are chosen at run time (Highway).
//
//   diag       |(x - mean) s|^2 column by column, never expanded: no cancellation however tight a component is
//   spherical  s^2 |x - mean|^2
//   full       |P^T (x - mean)|^2, P upper triangular
//   tied       y = P^T x once per row, then |y - P^T mean|^2
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "host/gaussian_mixture.hpp"
#include "host/row_array.hpp"

namespace coterie::gaussian {

using gaussian_mixture::CovarianceType;
using gaussian_mixture::Model;

// Smallest responsibility that counts, as a logarithm: 2^-30 and 2^-60.
template <class T>
constexpr T kLogLeastResponsibility = sizeof(T) == 4 ? T(-20.79441541679836) : T(-41.58883083359672);

inline constexpr std::int32_t kGroup = 8;  // components, or columns of P, per register block

inline constexpr std::int32_t kDirections = 4;  // that bound a full component

// Rows per stretch: a quarter of a megabyte of double cells, which stays in a core's L2 cache. Depends on the columns
// only, because sums over a stretch fix bits.
std::int64_t stretch_rows(std::int32_t n_columns);

// Columns of T filled up to whole cache lines.
template <class T>
constexpr std::int64_t row_stride(std::int32_t n_columns) {
  constexpr std::int64_t kLine = 64 / std::int64_t{sizeof(T)};
  return (n_columns + kLine - 1) / kLine * kLine;
}

// Rows of one stretch. Rows beyond n_rows, up to the stride, are zero and weigh nothing.
template <class T>
struct Stretch {
  std::int64_t n_rows = 0;
  std::int64_t stride = 0;      // rows per column, with a cache line to spare so that columns fall into different sets
  std::int64_t row_stride = 0;  // columns per row
  std::int32_t n_columns = 0;
  LineVector<T> cells;                        // (n_columns, stride) x - center, for the densities
  LineVector<T> rows;                         // (n_rows, row_stride) the same for the moments, zero beyond n_columns
  LineVector<T> weight;                       // (stride) weight steps
  std::vector<std::int32_t> missing_columns;  // columns with missing cells, ascending
  LineVector<T> missing;                      // (n_columns, stride) 1 for a missing cell, whose `cells` is 0, else 0; only if there are any
};

// x: (n_rows, n_columns) row-major; weight: (n_rows) or nullptr for ones; center: (n_columns).
template <class T>
void pack(const float* x, const std::int32_t* weight, std::int64_t n_rows, std::span<const float> center, Stretch<T>& stretch);

// Makes zeros of NaN cells and notes where they were. Only densities of diag and spherical components know them.
template <class T>
void find_missing(Stretch<T>& stretch);

std::vector<std::int32_t> all_of(const Model& model);  // the numbers of its components

// What the kernels read of a model, or of some of its components.
template <class T>
class Components {
 public:
  Components() = default;
  Components(const Model& model, std::span<const float> center);
  Components(const Model& model, std::span<const float> center, std::vector<std::int32_t> numbers);  // of components
  CovarianceType type() const { return type_; }
  std::int32_t n_components() const { return static_cast<std::int32_t>(numbers_.size()); }
  std::int32_t number(std::int32_t k) const { return numbers_[static_cast<std::size_t>(k)]; }  // in the model
  std::int32_t n_columns() const { return n_columns_; }
  std::int32_t n_groups() const { return (n_components() + kGroup - 1) / kGroup; }
  const T* mean(std::int32_t k) const { return means_.data() + std::int64_t{k} * n_columns_; }     // (n_columns) less center
  const T* pivot(std::int32_t k) const { return pivots_.data() + k * row_stride<T>(n_columns_); }  // (row_stride) p - center
  T factor(std::int32_t k) const { return factors_[static_cast<std::size_t>(k)]; }      // of the squared length: -1/2, spherical -s^2/2
  T constant(std::int32_t k) const { return constants_[static_cast<std::size_t>(k)]; }  // log weight + log density at mean
  // Centers and, diag, scales of a group of components, (n_columns, kGroup); zero beyond n_components.
  const T* centers(std::int32_t group) const { return centers_.data() + std::int64_t{group} * n_columns_ * kGroup; }
  const T* scales(std::int32_t group) const { return scales_.data() + std::int64_t{group} * n_columns_ * kGroup; }
  // Of diag and spherical components, log scale - log(2 pi) / 2 of a group, (n_columns, kGroup); the sum over a component's
  // columns is its constant less log weight.
  const T* norms(std::int32_t group) const { return norms_.data() + std::int64_t{group} * n_columns_ * kGroup; }
  // P of component k (0 for tied) by groups of columns: group g holds rows 0 .. min(n_columns, (g + 1) kGroup) - 1, each
  // (kGroup), zero below the diagonal and beyond n_columns.
  const T* triangle(std::int32_t k) const { return triangles_.data() + std::int64_t{k} * triangle_size_; }
  // (n_columns, kDirections) G of component k of full, with |G^T (x - mean)|^2 at most |P^T (x - mean)|^2 as kernels compute them: for
  // counting_densities(), which computes all without. None where they would not pay.
  void add_directions(const Model& model);
  bool has_directions() const { return !directions_.empty(); }
  const T* directions(std::int32_t k) const { return directions_.data() + std::int64_t{k} * n_columns_ * kDirections; }

 private:
  void add_triangle(const double* p);
  LineVector<T> in_groups(const std::vector<double>& values) const;

  CovarianceType type_ = CovarianceType::full;
  std::vector<std::int32_t> numbers_;
  std::int32_t n_columns_ = 0;
  std::int64_t triangle_size_ = 0;
  LineVector<T> means_, pivots_, constants_, factors_, centers_, scales_, norms_, triangles_, directions_;
};

// Components::directions() of all components before they are rounded to numbers of this unit roundoff; empty where they would not pay.
std::vector<double> directions_of(const Model& model, double unit);

// (n_components) Components::constant() before it is rounded.
std::vector<double> log_constants(const Model& model);

// By how much, in root mean square, the log-density of a row under its component moves when it is computed in float32;
// the mean over many rows moves by less. Infinite where float32 could overflow.
double float_error(const Model& model, const kmeans::Grid& grid, std::span<const float> center);

// Components whose log densities are computed in float32, and those that need double.
struct Parts {
  std::vector<std::int32_t> narrow, wide;
};

// Components that err by less than the sweep's tolerance are narrow; if all others can be rounded to float32 at last.
Parts parts_of(const Model& model, const kmeans::Grid& grid, std::span<const float> center);

// The same in products of at least 22 bits that are added in float32: where P, of full, multiplies rows less the center and not
// less the mean, so that roundings are no more than those of n_columns additions; and where squares, of diag and spherical, are
// expanded.
double product_error(const Model& model, const kmeans::Grid& grid, std::span<const float> center);

template <class T>
struct Scratch {
  LineVector<T> log_density;         // (n_components, stride): log (weight_k N_k), later w r_k
  LineVector<T> row_likelihood;      // (stride) log p(x)
  LineVector<T> row_certainty;       // (stride) log max_k r_k
  LineVector<double> row_square;     // (stride) |x - center|^2
  LineVector<T> cells;               // whitened columns
  std::vector<std::int32_t> places;  // (stride) rows of one component
  LineVector<T> weight;              // (stride) their w r
  LineVector<T> panel, square;       // some of them times the roots of those, and their Gram matrix
};

// Fills scratch.log_density.
template <class T>
void log_densities(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch);

// The same but for densities that responsibilities() drops: any value that it drops as well may stand in their place.
template <class T>
void counting_densities(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch);

// log_density, of n_components, becomes w r_k; fills row_likelihood and row_certainty. A responsibility below 2^-30 (float32) or 2^-60
// (double) counts as zero: rounding of the sums hides it.
template <class T>
void responsibilities(const Stretch<T>& stretch, std::int32_t n_components, Scratch<T>& scratch);

// Sums over the rows of a block, in the order of stretches: the fields of gaussian_mixture::Statistics.
struct BlockSums {
  std::vector<double> weight, first, second, missing;
  double log_likelihood = 0, log_certainty = 0;
};

// Adds w r, w r (x - p) and the second moments of the type to the sums.
template <class T>
void add_moments(const Stretch<T>& stretch, const Components<T>& components, Scratch<T>& scratch, BlockSums& sums);

// Adds the lower triangle of w (x - center)(x - center)^T: (n_columns (n_columns + 1) / 2).
template <class T>
void add_scatter(const Stretch<T>& stretch, Scratch<T>& scratch, std::vector<double>& triangle);

// Adds w log p(x) and w log max r to the sums.
template <class T>
void add_likelihood(const Stretch<T>& stretch, const Scratch<T>& scratch, BlockSums& sums);

}  // namespace coterie::gaussian
